{{/* Registry and name of an image: (list . "operator"). */}}
{{- define "tubeway.repository" -}}
{{- printf "%s/%s" (index . 0).Values.image.registry (index . 1) -}}
{{- end }}

{{/* The same with its tag. */}}
{{- define "tubeway.image" -}}
{{- $root := index . 0 -}}
{{- printf "%s:%s" (include "tubeway.repository" .) ($root.Values.image.tag | default $root.Chart.AppVersion) -}}
{{- end }}

{{/* The name under which the operator is reached. */}}
{{- define "tubeway.service" -}}
{{- printf "tubeway-operator.%s.svc" .Release.Namespace -}}
{{- end }}

{{/* Those of the pod's fields that have a value. */}}
{{- define "tubeway.pod" -}}
{{- $fields := dict -}}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "imagePullSecrets" -}}
{{- with index $.Values.operator $field -}}
{{- $_ := set $fields $field . -}}
{{- end -}}
{{- end -}}
{{- with $fields }}{{ toYaml . }}{{ end -}}
{{- end }}

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

{{/* What the binding of the operator's rights in namespaces binds, and to whom. */}}
{{- define "tubeway.binds" }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: tubeway-operator
subjects:
- kind: ServiceAccount
  name: tubeway-operator
  namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* Which namespaces are looked after, for a namespaceSelector; nothing if all are. */}}
{{- define "tubeway.watched" -}}
{{- with .Values.watchNamespaces -}}
matchExpressions:
- key: kubernetes.io/metadata.name
  operator: In
  values: {{ sortAlpha . | toJson }}
{{- end -}}
{{- end }}

{{/* The operator's arguments about Istio, but for what it has by itself. */}}
{{- define "tubeway.istio" -}}
{{- $args := list -}}
{{- if ne .Values.istio.address "istiod.istio-system.svc:15012" -}}
{{- $args = append $args (printf "--istio-address=%s" .Values.istio.address) -}}
{{- end -}}
{{- if ne .Values.istio.serverName "istiod.istio-system.svc" -}}
{{- $args = append $args (printf "--istio-server-name=%s" .Values.istio.serverName) -}}
{{- end -}}
{{- if ne .Values.istio.clusterId "Kubernetes" -}}
{{- $args = append $args (printf "--istio-cluster-id=%s" .Values.istio.clusterId) -}}
{{- end -}}
{{- with $args }}{{ toYaml . }}{{ end -}}
{{- end }}

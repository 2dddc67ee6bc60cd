//! The Helm chart's files that say what `deploy/` says, made from it: an edit is
//! a line there and what stands in its place in the chart.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::crds;

const HEADER: &str =
    "{{- /* Made from deploy by `cargo run -p tubeway-xtask -- chart`; change it there. */ -}}\n";
/// On what outlives its release.
const KEEP: &str = "helm.sh/resource-policy: keep";
/// The namespace that `deploy/` is written for.
const NAMESPACE: &str = "tubeway-system";

/// What stands in a file of `deploy/`, and what the chart has there. It has to
/// stand there once.
type Edit = (&'static str, &'static str);

/// Whoever only renders the chart may want its namespace; Helm's own is the
/// release's, and is there before.
const RIGHTS: [Edit; 3] = [
    (
        "apiVersion: v1
kind: Namespace
metadata:
  name: tubeway-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
",
        "{{- if .Values.namespace.create }}
apiVersion: v1
kind: Namespace
metadata:
  name: {{ .Release.Namespace | quote }}
  labels:
    pod-security.kubernetes.io/enforce: restricted
{{- end }}
",
    ),
    // While clusters run on, an operator that comes back needs its key.
    (
        "  name: tubeway-ca
  namespace: tubeway-system
",
        "  name: tubeway-ca
  namespace: tubeway-system
  annotations:
    helm.sh/resource-policy: keep
",
    ),
    (
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: tubeway-operator
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: tubeway-operator
subjects:
- kind: ServiceAccount
  name: tubeway-operator
  namespace: tubeway-system
",
        "{{- range .Values.watchNamespaces | sortAlpha }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: tubeway-operator-watched
  namespace: {{ . | quote }}
{{- include \"tubeway.binds\" $ }}
{{- else }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: tubeway-operator
{{- include \"tubeway.binds\" $ }}
{{- end }}
",
    ),
];

/// Of namespaces that nobody looks after the operator is not asked.
const WEBHOOKS: [Edit; 2] = [
    (
        "      kafka.tubeway.dev/inject: enabled
",
        "      kafka.tubeway.dev/inject: enabled
    {{- with include \"tubeway.watched\" . }}
    {{- . | nindent 4 }}
    {{- end }}
",
    ),
    (
        "  sideEffects: NoneOnDryRun
",
        "  sideEffects: NoneOnDryRun
  {{- with include \"tubeway.watched\" . }}
  namespaceSelector:
    {{- . | nindent 4 }}
  {{- end }}
",
    ),
];

const OPERATOR: [Edit; 6] = [
    (
        "# The operator. Apply deploy/crds and deploy/rbac.yaml first.\n",
        "# The operator.\n",
    ),
    (
        "      serviceAccountName: tubeway-operator\n",
        "      serviceAccountName: tubeway-operator
      {{- with include \"tubeway.pod\" . }}
      {{- . | nindent 6 }}
      {{- end }}
",
    ),
    (
        "image: tubeway.dev/operator:latest\n",
        "image: {{ include \"tubeway.image\" (list . \"operator\") | quote }}\n",
    ),
    (
        "imagePullPolicy: IfNotPresent\n",
        "imagePullPolicy: {{ .Values.image.pullPolicy }}\n",
    ),
    (
        "        args: [--metrics-listen=0.0.0.0:15021]\n",
        "        args:
        - --metrics-listen=0.0.0.0:15021
        - --service-name={{ include \"tubeway.service\" . }}
        - --advertise={{ include \"tubeway.service\" . }}:15012
        - --trust-domain={{ .Values.trustDomain }}
        - --cert-ttl={{ .Values.certificates.ttl }}
        - --proxy-image={{ include \"tubeway.image\" (list . \"proxy\") }}
        - --kafka-image={{ include \"tubeway.repository\" (list . \"kafka\") }}
        {{- with .Values.watchNamespaces }}
        - --watch-namespaces={{ sortAlpha . | join \",\" }}
        {{- end }}
        {{- with include \"tubeway.istio\" . }}
        {{- . | nindent 8 }}
        {{- end }}
",
    ),
    (
        "        resources:
          requests:
            cpu: 50m
            memory: 64Mi
          limits:
            memory: 512Mi
",
        "        resources:
          {{- toYaml .Values.operator.resources | nindent 10 }}
",
    ),
];

/// What differs between releases of the chart is the workspace's version.
const CHART: &str = "\
apiVersion: v2
name: tubeway
description: \"Apache Kafka inside a service mesh: the operator, its rights, its webhooks and the kinds.\"
type: application
version: VERSION
appVersion: \"VERSION\"
# Sidecars are init containers that keep running.
kubeVersion: \">=1.29.0-0\"
keywords: [kafka, service-mesh, operator, mtls, spiffe]
";

/// Writes the files.
pub(crate) fn run() -> anyhow::Result<()> {
    for (path, text) in files()? {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let chart = CHART.replace("VERSION", env!("CARGO_PKG_VERSION"));
    let made = "# Made by `cargo run -p tubeway-xtask -- chart`; change it in crates/xtask.\n";
    let mut all = vec![(folder().join("Chart.yaml"), format!("{made}{chart}"))];
    for (path, text) in crds::files()? {
        let name = path.file_name().context("a kind's file has no name")?;
        let text = definition(&text).with_context(|| format!("in {}", path.display()))?;
        all.push((templates().join("crds").join(name), text));
    }
    let edited: [(_, &[Edit]); 3] = [
        ("rbac.yaml", &RIGHTS),
        ("webhook.yaml", &WEBHOOKS),
        ("operator.yaml", &OPERATOR),
    ];
    for (name, edits) in edited {
        let path = deploy().join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let text = template(&text, edits).with_context(|| format!("in {}", path.display()))?;
        all.push((templates().join(name), format!("{HEADER}{text}")));
    }
    Ok(all)
}

/// A kind's definition as a template. Descriptions are users' text.
fn definition(text: &str) -> anyhow::Result<String> {
    let text = template(text.trim_start_matches(crds::HEADER), &[])?;
    let at = "metadata:\n";
    ensure!(text.contains(at), "it has no metadata");
    let text = text.replacen(at, &format!("{at}  annotations:\n    {KEEP}\n"), 1);
    Ok(format!(
        "{HEADER}{{{{- if .Values.crds.install }}}}\n{text}{{{{- end }}}}\n"
    ))
}

fn template(text: &str, edits: &[Edit]) -> anyhow::Result<String> {
    ensure!(!text.contains("{{"), "what Helm would take for its own");
    let mut text = text.to_owned();
    for (from, to) in edits {
        let times = text.matches(from).count();
        ensure!(times == 1, "{times} times instead of once: {from}");
        text = text.replacen(from, to, 1);
    }
    let namespace = format!("namespace: {NAMESPACE}\n");
    let text = text.replace(&namespace, "namespace: {{ .Release.Namespace | quote }}\n");
    ensure!(!text.contains(NAMESPACE), "{NAMESPACE} is left somewhere");
    Ok(text)
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn folder() -> PathBuf {
    deploy().join("helm/tubeway")
}

fn templates() -> PathBuf {
    folder().join("templates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_what_deploy_says() {
        for (path, text) in files().unwrap() {
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == text,
                "{} is out of date: run `cargo run -p tubeway-xtask -- chart`",
                path.display()
            );
        }
    }

    #[test]
    fn no_definition_of_a_kind_is_left_over() {
        let wanted = tubeway_api::crds().len();
        let found = fs::read_dir(templates().join("crds")).unwrap().count();
        assert_eq!(found, wanted);
    }

    #[test]
    fn an_edit_that_finds_nothing_is_an_error() {
        assert_eq!(template("a: 1\n", &[("a: 1", "b: 2")]).unwrap(), "b: 2\n");
        for text in [
            "c: 1\n",
            "a: 1\na: 1\n",
            "a: {{ x }}\n",
            "a: 1 tubeway-system",
        ] {
            assert!(template(text, &[("a: 1", "b: 2")]).is_err(), "{text}");
        }
    }
}

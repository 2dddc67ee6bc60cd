//! What an installation consists of. Pure.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tubeway_operator::config::certificate_life;
use tubeway_operator::watched::{self, Watched};
use tubeway_policy::SpiffeId;

use super::istio::Istio;
use super::scope;
use crate::apply;

/// The namespace in the manifests as they are kept.
pub const NAMESPACE: &str = "tubeway-system";
/// The operator's name, in every kind of object of its own.
pub const OPERATOR: &str = "tubeway-operator";

/// How an installation differs from the one in `deploy/`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Choices {
    /// Namespace of the operator.
    #[arg(long, default_value = NAMESPACE, value_parser = namespace)]
    pub namespace: String,
    /// Where the images come from: `<registry>/operator`, `/proxy` and `/kafka`.
    #[arg(long, default_value = "tubeway.dev", value_parser = registry)]
    pub registry: String,
    /// Tag of the operator's and the sidecars' images.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"), value_parser = tag)]
    pub tag: String,
    /// The mesh's trust domain. It cannot be changed while clusters are there.
    #[arg(long, default_value = "cluster.local", value_parser = trust_domain)]
    pub trust_domain: String,
    /// Life of the certificates, from 60s to 24h.
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = life)]
    pub cert_ttl: String,
    /// Namespaces that the operator looks after, with commas between them; all
    /// if it is not given.
    #[arg(
        long,
        value_name = "NAMESPACES",
        default_value_t,
        hide_default_value = true
    )]
    pub watch_namespaces: Watched,
    #[command(flatten)]
    pub istio: Istio,
}

/// What the operator takes, as it was written.
pub fn life(text: &str) -> Result<String, String> {
    certificate_life(text).map(|_| text.to_owned())
}

/// What makes SPIFFE ids.
fn trust_domain(text: &str) -> Result<String, String> {
    let id = SpiffeId::of_service_account(text, NAMESPACE, OPERATOR);
    id.map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

/// A host, with a port or not, and a path or not.
pub fn registry(text: &str) -> Result<String, String> {
    let mut parts = text.split('/');
    let first = parts.next().unwrap_or_default();
    let (host, port) = match first.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (first, None),
    };
    let ends = |part: &str, fits: fn(char) -> bool| part.starts_with(fits) && part.ends_with(fits);
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let host_fits = ends(host, alphanumeric)
        && host
            .chars()
            .all(|c| alphanumeric(c) || matches!(c, '.' | '-'));
    let port_fits = port.is_none_or(|port| {
        (1..=5).contains(&port.len()) && port.chars().all(|c| c.is_ascii_digit())
    });
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let path_fits = parts.all(|part| {
        ends(part, lower)
            && part
                .chars()
                .all(|c| lower(c) || matches!(c, '.' | '_' | '-'))
    });
    if host_fits && port_fits && path_fits {
        return Ok(text.to_owned());
    }
    Err(
        "a host, with a port or not, and a path or not, as in registry.example:5000/tubeway: \
         no scheme, and no / at the end"
            .to_owned(),
    )
}

/// What a registry takes.
pub fn tag(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.len() <= 128
        && text.chars().all(fits)
        && !text.starts_with(['.', '-'])
        && !text.is_empty()
    {
        return Ok(text.to_owned());
    }
    Err("an image's tag takes a-z, A-Z, 0-9, '_', '.' and '-', 128 at most".to_owned())
}

// === impl Choices ===

impl Choices {
    /// Everything, in the order in which it is applied: kinds first.
    pub fn documents(&self) -> Result<Vec<Value>> {
        let mut all = kinds()?;
        for text in [
            include_str!("../../../../deploy/rbac.yaml"),
            include_str!("../../../../deploy/webhook.yaml"),
            include_str!("../../../../deploy/operator.yaml"),
        ] {
            for mut document in apply::documents(text)? {
                self.adapt(&mut document)?;
                all.extend(scope::scoped(document, &self.watch_namespaces));
            }
        }
        Ok(all)
    }

    fn adapt(&self, document: &mut Value) -> Result<()> {
        if document["kind"] == "Namespace" {
            document["metadata"]["name"] = self.namespace.as_str().into();
        }
        if document["metadata"]["namespace"] == NAMESPACE {
            document["metadata"]["namespace"] = self.namespace.as_str().into();
        }
        for subject in list(document, "/subjects") {
            subject["namespace"] = self.namespace.as_str().into();
        }
        for webhook in list(document, "/webhooks") {
            webhook["clientConfig"]["service"]["namespace"] = self.namespace.as_str().into();
        }
        if document["kind"] != "Deployment" {
            return Ok(());
        }
        let container = document
            .pointer_mut("/spec/template/spec/containers/0")
            .context("the operator's Deployment has no container")?;
        container["image"] = self.image("operator").into();
        let args = container["args"]
            .as_array_mut()
            .context("the operator has no arguments")?;
        args.extend(self.arguments());
        Ok(())
    }

    fn arguments(&self) -> impl Iterator<Item = Value> {
        let service = format!("{OPERATOR}.{}.svc", self.namespace);
        let watched = match &self.watch_namespaces {
            Watched::All => None,
            watched @ Watched::These(_) => Some(format!("--watch-namespaces={watched}")),
        };
        let always = [
            format!("--service-name={service}"),
            format!("--advertise={service}:15012"),
            format!("--trust-domain={}", self.trust_domain),
            format!("--cert-ttl={}", self.cert_ttl),
            format!("--proxy-image={}", self.image("proxy")),
            format!("--kafka-image={}/kafka", self.registry),
        ];
        let all = always.into_iter().chain(watched);
        all.chain(self.istio.arguments()).map(Value::from)
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}:{}", self.registry, self.tag)
    }
}

/// The definitions of the kinds.
pub fn kinds() -> Result<Vec<Value>> {
    let definitions = tubeway_api::crds();
    let definitions = definitions.into_iter().map(|crd| {
        let mut value = serde_json::to_value(crd)?;
        if let Some(object) = value.as_object_mut() {
            // It has none yet, and a Kubernetes that reads one refuses null.
            object.remove("status");
        }
        Ok(value)
    });
    definitions.collect()
}

/// The documents as one YAML file.
pub fn yaml(documents: &[Value]) -> Result<String> {
    let mut text = String::new();
    for document in documents {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(document)?);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

/// Wraps the documents in a `List`, as JSON.
pub fn json(documents: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": documents })
}

/// What an array holds that may not be there.
pub(super) fn list<'a>(document: &'a mut Value, at: &str) -> impl Iterator<Item = &'a mut Value> {
    let array = document.pointer_mut(at).and_then(Value::as_array_mut);
    array.into_iter().flatten()
}

/// A namespace's name is a DNS label.
fn namespace(text: &str) -> Result<String, String> {
    if watched::is_name(text) {
        return Ok(text.to_owned());
    }
    Err("up to 63 lower-case letters, digits and -, with - at neither end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(namespace: &str) -> Choices {
        Choices {
            namespace: namespace.to_owned(),
            registry: "registry.example/tubeway".to_owned(),
            tag: "1.2.3".to_owned(),
            trust_domain: "example.org".to_owned(),
            cert_ttl: "1h".to_owned(),
            watch_namespaces: Watched::All,
            istio: Istio::default(),
        }
    }

    #[test]
    fn kinds_come_first_and_the_operator_last() {
        let documents = choices("kafka-mesh").documents().unwrap();
        let kinds: Vec<_> = documents.iter().map(|d| d["kind"].as_str()).collect();
        let definitions = kinds
            .iter()
            .take_while(|kind| **kind == Some("CustomResourceDefinition"))
            .count();
        assert_eq!(definitions, tubeway_api::crds().len());
        assert_eq!(kinds[definitions], Some("Namespace"));
        assert_eq!(kinds.last(), Some(&Some("Deployment")));
    }

    #[test]
    fn another_namespace_is_another_namespace_everywhere() {
        let documents = choices("kafka-mesh").documents().unwrap();
        let text = serde_json::to_string(&documents).unwrap();
        assert!(!text.contains(NAMESPACE), "{text}");
        assert!(text.contains("--advertise=tubeway-operator.kafka-mesh.svc:15012"));
    }

    #[test]
    fn rights_and_webhooks_are_of_the_namespaces_that_are_looked_after() {
        let watched = Choices {
            // One of them has the name that stands in the manifests.
            watch_namespaces: format!("{NAMESPACE},shop").parse().unwrap(),
            ..choices("kafka-mesh")
        };
        let documents = watched.documents().unwrap();
        let of = |kind: &str| -> Vec<&Value> {
            documents.iter().filter(|d| d["kind"] == kind).collect()
        };
        let wide = of("ClusterRoleBinding");
        assert_eq!(wide.len(), 1, "{wide:?}");
        assert_eq!(wide[0]["metadata"]["name"], scope::GLOBAL);
        let bound: Vec<_> = of("RoleBinding")
            .into_iter()
            .filter(|binding| binding["roleRef"]["kind"] == "ClusterRole")
            .map(|binding| {
                assert_eq!(binding["subjects"][0]["namespace"], "kafka-mesh");
                binding["metadata"]["namespace"].as_str().unwrap()
            })
            .collect();
        assert_eq!(bound, ["shop", NAMESPACE]);
        let hooks = [
            of("MutatingWebhookConfiguration"),
            of("ValidatingWebhookConfiguration"),
        ];
        for hook in hooks.into_iter().flatten() {
            let selector = &hook["webhooks"][0]["namespaceSelector"]["matchExpressions"][0];
            assert_eq!(selector["values"], json!(["shop", NAMESPACE]), "{hook}");
        }
    }

    #[test]
    fn the_choices_reach_the_operator() {
        let documents = choices("a").documents().unwrap();
        let container = documents
            .last()
            .unwrap()
            .pointer("/spec/template/spec/containers/0")
            .unwrap();
        assert_eq!(
            container["image"],
            "registry.example/tubeway/operator:1.2.3"
        );
        let args = serde_json::to_string(&container["args"]).unwrap();
        for part in [
            "--trust-domain=example.org",
            "--cert-ttl=1h",
            "--proxy-image=registry.example/tubeway/proxy:1.2.3",
            "--kafka-image=registry.example/tubeway/kafka",
        ] {
            assert!(args.contains(part), "{part} is not in {args}");
        }
    }

    #[test]
    fn what_is_rendered_reads_back_as_what_it_was() {
        let documents = choices("a").documents().unwrap();
        let text = yaml(&documents).unwrap();
        assert_eq!(apply::documents(&text).unwrap(), documents);
    }

    #[test]
    fn a_registry_is_what_images_are_named_by() {
        for good in [
            "a",
            "localhost:5000",
            "r.example/team/tubeway",
            "R1/a_b.c-d",
        ] {
            assert_eq!(registry(good).as_deref(), Ok(good));
        }
        let bad = [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "https://a",
            "a:",
            "a:b",
            "a:123456",
            "a b",
            "-a",
            "a/B",
            "a/_b",
            "a:1:2",
        ];
        for bad in bad {
            assert!(registry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_kubernetes_would_refuse_are_refused() {
        for good in ["a", "tubeway-system", "x1"] {
            assert_eq!(namespace(good).as_deref(), Ok(good));
        }
        for bad in ["", "-a", "a-", "A", "a.b", "ä", &"a".repeat(64)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }
}

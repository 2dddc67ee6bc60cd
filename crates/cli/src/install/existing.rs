//! An installation that is there already.

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _, discovery};

use super::istio::Istio;
use super::manifests::{Choices, OPERATOR};
use super::scope::{self, GLOBAL};
use super::{GROUP, available};

/// Where Helm writes which release an object belongs to.
const RELEASE: &str = "meta.helm.sh/release-name";

/// What is installed.
#[derive(Debug)]
pub struct Existing {
    /// As it was asked for.
    pub choices: Choices,
    /// The Helm release that it belongs to, if it came by Helm.
    pub release: Option<String>,
    /// Whether its operator runs, or why not.
    pub runs: Result<(), String>,
}

// === impl Existing ===

impl Existing {
    /// Finds it by the operator's rights, which are there once in a cluster.
    pub async fn find(client: &Client) -> Result<Option<Self>> {
        let Some(namespace) = namespace(client).await? else {
            return Ok(None);
        };
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
        let deployment = match deployments.get(OPERATOR).await {
            Ok(deployment) => deployment,
            // An API that knows no Deployments says so in words of its own.
            Err(kube::Error::Api(error)) if error.code == 404 => return Ok(None),
            Err(error) => {
                let what = format!("cannot read the operator in namespace {namespace}");
                return Err(anyhow::Error::new(error).context(what));
            }
        };
        let runs = available(&serde_json::to_value(&deployment)?);
        let annotations = deployment.metadata.annotations.as_ref();
        let release = annotations.and_then(|all| all.get(RELEASE)).cloned();
        let choices = choices(namespace, &deployment)?;
        Ok(Some(Self {
            choices,
            release,
            runs,
        }))
    }

    /// Whether the command may change it.
    ///
    /// # Errors
    /// It is a Helm release: Helm would not know of the change, and undo it.
    pub fn is_the_command_s(&self, verb: &str) -> Result<()> {
        let Some(release) = &self.release else {
            return Ok(());
        };
        bail!(
            "the operator in namespace {} belongs to the Helm release {release}: \
             `helm {verb} {release} -n {}` is the way",
            self.choices.namespace,
            self.choices.namespace
        );
    }

    /// Whether these choices can take the place of those it has.
    ///
    /// # Errors
    /// Another namespace would be a second operator. Another trust domain would
    /// make every identity another one, and every rule about them void. Kafka
    /// clusters that the operator looks after are not to be left.
    pub async fn allows(&self, client: &Client, wanted: &Choices) -> Result<()> {
        self.is_the_command_s("upgrade")?;
        let own = &self.choices;
        if own.namespace != wanted.namespace {
            bail!(
                "an operator runs in namespace {} already, and one is enough for a cluster: \
                 give --namespace {}, or `tubeway uninstall` it first",
                own.namespace,
                own.namespace
            );
        }
        if own.trust_domain == wanted.trust_domain
            && own.watch_namespaces == wanted.watch_namespaces
        {
            return Ok(());
        }
        let clusters = clusters(client).await?;
        if own.trust_domain != wanted.trust_domain
            && let Some(first) = clusters.first()
        {
            bail!(
                "the trust domain is {}, and {} Kafka clusters ({first} among them) have \
                 identities and rules in it: it cannot become {} while they are there",
                own.trust_domain,
                clusters.len(),
                wanted.trust_domain
            );
        }
        let (from, to) = (&own.watch_namespaces, &wanted.watch_namespaces);
        scope::leaves_none(&clusters, from, to)
    }
}

/// The operator's namespace, by whom its rights are given to.
async fn namespace(client: &Client) -> Result<Option<String>> {
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    // What was installed before there were two has the latter alone.
    for name in [GLOBAL, OPERATOR] {
        let binding = bindings.get_opt(name).await;
        let binding = binding.context("cannot look for an installation")?;
        let subject = binding.and_then(|b| b.subjects?.into_iter().next());
        if let Some(namespace) = subject.and_then(|s| s.namespace) {
            return Ok(Some(namespace));
        }
    }
    Ok(None)
}

/// `<namespace>/<name>` of every Kafka cluster; none where the kind is unknown.
pub async fn clusters(client: &Client) -> Result<Vec<String>> {
    let gvk = GroupVersionKind::gvk(GROUP, "v1alpha1", "KafkaCluster");
    let Ok((resource, _)) = discovery::pinned_kind(client, &gvk).await else {
        return Ok(Vec::new());
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let list = api
        .list(&ListParams::default())
        .await
        .context("cannot list the Kafka clusters")?;
    let name = |c: DynamicObject| format!("{}/{}", c.namespace().unwrap_or_default(), c.name_any());
    Ok(list.into_iter().map(name).collect())
}

fn choices(namespace: String, deployment: &Deployment) -> Result<Choices> {
    let pod = deployment.spec.template.spec.as_ref();
    let container = pod.and_then(|pod| pod.containers.first());
    let args = container
        .and_then(|c| c.args.as_deref())
        .unwrap_or_default();
    let value = |name: &str| {
        let values = args.iter();
        let values = values.filter_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
        values.map(str::to_owned).next_back()
    };
    let flag = |name: &str, default: &str| value(name).unwrap_or_else(|| default.to_owned());
    let watched = flag("--watch-namespaces", "").parse();
    let image = container
        .and_then(|c| c.image.as_deref())
        .unwrap_or_default();
    let (registry, tag) = split_image(image);
    Ok(Choices {
        namespace,
        registry: registry.to_owned(),
        tag: tag.to_owned(),
        trust_domain: flag("--trust-domain", "cluster.local"),
        cert_ttl: flag("--cert-ttl", "24h"),
        // To take nonsense for all namespaces would give it more rights.
        watch_namespaces: watched.context("the operator's option --watch-namespaces")?,
        istio: Istio::read(value),
    })
}

/// Registry and tag of `<registry>/operator:<tag>`. A colon before the last
/// slash is a port.
fn split_image(image: &str) -> (&str, &str) {
    let (registry, name) = image.rsplit_once('/').unwrap_or(("", image));
    (
        registry,
        name.split_once(':').map_or("latest", |(_, tag)| tag),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_read_back_from_what_runs() {
        let chosen = Choices {
            namespace: "mesh".to_owned(),
            registry: "registry.example:5000/tubeway".to_owned(),
            tag: "1.2.3".to_owned(),
            trust_domain: "example.org".to_owned(),
            cert_ttl: "90m".to_owned(),
            watch_namespaces: "shop,kafka".parse().unwrap(),
            istio: Istio {
                address: "istiod-2.istio:443".to_owned(),
                ..Istio::default()
            },
        };
        let documents = chosen.documents().unwrap();
        let deployment = documents.into_iter().last().unwrap();
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        assert_eq!(choices("mesh".to_owned(), &deployment).unwrap(), chosen);
    }

    #[test]
    fn an_image_has_a_registry_with_a_port_and_a_tag() {
        assert_eq!(split_image("r:5000/a/operator:1"), ("r:5000/a", "1"));
        assert_eq!(
            split_image("tubeway.dev/operator"),
            ("tubeway.dev", "latest")
        );
    }
}

//! What is read from a cluster before anything is said about it.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt, discovery};
use tubeway_operator::watched::Watched;

use crate::install::{Existing, GROUP, OPERATOR, WATCHED};

/// What an installation creates, and so what installing it takes.
pub const RIGHTS: [(&str, &str, &str); 7] = [
    (
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "create",
    ),
    ("rbac.authorization.k8s.io", "clusterroles", "create"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
    ("", "namespaces", "create"),
    ("", "secrets", "create"),
    ("", "services", "create"),
    ("apps", "deployments", "create"),
];
/// The kinds that have conditions to look at.
const KINDS: [&str; 5] = [
    "KafkaCluster",
    "KafkaNodePool",
    "KafkaTopic",
    "KafkaAcl",
    "KafkaQuota",
];
/// The authority's key and certificate.
const AUTHORITY: &str = "tubeway-ca";

/// Something that was looked for: there or not, or why that is not known.
pub type Looked<T> = Result<T, String>;

/// A kind, and the objects of it.
pub type Found = (&'static str, Looked<Vec<DynamicObject>>);

/// What was found.
pub struct Facts {
    /// The server's address.
    pub url: String,
    /// Major and minor version, and as it says it itself.
    pub version: Looked<(u32, u32, String)>,
    /// Which of [`RIGHTS`] the user has.
    pub rights: Vec<Looked<bool>>,
    /// The installation, if there is one.
    pub existing: Looked<Option<Existing>>,
    /// An operator that is a pod by itself, as `tubeway up` runs it.
    pub bare: Option<Pod>,
    /// Definitions of the group's kinds.
    pub definitions: Looked<Vec<CustomResourceDefinition>>,
    /// Whether the authority has its key; none where there is no Secret.
    pub authority: Looked<Option<bool>>,
    /// Namespaces that have the roots to check certificates with.
    pub roots: Looked<Vec<String>>,
    /// Namespaces in which the operator has rights there alone.
    pub bound: Looked<Vec<String>>,
    /// Objects of the project's kinds.
    pub objects: Vec<Found>,
}

// === impl Facts ===

impl Facts {
    /// Looks at everything; before an installation at the cluster alone.
    pub async fn gather(client: &Client, url: String, pre: bool) -> Self {
        let mut facts = Self::new(url, version(client).await);
        if facts.version.is_err() {
            return facts;
        }
        facts.existing = Existing::find(client).await.map_err(said);
        if pre {
            for right in RIGHTS {
                facts.rights.push(may(client, right).await);
            }
            return facts;
        }
        facts.installation(client).await;
        for kind in KINDS {
            facts.objects.push((kind, objects(client, kind).await));
        }
        facts
    }

    /// Of a cluster in which nothing was found yet.
    pub fn new(url: String, version: Looked<(u32, u32, String)>) -> Self {
        Self {
            url,
            version,
            rights: Vec::new(),
            existing: Ok(None),
            bare: None,
            definitions: Ok(Vec::new()),
            authority: Ok(None),
            roots: Ok(Vec::new()),
            bound: Ok(Vec::new()),
            objects: Vec::new(),
        }
    }

    /// The namespaces that the operator looks after, as far as that is known.
    pub fn watched(&self) -> &Watched {
        match &self.existing {
            Ok(Some(existing)) => &existing.choices.watch_namespaces,
            _ => &Watched::All,
        }
    }

    async fn installation(&mut self, client: &Client) {
        let namespace = match &self.existing {
            Ok(Some(existing)) => existing.choices.namespace.clone(),
            _ => "tubeway-system".to_owned(),
        };
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let listed = definitions.list(&ListParams::default()).await;
        self.definitions = listed.map_err(said).map(|all| {
            let ours = all.into_iter().filter(|crd| crd.spec.group == GROUP);
            ours.collect()
        });
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        self.bare = pods.get_opt(OPERATOR).await.ok().flatten();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let secret = secrets.get_opt(AUTHORITY).await.map_err(said);
        self.authority = secret
            .map(|secret| secret.map(|secret| secret.data.is_some_and(|data| !data.is_empty())));
        let maps: Api<ConfigMap> = Api::all(client.clone());
        let named = ListParams::default().fields(&format!(
            "metadata.name={}",
            tubeway_operator::cluster::names::ROOTS_CONFIG_MAP
        ));
        let maps = maps.list(&named).await.map_err(said);
        self.roots = maps.map(|maps| maps.iter().filter_map(ResourceExt::namespace).collect());
        let bindings: Api<RoleBinding> = Api::all(client.clone());
        let named = ListParams::default().fields(&format!("metadata.name={WATCHED}"));
        let bindings = bindings.list(&named).await.map_err(said);
        self.bound = bindings.map(|all| all.iter().filter_map(ResourceExt::namespace).collect());
    }
}

async fn version(client: &Client) -> Looked<(u32, u32, String)> {
    let info = client.apiserver_version().await.map_err(said)?;
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    Ok((number(&info.major), number(&info.minor), info.git_version))
}

async fn may(client: &Client, (group, resource, verb): (&str, &str, &str)) -> Looked<bool> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(said)?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

async fn objects(client: &Client, kind: &str) -> Looked<Vec<DynamicObject>> {
    let gvk = GroupVersionKind::gvk(GROUP, "v1alpha1", kind);
    let (resource, _) = discovery::pinned_kind(client, &gvk).await.map_err(said)?;
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let list = api.list(&ListParams::default()).await.map_err(said)?;
    Ok(list.items)
}

/// An error with all its causes, in one line.
fn said(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

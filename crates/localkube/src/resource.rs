//! What kinds of objects there are: one description a resource, built in or from a CRD.

mod builtin;
mod crd;
mod quantity;
mod types;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::Value;

use crate::pure::schema::Schema;
use crate::store::Store;

pub(crate) use builtin::BUILTIN;
pub(crate) use crd::{Column, CrdParts, Scale, accept as accept_crd};

type Text = Cow<'static, str>;

/// How names of a kind may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// DNS-1123 subdomain.
    Subdomain,
    /// DNS-1123 label.
    Label,
    /// Anything that is one segment of a path.
    Segment,
}

/// One resource in one version.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a table")]
pub(crate) struct Resource {
    /// API group; empty for the core.
    pub(crate) group: Text,
    /// The version served.
    pub(crate) version: Text,
    /// Kind.
    pub(crate) kind: Text,
    /// Plural name, as in paths.
    pub(crate) plural: Text,
    /// Singular name.
    pub(crate) singular: Text,
    /// Short names for people.
    pub(crate) short: Vec<Text>,
    /// Categories, such as `all`.
    pub(crate) categories: Vec<Text>,
    /// Whether objects live in namespaces.
    pub(crate) namespaced: bool,
    /// Whether there is a `status` subresource.
    pub(crate) status: bool,
    /// Whether `metadata.generation` counts the changes of the spec.
    pub(crate) generation: bool,
    /// Whether this is a question (a review), which is answered and never stored.
    pub(crate) review: bool,
    /// Whether a PUT or PATCH of an absent object makes it.
    pub(crate) create_on_update: bool,
    /// How names may look.
    pub(crate) names: Names,
    /// Further subresources with the group, version and kind they speak: `log`, `eviction` …
    pub(crate) subresources: &'static [Subresource],
    /// The resource under which the store keeps the objects.
    pub(crate) storage: Arc<str>,
    /// Checks types and unknown fields of a built-in kind.
    pub(crate) check: Option<types::Check>,
    /// What a CRD says beyond this.
    pub(crate) crd: Option<Arc<CrdParts>>,
    /// Schema for merges and, with a CRD, for validation.
    pub(crate) schema: Arc<Schema>,
}

/// A subresource other than `status`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subresource {
    /// Name.
    pub(crate) name: &'static str,
    /// Group of the kind that it speaks.
    pub(crate) group: &'static str,
    /// Version of that kind.
    pub(crate) version: &'static str,
    /// The kind.
    pub(crate) kind: &'static str,
    /// Verbs.
    pub(crate) verbs: &'static [&'static str],
}

/// All resources of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    /// By group, version and plural.
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
}

/// The current catalog. Follows the CRDs in the store.
pub(crate) struct Registry {
    current: RwLock<Arc<Catalog>>,
    /// Held while the CRDs are read again.
    refreshing: Mutex<()>,
}

/// Verbs of ordinary resources, in the order in which discovery lists them.
pub(crate) const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Verbs of custom resources, in the order in which discovery lists them.
const CUSTOM_VERBS: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

// === impl Resource ===

impl Resource {
    /// `pods`, `kafkatopics.kafka.tubeway.dev`: how messages name it.
    pub(crate) fn qualified(&self) -> String {
        qualified(&self.group, &self.plural)
    }

    /// `v1`, `kafka.tubeway.dev/v1alpha1`.
    pub(crate) fn api_version(&self) -> String {
        match &*self.group {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether this is the built-in core resource `plural`.
    pub(crate) fn is_core(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }

    /// Whether this is `plural` of the built-in `group`.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    /// Verbs that discovery lists.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        match (self.review, &self.crd) {
            (true, _) => &["create"],
            (false, Some(_)) => CUSTOM_VERBS,
            (false, None) => VERBS,
        }
    }
}

/// A resource's name with its group, as messages and storage have it.
pub(crate) fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

// === impl Catalog ===

impl Catalog {
    /// The resource at a path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .cloned()
    }

    /// The resource of a kind, as owner references name it. Any version of the group will do:
    /// an owner does not become absent because its reference names an older version.
    pub(crate) fn by_kind(&self, group: &str, kind: &str) -> Option<Arc<Resource>> {
        self.all()
            .find(|r| r.group == group && r.kind == kind && !r.review)
            .cloned()
    }

    /// All resources, sorted by group, version and plural.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// All resources that have storage of their own, once each.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.all()
            .filter(|r| !r.review && *r.storage == *r.qualified())
    }

    fn insert(&mut self, resource: Resource) {
        let key = (
            resource.group.to_string(),
            resource.version.to_string(),
            resource.plural.to_string(),
        );
        self.resources.insert(key, Arc::new(resource));
    }
}

// === impl Registry ===

impl Registry {
    /// The built-in resources and those of the CRDs in `store`.
    pub(crate) fn new(store: &Store) -> Self {
        let registry = Self {
            current: RwLock::new(Arc::new(Catalog::default())),
            refreshing: Mutex::default(),
        };
        registry.refresh(store);
        registry
    }

    /// The resources as they are now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads the CRDs again.
    pub(crate) fn refresh(&self, store: &Store) {
        // Who has read earlier must not write later: a CRD that is gone would be back.
        let _turn = self.refreshing.lock();
        let mut catalog = Catalog::default();
        for resource in builtin::resources() {
            catalog.insert(resource);
        }
        let (_, crds) = store.list("customresourcedefinitions.apiextensions.k8s.io", None);
        for found in crds {
            if !served(&found.value) {
                continue;
            }
            match crd::resources(&found.value) {
                Ok(resources) => resources
                    .into_iter()
                    .for_each(|resource| catalog.insert(resource)),
                // Accepted CRDs have been compiled once, so this is a file of a newer program.
                Err(error) => tracing::error!(%error, "skipping a custom resource definition"),
            }
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }
}

/// Whether a CRD's names are its own.
fn served(crd: &Value) -> bool {
    let conditions = crd["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter()
            .any(|c| c["type"] == "Established" && c["status"] == "True")
    })
}

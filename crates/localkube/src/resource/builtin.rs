//! The built-in resources: one table.

use std::sync::{Arc, LazyLock};

use super::types::{self, Check};
use super::{Names, Resource, Subresource, qualified};
use crate::pure::schema::Schema;

/// One row of the table.
struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    flags: &'static [Flag],
    names: Names,
    subresources: &'static [Subresource],
    check: Check,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    /// Objects live in namespaces.
    Namespaced,
    /// There is a `status` subresource.
    Status,
    /// `metadata.generation` counts.
    Generation,
    /// A question, never stored.
    Review,
    /// PUT may create.
    CreateOnUpdate,
}

use Flag::{CreateOnUpdate, Generation, Namespaced, Review, Status};

const POD: &[Subresource] = &[
    Subresource {
        name: "binding",
        group: "",
        version: "v1",
        kind: "Binding",
        verbs: &["create"],
    },
    Subresource {
        name: "eviction",
        group: "policy",
        version: "v1",
        kind: "Eviction",
        verbs: &["create"],
    },
    Subresource {
        name: "log",
        group: "",
        version: "v1",
        kind: "Pod",
        verbs: &["get"],
    },
];
const SERVICE_ACCOUNT: &[Subresource] = &[Subresource {
    name: "token",
    group: "authentication.k8s.io",
    version: "v1",
    kind: "TokenRequest",
    verbs: &["create"],
}];
const NAMESPACE: &[Subresource] = &[Subresource {
    name: "finalize",
    group: "",
    version: "v1",
    kind: "Namespace",
    verbs: &["update"],
}];

const AUTHN: &str = "authentication.k8s.io";
const AUTHZ: &str = "authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// A row with what most rows have in common.
const fn row(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    flags: &'static [Flag],
    check: Check,
) -> Row {
    Row {
        group,
        version: "v1",
        kind,
        plural,
        short,
        categories: &[],
        flags,
        names: Names::Subdomain,
        subresources: &[],
        check,
    }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row("", "ConfigMap", "configmaps", &["cm"], &[Namespaced], types::config_map),
    row("", "Endpoints", "endpoints", &["ep"], &[Namespaced, CreateOnUpdate], types::endpoints),
    row("", "Event", "events", &["ev"], &[Namespaced, CreateOnUpdate], types::event),
    Row { subresources: NAMESPACE, names: Names::Label,
        ..row("", "Namespace", "namespaces", &["ns"], &[Status], types::namespace) },
    row("", "Node", "nodes", &["no"], &[Status], types::node),
    row("", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], &[Namespaced, Status], types::claim),
    row("", "PersistentVolume", "persistentvolumes", &["pv"], &[Status], types::volume),
    Row { categories: &["all"], subresources: POD,
        ..row("", "Pod", "pods", &["po"], &[Namespaced, Status, Generation], types::pod) },
    row("", "Secret", "secrets", &[], &[Namespaced], types::secret),
    Row { subresources: SERVICE_ACCOUNT,
        ..row("", "ServiceAccount", "serviceaccounts", &["sa"], &[Namespaced], types::service_account) },
    Row { categories: &["all"], names: Names::Label,
        ..row("", "Service", "services", &["svc"], &[Namespaced, Status], types::service) },
    Row { categories: &["api-extensions"],
        ..row("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"], &[Status, Generation], types::crd) },
    row(AUTHN, "SelfSubjectReview", "selfsubjectreviews", &[], &[Review], types::self_subject_review),
    row(AUTHN, "TokenReview", "tokenreviews", &[], &[Review], types::token_review),
    row(AUTHZ, "LocalSubjectAccessReview", "localsubjectaccessreviews", &[], &[Review, Namespaced], types::local_access_review),
    row(AUTHZ, "SelfSubjectAccessReview", "selfsubjectaccessreviews", &[], &[Review], types::self_access_review),
    row(AUTHZ, "SelfSubjectRulesReview", "selfsubjectrulesreviews", &[], &[Review], types::self_rules_review),
    row(AUTHZ, "SubjectAccessReview", "subjectaccessreviews", &[], &[Review], types::access_review),
    row("coordination.k8s.io", "Lease", "leases", &[], &[Namespaced, CreateOnUpdate], types::lease),
    row("discovery.k8s.io", "EndpointSlice", "endpointslices", &[], &[Namespaced, Generation], types::endpoint_slice),
    row("events.k8s.io", "Event", "events", &["ev"], &[Namespaced, CreateOnUpdate], types::event_v1),
    row("policy", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], &[Namespaced, Status, Generation], types::budget),
    Row { names: Names::Segment, ..row(RBAC, "ClusterRoleBinding", "clusterrolebindings", &[], &[], types::cluster_role_binding) },
    Row { names: Names::Segment, ..row(RBAC, "ClusterRole", "clusterroles", &[], &[], types::cluster_role) },
    Row { names: Names::Segment, ..row(RBAC, "RoleBinding", "rolebindings", &[], &[Namespaced], types::role_binding) },
    Row { names: Names::Segment, ..row(RBAC, "Role", "roles", &[], &[Namespaced], types::role) },
    row("storage.k8s.io", "StorageClass", "storageclasses", &["sc"], &[], types::storage_class),
];

/// The built-in resources, made once.
pub(crate) static BUILTIN: LazyLock<Vec<Resource>> =
    LazyLock::new(|| TABLE.iter().map(Row::describe).collect());

/// The built-in resources.
pub(super) fn resources() -> impl Iterator<Item = Resource> {
    BUILTIN.iter().cloned()
}

// === impl Row ===

impl Row {
    fn describe(&self) -> Resource {
        // Both groups show the same events; the core one is how they are stored.
        let storage = if self.plural == "events" {
            "events".to_owned()
        } else {
            qualified(self.group, self.plural)
        };
        let has = |flag| self.flags.contains(&flag);
        Resource {
            group: self.group.into(),
            version: self.version.into(),
            kind: self.kind.into(),
            plural: self.plural.into(),
            singular: self.kind.to_lowercase().into(),
            short: self.short.iter().map(|&name| name.into()).collect(),
            categories: self.categories.iter().map(|&name| name.into()).collect(),
            namespaced: has(Namespaced),
            status: has(Status),
            generation: has(Generation),
            review: has(Review),
            create_on_update: has(CreateOnUpdate),
            names: self.names,
            subresources: self.subresources,
            storage: storage.into(),
            check: Some(self.check),
            crd: None,
            schema: Arc::new(Schema::for_builtin(self.group, self.kind)),
        }
    }
}

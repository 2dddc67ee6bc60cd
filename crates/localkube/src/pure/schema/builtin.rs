//! How the built-in kinds' lists and structs merge: one table of the exceptions.
//!
//! Without a row a struct merges field by field and a list is replaced whole, which is what the
//! real types do unless marked otherwise. The rows are the fields so marked, with both of their
//! markings: the one for server-side apply and the one for strategic merge patches.

use serde_json::{Value, json};

/// A built-in struct with rows in the table, or one of the generic shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    /// Nothing special: merges field by field, its lists are replaced.
    Any,
    Meta,
    Pod,
    PodSpec,
    PodTemplate,
    PodStatus,
    Affinity,
    NodeAffinity,
    Spread,
    Container,
    EnvVar,
    EnvSource,
    Resources,
    Workload,
    WorkloadSpec,
    CronJob,
    CronJobSpec,
    JobTemplate,
    Service,
    ServiceSpec,
    ServiceAccount,
    Node,
    NodeSpec,
    NodeStatus,
    Status,
    Webhooks,
    Webhook,
    Binding,
    Budget,
    BudgetSpec,
    Event,
}

/// A key of an associative list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListKey {
    /// The field of the item.
    pub(crate) name: &'static str,
    /// Its value where an item does not give it.
    pub(crate) default: Option<&'static str>,
}

/// How server-side apply merges a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A struct merged field by field, or a list replaced whole.
    Plain,
    /// A struct replaced whole.
    AtomicStruct,
    /// A list of structs told apart by keys.
    Map(&'static [ListKey]),
    /// As `Map`, and each item is replaced whole.
    MapOfAtoms(&'static [ListKey]),
    /// A list of distinct scalars.
    Set,
}

/// How a strategic merge patch merges a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Structs merge, lists are replaced.
    Plain,
    /// The value is replaced whole, though it is a struct.
    Replace,
    /// A list of structs merged by this key.
    Merge(&'static str),
    /// A list of scalars merged as a set.
    MergeSet,
}

/// One marked field.
#[derive(Debug)]
pub(crate) struct Row {
    of: Ty,
    field: &'static str,
    /// The marking for server-side apply.
    pub(crate) shape: Shape,
    /// The marking for strategic merge patches.
    pub(crate) strategy: Strategy,
    /// The type of the field, or of the list's items.
    pub(crate) ty: Ty,
}

const fn key(name: &'static str) -> ListKey {
    ListKey {
        name,
        default: None,
    }
}

const PROTOCOL: ListKey = ListKey {
    name: "protocol",
    default: Some("TCP"),
};

const NAME: &[ListKey] = &[key("name")];
const TYPE: &[ListKey] = &[key("type")];
const IP: &[ListKey] = &[key("ip")];
const UID: &[ListKey] = &[key("uid")];

const fn row(of: Ty, field: &'static str, shape: Shape, strategy: Strategy, ty: Ty) -> Row {
    Row {
        of,
        field,
        shape,
        strategy,
        ty,
    }
}

/// A struct without markings whose own fields have some.
const fn nest(of: Ty, field: &'static str, ty: Ty) -> Row {
    row(of, field, Shape::Plain, Strategy::Plain, ty)
}

/// A list keyed by `name` under both markings.
const fn named(of: Ty, field: &'static str, ty: Ty) -> Row {
    row(of, field, Shape::Map(NAME), Strategy::Merge("name"), ty)
}

/// A struct that apply replaces whole; strategic merge patches still merge it.
const fn atomic_struct(of: Ty, field: &'static str) -> Row {
    row(of, field, Shape::AtomicStruct, Strategy::Plain, Ty::Any)
}

#[rustfmt::skip]
static ROWS: &[Row] = &[
    row(Ty::Meta, "ownerReferences", Shape::MapOfAtoms(UID), Strategy::Merge("uid"), Ty::Any),
    row(Ty::Meta, "finalizers", Shape::Set, Strategy::MergeSet, Ty::Any),

    nest(Ty::Pod, "spec", Ty::PodSpec),
    nest(Ty::Pod, "status", Ty::PodStatus),
    nest(Ty::PodTemplate, "metadata", Ty::Meta),
    nest(Ty::PodTemplate, "spec", Ty::PodSpec),
    named(Ty::PodSpec, "containers", Ty::Container),
    named(Ty::PodSpec, "initContainers", Ty::Container),
    named(Ty::PodSpec, "ephemeralContainers", Ty::Container),
    named(Ty::PodSpec, "volumes", Ty::Any),
    named(Ty::PodSpec, "resourceClaims", Ty::Any),
    named(Ty::PodSpec, "schedulingGates", Ty::Any),
    row(Ty::PodSpec, "imagePullSecrets", Shape::MapOfAtoms(NAME), Strategy::Merge("name"), Ty::Any),
    row(Ty::PodSpec, "hostAliases", Shape::Map(IP), Strategy::Merge("ip"), Ty::Any),
    row(Ty::PodSpec, "topologySpreadConstraints", Shape::Map(&[key("topologyKey"), key("whenUnsatisfiable")]), Strategy::Merge("topologyKey"), Ty::Spread),
    atomic_struct(Ty::PodSpec, "nodeSelector"),
    nest(Ty::PodSpec, "affinity", Ty::Affinity),
    nest(Ty::Affinity, "nodeAffinity", Ty::NodeAffinity),
    atomic_struct(Ty::NodeAffinity, "requiredDuringSchedulingIgnoredDuringExecution"),
    atomic_struct(Ty::Spread, "labelSelector"),
    row(Ty::PodStatus, "conditions", Shape::Map(TYPE), Strategy::Merge("type"), Ty::Any),
    row(Ty::PodStatus, "podIPs", Shape::Map(IP), Strategy::Merge("ip"), Ty::Any),
    row(Ty::PodStatus, "hostIPs", Shape::Plain, Strategy::Merge("ip"), Ty::Any),

    row(Ty::Container, "ports", Shape::Map(&[key("containerPort"), PROTOCOL]), Strategy::Merge("containerPort"), Ty::Any),
    row(Ty::Container, "volumeMounts", Shape::Map(&[key("mountPath")]), Strategy::Merge("mountPath"), Ty::Any),
    row(Ty::Container, "volumeDevices", Shape::Map(&[key("devicePath")]), Strategy::Merge("devicePath"), Ty::Any),
    named(Ty::Container, "env", Ty::EnvVar),
    nest(Ty::Container, "resources", Ty::Resources),
    row(Ty::Resources, "claims", Shape::Map(NAME), Strategy::Plain, Ty::Any),
    nest(Ty::EnvVar, "valueFrom", Ty::EnvSource),
    atomic_struct(Ty::EnvSource, "fieldRef"),
    atomic_struct(Ty::EnvSource, "fileKeyRef"),
    atomic_struct(Ty::EnvSource, "resourceFieldRef"),
    atomic_struct(Ty::EnvSource, "configMapKeyRef"),
    atomic_struct(Ty::EnvSource, "secretKeyRef"),

    nest(Ty::Workload, "spec", Ty::WorkloadSpec),
    nest(Ty::Workload, "status", Ty::Status),
    atomic_struct(Ty::WorkloadSpec, "selector"),
    nest(Ty::WorkloadSpec, "template", Ty::PodTemplate),
    nest(Ty::CronJob, "spec", Ty::CronJobSpec),
    nest(Ty::CronJobSpec, "jobTemplate", Ty::JobTemplate),
    nest(Ty::JobTemplate, "metadata", Ty::Meta),
    nest(Ty::JobTemplate, "spec", Ty::WorkloadSpec),

    nest(Ty::Service, "spec", Ty::ServiceSpec),
    nest(Ty::Service, "status", Ty::Status),
    row(Ty::ServiceSpec, "ports", Shape::Map(&[key("port"), PROTOCOL]), Strategy::Merge("port"), Ty::Any),
    atomic_struct(Ty::ServiceSpec, "selector"),
    row(Ty::ServiceAccount, "secrets", Shape::MapOfAtoms(NAME), Strategy::Merge("name"), Ty::Any),

    nest(Ty::Node, "spec", Ty::NodeSpec),
    nest(Ty::Node, "status", Ty::NodeStatus),
    row(Ty::NodeSpec, "podCIDRs", Shape::Set, Strategy::MergeSet, Ty::Any),
    row(Ty::NodeSpec, "taints", Shape::Plain, Strategy::Merge("key"), Ty::Any),
    row(Ty::NodeStatus, "addresses", Shape::Map(TYPE), Strategy::Merge("type"), Ty::Any),
    row(Ty::NodeStatus, "conditions", Shape::Map(TYPE), Strategy::Merge("type"), Ty::Any),

    row(Ty::Status, "conditions", Shape::Map(TYPE), Strategy::Merge("type"), Ty::Any),
    named(Ty::Webhooks, "webhooks", Ty::Webhook),
    named(Ty::Webhook, "matchConditions", Ty::Any),
    atomic_struct(Ty::Binding, "roleRef"),
    nest(Ty::Budget, "spec", Ty::BudgetSpec),
    row(Ty::BudgetSpec, "selector", Shape::AtomicStruct, Strategy::Replace, Ty::Any),
    atomic_struct(Ty::Event, "involvedObject"),
    atomic_struct(Ty::Event, "related"),
    atomic_struct(Ty::Event, "regarding"),
];

/// Label selectors are replaced whole wherever they stand.
const SELECTORS: &[&str] = &[
    "labelSelector",
    "namespaceSelector",
    "objectSelector",
    "podSelector",
    "selector",
];

static SELECTOR: Row = atomic_struct(Ty::Any, "selector");

// === impl Ty ===

impl Ty {
    /// The type of an object of a built-in kind.
    pub(crate) fn of_kind(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Pod") => Self::Pod,
            ("batch", "CronJob") => Self::CronJob,
            ("apps", _) | ("batch", "Job") | ("", "ReplicationController") => Self::Workload,
            ("policy", "PodDisruptionBudget") => Self::Budget,
            ("", "Service") => Self::Service,
            ("", "ServiceAccount") => Self::ServiceAccount,
            ("", "Node") => Self::Node,
            ("" | "events.k8s.io", "Event") => Self::Event,
            (
                "admissionregistration.k8s.io",
                "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
            ) => Self::Webhooks,
            ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => Self::Binding,
            _ => Self::Any,
        }
    }

    /// The marking of `field`, if it has one.
    pub(crate) fn row(self, field: &str) -> Option<&'static Row> {
        ROWS.iter()
            .find(|row| row.of == self && row.field == field)
            .or_else(|| SELECTORS.contains(&field).then_some(&SELECTOR))
    }
}

/// What an object of the kind looks like before any field is set.
///
/// The real server's types always write some of their structs, even empty ones; a create is
/// compared with this, so that those structs are nobody's.
pub(crate) fn skeleton(ty: Ty) -> Value {
    let pods = json!({"metadata": {}, "spec": {"containers": null}});
    match ty {
        Ty::Pod => json!({"spec": {"containers": null}, "status": {}}),
        Ty::Workload => {
            json!({"spec": {"strategy": {}, "updateStrategy": {}, "template": pods}, "status": {}})
        }
        Ty::CronJob => json!({
            "spec": {"jobTemplate": {"metadata": {}, "spec": {"template": pods}}},
            "status": {},
        }),
        _ => json!({"spec": {}, "status": {}}),
    }
}

//! From Kubernetes' objects to what the policy decides by.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt;
use tubeway_api::{KafkaCluster, KafkaTopic, NamespacesFrom};
use tubeway_config::ClusterRef;
use tubeway_policy::rbac::{self, AllowedNamespaces, ObjectRef, Requirement, Selector};

/// The KafkaCluster of this name.
pub fn object(cluster: &ClusterRef) -> ObjectRef {
    ObjectRef::new(&cluster.namespace, &cluster.name)
}

/// Namespace and name of a namespaced object.
pub fn key<K: ResourceExt>(object: &K) -> ObjectRef {
    ObjectRef::new(object.namespace().unwrap_or_default(), object.name_any())
}

pub(super) fn role(role: &Role) -> rbac::Role {
    rbac::Role {
        object: key(role),
        rules: rules(role.rules.as_deref()),
    }
}

pub(super) fn cluster_role(role: &ClusterRole) -> rbac::ClusterRole {
    let aggregation = role.aggregation_rule.as_ref();
    let selectors = aggregation.and_then(|rule| rule.cluster_role_selectors.as_ref());
    rbac::ClusterRole {
        name: role.name_any(),
        labels: role.labels().clone(),
        rules: rules(role.rules.as_deref()),
        aggregates: selectors
            .into_iter()
            .flatten()
            .filter_map(selector)
            .collect(),
    }
}

pub(super) fn role_binding(binding: &RoleBinding) -> Option<rbac::Binding> {
    Some(rbac::Binding {
        namespace: Some(binding.namespace().unwrap_or_default()),
        name: binding.name_any(),
        role: role_ref(&binding.role_ref)?,
        subjects: subjects(binding.subjects.as_deref()),
    })
}

pub(super) fn cluster_role_binding(binding: &ClusterRoleBinding) -> Option<rbac::Binding> {
    Some(rbac::Binding {
        namespace: None,
        name: binding.name_any(),
        role: role_ref(&binding.role_ref)?,
        subjects: subjects(binding.subjects.as_deref()),
    })
}

pub(crate) fn rbac_topic(topic: &KafkaTopic) -> rbac::Topic {
    let (namespace, name) = topic.cluster_key();
    let created = topic.creation_timestamp();
    rbac::Topic {
        object: key(topic),
        cluster: ObjectRef::new(namespace, name),
        topic: topic.topic_name(),
        created: created.map_or(i64::MAX, |time| time.0.as_second()),
    }
}

/// `namespaces` are all there are: a selector means those that it selects.
pub(super) fn rbac_cluster<'a>(
    cluster: &KafkaCluster,
    namespaces: impl IntoIterator<Item = &'a Namespace>,
) -> rbac::Cluster {
    let allowed = &cluster.spec.allowed_namespaces;
    let allowed = match (allowed.from, &allowed.selector) {
        (NamespacesFrom::All, _) => AllowedNamespaces::All,
        (NamespacesFrom::Selector, Some(labels)) => {
            let selector = selector(labels);
            let selected = namespaces
                .into_iter()
                .filter(|ns| selector.as_ref().is_some_and(|s| s.matches(ns.labels())))
                .map(ResourceExt::name_any);
            AllowedNamespaces::Only(selected.collect())
        }
        // `Selector` without one cannot be written, and admits nobody.
        (NamespacesFrom::Same | NamespacesFrom::Selector, _) => {
            AllowedNamespaces::Only(BTreeSet::new())
        }
    };
    rbac::Cluster {
        object: key(cluster),
        allowed,
    }
}

fn rules(rules: Option<&[PolicyRule]>) -> Vec<rbac::Rule> {
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let rule = |rule: &PolicyRule| rbac::Rule {
        api_groups: list(&rule.api_groups),
        resources: list(&rule.resources),
        resource_names: list(&rule.resource_names),
        verbs: rule.verbs.clone(),
    };
    rules.unwrap_or_default().iter().map(rule).collect()
}

/// A reference of a kind that Kubernetes itself would not follow is none.
fn role_ref(role: &RoleRef) -> Option<rbac::RoleRef> {
    match role.kind.as_str() {
        "Role" => Some(rbac::RoleRef::Role(role.name.clone())),
        "ClusterRole" => Some(rbac::RoleRef::ClusterRole(role.name.clone())),
        _ => None,
    }
}

fn subjects(subjects: Option<&[Subject]>) -> Vec<rbac::Subject> {
    let subject = |subject: &Subject| {
        let name = subject.name.clone();
        match subject.kind.as_str() {
            "ServiceAccount" => Some(rbac::Subject::ServiceAccount {
                namespace: subject.namespace.clone(),
                name,
            }),
            "User" => Some(rbac::Subject::User(name)),
            "Group" => Some(rbac::Subject::Group(name)),
            _ => None,
        }
    };
    subjects
        .unwrap_or_default()
        .iter()
        .filter_map(subject)
        .collect()
}

/// None for a selector with an operator that Kubernetes does not have.
fn selector(labels: &LabelSelector) -> Option<Selector> {
    let equal = labels
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| Some(Requirement::In(key.clone(), [value.clone()].into())));
    let expressions = labels.match_expressions.iter().flatten().map(requirement);
    equal
        .chain(expressions)
        .collect::<Option<_>>()
        .map(Selector)
}

fn requirement(expression: &LabelSelectorRequirement) -> Option<Requirement> {
    let key = expression.key.clone();
    let values = || expression.values.iter().flatten().cloned().collect();
    match expression.operator.as_str() {
        "In" => Some(Requirement::In(key, values())),
        "NotIn" => Some(Requirement::NotIn(key, values())),
        "Exists" => Some(Requirement::Exists(key)),
        "DoesNotExist" => Some(Requirement::DoesNotExist(key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use tubeway_policy::acl::{AclBinding, Operation, ResourceType};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn namespaces() -> Vec<Namespace> {
        let namespace = |name: &str, team: &str| {
            read(json!({"metadata": {"name": name, "labels": {"team": team}}}))
        };
        vec![namespace("shop", "a"), namespace("ops", "b")]
    }

    fn cluster(allowed: &serde_json::Value) -> rbac::Cluster {
        let cluster: KafkaCluster = read(json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"namespace": "kafka", "name": "main"},
            "spec": {"version": "4.3.1", "allowedNamespaces": allowed},
        }));
        rbac_cluster(&cluster, &namespaces())
    }

    #[test]
    fn a_cluster_admits_what_it_says() {
        let expression = |operator: &str| {
            json!({"from": "Selector", "selector": {"matchExpressions": [
                {"key": "team", "operator": operator, "values": ["a"]},
            ]}})
        };
        let label = json!({"from": "Selector", "selector": {"matchLabels": {"team": "b"}}});
        for (allowed, shop, ops) in [
            (json!({}), false, false),
            (json!({"from": "All"}), true, true),
            (label, false, true),
            (expression("In"), true, false),
            (expression("NotIn"), false, true),
            (expression("Near"), false, false),
            (json!({"from": "Selector"}), false, false),
            (json!({"from": "Selector", "selector": {}}), true, true),
        ] {
            let cluster = cluster(&allowed);
            assert_eq!(cluster.admits("shop"), shop, "{allowed}");
            assert_eq!(cluster.admits("ops"), ops, "{allowed}");
            assert!(cluster.admits("kafka"), "{allowed}");
        }
    }

    #[test]
    fn objects_as_people_write_them_become_an_acl() {
        let topic: KafkaTopic = read(json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"namespace": "shop", "name": "orders",
                         "creationTimestamp": "2026-11-23T00:00:00Z"},
            "spec": {"cluster": {"name": "main", "namespace": "kafka"}, "topicName": "shop.orders"},
        }));
        let role_object: Role = read(json!({
            "metadata": {"namespace": "shop", "name": "writers"},
            "rules": [{"apiGroups": ["kafka.tubeway.dev"], "resources": ["kafkatopics"],
                       "resourceNames": ["orders"], "verbs": ["produce"]}],
        }));
        let binding: RoleBinding = read(json!({
            "metadata": {"namespace": "shop", "name": "writers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writers"},
            "subjects": [{"kind": "ServiceAccount", "name": "checkout"}],
        }));
        let inputs = rbac::Inputs {
            trust_domain: "td".to_owned(),
            roles: vec![role(&role_object)],
            bindings: vec![role_binding(&binding).unwrap()],
            topics: vec![rbac_topic(&topic)],
            clusters: vec![cluster(&json!({"from": "All"}))],
            ..rbac::Inputs::default()
        };
        let compiled = rbac::compile(&inputs);
        let rules = &compiled.clusters[&ObjectRef::new("kafka", "main")];
        let expected = AclBinding::allow(
            "User:spiffe://td/ns/shop/sa/checkout",
            Operation::Write,
            ResourceType::Topic,
            "shop.orders",
        );
        assert_eq!(rules.acls().collect::<Vec<_>>(), [&expected]);
    }

    #[test]
    fn an_aggregation_keeps_the_roles_own_labels_apart() {
        let role: ClusterRole = read(json!({
            "metadata": {"name": "all", "labels": {"x": "y"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]},
        }));
        let role = cluster_role(&role);
        let to = BTreeMap::from([("to".to_owned(), "all".to_owned())]);
        assert_eq!(role.aggregates.len(), 1);
        assert!(role.aggregates[0].matches(&to) && !role.aggregates[0].matches(&role.labels));
    }
}

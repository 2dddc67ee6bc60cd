//! What fields become that their schemas alone do not tell, and what shows
//! that a field counts where nothing stays behind that does.

use serde_json::{Value, json};

use crate::fields::Field;
use crate::sim::{Step, pool};

/// What is tried with one field.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// Values that it becomes, each from what it is in the base.
    pub(crate) values: Vec<Value>,
    /// What else has to change with it, by pointer.
    pub(crate) with: Vec<(&'static str, Value)>,
    /// What the API says when it is to become anything else: it cannot.
    pub(crate) fixed: Option<&'static str>,
    /// What is done after the change, so that the field counts.
    pub(crate) probe: Vec<Step>,
    /// Whether what was before shows in the end: where replicas are, claims that
    /// are kept.
    pub(crate) leaves_traces: bool,
}

// === impl Entry ===

impl Entry {
    /// What the field becomes, from what it is in this object.
    pub(crate) fn becomes(&self, field: &Field, object: &Value) -> Vec<Value> {
        if !self.values.is_empty() {
            return self.values.clone();
        }
        let now = object.pointer(&field.pointer()).cloned();
        field.others(&now.unwrap_or_default())
    }
}

fn to(values: impl IntoIterator<Item = Value>) -> Entry {
    Entry {
        values: values.into_iter().collect(),
        ..Entry::default()
    }
}

fn fixed(words: &'static str) -> Entry {
    Entry {
        values: vec![json!("other")],
        fixed: Some(words),
        ..Entry::default()
    }
}

fn probed(probe: Vec<Step>) -> Entry {
    Entry {
        probe,
        ..Entry::default()
    }
}

/// Two brokers come, which share partitions with nobody, and get their share.
fn brokers_come() -> Vec<Step> {
    vec![pool("more", 2, &["broker"], &json!({})), Step::Settle]
}

/// Brokers that share no partition, because they have none, are all to be replaced.
fn brokers_roll() -> Vec<Step> {
    let empty = json!({ "spec": { "reassignment": { "fillNewBrokers": false } } });
    let restart = json!({ "spec": { "jvm": { "heap": "300m" } } });
    vec![
        Step::Edit("kafkaclusters/demo", empty),
        pool("more", 3, &["broker"], &json!({})),
        Step::Settle,
        Step::Edit("kafkanodepools/more", restart),
        Step::Settle,
    ]
}

/// What is known of a field about pods. Operators of expressions and tolerations go
/// with certain values only.
fn pod_entry(field: &str) -> Entry {
    let required = "/spec/pod/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                    /nodeSelectorTerms/0/matchExpressions/0/values";
    let preferred = "/spec/pod/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution\
                     /0/preference/matchExpressions/0/values";
    let (path, last) = field.rsplit_once('.').unwrap_or_default();
    match (path.contains("nodeAffinity"), last) {
        (true, "operator") => Entry {
            values: vec![json!("Exists")],
            with: vec![if path.contains("required") {
                (required, Value::Null)
            } else {
                (preferred, Value::Null)
            }],
            ..Entry::default()
        },
        (true, "key") => to([json!("other")]),
        (true, "values") => to([json!(["x", "y"])]),
        (false, "operator") => Entry {
            values: vec![json!("Exists")],
            with: vec![("/spec/pod/tolerations/0/value", Value::Null)],
            ..Entry::default()
        },
        (false, "key" | "value") => to([json!("other")]),
        (false, "effect") => Entry {
            values: vec![json!("NoSchedule")],
            with: vec![("/spec/pod/tolerations/0/tolerationSeconds", Value::Null)],
            ..Entry::default()
        },
        (false, "labels" | "nodeSelector") => to([json!({ "a": "b" }), json!({})]),
        (false, "annotations") => to([json!({ "example.com/a": "c" }), json!({})]),
        (false, "priorityClassName") => to([json!("low"), Value::Null]),
        _ => Entry::default(),
    }
}

/// What is known of a field; nothing where its schema tells enough.
pub(crate) fn entry(field: &str) -> Entry {
    match field {
        "KafkaCluster spec.version" => to([json!("4.3.2")]),
        "KafkaCluster spec.metadataVersion" => to([json!("4.1"), Value::Null]),
        "KafkaNodePool spec.config" => to([json!({ "num.io.threads": 10 }), json!({})]),
        "KafkaNodePool spec.nodes[].config" => to([json!({ "num.network.threads": 8 })]),
        "KafkaNodePool spec.nodes[].id" => to([json!(2)]),
        "KafkaCluster spec.config" => to([
            json!({ "log.roll.hours": 4 }),
            json!({ "log.roll.hours": 3, "num.partitions": 9 }),
            json!({}),
        ]),
        "KafkaCluster spec.allowedNamespaces.from" => Entry {
            // The base lets the neighbour in, as `All` would.
            values: vec![json!("Same")],
            with: vec![("/spec/allowedNamespaces/selector", Value::Null)],
            probe: vec![],
            ..Entry::default()
        },
        "KafkaCluster spec.allowedNamespaces.selector.matchLabels" => to([json!({ "team": "b" })]),
        "KafkaCluster spec.allowedNamespaces.selector.matchExpressions[].key" => to([json!("x")]),
        "KafkaCluster spec.allowedNamespaces.selector.matchExpressions[].operator" => {
            to([json!("NotIn")])
        }
        "KafkaCluster spec.allowedNamespaces.selector.matchExpressions[].values" => {
            to([json!(["live"])])
        }
        "KafkaCluster spec.mesh.provider" => Entry {
            values: vec![json!("istio")],
            ..fixed("mesh.provider cannot be changed")
        },
        // What a cluster is that is paused from the start is nothing.
        "KafkaCluster spec.pause" => Entry {
            values: vec![json!(true)],
            leaves_traces: true,
            ..Entry::default()
        },
        // Nodes go on with the bootstrap servers that they were made with.
        "KafkaNodePool spec.replicas" => Entry {
            values: vec![json!(4)],
            leaves_traces: true,
            ..Entry::default()
        },
        "KafkaCluster spec.maxUnavailable" => probed(brokers_roll()),
        "KafkaCluster spec.reassignment.bytesPerSecond" => Entry {
            values: vec![json!("2Mi"), Value::Null],
            probe: brokers_come(),
            ..Entry::default()
        },
        "KafkaCluster spec.reassignment.fillNewBrokers" => probed(brokers_come()),
        "KafkaCluster spec.reassignment.partitionsAtOnce" => Entry {
            values: vec![json!(1)],
            probe: brokers_come(),
            ..Entry::default()
        },
        "KafkaNodePool spec.cluster" => fixed("a pool's cluster cannot be changed"),
        "KafkaNodePool spec.roles" => Entry {
            values: vec![json!(["broker"])],
            ..fixed("a pool's roles cannot be changed")
        },
        "KafkaNodePool spec.storage.class" => fixed("storage.class cannot be changed"),
        "KafkaNodePool spec.storage.volumes[].class" => fixed("a volume's class cannot be changed"),
        "KafkaNodePool spec.storage.volumes[].size" => to([json!("3Gi")]),
        // The claims of disk 1 stay in the one case and were never in the other,
        // and only with cordons do they go.
        "KafkaNodePool spec.storage.volumes[].id" => Entry {
            values: vec![json!(2)],
            leaves_traces: true,
            ..Entry::default()
        },
        "KafkaNodePool spec.storage.size" => to([json!("2Gi")]),
        name if name.starts_with("KafkaNodePool spec.pod.") => pod_entry(name),
        "KafkaNodePool spec.jvm.heap" => to([json!("300m")]),
        "KafkaNodePool spec.jvm.options" => to([json!(["-Da=c"]), json!([])]),
        "KafkaNodePool spec.resources.requests" => to([json!({ "cpu": "500m" }), json!({})]),
        "KafkaNodePool spec.resources.limits" => to([json!({ "memory": "2Gi" }), json!({})]),
        "KafkaNodePool spec.loggers" => to([json!({ "kafka.log": "DEBUG" }), json!({})]),
        "KafkaTopic spec.topicName" => fixed("topicName cannot be changed"),
        "KafkaTopic spec.config" => to([json!({ "retention.ms": 2000 }), json!({})]),
        "KafkaTopic spec.cluster.name" | "KafkaTopic spec.cluster.namespace" => {
            fixed("a topic's cluster cannot be changed")
        }
        "KafkaTopic spec.replicas" => Entry {
            values: vec![json!(2)],
            leaves_traces: true,
            ..Entry::default()
        },
        "KafkaAcl spec.cluster.name" | "KafkaAcl spec.cluster.namespace" => {
            fixed("a KafkaAcl's cluster cannot be changed")
        }
        "KafkaAcl spec.rules[].hosts" => to([json!(["10.1.0.0/16"]), json!([])]),
        "KafkaAcl spec.rules[].operations" => to([json!(["Read", "Write"])]),
        "KafkaAcl spec.rules[].principals[].any" => Entry {
            values: vec![Value::Null],
            with: vec![("/spec/rules/0/principals/0/user", json!("User:CN=me"))],
            ..Entry::default()
        },
        "KafkaAcl spec.rules[].principals[].serviceAccount.name" => to([json!("till")]),
        "KafkaAcl spec.rules[].principals[].serviceAccount.namespace" => {
            to([json!("market"), Value::Null])
        }
        "KafkaAcl spec.rules[].principals[].spiffeId" => to([json!("spiffe://other/ns/a/sa/c")]),
        "KafkaAcl spec.rules[].principals[].user" => to([json!("User:CN=inside")]),
        "KafkaAcl spec.rules[].resource.name" => to([json!("payments.v1")]),
        "KafkaAcl spec.rules[].resource.partitions" => to([json!("7"), Value::Null]),
        "KafkaAcl spec.rules[].resource.pattern" => to([json!("Prefixed")]),
        "KafkaAcl spec.rules[].resource.type" => Entry {
            values: vec![json!("Group"), json!("TransactionalId")],
            with: vec![("/spec/rules/0/resource/partitions", Value::Null)],
            ..Entry::default()
        },
        "KafkaAcl spec.rules[].zones" => to([json!(["b"]), json!([])]),
        "KafkaQuota spec.cluster.name" | "KafkaQuota spec.cluster.namespace" => {
            fixed("a quota's cluster cannot be changed")
        }
        "KafkaQuota spec.subjects.serviceAccounts[].name" => to([json!("till")]),
        "KafkaQuota spec.subjects.serviceAccounts[].namespace" => {
            to([json!("market"), Value::Null])
        }
        "KafkaQuota spec.subjects.spiffeIds" => {
            to([json!(["spiffe://other/ns/a/sa/c"]), json!([])])
        }
        "KafkaQuota spec.subjects.users" => to([json!(["CN=inside"]), json!([])]),
        "KafkaQuota spec.clientIds.names" => to([json!(["a"]), json!(["a", "b", "c"])]),
        "KafkaQuota spec.apis.names" => to([json!(["Fetch"])]),
        "KafkaQuota spec.topics.names" => to([json!(["orders"])]),
        name if name.starts_with("KafkaQuota spec.limits.") && name.ends_with("PerSecond") => {
            to([json!(50), json!("2k"), Value::Null])
        }
        _ => Entry::default(),
    }
}

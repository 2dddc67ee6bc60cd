//! A world in which every field is set and counts.

use serde_json::{Value, json};

use crate::sim::{Host, Step, Still, World};

/// An object of the world, where it is.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) plural: &'static str,
    pub(crate) object: Value,
}

fn base(plural: &'static str, kind: &str, name: &str, spec: Value) -> Base {
    let object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": kind,
        "metadata": { "name": name }, "spec": spec,
    });
    Base { plural, object }
}

/// Everything that users have written.
pub(crate) fn objects() -> Vec<Base> {
    vec![
        base(
            "kafkaclusters",
            "KafkaCluster",
            "demo",
            json!({
                "version": "4.3.1",
                "metadataVersion": "4.2",
                "mesh": { "provider": "builtin" },
                "config": { "log.roll.hours": 3 },
                "allowedNamespaces": { "from": "Selector", "selector": {
                    "matchLabels": { "team": "a" },
                    "matchExpressions": [
                        { "key": "stage", "operator": "In", "values": ["test"] },
                    ],
                } },
                "maxUnavailable": 1,
                "reassignment": {
                    "fillNewBrokers": true, "bytesPerSecond": "1Mi", "partitionsAtOnce": 5,
                },
            }),
        ),
        base(
            "kafkanodepools",
            "KafkaNodePool",
            "all",
            json!({
                "cluster": "demo", "replicas": 3, "roles": ["broker", "controller"],
                "storage": {
                    "size": "1Gi", "class": "standard",
                    "volumes": [{ "id": 1, "size": "2Gi", "class": "slow" }],
                },
                "jvm": { "heap": "256m", "options": ["-Da=b"] },
                "resources": { "requests": { "cpu": "1" }, "limits": { "memory": "1Gi" } },
                "loggers": { "kafka.log": "INFO" },
                "pod": {
                    "labels": { "team": "a" }, "annotations": { "example.com/a": "b" },
                    "nodeSelector": { "disk": "fast" }, "priorityClassName": "high",
                    "tolerations": [{
                        "key": "kafka", "operator": "Equal", "value": "yes",
                        "effect": "NoExecute", "tolerationSeconds": 60,
                    }],
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [one_of("arch", "a")],
                        },
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            { "weight": 7, "preference": one_of("rack", "r") },
                        ],
                    },
                },
                "config": { "num.io.threads": 9 },
                "nodes": [{ "id": 1, "config": { "num.network.threads": 7 } }],
            }),
        ),
        base(
            "kafkatopics",
            "KafkaTopic",
            "payments",
            json!({
                "cluster": { "name": "demo" }, "topicName": "payments.v1",
                "partitions": 2, "replicas": 3, "config": { "retention.ms": 1000 },
                "deletionPolicy": "Retain",
            }),
        ),
        base(
            "kafkaacls",
            "KafkaAcl",
            "accounts",
            acl(json!({
                "serviceAccount": { "name": "shop", "namespace": "mall" },
            })),
        ),
        base(
            "kafkaacls",
            "KafkaAcl",
            "ids",
            acl(json!({ "spiffeId": "spiffe://other/ns/a/sa/b" })),
        ),
        base(
            "kafkaacls",
            "KafkaAcl",
            "users",
            acl(json!({ "user": "User:CN=outside" })),
        ),
        base(
            "kafkaacls",
            "KafkaAcl",
            "anybody",
            acl(json!({ "any": true })),
        ),
        base(
            "kafkaquotas",
            "KafkaQuota",
            "connections",
            json!({
                "cluster": { "name": "demo" },
                "subjects": {
                    "serviceAccounts": [{ "name": "shop", "namespace": "mall" }],
                    "spiffeIds": ["spiffe://other/ns/a/sa/b"], "users": ["CN=outside"],
                    "count": "Each",
                },
                "limits": {
                    "producedBytesPerSecond": "1Mi", "consumedBytesPerSecond": "1Mi",
                    "producedRecordsPerSecond": 100, "consumedRecordsPerSecond": 100,
                    "requestsPerSecond": 100, "connectionAttemptsPerSecond": 100,
                    "groupJoinsPerSecond": 100, "offsetCommitsPerSecond": 100,
                    "metadataRequestsPerSecond": 100, "connections": 100, "requestsInFlight": 100,
                },
                "burstSeconds": 5, "excessConnectionAttempts": "Delay", "scope": "PerBroker",
            }),
        ),
        base(
            "kafkaquotas",
            "KafkaQuota",
            "clients",
            json!({
                "cluster": { "name": "demo" },
                "clientIds": { "names": ["a", "b"], "count": "Each" },
                "apis": { "names": ["Fetch", "Produce"], "count": "Each" },
                "limits": { "requestsPerSecond": 10 },
            }),
        ),
        base(
            "kafkaquotas",
            "KafkaQuota",
            "topics",
            json!({
                "cluster": { "name": "demo" },
                "topics": { "names": ["payments.v1", "orders"], "count": "Each" },
                "limits": { "producedBytesPerSecond": 10 },
            }),
        ),
    ]
}

fn one_of(label: &str, value: &str) -> Value {
    json!({ "matchExpressions": [{ "key": label, "operator": "In", "values": [value] }] })
}

fn acl(principal: Value) -> Value {
    json!({ "cluster": { "name": "demo" }, "rules": [{
        "effect": "Allow", "principals": [principal],
        "resource": {
            "type": "Topic", "name": "orders", "pattern": "Literal", "partitions": "0-3",
        },
        "operations": ["Read"], "hosts": ["10.0.0.0/8"], "zones": ["a"],
    }] })
}

/// A world with these objects that anything can be done to, again and again.
pub(crate) async fn still(objects: &[Base]) -> Still {
    let host = Host::start().await;
    let halted = world(&host, objects).await.halt();
    Still::new(host, halted).await
}

/// A world with these objects, and a neighbour that some of them are about.
pub(crate) async fn world<'a>(host: &'a Host, objects: &[Base]) -> World<'a> {
    let mut world = World::with_access(host).await;
    let labels = json!({ "metadata": { "labels": { "team": "a", "stage": "test" } } });
    let neighbour = world.neighbour(&labels).await;
    let theirs = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": { "name": "theirs" },
        "spec": { "cluster": { "name": "demo", "namespace": world.api.name } },
    });
    neighbour.create("kafkatopics", &theirs).await.unwrap();
    let (shared, others): (Vec<_>, Vec<_>) = objects
        .iter()
        .partition(|base| matches!(base.plural, "kafkaclusters" | "kafkanodepools"));
    for base in shared {
        world
            .take(&Step::Put(base.plural, base.object.clone()))
            .await;
    }
    world.settle().await;
    world.take(&Step::Topic("orders", 4, 3)).await;
    for base in others {
        world
            .take(&Step::Put(base.plural, base.object.clone()))
            .await;
    }
    world.settle().await;
    world
}

/// What can be seen of a world, as text by name: objects but their own specs,
/// Kafka, and what the sidecars are sent.
pub(crate) async fn seen(world: &World<'_>) -> std::collections::BTreeMap<String, Value> {
    let mut seen = crate::sim::canonical::everything(&world.api).await;
    for (name, object) in &mut seen {
        // The wish is not the effect.
        if name.starts_with("kafka") {
            object.as_object_mut().map(|fields| fields.remove("spec"));
        }
        // Which topic came first is chance.
        if object["status"]["topicId"].is_string() {
            object["status"]["topicId"] = json!("ID");
        }
    }
    let neighbour = world.neighbours_topic("theirs").await;
    seen.insert(
        "neighbour".to_owned(),
        neighbour["status"]["conditions"][0]["reason"].clone(),
    );
    let ctx = &world.life.ctx;
    let key = format!("{}/demo", world.api.name).parse().unwrap();
    let hide = |text: String| {
        let text = text.replace(&world.api.name, "NAMESPACE");
        json!(text.lines().collect::<Vec<_>>())
    };
    let access = ctx
        .access
        .current(&key)
        .map(|d| format!("{:#?}", d.document));
    seen.insert(
        "sidecars/access".to_owned(),
        hide(access.unwrap_or_default()),
    );
    let quotas = ctx
        .quotas
        .current(&key)
        .map(|d| format!("{:#?}", d.document));
    seen.insert(
        "sidecars/quotas".to_owned(),
        hide(quotas.unwrap_or_default()),
    );
    world.kafka.kafka(|kafka| {
        // The neighbour's stays when its object may have it no more.
        let own = kafka.topics.iter().filter(|(name, _)| *name != "theirs");
        let topics = own.map(|(name, topic)| {
            let partitions: Vec<_> = topic.partitions.iter().map(|p| &p.replicas).collect();
            (
                name.clone(),
                json!({ "partitions": partitions, "config": topic.config }),
            )
        });
        seen.insert(
            "kafka/topics".to_owned(),
            topics.collect::<serde_json::Map<_, _>>().into(),
        );
        let acls: Vec<_> = kafka.acls.iter().map(|acl| format!("{acl:?}")).collect();
        seen.insert("kafka/acls".to_owned(), hide(acls.join("\n")));
        seen.insert(
            "kafka/brokers".to_owned(),
            json!(format!("{:?}", kafka.options)),
        );
    });
    seen
}

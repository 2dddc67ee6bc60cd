//! What operators are asked to do, one thing at a time.

use serde_json::{Value, json};

use crate::sim::{Step, cluster, pool};

/// One thing that is asked of the operator.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What is there before; nothing goes wrong until then.
    pub(crate) before: Vec<Step>,
    /// What is asked.
    pub(crate) after: Vec<Step>,
    /// Whether the controllers of topics, access and quotas have a part in it.
    pub(crate) access: bool,
}

const BOTH: [&str; 2] = ["broker", "controller"];

/// A cluster of three nodes with a topic on each of them.
pub(crate) fn three() -> Vec<Step> {
    vec![
        cluster(&json!({ "version": "4.3.1" })),
        pool("all", 3, &BOTH, &json!({})),
        Step::Settle,
        Step::Topic("orders", 3, 3),
        Step::Topic("lone", 2, 1),
        Step::Settle,
    ]
}

/// All scenarios in which the cluster controller does the work.
pub(crate) fn of_clusters() -> Vec<Scenario> {
    let scenario = |name, before, after| Scenario {
        name,
        before,
        after,
        access: false,
    };
    vec![
        scenario(
            "a cluster is created",
            vec![],
            vec![
                cluster(&json!({ "version": "4.3.1" })),
                pool("all", 3, &BOTH, &json!({})),
            ],
        ),
        scenario(
            "a change that rolls",
            three(),
            vec![Step::Edit(
                "kafkaclusters/demo",
                json!({ "spec": { "config": { "num.partitions": 9 } } }),
            )],
        ),
        scenario(
            "an option that needs no restart",
            three(),
            vec![Step::Edit(
                "kafkaclusters/demo",
                json!({ "spec": { "config": { "log.retention.ms": 9 } } }),
            )],
        ),
        scenario(
            "metadata of an older release, and its Kafka",
            [
                three(),
                vec![
                    Step::Edit(
                        "kafkaclusters/demo",
                        json!({ "spec": { "metadataVersion": "4.2" } }),
                    ),
                    Step::Settle,
                ],
            ]
            .concat(),
            vec![Step::Edit(
                "kafkaclusters/demo",
                json!({ "spec": { "version": "4.2.0" } }),
            )],
        ),
        scenario(
            "a pool is added",
            three(),
            vec![pool("more", 2, &["broker"], &json!({}))],
        ),
        scenario(
            "a disk comes",
            three(),
            vec![Step::Edit(
                "kafkanodepools/all",
                json!({ "spec": { "storage": { "volumes": [{ "id": 1, "size": "1Gi" }] } } }),
            )],
        ),
        scenario(
            "a disk with replicas goes with its claims",
            vec![
                cluster(&json!({ "version": "4.3.1" })),
                pool(
                    "all",
                    3,
                    &BOTH,
                    &json!({ "storage": {
                        "deleteClaim": true, "volumes": [{ "id": 1, "size": "1Gi" }],
                    } }),
                ),
                Step::Settle,
                Step::Topic("orders", 3, 3),
                Step::Settle,
            ],
            vec![Step::Edit(
                "kafkanodepools/all",
                json!({ "spec": { "storage": { "volumes": [] } } }),
            )],
        ),
        scenario(
            "brokers leave and take their claims along",
            [
                three(),
                vec![
                    pool(
                        "more",
                        2,
                        &["broker"],
                        &json!({ "storage": { "deleteClaim": true } }),
                    ),
                    Step::Settle,
                    Step::Topic("wide", 5, 3),
                    Step::Settle,
                ],
            ]
            .concat(),
            vec![Step::Edit(
                "kafkanodepools/more",
                json!({ "spec": { "replicas": 0 } }),
            )],
        ),
        scenario(
            "controllers come",
            three(),
            vec![pool("votes", 2, &["controller"], &json!({}))],
        ),
        scenario(
            "a pool shrinks by a voter that has replicas",
            vec![
                cluster(&json!({ "version": "4.3.1" })),
                pool("all", 4, &BOTH, &json!({})),
                Step::Settle,
                Step::Topic("orders", 4, 3),
                Step::Settle,
            ],
            vec![Step::Edit(
                "kafkanodepools/all",
                json!({ "spec": { "replicas": 3 } }),
            )],
        ),
        scenario(
            "a node's pod is lost",
            three(),
            vec![Step::Lose("pods/demo-all-1")],
        ),
        scenario(
            "a node's pod is evicted",
            three(),
            vec![Step::Evict("pods/demo-all-2")],
        ),
        scenario(
            "claims grow",
            three(),
            vec![Step::Edit(
                "kafkanodepools/all",
                json!({ "spec": { "storage": { "size": "2Gi" } } }),
            )],
        ),
        scenario(
            "a cluster is deleted and its claims stay",
            three(),
            vec![Step::Delete("kafkaclusters/demo")],
        ),
        scenario(
            "a cluster is deleted with its claims",
            vec![
                cluster(&json!({ "version": "4.3.1" })),
                pool(
                    "all",
                    3,
                    &BOTH,
                    &json!({ "storage": { "deleteClaim": true } }),
                ),
                Step::Settle,
            ],
            vec![Step::Delete("kafkaclusters/demo")],
        ),
        scenario(
            "a cluster is made again over its claims",
            [
                three(),
                vec![Step::Delete("kafkaclusters/demo"), Step::Settle],
            ]
            .concat(),
            vec![cluster(&json!({ "version": "4.3.1" }))],
        ),
    ]
}

/// A topic of the cluster.
fn topic(spec: &Value) -> Step {
    let object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": { "name": "payments" }, "spec": spec,
    });
    Step::Put("kafkatopics", object)
}

/// A KafkaAcl with two rules, one of them about somebody outside of the mesh.
fn acl() -> Step {
    let object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaAcl",
        "metadata": { "name": "readers" },
        "spec": { "cluster": { "name": "demo" }, "rules": [
            {
                "principals": [{ "serviceAccount": { "name": "shop" } }],
                "resource": { "type": "Topic", "name": "orders" }, "operations": ["Read"],
            },
            {
                "principals": [{ "user": "User:CN=outside" }],
                "resource": { "type": "Topic", "name": "orders" }, "operations": ["Read"],
            },
        ]},
    });
    Step::Put("kafkaacls", object)
}

fn quota() -> Step {
    let object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaQuota",
        "metadata": { "name": "shop" },
        "spec": {
            "cluster": { "name": "demo" },
            "subjects": { "serviceAccounts": [{ "name": "shop" }] },
            "limits": { "requestsPerSecond": 500 },
        },
    });
    Step::Put("kafkaquotas", object)
}

/// All scenarios in which topics, access and quotas are looked after.
pub(crate) fn of_access() -> Vec<Scenario> {
    let scenario = |name, more: Vec<Step>, after| Scenario {
        name,
        before: [three(), more, vec![Step::Settle]].concat(),
        after,
        access: true,
    };
    let payments = || {
        topic(&json!({
            "cluster": { "name": "demo" }, "partitions": 2, "replicas": 3,
            "config": { "retention.ms": 1000 }, "deletionPolicy": "Delete",
        }))
    };
    vec![
        scenario("a topic is created", vec![], vec![payments()]),
        scenario(
            "a topic is changed",
            vec![payments()],
            vec![Step::Edit(
                "kafkatopics/payments",
                json!({ "spec": { "partitions": 4, "config": { "retention.ms": 2000, "max.message.bytes": 9000 } } }),
            )],
        ),
        scenario(
            "a topic is deleted",
            vec![payments()],
            vec![Step::Delete("kafkatopics/payments")],
        ),
        scenario("access is given", vec![], vec![acl()]),
        scenario(
            "access is taken away",
            vec![acl()],
            vec![Step::Delete("kafkaacls/readers")],
        ),
        scenario("a quota comes", vec![], vec![quota()]),
    ]
}

/// All scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = of_clusters();
    all.extend(of_access());
    all
}

/// A cluster is deleted with its claims, and another of its name is made while
/// what it left is still going.
pub(crate) fn remade() -> Scenario {
    let three = |more: &Value| {
        vec![
            cluster(&json!({ "version": "4.3.1" })),
            pool("all", 3, &BOTH, more),
        ]
    };
    let with_claims = json!({ "storage": { "deleteClaim": true } });
    Scenario {
        name: "a cluster of the same name",
        before: [three(&with_claims), vec![Step::Settle]].concat(),
        after: vec![
            Step::Delete("kafkaclusters/demo"),
            cluster(&json!({ "version": "4.3.1" })),
        ],
        access: false,
    }
}

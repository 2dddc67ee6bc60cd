//! What operators are asked to do, one thing at a time.

use serde_json::json;

use crate::sim::{Step, cluster, pool};

/// One thing that is asked of the operator.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What is there before; nothing goes wrong until then.
    pub(crate) before: Vec<Step>,
    /// What is asked.
    pub(crate) after: Vec<Step>,
}

const BOTH: [&str; 2] = ["broker", "controller"];

/// A cluster of three nodes with a topic on each of them.
fn three() -> Vec<Step> {
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
            "a pool is added",
            three(),
            vec![pool("more", 2, &["broker"], &json!({}))],
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
                pool("all", 3, &BOTH, &json!({ "storage": { "deleteClaim": true } })),
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

//! What the operator does on our API server it does on a real one: every scenario of
//! the fault campaign in which the cluster controller does the work runs on both,
//! undisturbed, and ends in the same objects, the same Kafka, and as many objects made
//! and deleted.
//!
//! The pods run nowhere, as in the campaign: what is compared is the API, its
//! admission and its controllers. `crates/testing/tests/conformance` compares the two
//! servers request by request, and `make e2e` runs real pods.

#![allow(
    clippy::too_many_lines,
    clippy::large_futures,
    dead_code,
    reason = "tables, worlds that are run whole, and scenarios that others use"
)]

#[path = "../support/scenarios.rs"]
mod scenarios;
#[path = "../support/sim/mod.rs"]
mod sim;

use std::collections::BTreeMap;

use scenarios::{Scenario, of_clusters, remade};
use serde_json::Value;
use sim::{Host, Outcome, World, difference};

/// Kinds whose status is the operator's own.
const OURS: [&str; 2] = ["kafkaclusters/", "kafkanodepools/"];

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_ends_alike_on_ours_and_on_a_real_api_server() {
    let (real, ours) = (Host::real().await, Host::start().await.in_real_time());
    let mut wrong = Vec::new();
    let scenarios: Vec<_> = of_clusters().into_iter().chain([remade()]).collect();
    let count = scenarios.len();
    for scenario in &scenarios {
        let (expected, found) = tokio::join!(end_of(&real, scenario), end_of(&ours, scenario));
        let differs = compare(&expected, &found);
        wrong.extend(
            differs
                .iter()
                .map(|what| format!("{}: {what}", scenario.name)),
        );
    }
    println!("{count} scenarios on both API servers");
    assert!(
        wrong.is_empty(),
        "on ours, beside a real one:\n{}",
        wrong.join("\n")
    );
}

/// A scenario from its beginning to its end, in a namespace of its own.
async fn end_of(host: &Host, scenario: &Scenario) -> Outcome {
    let mut world = World::new(host).await;
    for step in scenario.before.iter().chain(&scenario.after) {
        world.take(step).await;
    }
    world.settle().await;
    let (outcome, problems) = world.outcome().await;
    assert_eq!(problems, [""; 0], "{}", scenario.name);
    outcome
}

fn compare(real: &Outcome, ours: &Outcome) -> Vec<String> {
    let mut wrong = difference(
        &without_others(&real.objects),
        &without_others(&ours.objects),
    );
    let rest = |of: &Outcome| {
        let kafka = format!(
            "{:?} {:?} {:?} {}",
            of.topics, of.acls, of.voters, of.brokers
        );
        [
            ("Kafka", kafka),
            ("made and deleted", format!("{:?}", of.counts)),
        ]
    };
    for ((what, real), (_, ours)) in rest(real).into_iter().zip(rest(ours)) {
        if real != ours {
            wrong.push(format!("{what}: {ours} and not {real}"));
        }
    }
    wrong
}

/// Objects without what neither the operator nor a user says: what others keep in
/// the status, and what claims get from the controller of volumes.
fn without_others(objects: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let objects = objects.iter().map(|(key, object)| {
        let mut object = object.clone();
        if !OURS.iter().any(|ours| key.starts_with(ours)) {
            object.as_object_mut().map(|object| object.remove("status"));
        }
        if key.starts_with("persistentvolumeclaims/") {
            let spec = object["spec"].as_object_mut();
            spec.map(|spec| spec.remove("storageClassName"));
            let annotations = object["metadata"]["annotations"].as_object_mut();
            annotations.map(|all| all.remove("pv.kubernetes.io/bound-by-controller"));
        }
        // The real one does not tell an empty text from none.
        without_empty_texts(&mut object);
        (key.clone(), object)
    });
    objects.collect()
}

fn without_empty_texts(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| value.as_str() != Some(""));
            fields.values_mut().for_each(without_empty_texts);
        }
        Value::Array(items) => items.iter_mut().for_each(without_empty_texts),
        _ => {}
    }
}

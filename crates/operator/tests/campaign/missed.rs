//! Events that nobody saw: two things happen, and the operator looks only after
//! both of them.

use serde_json::{Value, json};

use crate::run::{Compare, Hosts, Report, Run, Share, wrong};
use crate::scenarios::three;
use crate::sim::{Host, Step, World, pool};

/// Something that happens.
type Event = (&'static str, Vec<Step>);

/// Pairs whose end is another if the first was not seen: ids are given in the
/// order in which nodes are asked for, and a claim that was made stays.
const ORDER_COUNTS: [[&str; 2]; 2] = [["a pool", "up"], ["up", "up and down"]];

fn events() -> Vec<Event> {
    let cluster = |spec: Value| Step::Edit("kafkaclusters/demo", json!({ "spec": spec }));
    let pool_of = |spec: Value| Step::Edit("kafkanodepools/all", json!({ "spec": spec }));
    let config = |value: Value| cluster(json!({ "config": { "num.partitions": value } }));
    let more = || pool("more", 2, &["broker"], &json!({}));
    vec![
        ("options", vec![config(json!(9))]),
        (
            "options and back",
            vec![config(json!(9)), config(json!(null))],
        ),
        (
            "other options",
            vec![cluster(json!({ "config": { "log.retention.hours": 5 } }))],
        ),
        (
            "a larger heap",
            vec![pool_of(json!({ "jvm": { "heap": "512m" } }))],
        ),
        (
            "larger claims",
            vec![pool_of(json!({ "storage": { "size": "2Gi" } }))],
        ),
        (
            "pause and go on",
            vec![
                cluster(json!({ "pause": true })),
                cluster(json!({ "pause": false })),
            ],
        ),
        ("a pool", vec![more()]),
        ("up", vec![pool_of(json!({ "replicas": 4 }))]),
        (
            "up and down",
            vec![
                pool_of(json!({ "replicas": 5 })),
                pool_of(json!({ "replicas": 3 })),
            ],
        ),
        ("pod 0 lost", vec![Step::Lose("pods/demo-all-0")]),
        ("pod 1 lost", vec![Step::Lose("pods/demo-all-1")]),
        ("pod 2 evicted", vec![Step::Evict("pods/demo-all-2")]),
        ("pod 0 deleted", vec![Step::Delete("pods/demo-all-0")]),
        (
            "no bootstrap",
            vec![Step::Delete("services/demo-bootstrap")],
        ),
        (
            "no nodes service",
            vec![Step::Delete("services/demo-nodes")],
        ),
        (
            "no account",
            vec![Step::Delete("serviceaccounts/demo-node")],
        ),
        (
            "no options",
            vec![Step::Delete("configmaps/demo-all-1-config")],
        ),
        ("no roots", vec![Step::Delete("configmaps/tubeway-ca-root")]),
    ]
}

/// `three`, then these, each seen or not.
async fn run(host: &Host, events: &[&Event], seen: bool) -> Run {
    let mut world = World::new(host).await;
    for step in three() {
        world.take(&step).await;
    }
    for (number, (_, steps)) in events.iter().enumerate() {
        for step in steps {
            let problems = world.problems.len();
            world.take(step).await;
            if number > 0 {
                // The first may have taken away what the second is about.
                world.problems.truncate(problems);
            }
        }
        if seen {
            world.settle().await;
        } else {
            world.turn().await;
        }
    }
    world.settle().await;
    Run::end(world).await
}

async fn part(share: Share) {
    let mut hosts = Hosts::new().await;
    let mut report = Report::new("missed events");
    let events = events();
    let pairs = events
        .iter()
        .flat_map(|a| events.iter().map(move |b| [a, b]));
    for pair in share.of_all(pairs) {
        let calm = run(hosts.next().await, &pair, true).await;
        let blind = run(hosts.next().await, &pair, false).await;
        let compare = if ORDER_COUNTS.contains(&[pair[0].0, pair[1].0]) {
            Compare::Problems
        } else {
            Compare::Shape
        };
        let mut wrong = wrong(&calm.outcome, &blind, compare);
        wrong.extend(calm.problems.iter().map(|p| format!("seen: {p}")));
        let what = format!("{}, then {}", pair[0].0, pair[1].0);
        report.add("pairs", &what, &wrong);
    }
    report.end();
}

#[tokio::test(start_paused = true)]
async fn two_things_happen_before_a_look_first_half() {
    part(Share { number: 0, of: 2 }).await;
}

#[tokio::test(start_paused = true)]
async fn two_things_happen_before_a_look_second_half() {
    part(Share { number: 1, of: 2 }).await;
}

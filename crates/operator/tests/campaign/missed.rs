//! Events that nobody saw: two things happen, and the operator looks only after
//! both of them.

use serde_json::{Value, json};

use crate::run::{Compare, Report, Run, Share, wrong};
use crate::scenarios::three;
use crate::sim::{Step, Still, World, pool};

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

/// The first has been seen; then the second happens.
async fn seen(first: &Still, second: &Event) -> Run {
    let host = first.host().await;
    let mut world = first.go_on(&host).await;
    happen(&mut world, &second.1).await;
    world.settle().await;
    let run = Run::end(world).await;
    host.end().await;
    run
}

/// Both happen, and only then does the operator look.
async fn blind(before: &Still, pair: [&Event; 2]) -> Run {
    let host = before.host().await;
    let mut world = before.go_on(&host).await;
    for step in &pair[0].1 {
        world.take(step).await;
    }
    world.turn().await;
    happen(&mut world, &pair[1].1).await;
    world.turn().await;
    world.settle().await;
    let run = Run::end(world).await;
    host.end().await;
    run
}

/// The second of two; the first may have taken away what it is about.
async fn happen(world: &mut World<'_>, steps: &[Step]) {
    for step in steps {
        let problems = world.problems.len();
        world.take(step).await;
        world.problems.truncate(problems);
    }
}

async fn part(share: Share) {
    let mut report = Report::new("missed events");
    let events = events();
    let before = Still::after(&three(), false).await;
    for a in share.of_all(&events) {
        let settled = [three(), a.1.clone(), vec![Step::Settle]].concat();
        let first = Still::after(&settled, false).await;
        for b in &events {
            let compare = if ORDER_COUNTS.contains(&[a.0, b.0]) {
                Compare::Problems
            } else {
                Compare::Shape
            };
            let calm = seen(&first, b).await;
            let run = blind(&before, [a, b]).await;
            let mut wrong = wrong(&calm.outcome, &run, compare);
            wrong.extend(calm.problems.iter().map(|p| format!("seen: {p}")));
            report.add("pairs", &format!("{}, then {}", a.0, b.0), &wrong);
        }
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

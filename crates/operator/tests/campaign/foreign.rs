//! Others write, too: at every write of the operator's somebody changes or
//! deletes something of it, or the user changes their mind.

use serde_json::json;
use tubeway_localkube::fault::{Fault, Plan, Rule, What};

use crate::run::{Compare, Report, Run, Share, ask, prepared, undisturbed, wrong};
use crate::scenarios::{Scenario, of_clusters};
use crate::sim::{Step, World};

/// What somebody does in between, and how it is taken back if it is not the
/// operator's to do so.
fn meddlers() -> Vec<(&'static str, Step, Option<Step>)> {
    let config = |value| {
        let change = json!({ "spec": { "config": { "log.retention.hours": value } } });
        Step::Edit("kafkaclusters/demo", change)
    };
    let label = |value| {
        let change = json!({ "metadata": { "labels": { "somebody": value } } });
        Step::Edit("services/demo-nodes", change)
    };
    vec![
        (
            "a service is deleted",
            Step::Delete("services/demo-bootstrap"),
            None,
        ),
        (
            "a node's options are deleted",
            Step::Delete("configmaps/demo-all-1-config"),
            None,
        ),
        (
            "the account is deleted",
            Step::Delete("serviceaccounts/demo-node"),
            None,
        ),
        (
            "a port is changed",
            Step::Edit(
                "services/demo-bootstrap",
                json!({ "spec": { "ports": [{ "name": "tcp-clients", "port": 1 }] } }),
            ),
            None,
        ),
        (
            "options are changed",
            Step::Edit(
                "configmaps/demo-all-0-config",
                json!({ "data": { "server.properties": "nothing" } }),
            ),
            None,
        ),
        (
            "a label is added",
            label(json!("here")),
            Some(label(json!(null))),
        ),
        (
            "the user changes their mind",
            config(json!(7)),
            Some(config(json!(null))),
        ),
    ]
}

async fn meddle(world: &mut World<'_>, step: &Step) {
    let problems = world.problems.len();
    world.take(step).await;
    // What is not there cannot be meddled with.
    world.problems.truncate(problems);
}

async fn every(scenario: &Scenario, share: Share, report: &mut Report) {
    let before = prepared(scenario).await;
    let calm = undisturbed(&before, scenario).await;
    let writes = 0..calm.writes();
    let all = writes.flat_map(|n| meddlers().into_iter().map(move |m| (n, m)));
    for (write, (kind, step, back)) in share.of(all) {
        let host = before.host().await;
        let mut world = before.go_on(&host).await;
        let rule = Rule::nth(What::Write, write as u64, Fault::Hold);
        world.plan(Plan::new([rule]), None);
        ask(&mut world, scenario).await;
        let agent = world.agent.clone();
        let faults = host.server().faults();
        // Looks go on until the write comes, and wait there for what is done.
        for _ in 0..60 {
            let held = tokio::select! {
                biased;
                () = faults.held(&agent) => true,
                _ = world.look() => false,
            };
            if held {
                meddle(&mut world, &step).await;
                faults.release(&agent);
                break;
            }
            world.turn().await;
        }
        world.look().await;
        if let Some(back) = &back {
            world.settle().await;
            meddle(&mut world, back).await;
        }
        world.settle().await;
        let run = Run::end(world).await;
        host.end().await;
        let mut wrong = wrong(&calm.outcome, &run, Compare::Shape);
        // A broker that cannot be asked just then whether its volume is empty keeps it.
        wrong.retain(|line| {
            let kept = line.ends_with("should not be there") || line.ends_with("was not deleted");
            let unknown = line.ends_with("standing: \"left-empty\" became \"left\"");
            !(unknown || kept && line.contains("persistentvolumeclaims/data-demo-more-"))
        });
        let what = format!("{}, {kind} at write {write}", scenario.name);
        report.add(kind, &what, &wrong);
    }
}

async fn part(share: Share) {
    let mut report = Report::new("foreign writers");
    for scenario in of_clusters().iter().filter(|s| !s.name.contains("deleted")) {
        every(scenario, share, &mut report).await;
    }
    report.end();
}

#[tokio::test(start_paused = true)]
async fn others_meddle_first_half() {
    part(Share { number: 0, of: 2 }).await;
}

#[tokio::test(start_paused = true)]
async fn others_meddle_second_half() {
    part(Share { number: 1, of: 2 }).await;
}

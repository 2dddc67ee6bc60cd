//! Two operators at once: one was paused in the middle of a look, and goes on
//! after the other has done everything.

use tubeway_localkube::fault::{Fault, Plan, Rule, What};

use crate::run::{Compare, Report, Run, Share, ask, prepared, undisturbed, wrong};
use crate::scenarios::{Scenario, of_clusters};
use crate::sim::life::Life;

/// Requests of the first look at which the other operator is paused.
const REQUESTS: u64 = 32;

async fn every(scenario: &Scenario, share: Share, report: &mut Report) {
    let before = prepared(scenario).await;
    let calm = undisturbed(&before, scenario).await;
    for at in share.of(0..REQUESTS) {
        let host = before.host().await;
        let mut world = before.go_on(&host).await;
        let other = format!("other-{}", world.agent);
        let faults = host.server().faults();
        faults.set(&other, Plan::new([Rule::nth(What::Any, at, Fault::Hold)]));
        let key = format!("{}/demo", world.api.name).parse().unwrap();
        let paused = Life::start(&host, &other, key, &world.kafka, false).await;
        world.plan(Plan::default(), None);
        ask(&mut world, scenario).await;
        let mut look = Box::pin(paused.look());
        let held = tokio::select! {
            () = faults.held(&other) => true,
            _ = &mut look => false,
        };
        world.settle().await;
        if held {
            faults.release(&other);
            // Whatever comes of it.
            let _ = look.as_mut().await;
        }
        world.turn().await;
        world.settle().await;
        faults.clear(&other);
        let run = Run::end(world).await;
        drop(look);
        host.end().await;
        let wrong = wrong(&calm.outcome, &run, Compare::End);
        let what = format!("{}, paused at request {at}", scenario.name);
        report.add(if held { "paused" } else { "not paused" }, &what, &wrong);
    }
}

async fn part(share: Share) {
    let mut report = Report::new("two leaders");
    for scenario in of_clusters() {
        every(&scenario, share, &mut report).await;
    }
    report.end();
}

#[tokio::test(start_paused = true)]
async fn two_operators_at_once_first_half() {
    part(Share { number: 0, of: 2 }).await;
}

#[tokio::test(start_paused = true)]
async fn two_operators_at_once_second_half() {
    part(Share { number: 1, of: 2 }).await;
}

//! Two operators at once: one was paused in the middle of a look, and goes on
//! after the other has done everything.

use tubeway_localkube::fault::{Fault, Plan, Rule, What};

use crate::run::{Compare, Hosts, Report, Run, Share, ask, prepared, undisturbed, wrong};
use crate::scenarios::{Scenario, of_clusters};
use crate::sim::life::Life;

/// Requests of the first look at which the other operator is paused.
const REQUESTS: u64 = 32;

async fn every(scenario: &Scenario, share: Share, hosts: &mut Hosts, report: &mut Report) {
    let calm = undisturbed(hosts.next().await, scenario).await;
    for at in share.of(0..REQUESTS) {
        let host = hosts.next().await;
        let mut world = prepared(host, scenario).await;
        let other = format!("other-{}", world.agent);
        let faults = host.server.faults();
        faults.set(&other, Plan::new([Rule::nth(What::Any, at, Fault::Hold)]));
        let key = format!("{}/demo", world.api.name).parse().unwrap();
        let paused = Life::start(&host.server, &other, key, &world.kafka, false).await;
        world.plan(Plan::default(), None);
        ask(&mut world, scenario).await;
        let look = paused.look();
        tokio::pin!(look);
        let held = tokio::select! {
            () = faults.held(&other) => true,
            _ = &mut look => false,
        };
        world.settle().await;
        if held {
            faults.release(&other);
            // Whatever comes of it.
            let _ = look.await;
        }
        world.turn().await;
        world.settle().await;
        faults.clear(&other);
        let run = Run::end(world).await;
        let wrong = wrong(&calm.outcome, &run, Compare::End);
        let what = format!("{}, paused at request {at}", scenario.name);
        report.add(if held { "paused" } else { "not paused" }, &what, &wrong);
    }
}

async fn part(share: Share) {
    let mut hosts = Hosts::new().await;
    let mut report = Report::new("two leaders");
    for scenario in of_clusters() {
        every(&scenario, share, &mut hosts, &mut report).await;
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

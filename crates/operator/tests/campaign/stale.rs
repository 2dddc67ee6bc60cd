//! The operator starts again and sees the world as it was some time ago.

use tubeway_localkube::fault::{Fault, Plan, Rule, Seen, What};

use crate::run::{Compare, Hosts, Report, Run, Share, ask, prepared, undisturbed, wrong};
use crate::scenarios::{Scenario, of_clusters, remade};

/// Reads that are answered as of long ago: those of about one look.
const READS: u64 = 10;
/// How many versions of the world back.
const BACK: [usize; 5] = [1, 2, 5, 12, usize::MAX];

/// Reads of a while are as of the version that was `back` versions ago.
fn stale(seen: &[Seen], back: usize) -> Plan {
    let mut versions: Vec<u64> = seen.iter().map(|seen| seen.version).collect();
    versions.retain(|version| *version > 0);
    versions.sort_unstable();
    versions.dedup();
    let at = versions.len().saturating_sub(back.saturating_add(1));
    let version = versions.get(at).copied().unwrap_or(1);
    Plan::new([Rule::first(What::Read, READS, Fault::Stale(version))])
}

async fn every(scenario: &Scenario, share: Share, hosts: &mut Hosts, report: &mut Report) {
    let calm = undisturbed(hosts.next().await, scenario).await;
    let all = (0..calm.writes()).flat_map(|n| BACK.map(|back| (n, back)));
    for (write, back) in share.of(all) {
        let mut world = prepared(hosts.next().await, scenario).await;
        // What was there before belongs to what can be seen again.
        let before = world.seen();
        let rule = Rule::nth(What::Write, write as u64, Fault::CrashAfter);
        world.plan(Plan::new([rule]), None);
        world.at_restart = Some(Box::new(move |seen| {
            stale(&[before.clone(), seen.to_vec()].concat(), back)
        }));
        ask(&mut world, scenario).await;
        world.settle().await;
        let run = Run::end(world).await;
        let wrong = wrong(&calm.outcome, &run, Compare::Deletions);
        let what = format!("{}, write {write}, {back} versions back", scenario.name);
        report.add(scenario.name, &what, &wrong);
    }
}

async fn part(share: Share) {
    let mut hosts = Hosts::new().await;
    let mut report = Report::new("stale restarts");
    for scenario in of_clusters().into_iter().chain([remade()]) {
        every(&scenario, share, &mut hosts, &mut report).await;
    }
    report.end();
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_sees_the_past_first_half() {
    part(Share { number: 0, of: 2 }).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_sees_the_past_second_half() {
    part(Share { number: 1, of: 2 }).await;
}

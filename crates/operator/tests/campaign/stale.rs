//! The operator starts again and sees the world as it was some time ago.

use tubeway_localkube::fault::{Fault, Plan, Rule, Seen, What};

use crate::run::{Compare, Report, Run, Share, ask, prepared, undisturbed, wrong};
use crate::scenarios::{Scenario, of_clusters, remade};

/// Reads that are answered as of long ago: those of about one look.
const READS: u64 = 10;
/// How many versions of the world back.
const BACK: [usize; 5] = [1, 2, 5, 12, usize::MAX];

/// Reads of a while are as of the version that was `back` versions ago, or of the
/// first, at which the question was not asked yet.
fn stale(first: u64, seen: &[Seen], back: usize) -> Plan {
    let mut versions: Vec<u64> = seen.iter().map(|seen| seen.version).collect();
    versions.retain(|version| *version > first);
    versions.push(first);
    versions.sort_unstable();
    versions.dedup();
    let at = versions.len().saturating_sub(back.saturating_add(1));
    let version = versions[at];
    Plan::new([Rule::first(What::Read, READS, Fault::Stale(version))])
}

/// Whether all reads have been answered that are to be as of long ago.
fn sees_the_present(seen: &[Seen]) -> bool {
    let stale = |seen: &&Seen| matches!(seen.fault, Some(Fault::Stale(_)));
    seen.iter().filter(stale).count() as u64 >= READS
}

async fn every(scenario: &Scenario, share: Share, report: &mut Report) {
    let before = prepared(scenario).await;
    let calm = undisturbed(&before, scenario).await;
    let all = (0..calm.writes()).flat_map(|n| BACK.map(|back| (n, back)));
    for (write, back) in share.of(all) {
        let host = before.host().await;
        let mut world = before.go_on(&host).await;
        // What there is before belongs to what can be seen again.
        let first = world.api.version().await;
        let rule = Rule::nth(What::Write, write as u64, Fault::CrashAfter);
        world.plan(Plan::new([rule]), None);
        world.at_restart = Some(Box::new(move |seen| stale(first, seen, back)));
        ask(&mut world, scenario).await;
        world.settle().await;
        // What looks quiet may have been so long ago.
        while world.crashes > 0 && !sees_the_present(&world.seen()) {
            world.look().await;
            world.turn().await;
        }
        world.settle().await;
        let run = Run::end(world).await;
        host.end().await;
        // Who sees a spec of long ago may build a pod by it, which goes again; and
        // who sees others leave or come first places replicas otherwise.
        let wrong = wrong(&calm.outcome, &run, Compare::Shape);
        let what = format!("{}, write {write}, {back} versions back", scenario.name);
        report.add(scenario.name, &what, &wrong);
    }
}

async fn part(share: Share) {
    let mut report = Report::new("stale restarts");
    for scenario in of_clusters().into_iter().chain([remade()]) {
        every(&scenario, share, &mut report).await;
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

//! Every write and every call to Kafka of every scenario, with every fault.

use tubeway_localkube::fault::{Fault, Plan, Rule, What};

use crate::run::{Compare, Report, Share, prepared, run, undisturbed, wrong};
use crate::scenarios::{Scenario, all};
use crate::sim::CallFault;

const FAULTS: [(&str, Fault); 5] = [
    ("crash before", Fault::CrashBefore),
    ("crash after", Fault::CrashAfter),
    ("applied but timed out", Fault::LostAnswer),
    ("conflict", Fault::Conflict),
    (
        "5xx",
        Fault::Error {
            code: 503,
            retry_after: None,
        },
    ),
];
const CALL_FAULTS: [(&str, CallFault); 5] = [
    ("call, crash before", CallFault::CrashBefore),
    ("call, crash after", CallFault::CrashAfter),
    ("call, applied but timed out", CallFault::LostAnswer),
    ("call, refused", CallFault::Refused),
    ("call, lost", CallFault::LostRequest),
];

/// What goes wrong in one run.
#[derive(Debug, Clone)]
enum Disturbance {
    Write(usize, Fault),
    Call(usize, CallFault),
}

async fn every(scenario: &Scenario, share: Share, report: &mut Report) {
    let before = prepared(scenario).await;
    let calm = undisturbed(&before, scenario).await;
    let writes = (0..calm.writes())
        .flat_map(|n| FAULTS.map(|(kind, fault)| (kind, Disturbance::Write(n, fault))));
    let calls = (0..calm.calls)
        .flat_map(|n| CALL_FAULTS.map(|(kind, fault)| (kind, Disturbance::Call(n, fault))));
    for (kind, disturbance) in share.of(writes.chain(calls)) {
        let (faults, lost) = match &disturbance {
            Disturbance::Write(n, fault) => {
                let rule = Rule::nth(What::Write, *n as u64, fault.clone());
                (Plan::new([rule]), None)
            }
            Disturbance::Call(n, fault) => (Plan::default(), Some((*n, *fault))),
        };
        let run = run(&before, scenario, faults, lost).await;
        let wrong = wrong(&calm.outcome, &run, Compare::Counts);
        let what = format!("{}, {disturbance:?}", scenario.name);
        report.add(kind, &what, &wrong);
    }
}

async fn part(share: Share) {
    let mut report = Report::new("every write and call");
    for scenario in all() {
        every(&scenario, share, &mut report).await;
    }
    report.end();
}

#[tokio::test(start_paused = true)]
async fn every_write_and_call_with_every_fault_first_half() {
    part(Share { number: 0, of: 2 }).await;
}

#[tokio::test(start_paused = true)]
async fn every_write_and_call_with_every_fault_second_half() {
    part(Share { number: 1, of: 2 }).await;
}

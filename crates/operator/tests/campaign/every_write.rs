//! Every write and every call to Kafka of every scenario, with every fault.

use std::collections::BTreeMap;

use tubeway_localkube::fault::{Fault, Plan, Rule, What};

use crate::scenarios::{Scenario, of_clusters};
use crate::sim::{CallFault, Host, Outcome, World, difference};

const FAULTS: [Fault; 5] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::LostAnswer,
    Fault::Conflict,
    Fault::Error {
        code: 503,
        retry_after: None,
    },
];
const CALL_FAULTS: [CallFault; 5] = [
    CallFault::CrashBefore,
    CallFault::CrashAfter,
    CallFault::LostAnswer,
    CallFault::Refused,
    CallFault::LostRequest,
];

/// What goes wrong in one run.
#[derive(Debug, Clone)]
enum Disturbance {
    Nothing,
    Write(usize, Fault),
    Call(usize, CallFault),
}

struct Run {
    outcome: Outcome,
    problems: Vec<String>,
    writes: usize,
    calls: usize,
}

async fn run(host: &Host, scenario: &Scenario, disturbance: &Disturbance) -> Run {
    let mut world = World::new(host).await;
    for step in &scenario.before {
        world.take(step).await;
    }
    match disturbance {
        Disturbance::Nothing => world.plan(Plan::default(), None),
        Disturbance::Write(n, fault) => {
            let rule = Rule::nth(What::Write, *n as u64, fault.clone());
            world.plan(Plan::new([rule]), None);
        }
        Disturbance::Call(n, fault) => world.plan(Plan::default(), Some((*n, *fault))),
    }
    for step in &scenario.after {
        world.take(step).await;
    }
    world.settle().await;
    let seen = world.seen();
    let writes = seen.iter().filter(|seen| seen.asked.is_write()).count();
    let calls = world.kafka.calls().len();
    let (outcome, problems) = world.outcome().await;
    Run {
        outcome,
        problems,
        writes,
        calls,
    }
}

/// What is wrong with a run, beside the one in which nothing went wrong.
fn wrong(undisturbed: &Outcome, run: &Run) -> Vec<String> {
    let mut wrong = run.problems.clone();
    wrong.extend(difference(&undisturbed.objects, &run.outcome.objects));
    if undisturbed.topics != run.outcome.topics {
        wrong.push(format!("topics: {:?}", run.outcome.topics));
    }
    if undisturbed.acls != run.outcome.acls {
        wrong.push(format!("ACLs: {:?}", run.outcome.acls));
    }
    if undisturbed.voters != run.outcome.voters {
        wrong.push(format!("voters: {:?}", run.outcome.voters));
    }
    if undisturbed.counts != run.outcome.counts {
        let (a, b) = (&undisturbed.counts, &run.outcome.counts);
        let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
        let other = keys.into_iter().filter(|key| a.get(*key) != b.get(*key));
        wrong.extend(other.map(|key| {
            format!("{key}: {:?} times and not {:?}", b.get(key), a.get(key))
        }));
    }
    wrong
}

#[tokio::test(start_paused = true)]
async fn every_write_and_every_call_with_every_fault() {
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut host = Host::start().await;
    for scenario in of_clusters() {
        let started = std::time::Instant::now();
        let undisturbed = run(&host, &scenario, &Disturbance::Nothing).await;
        assert_eq!(undisturbed.problems, [""; 0], "{}", scenario.name);
        let again = run(&host, &scenario, &Disturbance::Nothing).await;
        assert_eq!(wrong(&undisturbed.outcome, &again), [""; 0], "{}", scenario.name);
        let writes = (0..undisturbed.writes)
            .flat_map(|n| FAULTS.map(|fault| Disturbance::Write(n, fault)));
        let calls = (0..undisturbed.calls)
            .flat_map(|n| CALL_FAULTS.map(|fault| Disturbance::Call(n, fault)));
        let mut runs = 0;
        for disturbance in writes.chain(calls) {
            let run = run(&host, &scenario, &disturbance).await;
            runs += 1;
            let class = match &disturbance {
                Disturbance::Write(_, fault) => format!("write, {fault:?}"),
                Disturbance::Call(_, fault) => format!("call, {fault:?}"),
                Disturbance::Nothing => continue,
            };
            *done.entry(class).or_default() += 1;
            let wrong = wrong(&undisturbed.outcome, &run);
            if !wrong.is_empty() {
                failures.push(format!("{}, {disturbance:?}: {}", scenario.name, wrong.join("; ")));
            }
            if runs % 100 == 0 {
                host = Host::start().await;
            }
        }
        println!(
            "{}: {} writes, {} calls, {runs} runs in {:?}",
            scenario.name,
            undisturbed.writes,
            undisturbed.calls,
            started.elapsed()
        );
    }
    println!("{done:#?}\n{} runs", done.values().sum::<usize>());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn timing() {
    let host = Host::start().await;
    for scenario in of_clusters().iter().take(2) {
        for _ in 0..5 {
            let t = std::time::Instant::now();
            let mut world = World::new(&host).await;
            println!("new {:?}", t.elapsed());
            for step in scenario.before.iter().chain(&scenario.after) {
                let t = std::time::Instant::now();
                world.take(step).await;
                println!("  step {:?}", t.elapsed());
            }
            for _ in 0..4 {
                let t = std::time::Instant::now();
                let n = world.seen().len();
                world.look().await;
                println!("  look {:?} {} requests", t.elapsed(), world.seen().len() - n);
                let t = std::time::Instant::now();
                world.turn().await;
                println!("  turn {:?}", t.elapsed());
            }
            let t = std::time::Instant::now();
            world.outcome().await;
            println!("outcome {:?}", t.elapsed());
        }
    }
}

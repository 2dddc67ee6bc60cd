//! One run of a scenario, and what was wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use tubeway_localkube::fault::{Plan, Seen};

use crate::scenarios::Scenario;
use crate::sim::{CallFault, Outcome, Still, World, difference};

/// What a run came to.
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) problems: Vec<String>,
    /// All requests since the scenario's question was asked.
    pub(crate) seen: Vec<Seen>,
    /// Calls to Kafka since then.
    pub(crate) calls: usize,
}

/// What counts when two runs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    /// The end, and how often everything was made and deleted.
    Counts,
    /// The end.
    End,
    /// The end, but for which brokers have which replicas, where who came first
    /// decides, and which claims were deleted.
    Shape,
    /// Nothing: the end may be another, and all that counts is that nothing
    /// happened that may never happen.
    Problems,
}

/// What a class of disturbances came to.
pub(crate) struct Report {
    class: &'static str,
    counts: BTreeMap<String, usize>,
    failures: Vec<String>,
    started: std::time::Instant,
}

/// Which part of all disturbances one test runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) number: usize,
    pub(crate) of: usize,
}

// === impl Run ===

impl Run {
    pub(crate) fn writes(&self) -> usize {
        self.seen
            .iter()
            .filter(|seen| seen.asked.is_write())
            .count()
    }

    /// Ends a world and keeps what it came to.
    pub(crate) async fn end(world: World<'_>) -> Self {
        let seen = world.seen();
        let calls = world.kafka.calls().len();
        let (outcome, problems) = world.outcome().await;
        Self {
            outcome,
            problems,
            seen,
            calls,
        }
    }
}

/// The world in which a scenario's question is about to be asked.
pub(crate) async fn prepared(scenario: &Scenario) -> Still {
    Still::after(&scenario.before, scenario.access).await
}

/// Asks a scenario's question with these faults, up to the end.
pub(crate) async fn run(
    before: &Still,
    scenario: &Scenario,
    plan: Plan,
    call: Option<(usize, CallFault)>,
) -> Run {
    let host = before.host().await;
    let mut world = before.go_on(&host).await;
    world.plan(plan, call);
    ask(&mut world, scenario).await;
    world.settle().await;
    let run = Run::end(world).await;
    host.end().await;
    run
}

/// Asks a scenario's question.
pub(crate) async fn ask(world: &mut World<'_>, scenario: &Scenario) {
    for step in &scenario.after {
        world.take(step).await;
    }
}

/// The run in which nothing goes wrong.
pub(crate) async fn undisturbed(before: &Still, scenario: &Scenario) -> Run {
    let run = run(before, scenario, Plan::default(), None).await;
    assert_eq!(run.problems, [""; 0], "{}", scenario.name);
    // Runs that stop at the same hurdle are all alike, and show nothing.
    if let Some(cluster) = run.outcome.objects.get("kafkaclusters/demo") {
        let conditions = cluster["status"]["conditions"].as_array();
        let is = |type_: &str, status: &str| {
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|c| c["type"] == type_ && c["status"] == status)
        };
        let through = is("Ready", "True") && is("Progressing", "False");
        assert!(
            through,
            "{} does not come through: {cluster}",
            scenario.name
        );
    }
    run
}

/// What is wrong with a run, beside the one in which nothing went wrong.
pub(crate) fn wrong(undisturbed: &Outcome, run: &Run, compare: Compare) -> Vec<String> {
    let mut wrong = run.problems.clone();
    if compare == Compare::Problems {
        return wrong;
    }
    let found = &run.outcome;
    wrong.extend(difference(&undisturbed.objects, &found.objects));
    let topics = |outcome: &Outcome| match compare {
        Compare::Shape => format!("{:?}", shape(outcome)),
        _ => format!("{:?}", outcome.topics),
    };
    let (expected, there) = (topics(undisturbed), topics(found));
    if expected != there {
        wrong.push(format!("topics: {there} and not {expected}"));
    }
    if undisturbed.acls != found.acls {
        wrong.push(format!("ACLs: {:?}", found.acls));
    }
    if undisturbed.voters != found.voters {
        wrong.push(format!("voters: {:?}", found.voters));
    }
    if undisturbed.brokers != found.brokers {
        wrong.push(format!("brokers: {}", found.brokers));
    }
    if compare == Compare::Counts {
        wrong.extend(miscounted(&undisturbed.counts, &found.counts));
    }
    if compare == Compare::Shape {
        let (expected, there) = (&undisturbed.claims_deleted, &found.claims_deleted);
        let kept = expected.difference(there);
        wrong.extend(kept.map(|claim| format!("{claim} was not deleted")));
        let lost = there.difference(expected);
        wrong.extend(lost.map(|claim| format!("{claim} was deleted")));
    }
    wrong
}

/// What was made or deleted more often, or less.
fn miscounted(expected: &BTreeMap<String, u32>, found: &BTreeMap<String, u32>) -> Vec<String> {
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let other = keys
        .into_iter()
        .filter(|key| expected.get(*key) != found.get(*key));
    let lines = other.map(|key| {
        let times = |counts: &BTreeMap<String, u32>| counts.get(key).copied().unwrap_or(0);
        format!("{key}: {} times and not {}", times(found), times(expected))
    });
    lines.collect()
}

/// Of each partition, how many replicas it has and how many of them are in sync,
/// and whether it moves.
fn shape(outcome: &Outcome) -> BTreeMap<&str, Vec<(usize, usize, bool)>> {
    let topics = outcome.topics.iter();
    let shape = topics.map(|(name, topic)| {
        let partitions = topic.partitions.iter();
        let partitions = partitions.map(|p| {
            let moves = p.target.is_some();
            (p.replicas.len(), p.in_sync.len(), moves)
        });
        (name.as_str(), partitions.collect())
    });
    shape.collect()
}

// === impl Report ===

impl Report {
    pub(crate) fn new(class: &'static str) -> Self {
        Self {
            class,
            counts: BTreeMap::new(),
            failures: Vec::new(),
            started: std::time::Instant::now(),
        }
    }

    /// Counts a run, and what was wrong with it.
    pub(crate) fn add(&mut self, kind: &str, what: &str, wrong: &[String]) {
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        if !wrong.is_empty() {
            // At once, too: the whole takes minutes.
            println!("{}: {what}: {wrong:?}", self.class);
            let shown = wrong.iter().take(6).cloned().collect::<Vec<_>>();
            self.failures.push(format!(
                "{what} ({} problems): {}",
                wrong.len(),
                shown.join("; ")
            ));
        }
    }

    /// Prints the counts; fails if anything was wrong, or nothing was run.
    pub(crate) fn end(self) {
        let all: usize = self.counts.values().sum();
        let kinds: Vec<_> = self
            .counts
            .iter()
            .map(|(kind, count)| format!("{kind}: {count}"))
            .collect();
        println!(
            "campaign, {}: {all} runs in {:.0?} ({})",
            self.class,
            self.started.elapsed(),
            kinds.join(", ")
        );
        assert!(all > 0, "{}: nothing was run", self.class);
        assert!(
            self.failures.is_empty(),
            "{} of {all} runs went wrong:\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
    }
}

// === impl Share ===

impl Share {
    /// This test's part of a list of which a sample will do, where
    /// `TUBEWAY_CAMPAIGN_EVERY` asks for every so manyth. It has no factor in
    /// common with the number of faults, or some faults would never come.
    pub(crate) fn of<T>(self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let every = std::env::var("TUBEWAY_CAMPAIGN_EVERY").ok();
        self.every(every.map_or(1, |text| text.parse().expect("a number")), all)
    }

    /// This test's part of a list of which everything is to be run.
    pub(crate) fn of_all<T>(self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        self.every(1, all)
    }

    fn every<T>(self, every: usize, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let numbered = all.into_iter().enumerate();
        let ours = numbered.filter(|(i, _)| i % (self.of * every) == self.number * every);
        ours.map(|(_, one)| one).collect()
    }
}

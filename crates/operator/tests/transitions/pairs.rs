//! Two changes, one after the other, at random but always the same.
//!
//! What the operator makes of two changes must be what it makes of a cluster that
//! is written so from the beginning. `TUBEWAY_PAIRS` is how many are tried;
//! `TUBEWAY_SEED` chooses others.

use serde_json::Value;

use crate::base::{Base, objects, still, world};
use crate::fields::all;
use crate::sim::{Host, Still, difference};
use crate::table::entry;
use crate::transitions::{end, holder, none_failed, set, write};

/// Where nothing else is asked for.
const PAIRS: usize = 1_400;

/// One field at another value.
#[derive(Debug, Clone)]
struct Change {
    what: String,
    /// The object of the base that has the field.
    at: usize,
    /// The field itself comes last.
    sets: Vec<(String, Value)>,
}

/// What became of all pairs.
#[derive(Default)]
struct Tally {
    same: usize,
    refused: usize,
    failures: Vec<String>,
}

/// Numbers that look like chance, and are the same in each run (xorshift).
struct Chance(u64);

// === impl Change ===

impl Change {
    fn apply(&self, objects: &mut [Base]) {
        let object = &mut objects[self.at].object;
        for (pointer, value) in &self.sets {
            set(object, pointer, value);
        }
    }

    /// Whether one of them is about a part of what the other is about.
    fn meets(&self, other: &Self) -> bool {
        let within = |a: &str, b: &str| a.starts_with(b);
        let pairs = self.sets.iter().flat_map(|(a, _)| {
            let others = other.sets.iter();
            others.map(move |(b, _)| (a, b))
        });
        self.at == other.at && pairs.into_iter().any(|(a, b)| within(a, b) || within(b, a))
    }
}

// === impl Chance ===

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Every change that leaves no trace and is not refused.
fn changes(base: &[Base]) -> Vec<Change> {
    let mut changes = Vec::new();
    for field in all() {
        let entry = entry(&field.name());
        if entry.fixed.is_some() || entry.leaves_traces {
            continue;
        }
        let Some(at) = holder(&field, base) else {
            continue;
        };
        let values = entry.becomes(&field, &base[at].object);
        changes.extend(values.into_iter().map(|value| {
            let with = entry.with.iter();
            let with = with.map(|(pointer, value)| ((*pointer).to_owned(), value.clone()));
            Change {
                what: format!("{} to {value}", field.name()),
                at,
                sets: with.chain([(field.pointer(), value)]).collect(),
            }
        }));
    }
    changes
}

async fn try_pair(before: &Still, base: &[Base], [a, b]: [&Change; 2], tally: &mut Tally) {
    let what = format!("{}, then {}", a.what, b.what);
    let mut wanted = base.to_vec();
    let host = before.host().await;
    let mut world_now = before.go_on(&host).await;
    a.apply(&mut wanted);
    if let Err(error) = write(&world_now, &base[a.at], &wanted[a.at].object).await {
        tally.failures.push(format!("{what}: {error}"));
        return;
    }
    world_now.settle().await;
    b.apply(&mut wanted);
    let written = write(&world_now, &base[b.at], &wanted[b.at].object).await;
    if written.is_err() {
        // What may be written alone may not go with the first.
        tally.refused += 1;
        drop(world_now);
        host.end().await;
        return;
    }
    let (after, problems) = end(world_now, &[]).await;
    host.end().await;
    let host = Host::start().await;
    let (fresh, _) = end(world(&host, &wanted).await, &[]).await;
    host.end().await;
    let other = difference(&fresh.seen, &after.seen).into_iter().take(4);
    let wrong: Vec<_> = problems.into_iter().chain(other).collect();
    if wrong.is_empty() {
        tally.same += 1;
    } else {
        // At once, too: the whole takes long.
        println!("{what}: {wrong:?}");
        tally.failures.push(format!("{what}: {}", wrong.join("; ")));
    }
}

fn number(name: &str, otherwise: usize) -> usize {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

async fn part(part: usize, of: usize) {
    let started = std::time::Instant::now();
    let base = objects();
    let changes = changes(&base);
    let before = still(&base).await;
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ number("TUBEWAY_SEED", 1) as u64);
    let mut tally = Tally::default();
    for pair in 0..number("TUBEWAY_PAIRS", PAIRS) {
        let (a, b) = loop {
            let [a, b] = [chance.below(changes.len()), chance.below(changes.len())];
            if !changes[a].meets(&changes[b]) {
                break (&changes[a], &changes[b]);
            }
        };
        if pair % of == part {
            try_pair(&before, &base, [a, b], &mut tally).await;
        }
    }
    println!(
        "pairs of changes: {} as if made so, {} refused, in {:.0?}",
        tally.same,
        tally.refused,
        started.elapsed()
    );
    none_failed(&tally.failures);
}

#[tokio::test(start_paused = true)]
async fn pairs_of_changes_first_half() {
    part(0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn pairs_of_changes_second_half() {
    part(1, 2).await;
}

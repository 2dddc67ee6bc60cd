//! Every API, version and direction, a thousand messages each: what we write, Kafka reads and
//! writes again to the same bytes; and we read it to the same tree, and walk it in any chunks.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use tubeway_protocol::value::{Budget, decode};
use tubeway_protocol::walk::{Interest, Mark, Trailing, Walker};
use tubeway_protocol::{Layout, Schemas};

use crate::common::{self, Random};
use crate::helper::{Form, Kafka, RELEASES};

/// Messages of each form.
const CASES: u64 = 1000;
/// All messages follow from this.
const SEED: u64 = 0x7ab3_0001;
/// Memory that a tree of these messages may take.
const BUDGET: usize = 1 << 22;

/// Where a release has a version of a message in a form that a later one changed without a new
/// version. Ours is the later one's; it was early access before, between brokers only.
const CHANGED: [(&str, &str); 1] = [("3.9.1", "ReadShareGroupStateSummary v0 Response")];

/// A release's serializers, for one thread at a time, and what they know.
struct Release {
    kafka: Mutex<Kafka>,
    name: &'static str,
    forms: BTreeSet<Form>,
}

#[test]
fn kafka_reads_and_writes_every_form_as_we_do() {
    assert_eq!(Schemas::get().releases(), RELEASES.map(|(name, _)| name));
    println!("seed {SEED:#x}");
    let releases: Vec<Release> = Kafka::all().into_iter().map(Release::new).collect();
    let layouts = common::layouts();
    no_form_is_missing(&releases, &layouts);

    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let asked = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(layout) = layouts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let failed = check(layout, &releases, &asked);
                    failures.lock().expect("no panic").extend(failed);
                }
            });
        }
    });
    println!(
        "{} forms, {CASES} messages of each, {} asked of Kafka, {:?}",
        layouts.len(),
        asked.into_inner(),
        started.elapsed()
    );
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What a release has and our tables have not is what that release adds; what we have and no
/// release has would not be checked.
fn no_form_is_missing(releases: &[Release], layouts: &[&'static Layout]) {
    let ours: BTreeSet<Form> = layouts.iter().map(|layout| form(layout)).collect();
    for release in releases {
        let added: Vec<_> = release.forms.difference(&ours).collect();
        assert!(
            added.is_empty(),
            "only Kafka {} has {added:?}",
            release.name
        );
    }
    let theirs: BTreeSet<Form> = releases.iter().flat_map(|r| r.forms.clone()).collect();
    let unchecked: Vec<_> = ours.difference(&theirs).collect();
    assert!(unchecked.is_empty(), "no release has {unchecked:?}");
}

/// Checks one form with every release that has it; returns the first failure of each.
fn check(layout: &'static Layout, releases: &[Release], asked: &AtomicUsize) -> Vec<String> {
    let form = form(layout);
    let name = common::name(layout);
    let interest = everything(layout);
    let bodies: Result<Vec<Vec<u8>>, String> =
        (0..CASES).map(|case| ours(&interest, case)).collect();
    let bodies = match bodies {
        Ok(bodies) => bodies,
        Err(failure) => return vec![format!("{name}, {failure}")],
    };
    let mut failures = Vec::new();
    for release in releases
        .iter()
        .filter(|release| release.forms.contains(&form))
    {
        let theirs = release
            .kafka
            .lock()
            .expect("no panic")
            .rewrite(form, &bodies);
        asked.fetch_add(theirs.len(), Ordering::Relaxed);
        let differs = bodies
            .iter()
            .zip(&theirs)
            .enumerate()
            .find_map(|(case, (ours, theirs))| {
                let difference = match theirs {
                    Err(error) => error.clone(),
                    Ok(theirs) if theirs == ours => return None,
                    Ok(theirs) => difference(ours, theirs),
                };
                Some(format!(
                    "{name}, case {case}, Kafka {}: {difference}",
                    release.name
                ))
            });
        match (differs, CHANGED.contains(&(release.name, &name))) {
            (Some(failure), false) => failures.push(failure),
            (None, true) => failures.push(format!("{name} is the same in {}", release.name)),
            _ => {}
        }
    }
    failures
}

/// A message as we write it, once we have read and walked it again.
fn ours(interest: &Arc<Interest>, case: u64) -> Result<Vec<u8>, String> {
    let layout = interest.layout();
    let form = layout.api().0 as u64 * 100_000 + layout.version() as u64 * 1000;
    let mut random = Random::new(SEED ^ (form + case) << 20 ^ layout.direction() as u64);
    random.longest = 0x7fff;
    let message = common::message(layout, &mut random);
    let body = Bytes::from(common::encoded(&message));
    let read = decode(layout, &body, Budget::bytes(BUDGET))
        .map_err(|error| format!("case {case}: {error}"))?;
    if read != message {
        return Err(format!("case {case}: {message:?} comes back as {read:?}"));
    }
    walk(interest, &body, &mut random).map_err(|error| format!("case {case}: {error}"))?;
    Ok(body.to_vec())
}

fn walk(interest: &Arc<Interest>, body: &[u8], random: &mut Random) -> Result<(), String> {
    let mut walker = Walker::new(interest.clone(), 0, body.len() as u64, Trailing::Refuse);
    let mut rest = body;
    loop {
        let most = [3, 40, 1000][random.below(3) as usize];
        let (chunk, after) = rest.split_at(rest.len().min(1 + random.below(most) as usize));
        walker
            .feed(chunk, |_| {})
            .map_err(|error| error.to_string())?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    if walker.is_done() {
        Ok(())
    } else {
        Err("the walk wants more bytes".to_owned())
    }
}

fn everything(layout: &'static Layout) -> Arc<Interest> {
    let paths: Vec<String> = layout
        .all_fields()
        .map(|id| format!("**.{}", layout.field(id).name()))
        .collect();
    let paths: Vec<(&str, Mark)> = paths.iter().map(|path| (&**path, Mark(1))).collect();
    Arc::new(Interest::new(layout, &paths).expect("fields of this layout"))
}

fn form(layout: &Layout) -> Form {
    Form {
        api: layout.api().0,
        version: layout.version(),
        direction: layout.direction(),
    }
}

fn difference(ours: &[u8], theirs: &[u8]) -> String {
    let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(8);
        format!("{:02x?}", &bytes[from..bytes.len().min(at + 16)])
    };
    format!(
        "{} bytes against {}; from byte {at} on {} against {}",
        ours.len(),
        theirs.len(),
        around(ours),
        around(theirs)
    )
}

// === impl Release ===

impl Release {
    fn new(mut kafka: Kafka) -> Self {
        Self {
            name: kafka.release,
            forms: kafka.forms().into_iter().collect(),
            kafka: Mutex::new(kafka),
        }
    }
}

//! One change at a time.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::base::{Base, objects, seen, still, world};
use crate::fields::{Field, all};
use crate::sim::{Host, Step, Still, World, difference};
use crate::table::{Entry, entry};

/// What a world looks like, and what was done on the way there.
pub(crate) struct End {
    pub(crate) seen: BTreeMap<String, Value>,
    trace: Vec<String>,
}

/// The object of the base that has this field.
pub(crate) fn holder(field: &Field, objects: &[Base]) -> Option<usize> {
    let here = |base: &Base| base.plural == field.plural;
    let has = |base: &&Base| base.object.pointer(&field.pointer()).is_some();
    let found = objects.iter().position(|base| here(base) && has(&base));
    found.or_else(|| objects.iter().position(here))
}

pub(crate) fn set(object: &mut Value, pointer: &str, value: &Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("no {parent}"));
    if value.is_null() {
        parent.as_object_mut().map(|fields| fields.remove(name));
    } else {
        parent[name] = value.clone();
    }
}

/// The object with the field at this value.
fn changed(base: &Value, field: &Field, entry: &Entry, value: &Value) -> Value {
    let mut object = base.clone();
    for (pointer, value) in &entry.with {
        set(&mut object, pointer, value);
    }
    set(&mut object, &field.pointer(), value);
    object
}

/// Writes the whole spec, as somebody with an editor does.
pub(crate) async fn write(world: &World<'_>, base: &Base, object: &Value) -> Result<(), String> {
    let what = format!(
        "{}/{}",
        base.plural,
        object["metadata"]["name"].as_str().unwrap()
    );
    let mut live = world.api.get(&what).await.unwrap();
    live["spec"] = object["spec"].clone();
    let written = world.api.call(http::Method::PUT, &what, &live).await;
    written.map(drop).map_err(|error| error.to_string())
}

pub(crate) async fn end(mut world: World<'_>, probe: &[Step]) -> (End, Vec<String>) {
    world.plan(tubeway_localkube::fault::Plan::default(), None);
    world.settle().await;
    for step in probe {
        world.take(step).await;
    }
    let trace = if probe.is_empty() {
        Vec::new()
    } else {
        trace(&world)
    };
    let seen = seen(&world).await;
    let (_, problems) = world.outcome().await;
    (End { seen, trace }, problems)
}

/// What the operator did, in its order.
fn trace(world: &World<'_>) -> Vec<String> {
    let seen = world.seen();
    let deleted = seen
        .iter()
        .filter(|seen| seen.asked.method == http::Method::DELETE);
    let looks = deleted.map(|seen| seen.asked.path.replace(&world.api.name, "NAMESPACE"));
    let calls = world.kafka.calls();
    let told = ["AlterPartitionReassignments", "IncrementalAlterConfigs"];
    let told = calls.iter().filter(|call| told.contains(call));
    looks
        .chain(told.map(|call| (*call).to_owned()))
        .chain(world.kafka.kafka(|kafka| kafka.ever.clone()))
        .chain([world.most_pods_out.to_string()])
        .collect()
}

struct Tally {
    transitions: usize,
    refusals: usize,
    failures: Vec<String>,
}

async fn try_field(before: &Still, field: &Field, tally: &mut Tally) {
    let objects = objects();
    let entry = entry(&field.name());
    let Some(at) = holder(field, &objects) else {
        tally
            .failures
            .push(format!("{}: no object of the base has it", field.name()));
        return;
    };
    let base = &objects[at];
    let values = entry.becomes(field, &base.object);
    if values.is_empty() {
        tally.failures.push(format!(
            "{}: nothing is known that it could become",
            field.name()
        ));
    }
    let host = before.host().await;
    refuse_nonsense(&host, field, &objects, at, tally).await;
    host.end().await;
    if let Some(words) = entry.fixed {
        let host = before.host().await;
        let world = before.go_on(&host).await;
        let object = changed(&base.object, field, &entry, &values[0]);
        match write(&world, base, &object).await {
            Err(error) if error.contains(words) => tally.refusals += 1,
            other => tally.failures.push(format!("{}: {other:?}", field.name())),
        }
        return;
    }
    let host = before.host().await;
    let (unchanged, _) = end(before.go_on(&host).await, &entry.probe).await;
    host.end().await;
    for value in values {
        let object = changed(&base.object, field, &entry, &value);
        let what = format!("{} to {value}", field.name());
        let host = before.host().await;
        let world_now = before.go_on(&host).await;
        if let Err(error) = write(&world_now, base, &object).await {
            tally.failures.push(format!("{what}: {error}"));
            continue;
        }
        let (after, problems) = end(world_now, &entry.probe).await;
        host.end().await;
        tally.transitions += 1;
        tally
            .failures
            .extend(problems.iter().map(|problem| format!("{what}: {problem}")));
        if difference(&unchanged.seen, &after.seen).is_empty() && unchanged.trace == after.trace {
            tally.failures.push(format!("{what}: changes nothing"));
        }
        if entry.leaves_traces {
            continue;
        }
        let mut fresh = objects.clone();
        fresh[at].object = object;
        let host = Host::start().await;
        let (fresh, _) = end(world(&host, &fresh).await, &entry.probe).await;
        host.end().await;
        let other = difference(&fresh.seen, &after.seen);
        if !other.is_empty() {
            let other = other.into_iter().take(4).collect::<Vec<_>>().join("; ");
            tally
                .failures
                .push(format!("{what}: not as if made so: {other}"));
        }
    }
}

async fn refuse_nonsense(
    host: &Host,
    field: &Field,
    objects: &[Base],
    at: usize,
    tally: &mut Tally,
) {
    let client = host.client("editor").await;
    let api = crate::sim::api::Namespace::make(client, "nonsense").await;
    let name = field.path.rsplit(['.', '[']).next().unwrap_or_default();
    let name = if name == "]" { &field.path } else { name };
    for nonsense in field.nonsense() {
        let mut object = objects[at].object.clone();
        set(&mut object, &field.pointer(), &nonsense);
        match api.create(objects[at].plural, &object).await {
            Err(error) if error.to_string().contains(name) => tally.refusals += 1,
            Err(error) => tally.failures.push(format!(
                "{}: {nonsense} is refused without a name: {error}",
                field.name()
            )),
            Ok(_) => {
                let what = format!(
                    "{}/{}",
                    objects[at].plural,
                    object["metadata"]["name"].as_str().unwrap()
                );
                let _ = api.delete(&what).await;
                tally
                    .failures
                    .push(format!("{}: {nonsense} is taken", field.name()));
            }
        }
    }
}

async fn part(number: usize, of: usize) {
    let started = std::time::Instant::now();
    let mut tally = Tally {
        transitions: 0,
        refusals: 0,
        failures: Vec::new(),
    };
    let fields = all();
    assert!(fields.len() > 60, "the schemas are read");
    let only = std::env::var("TUBEWAY_FIELD").unwrap_or_default();
    let ours = fields.iter().enumerate().filter(|(i, _)| i % of == number);
    let ours = ours.filter(|(_, field)| field.name().contains(&only));
    let before = still(&objects()).await;
    let mut tried = 0;
    for (_, field) in ours {
        tried += 1;
        try_field(&before, field, &mut tally).await;
    }
    println!(
        "transitions: {tried} fields, {} transitions, {} refusals in {:.0?}",
        tally.transitions,
        tally.refusals,
        started.elapsed()
    );
    none_failed(&tally.failures);
}

pub(crate) fn none_failed(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[tokio::test(start_paused = true)]
async fn every_field_counts_first_half() {
    part(0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn every_field_counts_second_half() {
    part(1, 2).await;
}

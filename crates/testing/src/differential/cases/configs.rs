//! Options of topics, brokers, groups and client metrics; log directories.

use serde_json::{Value as Json, json};

use super::super::run::Run;

/// Kafka's codes of what has options.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        32 => describe(run).await,
        33 => alter(run, false).await,
        34 => log_dirs(run).await,
        35 => sizes(run).await,
        44 => alter(run, true).await,
        _ => list(run).await,
    }
}

fn resources(run: &Run<'_>) -> Vec<(&'static str, i8, Vec<String>)> {
    let one = |name: &str| vec![name.to_owned()];
    vec![
        ("topics", TOPIC, run.all()),
        ("groups", GROUP, run.all()),
        ("a broker", BROKER, one("1")),
        ("all brokers", BROKER, one("")),
        ("loggers", LOGGER, one("1")),
        ("client metrics", CLIENT_METRICS, one("metrics")),
    ]
}

async fn describe(run: &mut Run<'_>) {
    let mut mixed: Vec<Json> = Vec::new();
    for (step, kind, names) in resources(run) {
        let keys = match kind {
            BROKER => json!(["message.max.bytes", "log.retention.ms", "listeners"]),
            LOGGER => json!(["org.apache.kafka"]),
            _ => Json::Null,
        };
        let some: Vec<Json> = names
            .iter()
            .map(|name| json!({"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys}))
            .collect();
        let fields =
            json!({"Resources": some, "IncludeSynonyms": true, "IncludeDocumentation": false});
        run.ask(step, fields).await;
        mixed.extend(some);
    }
    mixed.push(json!({"ResourceType": 77, "ResourceName": "x", "ConfigurationKeys": null}));
    run.ask(
        "all at once, and an unknown kind",
        json!({"Resources": mixed}),
    )
    .await;
}

/// What is set: for a broker what it may change while it runs.
fn option(kind: i8) -> (&'static str, &'static str) {
    match kind {
        TOPIC => ("retention.ms", "70000"),
        BROKER => ("message.max.bytes", "1048599"),
        LOGGER => ("kafka.nothing", "INFO"),
        CLIENT_METRICS => ("interval.ms", "60000"),
        _ => ("consumer.heartbeat.interval.ms", "6000"),
    }
}

async fn alter(run: &mut Run<'_>, incremental: bool) {
    for (step, kind, names) in resources(run) {
        if kind == LOGGER && !incremental {
            continue;
        }
        let (name, value) = option(kind);
        let option = json!([{"Name": name, "ConfigOperation": 0, "Value": value}]);
        let some: Vec<Json> = names
            .iter()
            .map(|name| json!({"ResourceType": kind, "ResourceName": name, "Configs": option}))
            .collect();
        for (how, validate) in ["to see whether it can be", "really"]
            .iter()
            .zip([true, false])
        {
            let fields = json!({"Resources": some, "ValidateOnly": validate});
            run.ask(&format!("{step}, {how}"), fields).await;
        }
    }
    let wrong = json!([{"Name": "no.such.option", "ConfigOperation": 0, "Value": "x"}]);
    let some =
        run.each(|name| json!({"ResourceType": TOPIC, "ResourceName": name, "Configs": wrong}));
    run.ask("an option that is not", json!({"Resources": some}))
        .await;
}

async fn log_dirs(run: &mut Run<'_>) {
    let topics = run.each(|name| json!({"Name": name, "Partitions": [0, 9]}));
    let fields = json!({"Dirs": [{"Path": "/nowhere", "Topics": topics}]});
    run.ask("all topics", fields).await;
}

async fn sizes(run: &mut Run<'_>) {
    let topics = run.each(|name| json!({"Topic": name, "Partitions": [0, 9]}));
    run.ask("some topics", json!({"Topics": topics})).await;
    run.ask("every topic", json!({"Topics": null})).await;
}

async fn list(run: &mut Run<'_>) {
    run.ask("all", json!({"ResourceTypes": []})).await;
    if run.version >= 1 {
        for kind in [TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP, 77] {
            run.ask(&format!("kind {kind}"), json!({"ResourceTypes": [kind]}))
                .await;
        }
    }
}

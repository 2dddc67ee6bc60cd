//! kafka-python, driven by two small scripts.

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::process::Command;

use super::process::Process;
use super::{ClientError, Event, Run, Target};
use crate::records::{Position, Read};
use crate::tools::Tools;

const PRODUCE: &str = include_str!("../../python/produce.py");
const CONSUME: &str = include_str!("../../python/consume.py");

/// One JSON line of the scripts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Assigned {
        #[serde(rename = "assigned")]
        _partitions: Vec<i32>,
    },
    Failed {
        value: String,
        error: String,
        message: String,
    },
    Record {
        value: String,
        partition: i32,
        offset: i64,
    },
}

pub(super) fn producer(tools: &Tools, target: &Target) -> Result<Run, ClientError> {
    Ok(Run {
        process: Process::start(
            script(tools, PRODUCE, &settings(target, false))?,
            None,
            |_| false,
        )?,
        read_line: |line| match serde_json::from_str(line) {
            Ok(Line::Record {
                value,
                partition,
                offset,
            }) => Event::Sent {
                value,
                result: Ok(Position { partition, offset }),
            },
            Ok(Line::Failed {
                value,
                error,
                message,
            }) => Event::Sent {
                value,
                result: Err(format!("{error}: {message}")),
            },
            Ok(Line::Assigned { .. }) | Err(_) => Event::Said,
        },
    })
}

pub(super) fn consumer(tools: &Tools, target: &Target) -> Result<Run, ClientError> {
    Ok(Run {
        process: Process::start(
            script(tools, CONSUME, &settings(target, true))?,
            None,
            |_| false,
        )?,
        read_line: |line| match serde_json::from_str(line) {
            Ok(Line::Record {
                value,
                partition,
                offset,
            }) => Event::Read(Read::new(Position { partition, offset }, value.as_bytes())),
            Ok(Line::Assigned { .. }) => Event::Reassigned,
            Ok(Line::Failed { .. }) | Err(_) => Event::Said,
        },
    })
}

fn script(tools: &Tools, text: &str, settings: &Value) -> Result<Command, ClientError> {
    let mut command = Command::new(tools.python()?);
    command.args(["-c", text, &settings.to_string()]);
    Ok(command)
}

/// The target as kafka-python's keyword arguments: Java's names with underscores.
fn settings(target: &Target, consumer: bool) -> Value {
    let mut settings = Map::new();
    let mut set = |name: &str, value: &str| {
        // Python wants numbers as numbers.
        let value = value.parse::<i64>().map_or(Value::from(value), Value::from);
        settings.insert(name.replace('.', "_"), value);
    };
    for (name, value) in &target.properties {
        set(name, value);
    }
    if let Some((name, password)) = &target.user {
        set("security.protocol", "SASL_PLAINTEXT");
        set("sasl.mechanism", "PLAIN");
        set("sasl.plain.username", name);
        set("sasl.plain.password", password);
    }
    settings.insert("bootstrap_servers".into(), target.bootstrap.clone().into());
    settings.insert("topic".into(), target.topic.clone().into());
    if consumer {
        settings.insert("group_id".into(), target.group.clone().into());
    }
    Value::Object(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_settings_as_kafka_python_does() {
        let target = Target::new("h:1", "t")
            .with_property("client.id", "x")
            .with_property("linger.ms", "5");
        assert_eq!(
            settings(&target, true),
            serde_json::json!({
                "bootstrap_servers": "h:1", "topic": "t", "client_id": "x", "linger_ms": 5,
                "group_id": null,
            })
        );
    }
}

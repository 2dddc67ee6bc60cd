//! Kafka's own verifiable clients, and its question for a topic's end.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;

use serde::Deserialize;
use tempfile::TempPath;

use super::process::Process;
use super::{Client, ClientError, Event, Run, Target, failed};
use crate::records::{Position, Read, Workload};
use crate::tools::Tools;

const PLAIN_LOGIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

/// One JSON line of either tool.
#[derive(Deserialize)]
struct Line {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    partition: i32,
    #[serde(default)]
    offset: i64,
    #[serde(default)]
    exception: String,
    #[serde(default)]
    message: Option<String>,
}

/// The value that VerifiableProducer writes.
pub(super) fn value(workload: &Workload, seq: u64) -> String {
    format!("{}.{seq}", workload.producer)
}

pub(super) fn producer(
    tools: &Tools,
    target: &Target,
    workload: &Workload,
) -> Result<Run, ClientError> {
    // Left to itself the tool turns retries off, and idempotence with them.
    let config = config_file(
        target,
        &[("enable.idempotence", "true"), ("retries", "2147483647")],
    )?;
    let mut command = tools.kafka("org.apache.kafka.tools.VerifiableProducer");
    command
        .args(["--bootstrap-server", &target.bootstrap])
        .args(["--topic", &target.topic])
        .args(["--max-messages", &workload.count.to_string()])
        .args(["--value-prefix", &workload.producer.to_string()])
        .args(["--acks", "-1", "--command-config"])
        .arg(&config);
    if let Some(rate) = workload.rate {
        command.args(["--throughput", &rate.to_string()]);
    }
    Ok(Run {
        process: Process::start(command, Some(config), |_| false)?,
        read_line,
    })
}

pub(super) fn consumer(tools: &Tools, target: &Target) -> Result<Run, ClientError> {
    let config = config_file(target, &[])?;
    let mut command = tools.kafka("org.apache.kafka.tools.VerifiableConsumer");
    command
        .args(["--bootstrap-server", &target.bootstrap])
        .args(["--topic", &target.topic])
        .args(["--group-id", &target.group_or_own()])
        .args([
            "--reset-policy",
            "earliest",
            "--verbose",
            "--command-config",
        ])
        .arg(&config);
    Ok(Run {
        process: Process::start(command, Some(config), |_| false)?,
        read_line,
    })
}

/// The end offset of each partition that has records.
pub(super) async fn end_offsets(
    tools: &Tools,
    target: &Target,
) -> Result<HashMap<i32, i64>, ClientError> {
    let config = config_file(target, &[])?;
    let mut command = tools.kafka("org.apache.kafka.tools.GetOffsetShell");
    command
        .args(["--bootstrap-server", &target.bootstrap])
        .args(["--topic", &target.topic, "--command-config"])
        .arg(&config);
    let output = tokio::time::timeout(target.timeout, command.output()).await;
    let output = match output {
        Ok(output) => output.map_err(failed("ask for the end of the topic"))?,
        Err(_) => {
            return Err(ClientError::Timeout {
                client: Client::JavaVerifiable,
                timeout: target.timeout,
                records: 0,
                said: "asking for the end of the topic".to_owned(),
            });
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        return Err(ClientError::Ended {
            client: Client::JavaVerifiable,
            status: output.status,
            records: 0,
            said,
        });
    }
    Ok(read_offsets(&text))
}

/// Reads `topic:partition:offset` lines.
fn read_offsets(text: &str) -> HashMap<i32, i64> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.rsplitn(3, ':');
            let end = fields.next()?.parse().ok()?;
            Some((fields.next()?.parse().ok()?, end))
        })
        .filter(|&(_, end)| end > 0)
        .collect()
}

/// A properties file with the target's properties and some more.
pub(super) fn config_file(target: &Target, more: &[(&str, &str)]) -> Result<TempPath, ClientError> {
    let mut file = tempfile::Builder::new()
        .suffix(".properties")
        .tempfile()
        .map_err(failed("make a properties file"))?;
    let own = target.properties.iter();
    let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
    let mut text = String::new();
    for (name, value) in more.iter().copied().chain(own) {
        let _ = writeln!(text, "{name}={value}");
    }
    if let Some((name, password)) = &target.user {
        let _ = writeln!(
            text,
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n\
             sasl.jaas.config={PLAIN_LOGIN} required username=\"{name}\" password=\"{password}\";"
        );
    }
    file.write_all(text.as_bytes())
        .map_err(failed("write a properties file"))?;
    Ok(file.into_temp_path())
}

/// What a line of either tool says.
pub(super) fn read_line(line: &str) -> Event {
    let Ok(line) = serde_json::from_str::<Line>(line) else {
        return Event::Said;
    };
    let at = Position {
        partition: line.partition,
        offset: line.offset,
    };
    match (line.name.as_str(), line.value) {
        ("producer_send_success", Some(value)) => Event::Sent {
            value,
            result: Ok(at),
        },
        ("producer_send_error", Some(value)) => Event::Sent {
            value,
            result: Err(format!(
                "{}: {}",
                line.exception,
                line.message.unwrap_or_default()
            )),
        },
        ("record_data", value) => Event::Read(Read::new(at, value.unwrap_or_default().as_bytes())),
        ("partitions_assigned", _) => Event::Reassigned,
        _ => Event::Said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_producers_lines() {
        let acked = r#"{"timestamp":1,"name":"producer_send_success","key":null,"value":"3.14","partition":2,"topic":"t","offset":9}"#;
        let at = Position {
            partition: 2,
            offset: 9,
        };
        let value = "3.14".to_owned();
        assert_eq!(
            read_line(acked),
            Event::Sent {
                value,
                result: Ok(at)
            }
        );
        let refused = r#"{"timestamp":1,"name":"producer_send_error","exception":"class x.TopicAuthorizationException","message":"no","topic":"t","key":null,"value":"3.14"}"#;
        assert!(matches!(
            read_line(refused),
            Event::Sent { result: Err(error), .. } if error == "class x.TopicAuthorizationException: no"
        ));
    }

    #[test]
    fn reads_the_consumers_lines() {
        let record = r#"{"timestamp":1,"name":"record_data","key":null,"value":"3.14","topic":"t","partition":2,"offset":9}"#;
        let Event::Read(read) = read_line(record) else {
            panic!("a record");
        };
        assert_eq!((read.at.partition, read.at.offset), (2, 9));
        assert_eq!(read.id.unwrap().seq, 14);
        let assigned = r#"{"timestamp":1,"name":"partitions_assigned","partitions":[]}"#;
        assert_eq!(read_line(assigned), Event::Reassigned);
        assert_eq!(read_line("[main] WARN x"), Event::Said);
    }

    #[test]
    fn reads_end_offsets_and_leaves_empty_partitions_out() {
        let ends = read_offsets("a.b:0:12\na.b:1:0\nWARN something\na.b:2:7\n");
        assert_eq!(ends, HashMap::from([(0, 12), (2, 7)]));
    }
}

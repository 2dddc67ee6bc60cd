//! kcat, the command-line client on librdkafka.

use tokio::process::Command;

use super::process::Process;
use super::{ClientError, Event, Run, Target};
use crate::records::{Position, Read};
use crate::tools::Tools;

pub(super) fn producer(tools: &Tools, target: &Target) -> Result<Run, ClientError> {
    let mut command = kcat(tools, target)?;
    command
        .args(["-X", "acks=all", "-X", "enable.idempotence=true"])
        .args(["-P", "-t", &target.topic, "-K", "\t"]);
    Ok(Run {
        process: Process::start(command, None, is_error)?,
        read_line: |_| Event::Said,
    })
}

pub(super) fn consumer(tools: &Tools, target: &Target) -> Result<Run, ClientError> {
    let mut command = kcat(tools, target)?;
    command.args(["-u", "-f", "%p %o %s\n"]);
    match &target.group {
        Some(group) => {
            command
                .args(["-X", "auto.offset.reset=earliest"])
                .args(["-G", group, &target.topic])
        }
        None => command.args(["-C", "-t", &target.topic, "-o", "beginning"]),
    };
    Ok(Run {
        process: Process::start(command, None, is_error)?,
        read_line,
    })
}

fn kcat(tools: &Tools, target: &Target) -> Result<Command, ClientError> {
    let mut command = Command::new(tools.kcat()?);
    // -E: a broker that is away for a while is no reason to end.
    command.args(["-E", "-b", &target.bootstrap]);
    let mut set = |name: &str, value: &str| {
        command.args(["-X", &format!("{name}={value}")]);
    };
    for (name, value) in &target.properties {
        set(name, value);
    }
    if let Some((name, password)) = &target.user {
        set("security.protocol", "SASL_PLAINTEXT");
        set("sasl.mechanism", "PLAIN");
        set("sasl.username", name);
        set("sasl.password", password);
    }
    Ok(command)
}

/// Whether a line means that a record was not delivered. "% ERROR" alone does
/// not: librdkafka says so of every connection that is lost, and tries again.
fn is_error(line: &str) -> bool {
    ["Delivery failed", "FATAL", "Fatal error"]
        .iter()
        .any(|sign| line.contains(sign))
}

/// Reads `partition offset value`.
fn read_line(line: &str) -> Event {
    let mut fields = line.splitn(3, ' ');
    let read = (|| {
        let at = Position {
            partition: fields.next()?.parse().ok()?,
            offset: fields.next()?.parse().ok()?,
        };
        Some(Read::new(at, fields.next()?.as_bytes()))
    })();
    read.map_or(Event::Said, Event::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_consumers_lines() {
        let Event::Read(read) = read_line("2 9 3.14") else {
            panic!("a record");
        };
        assert_eq!((read.at.partition, read.at.offset), (2, 9));
        assert_eq!(
            read_line("% Reached end of topic t [0] at offset 3"),
            Event::Said
        );
    }
}

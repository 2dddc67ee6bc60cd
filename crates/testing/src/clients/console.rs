//! Kafka's console producer and consumer.

use super::process::Process;
use super::verifiable::config_file;
use super::{ClientError, Event, Run, Target};
use crate::records::{Position, Read};
use crate::tools::Tools;

pub(super) fn producer(tools: &Tools, target: &Target) -> Result<Run, ClientError> {
    let config = config_file(target, &[("enable.idempotence", "true")])?;
    let mut command = tools.kafka("org.apache.kafka.tools.ConsoleProducer");
    command
        .args(["--bootstrap-server", &target.bootstrap])
        .args(["--topic", &target.topic])
        .args(["--request-required-acks", "-1"])
        .args(["--message-send-max-retries", "2147483647"])
        .args(["--reader-property", "parse.key=true"])
        .arg("--command-config")
        .arg(&config);
    Ok(Run {
        process: Process::start(command, Some(config), is_error)?,
        // It prints a prompt to no one; what went wrong is logged.
        read_line: |_| Event::Said,
    })
}

pub(super) fn consumer(tools: &Tools, target: &Target) -> Result<Run, ClientError> {
    let config = config_file(target, &[])?;
    let mut command = tools.kafka("org.apache.kafka.tools.consumer.ConsoleConsumer");
    command
        .args(["--bootstrap-server", &target.bootstrap])
        .args(["--topic", &target.topic])
        .args(["--group", &target.group_or_own()])
        .args(["--from-beginning"])
        .args(["--formatter-property", "print.partition=true"])
        .args(["--formatter-property", "print.offset=true"])
        .arg("--command-config")
        .arg(&config);
    Ok(Run {
        process: Process::start(command, Some(config), is_error)?,
        read_line,
    })
}

/// Whether a line of the log means that a record was not delivered. What is
/// tried again is logged as a warning.
fn is_error(line: &str) -> bool {
    line.contains(" ERROR ")
}

/// Reads `Partition:0<TAB>Offset:12<TAB>value`.
fn read_line(line: &str) -> Event {
    let mut fields = line.splitn(3, '\t');
    let mut field = |name: &str| fields.next()?.strip_prefix(name);
    let read = (|| {
        let at = Position {
            partition: field("Partition:")?.parse().ok()?,
            offset: field("Offset:")?.parse().ok()?,
        };
        Some(Read::new(at, field("")?.as_bytes()))
    })();
    read.map_or(Event::Said, Event::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_consumers_lines() {
        let Event::Read(read) = read_line("Partition:2\tOffset:9\t3.14") else {
            panic!("a record");
        };
        assert_eq!((read.at.partition, read.at.offset), (2, 9));
        assert_eq!(read.id.unwrap().producer, 3);
        for other in [
            "Processed a total of 3 messages",
            "Partition:x\tOffset:9\tv",
            "",
        ] {
            assert_eq!(read_line(other), Event::Said);
        }
    }
}

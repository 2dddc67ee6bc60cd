//! What Kafka's verifiable clients have written, read after the fact: clients that
//! ran in pods are known by their logs.

use serde::Deserialize;

use super::{Consumed, Event, verifiable};
use crate::records::{Outcome, RecordId, Sent, Workload};

/// What a `VerifiableProducer` has logged.
#[derive(Debug, Clone, Default)]
pub struct ProducerLog {
    /// Each record of which an outcome is known.
    pub sent: Vec<Sent>,
    /// The errors it reported, each once.
    pub errors: Vec<String>,
    /// When records were acknowledged, in milliseconds since 1970, as it logged them.
    pub acked_at: Vec<u64>,
}

/// What a `VerifiableConsumer` has logged.
#[derive(Debug, Clone, Default)]
pub struct ConsumerLog {
    /// What it read, a list a session.
    pub sessions: Consumed,
    /// The errors it reported, each once.
    pub errors: Vec<String>,
}

/// The part of a line that says when it was written, or that a commit failed.
#[derive(Deserialize)]
struct Line {
    timestamp: u64,
    name: String,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    error: Option<String>,
}

// === impl ProducerLog ===

impl ProducerLog {
    /// Reads the log of the producer with this number.
    pub fn read(log: &str, producer: u32) -> Self {
        let mut this = Self::default();
        this.go_on(log, producer);
        this
    }

    /// Reads what was logged since.
    pub fn go_on(&mut self, log: &str, producer: u32) {
        for line in log.lines() {
            let Event::Sent { value, result } = verifiable::read_line(line) else {
                continue;
            };
            let Some(id) = crate::records::parse_value(&value) else {
                continue;
            };
            if id.producer != producer {
                continue;
            }
            let outcome = match result {
                Ok(at) => {
                    self.acked_at.extend(timestamp(line));
                    Outcome::Acked(Some(at))
                }
                Err(error) => {
                    note(&mut self.errors, error);
                    Outcome::Unknown
                }
            };
            self.sent.push(sent(id, outcome));
        }
    }

    /// How many were acknowledged.
    pub fn acked(&self) -> usize {
        self.acked_at.len()
    }

    /// The longest time in milliseconds in which nothing was acknowledged, of those
    /// that ended after `since`.
    pub fn longest_pause(&self, since: u64) -> u64 {
        let pairs = self.acked_at.windows(2);
        let pauses = pairs.filter(|pair| pair[1] >= since);
        let pauses = pauses.map(|pair| pair[1].saturating_sub(pair[0]));
        pauses.max().unwrap_or_default()
    }
}

// === impl ConsumerLog ===

impl ConsumerLog {
    /// Reads a log.
    pub fn read(log: &str) -> Self {
        let mut this = Self::default();
        this.go_on(log);
        this
    }

    /// Reads what was logged since.
    pub fn go_on(&mut self, log: &str) {
        for line in log.lines() {
            match verifiable::read_line(line) {
                Event::Read(read) => match self.sessions.last_mut() {
                    Some(session) => session.push(read),
                    None => self.sessions.push(vec![read]),
                },
                Event::Reassigned => self.sessions.push(Vec::new()),
                Event::Sent { .. } | Event::Said => {
                    if let Some(error) = failed_commit(line) {
                        note(&mut self.errors, error);
                    }
                }
            }
        }
    }
}

fn sent(id: RecordId, outcome: Outcome) -> Sent {
    let value = verifiable::value(&Workload::new(id.producer, 0), id.seq);
    Sent {
        id,
        digest: crc32c::crc32c(value.as_bytes()),
        outcome,
    }
}

fn timestamp(line: &str) -> Option<u64> {
    let line: Line = serde_json::from_str(line).ok()?;
    Some(line.timestamp)
}

fn failed_commit(line: &str) -> Option<String> {
    let line: Line = serde_json::from_str(line).ok()?;
    let failed = line.name == "offsets_committed" && line.success == Some(false);
    failed.then(|| line.error.unwrap_or_else(|| "a commit failed".to_owned()))
}

fn note(errors: &mut Vec<String>, error: String) {
    if !errors.contains(&error) {
        errors.push(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Position;

    const WRITTEN: &str = r#"
{"timestamp":1000,"name":"startup_complete"}
{"timestamp":1100,"name":"producer_send_success","key":null,"value":"3.0","topic":"t","partition":1,"offset":7}
{"timestamp":1900,"name":"producer_send_success","key":null,"value":"3.2","topic":"t","partition":1,"offset":8}
{"timestamp":1950,"name":"producer_send_error","exception":"class x.TimeoutException","message":"late","topic":"t","key":null,"value":"3.1"}
{"timestamp":2000,"name":"producer_send_success","key":null,"value":"9.0","topic":"t","partition":1,"offset":9}
"#;

    #[test]
    fn a_producer_s_log_tells_what_was_acknowledged_and_when() {
        let log = ProducerLog::read(WRITTEN, 3);
        assert_eq!(log.acked(), 2);
        assert_eq!(log.errors, ["class x.TimeoutException: late"]);
        assert_eq!(log.longest_pause(0), 800);
        assert_eq!(log.longest_pause(1901), 0);
        let at = Position {
            partition: 1,
            offset: 7,
        };
        assert_eq!(log.sent[0].outcome, Outcome::Acked(Some(at)));
    }

    #[test]
    fn a_log_that_goes_on_is_read_where_reading_ended() {
        let half = WRITTEN.find("{\"timestamp\":1900").unwrap();
        let (mut log, whole) = (ProducerLog::default(), ProducerLog::read(WRITTEN, 3));
        log.go_on(&WRITTEN[..half], 3);
        assert_eq!(log.acked(), 1);
        log.go_on(&WRITTEN[half..], 3);
        assert_eq!((log.sent.len(), log.acked()), (whole.sent.len(), 2));
        assert_eq!(log.longest_pause(0), 800);
    }

    #[test]
    fn a_consumer_s_log_tells_what_it_read_and_which_commits_failed() {
        let log = r#"
{"timestamp":1,"name":"partitions_assigned","partitions":[]}
{"timestamp":2,"name":"record_data","key":null,"value":"3.0","topic":"t","partition":1,"offset":7}
{"timestamp":3,"name":"offsets_committed","offsets":[],"success":true}
{"timestamp":4,"name":"offsets_committed","offsets":[],"error":"no","success":false}
"#;
        let log = ConsumerLog::read(log);
        let sessions: Vec<_> = log.sessions.iter().map(Vec::len).collect();
        assert_eq!(sessions, [1]);
        assert_eq!(log.errors, ["no"]);
    }
}

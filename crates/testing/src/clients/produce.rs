//! Reading what a producer prints until it ends.

use std::collections::HashMap;
use std::time::Duration;

use super::process::Process;
use super::{Client, ClientError, Event, Produced, Run, verifiable};
use crate::records::{Outcome, Position, Sent, Workload};

/// What a producer has told so far.
#[derive(Default)]
struct Told {
    /// By value, since that is what all of them repeat.
    results: HashMap<String, Result<Position, String>>,
    errors: Vec<String>,
}

/// Feeds the client, if it is one that is fed, and reads until it ends.
pub(super) async fn produce(
    client: Client,
    run: Run,
    timeout: Duration,
    workload: &Workload,
) -> Result<Produced, ClientError> {
    let Run {
        mut process,
        read_line,
    } = run;
    if client != Client::JavaVerifiable {
        process.feed(*workload);
    }
    let mut told = Told::default();
    let work = async {
        told.read_all(&mut process, read_line).await?;
        process.wait().await
    };
    let status = match tokio::time::timeout(timeout, work).await {
        Ok(status) => status?,
        Err(_) => return Err(client.timed_out(timeout, told.results.len(), &process)),
    };

    for error in process.errors() {
        told.error(&error);
    }
    if !status.success() && told.errors.is_empty() {
        told.error(&format!("ended with {status}: {}", process.said()));
    }
    let sent = (0..workload.count)
        .map(|seq| told.sent(client, workload, seq))
        .collect();
    Ok(Produced {
        sent,
        errors: told.errors,
    })
}

// === impl Told ===

impl Told {
    async fn read_all(
        &mut self,
        process: &mut Process,
        read_line: fn(&str) -> Event,
    ) -> Result<(), ClientError> {
        while let Some(line) = process.line().await? {
            if let Event::Sent { value, result } = read_line(&line) {
                if let Err(error) = &result {
                    self.error(error);
                }
                self.results.insert(value, result);
            } else {
                process.remember(line);
            }
        }
        Ok(())
    }

    fn error(&mut self, error: &str) {
        if !self.errors.iter().any(|known| known == error) {
            self.errors.push(error.to_owned());
        }
    }

    /// What became of one record. Of a client that tells nothing record by
    /// record, an error leaves all of them open.
    fn sent(&self, client: Client, workload: &Workload, seq: u64) -> Sent {
        let value = match client {
            Client::JavaVerifiable => verifiable::value(workload, seq),
            _ => workload.value(seq),
        };
        let outcome = match self.results.get(&value) {
            Some(Ok(at)) => Outcome::Acked(Some(*at)),
            Some(Err(error)) if is_refusal(error) => Outcome::Refused,
            Some(Err(_)) => Outcome::Unknown,
            None if client.tells() || !self.errors.is_empty() => Outcome::Unknown,
            None => Outcome::Acked(None),
        };
        Sent {
            digest: crc32c::crc32c(value.as_bytes()),
            ..workload.sent(seq, outcome)
        }
    }
}

/// Whether an error of one record means that it was not written.
fn is_refusal(error: &str) -> bool {
    ["AuthorizationException", "AuthorizationFailedError"]
        .iter()
        .any(|sign| error.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(client: Client, told: &Told) -> Outcome {
        told.sent(client, &Workload::new(1, 1), 0).outcome
    }

    #[test]
    fn an_outcome_is_never_better_than_what_was_told() {
        let silent = Told::default();
        assert_eq!(outcome(Client::Kcat, &silent), Outcome::Acked(None));
        assert_eq!(outcome(Client::JavaVerifiable, &silent), Outcome::Unknown);

        let mut error = Told::default();
        error.error("% ERROR: Local: Broker transport failure");
        assert_eq!(outcome(Client::Kcat, &error), Outcome::Unknown);
    }

    #[test]
    fn a_refusal_is_told_from_other_errors() {
        for (error, wanted) in [
            (
                "class o.a.k.c.errors.TopicAuthorizationException: no",
                Outcome::Refused,
            ),
            ("TopicAuthorizationFailedError: no", Outcome::Refused),
            (
                "class o.a.k.c.errors.TimeoutException: late",
                Outcome::Unknown,
            ),
        ] {
            let mut told = Told::default();
            let result = Err(error.to_owned());
            told.results.insert("1.0".to_owned(), result.clone());
            told.results.insert(Workload::new(1, 1).value(0), result);
            assert_eq!(outcome(Client::JavaVerifiable, &told), wanted);
            assert_eq!(outcome(Client::KafkaPython, &told), wanted);
        }
    }
}

//! Copying a topic in transactions.

use super::process::Process;
use super::{Client, ClientError, Target};
use crate::tools::Tools;

/// Records of one transaction. Each takes some 300 ms: with Kafka's transactions of
/// version 2 the first write of one meets the end of the one before, and waits.
const TRANSACTION: &str = "500";

/// Copies all that is in the target's topic to another one with as many
/// partitions: Kafka's `TransactionalMessageCopier`, which commits what it has
/// consumed in the transaction in which it produced it, and aborts some
/// transactions at random. Who then reads committed records only must find each
/// record once and in order. Gives the lines in which it told how far it was.
///
/// # Errors
/// If it cannot be run, gives up, or has not done its work in the target's time.
pub async fn copy_in_transactions(
    tools: &Tools,
    from: &Target,
    to: &str,
    id: &str,
) -> Result<Vec<String>, ClientError> {
    let mut command = tools.kafka("org.apache.kafka.tools.TransactionalMessageCopier");
    command
        .args(["--broker-list", &from.bootstrap])
        .args(["--input-topic", &from.topic, "--input-partition", "-1"])
        .args(["--output-topic", to, "--transactional-id", id])
        .args(["--consumer-group", &from.group_or_own()])
        .args(["--transaction-size", TRANSACTION, "--enable-random-aborts"])
        .args(["--group-mode", "--use-group-metadata"]);
    let mut process = Process::start(command, None, |_| false)?;
    let mut told = Vec::new();
    let work = async {
        while let Some(line) = process.line().await? {
            process.remember(line.clone());
            told.push(line);
        }
        process.wait().await
    };
    let client = Client::JavaVerifiable;
    match tokio::time::timeout(from.timeout, work).await {
        Ok(Ok(status)) if status.success() => Ok(told),
        Ok(Ok(status)) => Err(ClientError::Ended {
            client,
            status,
            records: told.len(),
            said: process.said(),
        }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(client.timed_out(from.timeout, told.len(), &process)),
    }
}

//! Records that flow while something is done.

use std::time::Duration;

use anyhow::{Result, ensure};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, Until};
use tubeway_testing::records::Workload;
use tubeway_testing::tools::Tools;

use super::Installation;
use super::mesh::{Connection, check, topic};

/// Records a second.
const RATE: u32 = 1_000;
/// How long records flow before anything is done.
const BEFORE: Duration = Duration::from_secs(5);

/// Runs a future to its end on threads of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// Does something while records are produced to a topic of this name for so
/// long; every acknowledged one must be there afterwards, once and in order, and
/// the producer must have seen no error.
pub fn under_load(
    on: &Installation,
    name: &str,
    span: Duration,
    act: impl FnOnce(&Installation) -> Result<()>,
) -> Result<()> {
    topic(on, name)?;
    let tools = Tools::ensure()?;
    let producer = Connection::start(on, "checkout")?;
    let consumer = Connection::start(on, "billing")?;
    let workload = Workload::new(7, span.as_secs() * u64::from(RATE)).at_rate(RATE);
    block_on(async {
        let target = producer.target(name);
        let load = Client::JavaVerifiable.produce(&tools, &target, &workload);
        let acting = async {
            tokio::time::sleep(BEFORE).await;
            tokio::task::block_in_place(|| act(on))
        };
        let (load, acted) = tokio::join!(load, acting);
        acted?;
        let load = load?;
        let sessions = Client::JavaVerifiable
            .consume(&tools, &consumer.target(name), Until::End)
            .await?;
        ensure!(load.errors.is_empty(), "the producer saw {:?}", load.errors);
        check(&History {
            sent: load.sent,
            sessions,
        })
    })
}

//! Records that flow while something is done.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, ClientError, Until, copy_in_transactions};
use tubeway_testing::records::{Outcome, Sent, Workload};
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
    let target = producer.target(name);
    let producing = Client::JavaVerifiable.produce(&tools, &target, &workload);
    let load = beside(producing, || {
        std::thread::sleep(BEFORE);
        act(on)
    })?;
    ensure!(load.errors.is_empty(), "the producer saw {:?}", load.errors);
    let target = consumer.target(name);
    let consuming = Client::JavaVerifiable.consume(&tools, &target, Until::End);
    check(&History {
        sent: load.sent,
        sessions: block_on(consuming)?,
    })
}

/// Does something while a client works. Each has a thread of its own: a client
/// whose output nobody reads stands still.
fn beside<T, E>(
    client: impl Future<Output = Result<T, E>> + Send,
    act: impl FnOnce() -> Result<()>,
) -> Result<T>
where
    T: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    std::thread::scope(|scope| {
        let client = scope.spawn(|| block_on(client));
        let acted = act();
        let done = client.join().map_err(|_| anyhow!("the client's thread"))?;
        acted?;
        Ok(done?)
    })
}

/// Does something while so many records are copied from one topic to another in
/// transactions, some of them aborted. Who reads committed records only must find
/// each record in the copy, once and in order.
pub fn under_transactions(
    on: &Installation,
    count: u64,
    act: impl FnOnce(&Installation) -> Result<()>,
) -> Result<()> {
    let copy = Copy::prepare(on, "transactions", count)?;
    let told = beside(copy.run(), || act(on))?;
    println!("{}", told.last().map_or("", String::as_str));
    copy.check()
}

/// Records that are copied from one topic to another in transactions.
pub struct Copy {
    tools: Tools,
    connection: Connection,
    name: String,
    count: u64,
    sent: Vec<Sent>,
}

// === impl Copy ===

impl Copy {
    /// Makes two topics whose names begin with `name`, and fills the first.
    pub fn prepare(on: &Installation, name: &str, count: u64) -> Result<Self> {
        let copy = Self {
            tools: Tools::ensure()?,
            connection: Connection::start(on, "checkout")?,
            name: name.to_owned(),
            count,
            sent: Vec::new(),
        };
        topic(on, &copy.from())?;
        topic(on, &copy.to())?;
        let (target, workload) = (
            copy.connection.target(&copy.from()),
            Workload::new(9, count),
        );
        let load = Client::JavaVerifiable.produce(&copy.tools, &target, &workload);
        let load = block_on(load)?;
        ensure!(load.errors.is_empty(), "the producer saw {:?}", load.errors);
        let sent = load.sent;
        Ok(Self { sent, ..copy })
    }

    /// Copies all; gives what the copying program tells.
    pub async fn run(&self) -> Result<Vec<String>, ClientError> {
        let from = self.connection.target(&self.from());
        copy_in_transactions(&self.tools, &from, &self.to(), &self.name).await
    }

    /// Reads what was committed, and compares.
    pub fn check(self) -> Result<()> {
        let target = self.connection.target(&self.to());
        let target = target.with_property("isolation.level", "read_committed");
        let until = Until::Records(self.count);
        let reading = Client::JavaVerifiable.consume(&self.tools, &target, until);
        let sessions = block_on(reading)?;
        // Where a record was put in the first topic says nothing about the copy.
        let copied = self.sent.into_iter().map(|sent| Sent {
            outcome: Outcome::Acked(None),
            ..sent
        });
        check(&History {
            sent: copied.collect(),
            sessions,
        })
    }

    fn from(&self) -> String {
        format!("{}-from", self.name)
    }

    fn to(&self) -> String {
        format!("{}-to", self.name)
    }
}

//! What the cluster controller asks of a Kafka cluster, and what it tells it.
//!
//! Everything that it tells is a state to be reached, not a step to be made:
//! telling it twice is telling it once, so an answer that is lost is no harm.

mod look;
mod survey;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tubeway_api::QuorumStatus;
use tubeway_config::{ClusterRef, ports};
use tubeway_planner::reassign::{Change, DiskMove, LogDir, Placed, ThrottlePlan, Throttled};
use tubeway_planner::{Cordon, Health, PartitionId, VoterChange, VoterSet};

use crate::kafka_admin::{AdminDirectory, AdminError, BrokerAddress, ConfigChange, Entry, Feature};

/// How long Kafka may take to answer everything.
const ANSWER: Duration = Duration::from_secs(15);
/// How long many brokers may take to say what they hold, and one order to be
/// carried out.
const LONG_ANSWER: Duration = Duration::from_mins(1);

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The quorum, the brokers and what holds for all of them. No node may be
    /// taken out by the answer.
    Quorum,
    /// Every partition, too.
    Partitions,
}

/// What one look at a Kafka cluster found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What restarts depend on.
    pub health: Health,
    /// What the status shows.
    pub quorum: QuorumStatus,
    /// What joining and leaving depend on.
    pub voters: VoterSet,
    /// Registered brokers, fenced ones among them.
    pub brokers: BTreeMap<u32, Registered>,
    /// Options that are set for all brokers while they run.
    pub defaults: BTreeMap<String, String>,
    /// Features, by name.
    pub features: BTreeMap<String, Feature>,
}

/// A registered broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// Registered, but leads nothing: starting, shutting down, or away.
    pub fenced: bool,
}

/// Who holds what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Every partition.
    pub partitions: Vec<Placed>,
    /// What the brokers that answered have.
    pub brokers: BTreeMap<u32, Holding>,
    /// Where replication is held back.
    pub throttled: Throttled,
}

/// What a broker has, by its own word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// Whether it takes new replicas.
    pub cordon: Cordon,
    /// Log directories that take none, where others of it do.
    pub cordoned: BTreeSet<String>,
    /// Whether it is told to cordon what it does not have, and so does nothing
    /// of what it alone is told.
    pub stale_cordon: bool,
    /// Its log directories, none of them leaving.
    pub dirs: Vec<LogDir>,
}

/// Something that a cluster is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// These partitions are led by their preferred leaders, where they can be.
    Elect(Vec<PartitionId>),
    /// The broker takes no new replicas, or takes them again.
    Cordon {
        /// Its id.
        broker: u32,
        /// Whether it takes none.
        cordoned: bool,
    },
    /// These log directories of the broker take no new replicas, and all others
    /// do.
    CordonDisks {
        /// The broker's id.
        broker: u32,
        /// Their paths.
        dirs: BTreeSet<String>,
    },
    /// A controller gets a vote or loses it.
    Vote(VoterChange),
    /// The broker is gone for good.
    Unregister(u32),
    /// Partitions move to these brokers.
    Reassign(Vec<Change>),
    /// Moving is held back, and no longer held back.
    Throttle(ThrottlePlan),
    /// Replicas move between a broker's disks.
    MoveBetweenDisks {
        /// The broker's id.
        broker: u32,
        /// What moves where.
        moves: Vec<DiskMove>,
    },
    /// Options of all brokers, while they run.
    Defaults(BTreeMap<String, ConfigChange>),
    /// A feature's level.
    Feature {
        /// Its name.
        name: &'static str,
        /// The level.
        level: i16,
        /// Whether that is lower than it was.
        down: bool,
    },
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// No broker can be reached at all.
    #[error("the cluster has no broker that can be reached")]
    Unreachable,
    /// The broker that it is about has no address.
    #[error("broker {0} has no address")]
    NoBroker(u32),
    /// No answer.
    #[error("Kafka did not answer within {} s", LONG_ANSWER.as_secs())]
    TimedOut,
    /// Kafka's own no, or a connection that broke.
    #[error("{}", .0.chain())]
    Admin(#[from] AdminError),
}

/// Asks Kafka clusters and tells them.
#[async_trait]
pub trait Kafka: Send + Sync + 'static {
    /// How the cluster is now; `None` when it cannot be asked, for whatever
    /// reason. Answers within 15 s either way.
    async fn look(&self, cluster: &ClusterRef, depth: Depth) -> Option<Report>;

    /// Who holds what, asked of these brokers themselves; `None` when the
    /// cluster cannot be asked. Answers within a minute.
    async fn survey(&self, cluster: &ClusterRef, brokers: &BTreeSet<u32>) -> Option<Survey>;

    /// Has an order carried out. One that is carried out already is no error.
    async fn tell(&self, cluster: &ClusterRef, order: &Order) -> Result<(), TellError>;
}

/// Speaks to clusters through Kafka's own protocol.
#[derive(Debug, Clone)]
pub struct RealKafka {
    admins: AdminDirectory,
}

// === impl Report ===

impl Report {
    /// Whether the broker is registered and follows the metadata, and is not let
    /// in yet (fenced): it has started, and reads its log. Its metadata goes on
    /// while it does, which tells it from one that is away or hangs. Brokers
    /// before Kafka 4.0 do not say who is fenced.
    pub fn recovers(&self, broker: u32) -> bool {
        let registered = self.brokers.get(&broker);
        let follows =
            self.voters.caught_up.contains(&broker) || self.voters.observers.contains_key(&broker);
        follows && registered.is_some_and(|broker| broker.fenced)
    }
}

// === impl RealKafka ===

impl RealKafka {
    /// Speaks to the clusters of this directory.
    pub fn new(admins: AdminDirectory) -> Self {
        Self { admins }
    }
}

#[async_trait]
impl Kafka for RealKafka {
    async fn look(&self, cluster: &ClusterRef, depth: Depth) -> Option<Report> {
        let entry = self.admins.get(cluster)?;
        answered(cluster, ANSWER, look::ask(&entry.admin, depth)).await
    }

    async fn survey(&self, cluster: &ClusterRef, brokers: &BTreeSet<u32>) -> Option<Survey> {
        let entry = self.admins.get(cluster)?;
        answered(cluster, LONG_ANSWER, survey::survey(&entry, brokers)).await
    }

    async fn tell(&self, cluster: &ClusterRef, order: &Order) -> Result<(), TellError> {
        let entry = self.admins.get(cluster).ok_or(TellError::Unreachable)?;
        let told = timeout(LONG_ANSWER, tell::tell(&entry, order)).await;
        told.unwrap_or(Err(TellError::TimedOut))?;
        tracing::info!(%cluster, %order, "kafka told");
        Ok(())
    }
}

async fn answered<T>(
    cluster: &ClusterRef,
    within: Duration,
    answer: impl Future<Output = Result<T, AdminError>>,
) -> Option<T> {
    match timeout(within, answer).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::info!(%cluster, error = error.chain(), "kafka could not be asked");
            None
        }
        Err(_) => {
            tracing::info!(%cluster, "kafka did not answer in time");
            None
        }
    }
}

/// Where a node serves clients.
fn address(entry: &Entry, id: u32) -> Option<BrokerAddress> {
    let mut nodes = entry.topology.nodes.iter();
    let node = nodes.find(|node| node.id == id)?;
    Some(BrokerAddress::new(node.host.clone(), ports::CLIENT))
}

// === impl Order ===

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elect(partitions) => {
                write!(
                    f,
                    "elect the preferred leaders of {} partitions",
                    partitions.len()
                )
            }
            Self::Cordon { broker, cordoned } => {
                let what = if *cordoned { "cordon" } else { "uncordon" };
                write!(f, "{what} broker {broker}")
            }
            Self::CordonDisks { broker, dirs } => {
                write!(f, "cordon {} disks of broker {broker}", dirs.len())
            }
            Self::Vote(VoterChange::Add { id, .. }) => write!(f, "give controller {id} a vote"),
            Self::Vote(VoterChange::Remove { id, .. }) => {
                write!(f, "take controller {id}'s vote away")
            }
            Self::Unregister(broker) => write!(f, "unregister broker {broker}"),
            Self::Reassign(changes) => write!(f, "move {} partitions", changes.len()),
            Self::Throttle(_) => f.write_str("change how fast replicas move"),
            Self::MoveBetweenDisks { broker, moves } => {
                write!(
                    f,
                    "move {} replicas between disks of broker {broker}",
                    moves.len()
                )
            }
            Self::Defaults(changes) => {
                let names: Vec<_> = changes.keys().map(String::as_str).collect();
                write!(f, "set options of all brokers: {}", names.join(", "))
            }
            Self::Feature { name, level, .. } => write!(f, "bring {name} to level {level}"),
        }
    }
}

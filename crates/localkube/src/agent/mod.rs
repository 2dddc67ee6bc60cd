//! A node agent that runs pods as processes of this machine.
//!
//! It does what a kubelet and a scheduler do on a cluster of one node: takes every pod, gives it
//! an address and its volumes, runs its containers by the restart, probe and termination rules of
//! Kubernetes, and writes the status a kubelet would write. To the API server it is an ordinary
//! client.
//!
//! # What differs from a node with containers
//! - Processes share the machine's file system: paths of mounts and images are replaced in
//!   commands, arguments and variables, not inside files; read-only mounts, users and resource
//!   limits are not enforced.
//! - Pods share one loopback interface: each has a /24 of 127.0.0.0/8, and `TUBEWAY_LOOPBACK` is
//!   set to the address that is the pod's loopback.
//! - When the agent ends, pods end: by [`AgentHandle::shutdown`] in order, otherwise by the next
//!   agent on the same folder, which then starts them again.
//!
//! # Layout of the state folder
//! | path | content |
//! |---|---|
//! | `agent.lock` | held by the running agent |
//! | `addresses.json` | pod networks by namespace and name |
//! | `pods/<uid>/` | volumes, home, credentials |
//! | `volumes/<namespace>/<claim uid>/` | persistent volumes |
//! | `logs/<namespace>_<pod>_<uid>/<container>/<run>.log` | output |
//! | `run/<pid>.json` | processes, for an agent that comes after a crash |

mod address;
mod backoff;
mod board;
mod claims;
mod container;
mod downward;
mod env;
mod events;
mod expand;
mod files;
mod images;
mod kube_store;
mod log_source;
pub mod logs;
mod manager;
mod mounts;
mod node;
mod paths;
mod pod;
mod probe;
mod process;
mod publish;
mod quantity;
mod records;
mod registration;
mod reporter;
mod state;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod tokens;
mod volumes;

pub use address::AddressRange;
pub use backoff::BackoffRule;
pub use images::{ImageTable, LocalImage};
pub use state::StateError;
pub use tokens::ApiAccess;

use claims::ClaimKeeper;
use events::Notebook;
use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube_store::KubeStore;
use logs::LogReader;
use manager::{Command, Manager};
use node::Node;
use registration::Registration;
use state::State;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::PodStore;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

/// What an agent needs to know.
pub struct AgentConfig {
    /// Reaches the API server, as somebody who may do what a kubelet, a scheduler and a volume
    /// provisioner may.
    pub client: kube::Client,
    /// Name of the Node object.
    pub node_name: String,
    /// Folder for everything the agent keeps; made if it is not there. Its path is UTF-8.
    pub state_dir: PathBuf,
    /// The images this node has.
    pub images: ImageTable,
    /// How pods reach the API server.
    pub api: ApiAccess,
    /// Addresses for pods.
    pub addresses: AddressRange,
    /// Waits between restarts.
    pub backoff: BackoffRule,
    /// How long processes that an agent before this one left have to stop.
    pub leftover_grace: Duration,
}

/// A running agent.
///
/// Dropping it kills every pod's processes at once; [`AgentHandle::shutdown`] stops them in order.
pub struct AgentHandle {
    commands: mpsc::Sender<Command>,
    manager: AbortOnDropHandle<()>,
    helpers: Vec<AbortOnDropHandle<()>>,
    registration: Option<Registration>,
    logs: LogReader,
    /// Released last.
    _state: State,
}

/// The node agent.
pub struct Agent;

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The state folder cannot be used; nothing in it was changed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The node could not be registered.
    #[error("cannot register node {node:?}: {source}")]
    Register {
        /// The node's name.
        node: String,
        /// What the API server or the way to it said.
        source: Box<kube::Error>,
    },
}

/// Changes of ConfigMaps and Secrets that a slow pod may be behind before it looks at everything.
const CHANGES: usize = 256;

// === impl Agent ===

impl Agent {
    /// Ends what an earlier agent left, registers the node and begins to take pods.
    ///
    /// # Errors
    /// The state folder is not usable or another agent has it, or the API server does not accept
    /// the node.
    pub async fn start(config: AgentConfig) -> Result<AgentHandle, AgentError> {
        let registration = Registration {
            client: config.client.clone(),
            name: config.node_name.clone(),
            address: Ipv4Addr::LOCALHOST,
        };
        let store = Arc::new(KubeStore::new(config.client.clone(), &config.node_name));
        let (client, node_name) = (config.client.clone(), config.node_name.clone());
        let state = State::open(&config.state_dir, config.leftover_grace).await?;
        registration
            .register()
            .await
            .map_err(|source| AgentError::Register {
                node: config.node_name.clone(),
                source: Box::new(source),
            })?;
        let keeper = ClaimKeeper {
            client,
            node_name,
            dirs: state.dirs.clone(),
            pod_ended: Arc::new(Notify::new()),
        };
        let ended = Arc::clone(&keeper.pod_ended);
        let mut handle = Self::run(config, store, state, ended)?;
        handle.help(keeper.run());
        handle.help(registration.clone().run());
        handle.registration = Some(registration);
        Ok(handle)
    }

    /// Runs pods from any store.
    fn run(
        config: AgentConfig,
        store: Arc<dyn PodStore>,
        state: State,
        ended: Arc<Notify>,
    ) -> Result<AgentHandle, AgentError> {
        let (changes, _) = broadcast::channel(CHANGES);
        let (notes, notebook) = Notebook::start(Arc::clone(&store));
        let logs = logs::LogBook::new(state.dirs.logs());
        let node = Arc::new(Node {
            store: Arc::clone(&store),
            node_name: config.node_name,
            host_ip: Ipv4Addr::LOCALHOST,
            dirs: state.dirs.clone(),
            images: config.images,
            api: config.api,
            backoff: config.backoff,
            logs: Arc::clone(&logs),
            records: records::ProcessRecords::new(state.dirs.running()),
            addresses: state.addresses(config.addresses)?,
            changes: changes.clone(),
            notes,
            host_env: node::HostEnv::of_this_process(),
        });
        let (commands, orders) = mpsc::channel(16);
        let manager = Manager::new(node, ended).run(orders);
        let mut handle = AgentHandle {
            commands,
            manager: AbortOnDropHandle::new(tokio::spawn(manager)),
            helpers: vec![AbortOnDropHandle::new(notebook)],
            registration: None,
            logs: LogReader::new(logs),
            _state: state,
        };
        handle.help(async move {
            let mut sources = store.source_changes();
            while let Some(key) = sources.next().await {
                // Nobody listens: no pod mounts anything.
                let _ = changes.send(key);
            }
        });
        Ok(handle)
    }
}

// === impl AgentHandle ===

impl AgentHandle {
    /// Reads the pods' logs.
    pub fn logs(&self) -> LogReader {
        self.logs.clone()
    }

    /// Stops pods one after the other: of each the main containers, then the sidecars, within
    /// `grace` or the pod's own grace, whichever is shorter. The objects stay; the next agent
    /// starts the pods again. A pod that does not run is passed over.
    pub async fn stop_pods(&self, order: Vec<(String, String)>, grace: Duration) {
        for (namespace, name) in order {
            let (done, stopped) = oneshot::channel();
            let command = Command::Halt {
                namespace,
                name,
                grace,
                done,
            };
            if self.commands.send(command).await.is_err() {
                return;
            }
            // An error means the manager has ended, and every pod with it.
            let _ = stopped.await;
        }
    }

    /// Stops all pods at once as [`AgentHandle::stop_pods`] does, each within its own grace, and
    /// reports the node as not ready.
    pub async fn shutdown(self) {
        let _ = self.commands.send(Command::Shutdown).await;
        let _ = self.manager.await;
        drop(self.helpers);
        if let Some(registration) = self.registration
            && let Err(error) = registration.report(false).await
        {
            tracing::warn!(%error, "node not reported as stopped");
        }
    }

    fn help(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let task: JoinHandle<()> = tokio::spawn(task);
        self.helpers.push(AbortOnDropHandle::new(task));
    }
}

/// Now, in whole seconds as the Kubernetes API keeps times.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

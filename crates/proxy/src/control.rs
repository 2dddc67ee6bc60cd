//! The stream of configuration from the operator.
//!
//! What arrives is checked whole before it takes effect; what cannot be used
//! is answered with the reason, and the last good document stays. It is also
//! kept on disk, so that a sidecar which restarts while the operator is away
//! knows its cluster.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tracing::{info, warn};
use tubeway_config::Topology;
use tubeway_config::stream::{Outcome, Report, SUBSCRIBE_PATH, Subscribe, TOPOLOGY, Update};
use tubeway_identity::IdentityStore;
use tubeway_identity::channel::{H2, tls_channel};
use tubeway_identity::tls::{Expected, client_config_checking_name};
use tubeway_telemetry::Shutdown;

use crate::settings::Settings;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The topology in force; `None` until the first one is known.
pub type Topologies = watch::Receiver<Option<Arc<Topology>>>;

/// Follows the operator's stream until the shutdown.
pub struct Control {
    settings: Arc<Settings>,
    identity: IdentityStore,
    topology: watch::Sender<Option<Arc<Topology>>>,
    saved: PathBuf,
}

/// Why one attempt at the stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamEnd {
    #[error("{} ({})", .0.message(), .0.code())]
    Status(#[from] tonic::Status),
    #[error("cannot reach it: {0}")]
    Transport(String),
    #[error("closed")]
    Closed,
}

// === impl Control ===

impl Control {
    /// Starts from what was saved, and follows the operator in a task.
    pub fn start(
        settings: Arc<Settings>,
        identity: IdentityStore,
        shutdown: Shutdown,
    ) -> Topologies {
        let saved = settings.state_dir.join("topology.json");
        let last = load(&saved, &settings);
        let (topology, receiver) = watch::channel(last);
        let control = Self {
            settings,
            identity,
            topology,
            saved,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = control.follow() => {}
                () = shutdown.wait() => {}
            }
        });
        receiver
    }

    async fn follow(&self) {
        self.identity.ready().await;
        let mut retry = FIRST_RETRY;
        loop {
            let had = self.topology.borrow().clone();
            let end = match self.stream().await {
                Ok(()) => StreamEnd::Closed,
                Err(end) => end,
            };
            if !unchanged(had.as_ref(), self.topology.borrow().as_ref()) {
                retry = FIRST_RETRY;
            }
            warn!(error = %end, address = %self.settings.control_plane.address,
                retry_ms = retry.as_millis() as u64, "configuration stream ended");
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    async fn stream(&self) -> Result<(), StreamEnd> {
        let plane = &self.settings.control_plane;
        let name = ServerName::try_from(plane.name.clone())
            .map_err(|e| StreamEnd::Transport(e.to_string()))?;
        let expected = Expected::only(plane.id.clone());
        let tls = client_config_checking_name(&self.identity, expected, &[H2]);
        let channel = tls_channel(&plane.address, name, tls)
            .map_err(|e| StreamEnd::Transport(e.to_string()))?;
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready()
            .await
            .map_err(|e| StreamEnd::Transport(e.to_string()))?;
        let (reports, outgoing) = mpsc::channel(16);
        let subscribe = Report {
            subscribe: Some(Subscribe {
                cluster_namespace: self.settings.cluster.namespace.clone(),
                cluster_name: self.settings.cluster.name.clone(),
                pod: self.settings.pod.clone(),
            }),
            outcome: None,
        };
        // The channel is new and has room, so this cannot wait.
        let _ = reports.send(subscribe).await;
        let codec = tonic_prost::ProstCodec::<Report, Update>::default();
        let response = grpc
            .streaming(
                tonic::Request::new(ReceiverStream::new(outgoing)),
                http::uri::PathAndQuery::from_static(SUBSCRIBE_PATH),
                codec,
            )
            .await?;
        let mut updates = response.into_inner();
        while let Some(update) = updates.message().await? {
            let outcome = self.apply(&update);
            let report = Report {
                subscribe: None,
                outcome: Some(outcome),
            };
            if reports.send(report).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, update: &Update) -> Outcome {
        let error = match update.concern.as_str() {
            TOPOLOGY => self.apply_topology(update).err().unwrap_or_default(),
            other => format!("this sidecar does not know the concern {other:?}"),
        };
        if !error.is_empty() {
            warn!(concern = update.concern, version = update.version, %error, "configuration refused");
        }
        Outcome {
            concern: update.concern.clone(),
            version: update.version,
            error,
        }
    }

    fn apply_topology(&self, update: &Update) -> Result<(), String> {
        let new = Topology::from_json(&update.document).map_err(|e| e.to_string())?;
        if new.cluster != self.settings.cluster {
            return Err(format!(
                "topology of {} given to a sidecar of {}",
                new.cluster, self.settings.cluster
            ));
        }
        let new = Arc::new(new);
        let changed = self.topology.send_if_modified(|current| {
            if unchanged(current.as_ref(), Some(&new)) {
                return false;
            }
            *current = Some(new.clone());
            true
        });
        if changed {
            info!(
                version = update.version,
                nodes = new.nodes.len(),
                "topology applied"
            );
            if let Err(error) = save(&self.saved, &update.document) {
                warn!(%error, "topology could not be saved for the next start");
            }
        }
        Ok(())
    }
}

fn unchanged(old: Option<&Arc<Topology>>, new: Option<&Arc<Topology>>) -> bool {
    old == new
}

fn load(path: &Path, settings: &Settings) -> Option<Arc<Topology>> {
    let bytes = std::fs::read(path).ok()?;
    match Topology::from_json(&bytes) {
        Ok(topology) if topology.cluster == settings.cluster => Some(Arc::new(topology)),
        Ok(_) => None,
        Err(error) => {
            warn!(%error, "saved topology is not usable");
            None
        }
    }
}

fn save(path: &Path, document: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, document)?;
    std::fs::rename(temporary, path)
}

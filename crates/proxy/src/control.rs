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
use tubeway_config::stream::{
    ACCESS, MAX_UPDATE, Outcome, PLACE, QUOTAS, Report, SUBSCRIBE_PATH, Subscribe, TOPOLOGY,
    USAGE_EVERY, Update, ZONES,
};
use tubeway_config::{Access, ClusterRef, Place, Quotas, Topology, UsageReporter, Zones};
use tubeway_identity::IdentityStore;
use tubeway_identity::channel::{H2, tls_channel};
use tubeway_identity::tls::{Expected, client_config_checking_name};
use tubeway_telemetry::Shutdown;

use crate::quotas::QuotasInForce;
use crate::rules::RulesInForce;
use crate::settings::Settings;
use crate::zones::{OwnZone, ZonesInForce};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The topology in force; `None` until the first one is known.
pub type Topologies = watch::Receiver<Option<Arc<Topology>>>;

/// Follows the operator's stream until the shutdown.
pub struct Control {
    settings: Arc<Settings>,
    identity: IdentityStore,
    topology: watch::Sender<Option<Arc<Topology>>>,
    in_force: InForce,
}

/// Who this pod is, to whom. Two stores for one name where Istio is the issuer:
/// neither side's roots then vouch for anything on the other's connections.
#[derive(Debug, Clone)]
pub struct Identities {
    /// To other pods.
    pub mesh: IdentityStore,
    /// To the operator, whose stream goes on while Istio is away.
    pub control: IdentityStore,
}

/// What the operator has told beside the topology. All but the pod's own zone
/// is for nodes' sidecars to enforce.
#[derive(Clone)]
pub struct InForce {
    /// Who may do what.
    pub rules: RulesInForce,
    /// Where callers are.
    pub zones: ZonesInForce,
    /// How much of it.
    pub quotas: QuotasInForce,
    /// Where this pod is.
    pub place: OwnZone,
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
    /// Starts from what was saved, and follows the operator in a task. What comes
    /// beside the topology is put into `in_force`.
    pub fn start(
        settings: Arc<Settings>,
        identity: IdentityStore,
        in_force: InForce,
        shutdown: Shutdown,
    ) -> Topologies {
        let (topology, receiver) = watch::channel(None);
        let control = Self {
            settings,
            identity,
            topology,
            in_force,
        };
        // Zones before the rules that need them.
        for concern in [PLACE, TOPOLOGY, ZONES, ACCESS, QUOTAS] {
            control.restore(concern);
        }
        tokio::spawn(async move {
            tokio::select! {
                () = control.follow() => {}
                () = shutdown.wait() => {}
            }
        });
        receiver
    }

    /// Takes the last good document of a concern, if one was saved.
    fn restore(&self, concern: &str) {
        let Ok(document) = std::fs::read(self.saved(concern)) else {
            return;
        };
        if let Err(error) = self.take(concern, &document) {
            warn!(concern, %error, "the saved configuration is not usable");
        }
    }

    fn saved(&self, concern: &str) -> PathBuf {
        self.settings.state_dir.join(format!("{concern}.json"))
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
            if had != *self.topology.borrow() {
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
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_UPDATE);
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
            ..Report::default()
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
        let mut usage = UsageReporter::default();
        let mut tick = tokio::time::interval(USAGE_EVERY);
        loop {
            let report = tokio::select! {
                update = updates.message() => match update? {
                    None => return Ok(()),
                    Some(update) => Report {
                        outcome: Some(self.apply(&update)),
                        ..Report::default()
                    },
                },
                _ = tick.tick() => {
                    let quotas = &self.in_force.quotas;
                    let used = quotas.used();
                    // Without limits of the whole cluster there is nothing to say.
                    let Some(usage) = usage.report(quotas.now(), &used).filter(|_| !used.is_empty())
                    else {
                        continue;
                    };
                    Report {
                        usage: Some(usage),
                        ..Report::default()
                    }
                }
            };
            if reports.send(report).await.is_err() {
                return Ok(());
            }
        }
    }

    fn apply(&self, update: &Update) -> Outcome {
        let Update {
            concern, version, ..
        } = update;
        let taken = self.take(concern, &update.document);
        match &taken {
            Ok(false) => {}
            Ok(true) => {
                info!(concern, version, "configuration applied");
                if let Err(error) = save(&self.saved(concern), &update.document) {
                    warn!(concern, %error, "configuration could not be saved for the next start");
                }
            }
            Err(error) => warn!(concern, version, %error, "configuration refused"),
        }
        Outcome {
            concern: concern.clone(),
            version: *version,
            error: taken.err().unwrap_or_default(),
        }
    }

    /// Checks a document and lets it take effect; whether it is another one
    /// than before.
    fn take(&self, concern: &str, document: &[u8]) -> Result<bool, String> {
        match concern {
            TOPOLOGY => self.take_topology(document),
            ACCESS => self.take_access(document),
            ZONES => self.take_zones(document),
            PLACE => self.take_place(document),
            QUOTAS => self.take_quotas(document),
            other => Err(format!("this sidecar does not know the concern {other:?}")),
        }
    }

    fn take_topology(&self, document: &[u8]) -> Result<bool, String> {
        let new = Topology::from_json(document).map_err(|e| e.to_string())?;
        self.check_cluster(&new.cluster)?;
        let new = Arc::new(new);
        Ok(self.topology.send_if_modified(|current| {
            let changed = current.as_ref() != Some(&new);
            if changed {
                *current = Some(new.clone());
            }
            changed
        }))
    }

    fn take_access(&self, document: &[u8]) -> Result<bool, String> {
        let new = Access::from_json(document).map_err(|e| e.to_string())?;
        self.check_cluster(&new.cluster)?;
        Ok(self.in_force.rules.replace(new.access))
    }

    fn take_zones(&self, document: &[u8]) -> Result<bool, String> {
        let new = Zones::from_json(document).map_err(|e| e.to_string())?;
        self.check_cluster(&new.cluster)?;
        Ok(self.in_force.zones.replace(&new))
    }

    fn take_place(&self, document: &[u8]) -> Result<bool, String> {
        let new = Place::from_json(document).map_err(|e| e.to_string())?;
        self.check_cluster(&new.cluster)?;
        Ok(self.in_force.place.replace(new.zone))
    }

    fn take_quotas(&self, document: &[u8]) -> Result<bool, String> {
        let new = Quotas::from_json(document).map_err(|e| e.to_string())?;
        self.check_cluster(&new.cluster)?;
        let replaced = self.in_force.quotas.replace(&new.quotas);
        replaced.map(|()| true).map_err(|e| e.to_string())
    }

    fn check_cluster(&self, of: &ClusterRef) -> Result<(), String> {
        let own = &self.settings.cluster;
        if of == own {
            return Ok(());
        }
        Err(format!("a document of {of} given to a sidecar of {own}"))
    }
}

fn save(path: &Path, document: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, document)?;
    std::fs::rename(temporary, path)
}

//! The node role: the sidecar in front of one broker.

mod egress;
mod files;
pub mod ingress;
mod internal;
mod login;
pub mod names;
mod watch_broker;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rand::distr::{Alphanumeric, SampleString as _};
use tracing::{info, warn};
use tubeway_config::{Topology, ports};
use tubeway_identity::IdentityStore;
use tubeway_identity::accept::ISTIO;
use tubeway_identity::jwt::LoginSigner;
use tubeway_identity::tls::{Expected, server_config};
use tubeway_policy::SpiffeId;
use tubeway_telemetry::Shutdown;

use crate::accept::Listener;
use crate::admin::Health;
use crate::control::{Control, Identities, InForce, Topologies};
use crate::metrics::Metrics;
use crate::quotas::QuotasInForce;
use crate::rules::RulesInForce;

use crate::settings::{NodeSettings, Settings};
use crate::zones::{OwnZone, ZonesInForce};
use egress::Egress;
use files::RunDir;
use ingress::Ingress;
use internal::Internal;
use watch_broker::Watched;

/// Everything a node's sidecar holds while it runs.
struct NodeSidecar {
    settings: Arc<Settings>,
    identity: IdentityStore,
    /// The identity of this node and of all others of its cluster.
    nodes: SpiffeId,
    secret: Arc<str>,
    run_dir: RunDir,
    topology: Topologies,
    in_force: InForce,
    metrics: Metrics,
    shutdown: Shutdown,
}

/// Runs until the shutdown.
pub async fn run(
    settings: Arc<Settings>,
    node: NodeSettings,
    identities: Identities,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
) -> Result<()> {
    let run_dir = RunDir::new(node.run_dir.clone());
    let signer = Arc::new(LoginSigner::generate().context("cannot make a key for logins")?);
    run_dir
        .write_jwks(&signer.jwks())
        .context("cannot write jwks.json for the broker")?;
    let secret = run_dir
        .peer_secret(|| Alphanumeric.sample_string(&mut rand::rng(), 32))
        .context("cannot write peer-secret for the broker")?;
    let in_force = InForce {
        rules: RulesInForce::default(),
        zones: ZonesInForce::default(),
        quotas: QuotasInForce::none()?,
        place: OwnZone::default(),
    };
    let identity = identities.mesh;
    let topology = Control::start(
        settings.clone(),
        identities.control,
        in_force.clone(),
        shutdown.clone(),
    );
    let nodes = tokio::select! {
        svid = identity.ready() => svid.id().clone(),
        () = shutdown.wait() => return Ok(()),
    };
    info!(node = node.node_id, peer = %nodes, "identity received");
    let sidecar = NodeSidecar {
        settings,
        identity,
        nodes,
        secret: secret.into(),
        run_dir,
        topology,
        in_force,
        metrics,
        shutdown,
    };
    sidecar.run(node.node_id, signer, health).await
}

// === impl NodeSidecar ===

impl NodeSidecar {
    async fn run(self, node_id: u32, signer: Arc<LoginSigner>, health: Health) -> Result<()> {
        let broker = self.settings.addresses.broker(ports::CLIENT);
        let names =
            names::TopicNames::start(broker, signer.clone(), self.nodes.clone(), &self.shutdown);
        let watched = Watched {
            node_id,
            broker,
            controller: self.settings.addresses.broker(ports::CONTROLLER),
            identity: self.nodes.clone(),
            signer: signer.clone(),
            topology: self.topology.clone(),
        };
        let takes_logins = watch_broker::start(watched, health.clone(), self.shutdown.clone());
        let ingress = Ingress {
            tls: server_config(&self.identity, Expected::InTrustDomain, &[ISTIO]),
            identity: self.identity.clone(),
            broker,
            signer,
            takes_logins,
            names,
            rules: self.in_force.rules.clone(),
            zones: self.in_force.zones.clone(),
            quotas: self.in_force.quotas.clone(),
            metrics: self.metrics.clone(),
            shutdown: self.shutdown.clone(),
        };
        let mesh = |port| self.settings.addresses.mesh(port);
        let listener = Listener::bind("client", mesh(ports::CLIENT), self.metrics.clone()).await?;
        let serve = move |stream, from| ingress.clone().serve(stream, from);
        let clients = tokio::spawn(listener.run(self.shutdown.clone(), serve));
        for (name, port) in [
            ("replication", ports::REPLICATION),
            ("controller", ports::CONTROLLER),
        ] {
            let internal = self.internal(name, port);
            let listener = Listener::bind(name, mesh(port), self.metrics.clone()).await?;
            let serve = move |stream, from| internal.clone().serve(stream, from);
            tokio::spawn(listener.run(self.shutdown.clone(), serve));
        }
        self.follow_topology(node_id, &health).await?;
        // The process ends with this: first clients get the answers they wait for.
        clients.await.context("the clients' listener failed")
    }

    fn internal(&self, listener: &'static str, port: u16) -> Internal {
        Internal {
            listener,
            tls: server_config(&self.identity, Expected::only(self.nodes.clone()), &[]),
            identity: self.identity.clone(),
            broker: self.settings.addresses.broker(port),
            secret: self.secret.clone(),
            metrics: self.metrics.clone(),
            shutdown: self.shutdown.clone(),
        }
    }

    /// Keeps the hosts file and the egress listeners as the topology says, and
    /// reports the sidecar as started once they are.
    async fn follow_topology(mut self, node_id: u32, health: &Health) -> Result<()> {
        let mut egress: BTreeMap<u32, Shutdown> = BTreeMap::new();
        loop {
            let current = self.topology.borrow_and_update().clone();
            if let Some(topology) = current {
                self.apply(&topology, &mut egress).await?;
                if topology.node(node_id).is_some() {
                    health.set_started();
                }
            }
            tokio::select! {
                // The shutdown ends that task, too, which is no error then.
                biased;
                () = self.shutdown.wait() => break,
                changed = self.topology.changed() => changed.context("the configuration stream task ended")?,
            }
        }
        for stop in egress.values() {
            stop.begin();
        }
        Ok(())
    }

    async fn apply(&self, topology: &Topology, egress: &mut BTreeMap<u32, Shutdown>) -> Result<()> {
        // Listeners first: a name in the hosts file must lead somewhere.
        for node in &topology.nodes {
            if egress.contains_key(&node.id) {
                continue;
            }
            let Some(address) = self.settings.addresses.egress(node.id) else {
                warn!(
                    node = node.id,
                    "no egress address is left for a node of this id"
                );
                continue;
            };
            let stop = Shutdown::default();
            for port in [ports::REPLICATION, ports::CONTROLLER] {
                let at = SocketAddr::new(IpAddr::V4(address), port);
                let listener = Listener::bind("egress", at, self.metrics.clone()).await?;
                let way_out = self.egress(node.id, port, &stop);
                let serve = move |stream, from| way_out.clone().serve(stream, from);
                tokio::spawn(listener.run(stop.clone(), serve));
            }
            egress.insert(node.id, stop);
        }
        egress.retain(|id, stop| {
            let stays = topology.node(*id).is_some();
            if !stays {
                stop.begin();
            }
            stays
        });
        // A broker starts when there is a hosts file, and reads this once.
        if let Some(zone) = self.in_force.place.get() {
            self.run_dir
                .write_rack(&zone)
                .context("cannot write the rack file for the broker")?;
        }
        self.run_dir
            .write_hosts(topology, &self.settings.addresses)
            .context("cannot write the hosts file for the broker")
    }

    fn egress(&self, node_id: u32, port: u16, stop: &Shutdown) -> Egress {
        Egress {
            node_id,
            port,
            pod: self.settings.addresses.pod,
            nodes: self.nodes.clone(),
            secret: self.secret.clone(),
            topology: self.topology.clone(),
            identity: self.identity.clone(),
            shutdown: stop.clone(),
        }
    }
}

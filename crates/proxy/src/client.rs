//! The client role: the sidecar beside an application.
//!
//! The application talks plain Kafka to loopback ports, one for the bootstrap
//! and one for each broker; the sidecar makes each connection mutual TLS to
//! that broker's sidecar and keeps the application on the loopback ports by
//! rewriting the broker addresses in responses.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use tubeway_config::{ClusterRef, Node, Topology, ports};
use tubeway_identity::IdentityStore;
use tubeway_policy::SpiffeId;
use tubeway_session::{Routes, Session};
use tubeway_telemetry::Shutdown;

use crate::accept::Listener;
use crate::admin::Health;
use crate::ahead::ReadAhead;
use crate::control::{Control, Identities, InForce, Topologies};
use crate::dial;
use crate::metrics::Metrics;
use crate::node::names::TopicNames;
use crate::observe::{ConnectionLine, Counting};
use crate::pump::{NoQuestions, pump};
use crate::quotas::QuotasInForce;
use crate::rules::RulesInForce;
use crate::settings::{ClientSettings, Settings};
use crate::zones::{OwnZone, ZonesInForce};

/// Serves the application's connections.
#[derive(Clone)]
struct ClientSidecar {
    settings: Arc<Settings>,
    client: ClientSettings,
    identity: IdentityStore,
    own: SpiffeId,
    topology: Topologies,
    /// The pod's zone, unless the settings say it.
    place: OwnZone,
    /// Takes turns among the brokers for bootstrap connections.
    turn: Arc<AtomicUsize>,
    names: TopicNames,
    listeners: TaskTracker,
    metrics: Metrics,
    shutdown: Shutdown,
}

/// Runs until the shutdown.
pub async fn run(
    settings: Arc<Settings>,
    client: ClientSettings,
    identities: Identities,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
) -> Result<()> {
    // Rules and quotas are for the nodes' sidecars: none come here.
    let in_force = InForce {
        rules: RulesInForce::default(),
        zones: ZonesInForce::default(),
        quotas: QuotasInForce::none()?,
        place: OwnZone::default(),
    };
    let place = in_force.place.clone();
    let identity = identities.mesh;
    let topology = Control::start(
        settings.clone(),
        identities.control,
        in_force,
        shutdown.clone(),
    );
    let own = tokio::select! {
        svid = identity.ready() => svid.id().clone(),
        () = shutdown.wait() => return Ok(()),
    };
    info!(peer = %own, "identity received");
    let sidecar = ClientSidecar {
        settings,
        client,
        identity,
        own,
        topology,
        place,
        turn: Arc::default(),
        listeners: TaskTracker::new(),
        names: TopicNames::default(),
        metrics,
        shutdown,
    };
    sidecar.run(&health).await
}

// === impl ClientSidecar ===

impl ClientSidecar {
    async fn run(mut self, health: &Health) -> Result<()> {
        let mut brokers: BTreeSet<u32> = BTreeSet::new();
        let mut bootstrap = false;
        loop {
            let current = self.topology.borrow_and_update().clone();
            if let Some(topology) = current {
                self.listen(&topology, &mut brokers).await?;
                if !bootstrap && topology.brokers().next().is_some() {
                    self.listen_bootstrap().await?;
                    bootstrap = true;
                    health.set_started();
                    health.set_ready(true);
                }
            } else {
                debug!(cluster = %self.settings.cluster, "topology is not known yet");
            }
            tokio::select! {
                // The shutdown ends that task, too, which is no error then.
                biased;
                () = self.shutdown.wait() => break,
                changed = self.topology.changed() => changed.context("the configuration stream task ended")?,
            }
        }
        // The process ends with this: first clients get the answers they wait for.
        self.listeners.close();
        self.listeners.wait().await;
        Ok(())
    }

    /// A listener for each broker. One that has gone keeps its port: a client
    /// that still knows it is told by an error rather than by another broker.
    async fn listen(&self, topology: &Topology, known: &mut BTreeSet<u32>) -> Result<()> {
        for node in topology.brokers() {
            if known.contains(&node.id) {
                continue;
            }
            let Some(port) = self.client.broker_port(node.id) else {
                warn!(
                    node = node.id,
                    from = self.client.brokers_from,
                    "no loopback port is left for a broker of this id"
                );
                continue;
            };
            let address = self.settings.addresses.broker(port);
            let listener = Listener::bind("broker", address, self.metrics.clone()).await?;
            let (sidecar, id) = (self.clone(), node.id);
            let serve = move |stream, from| sidecar.clone().serve(stream, from, Some(id));
            self.listeners
                .spawn(listener.run(self.shutdown.clone(), serve));
            known.insert(node.id);
        }
        Ok(())
    }

    async fn listen_bootstrap(&self) -> Result<()> {
        let address = self.settings.addresses.broker(self.client.bootstrap_port);
        let listener = Listener::bind("bootstrap", address, self.metrics.clone()).await?;
        info!(%address, cluster = %self.settings.cluster, "ready for clients");
        let sidecar = self.clone();
        let serve = move |stream, from| sidecar.clone().serve(stream, from, None);
        self.listeners
            .spawn(listener.run(self.shutdown.clone(), serve));
        Ok(())
    }

    async fn serve(self, stream: TcpStream, from: SocketAddr, node_id: Option<u32>) {
        let Some(topology) = self.topology.borrow().clone() else {
            return;
        };
        let listener = match node_id {
            Some(_) => "broker",
            None => "bootstrap",
        };
        let own = self.own.as_str();
        let line = ConnectionLine::new(listener, from, own, self.metrics.clone());
        let broker = match node_id {
            Some(id) => self.dial(&topology, topology.node(id)).await,
            None => self.dial_any(&topology).await,
        };
        let Some(broker) = broker else {
            return line.refused("broker", &"no broker was reached");
        };
        let line = line.with_tls(broker.get_ref().1.protocol_version());
        let routes = Routes {
            host: self.settings.addresses.loopback.to_string(),
            brokers_from: self.client.brokers_from,
        };
        let rack = self.settings.rack.clone().or_else(|| self.place.get());
        let session = Session::client(routes, rack);
        let counting = Counting::new(self.metrics.clone(), own, self.names.clone());
        let mut counting = counting.learning_names();
        let end = pump(
            stream,
            broker,
            session,
            &mut counting,
            &NoQuestions,
            &self.shutdown,
        )
        .await;
        line.ended(&end, &counting);
    }

    async fn dial_any(&self, topology: &Topology) -> Option<Broker> {
        let brokers: Vec<&Node> = topology.brokers().collect();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for i in 0..brokers.len() {
            let node = brokers[(first + i) % brokers.len()];
            if let Some(broker) = self.dial(topology, Some(node)).await {
                return Some(broker);
            }
        }
        None
    }

    async fn dial(&self, topology: &Topology, node: Option<&Node>) -> Option<Broker> {
        let node = node?;
        let expected: SpiffeId = topology.identity.parse().ok()?;
        let pod = self.settings.addresses.pod;
        match dial::mesh(&self.identity, &expected, pod, node.address, ports::CLIENT).await {
            Ok(broker) => Some(broker),
            Err(error) => {
                let cluster: &ClusterRef = &topology.cluster;
                info!(%error, node = node.id, %cluster, "broker not reached");
                None
            }
        }
    }
}

type Broker = tokio_rustls::client::TlsStream<ReadAhead<TcpStream>>;

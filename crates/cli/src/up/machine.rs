//! The Kubernetes API and the node agent, in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _, discovery};
use tubeway_localkube::agent::{
    AddressRange, Agent, AgentConfig, AgentHandle, ApiAccess, BackoffRule, ImageTable, LocalImage,
};
use tubeway_localkube::{Config, Server};

use crate::progress::Progress;
use crate::state::State;
use crate::status;
use crate::up::preflight::Found;
use crate::up::stop_order;

/// How long a pod may take to stop before it is killed. A broker that stops
/// as the last of its quorum cannot hand anything over and would wait.
const GRACE: Duration = Duration::from_secs(20);
const NODE_NAME: &str = "localhost";

/// How long what a killed `up` left behind has to stop.
const LEFTOVER_GRACE: Duration = Duration::from_secs(10);

/// What serves and runs everything.
pub struct Machine {
    server: Server,
    agent: AgentHandle,
    client: Client,
}

// === impl Machine ===

impl Machine {
    /// Starts both; what ran before on this state folder runs again.
    pub async fn start(state: &State, listen: SocketAddr, found: &Found) -> Result<Self> {
        let server = Server::start(Config::new(state.kube(), listen))
            .await
            .context("cannot serve the Kubernetes API; --api-port chooses another port")?;
        write_kubeconfig(state, &server.admin_kubeconfig()?)?;
        let client = status::client(state).await?;
        let api = ApiAccess {
            url: server.url(),
            ca_pem: server.ca_pem().to_owned(),
        };
        let agent = Agent::start(AgentConfig {
            client: client.clone(),
            node_name: NODE_NAME.to_owned(),
            state_dir: state.node(),
            images: images(found),
            api,
            addresses: AddressRange::default(),
            backoff: BackoffRule::default(),
            leftover_grace: LEFTOVER_GRACE,
        })
        .await
        .context("cannot start the node agent")?;
        server.set_log_source(Arc::new(agent.logs()));
        Ok(Self {
            server,
            agent,
            client,
        })
    }

    /// URL of the Kubernetes API.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A client of it, as its administrator.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Stops every pod in order, then the agent and the API. Objects and
    /// volumes stay.
    pub async fn stop(self, progress: &Progress) -> Result<()> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let pods = pods.list(&ListParams::default()).await?.items;
        let active = active_controllers(&self.client).await.unwrap_or_default();
        for together in stop_order::groups(&pods, &active) {
            let names: Vec<String> = together
                .iter()
                .map(|(n, pod)| format!("{n}/{pod}"))
                .collect();
            progress.waits_for(&names.join(", "));
            let stops = together
                .into_iter()
                .map(|pod| self.agent.stop_pods(vec![pod], GRACE));
            futures::future::join_all(stops).await;
        }
        self.agent.shutdown().await;
        self.server.shutdown().await;
        Ok(())
    }
}

/// Cluster name and node id of each cluster's active controller.
async fn active_controllers(client: &Client) -> Result<Vec<(String, i64)>> {
    let gvk = GroupVersionKind::gvk("kafka.tubeway.dev", "v1alpha1", "KafkaCluster");
    let (resource, _) = discovery::pinned_kind(client, &gvk).await?;
    let clusters: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let clusters = clusters.list(&ListParams::default()).await?;
    Ok(clusters
        .iter()
        .filter_map(|cluster| {
            let leader = cluster.data["status"]["quorum"]["leader"].as_i64()?;
            Some((cluster.name_any(), leader))
        })
        .collect())
}

/// Which local files stand for which image.
fn images(found: &Found) -> ImageTable {
    let ours = || LocalImage {
        bin_dirs: vec![found.programs.clone()],
        ..LocalImage::default()
    };
    let table = ImageTable::new()
        .with("tubeway.dev/operator", ours())
        .with("tubeway.dev/proxy", ours());
    found.kafka.iter().fold(table, |table, (version, libs)| {
        let mut kafka = ours();
        kafka.paths = vec![("/opt/kafka/libs".to_owned(), libs.clone())];
        kafka.bin_dirs.extend(found.java.parent().map(Into::into));
        table.with(format!("tubeway.dev/kafka:{version}"), kafka)
    })
}

fn write_kubeconfig(state: &State, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = state.kubeconfig();
    let write = || {
        std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)?
            .write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

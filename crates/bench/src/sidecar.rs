//! The product's own pair, with everything on: the sidecar's program in both
//! roles, rules and quotas in force, logins at the broker.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tubeway_config::{Access, Node, NodeRole, Quotas, Topology};

use crate::authority::{DOMAIN, NODE, OPERATOR, OPERATOR_NAME};
use crate::pair::Starter;
use crate::process::Process;
use crate::route::{Pod, Route};
use crate::world;

/// Access rules in force.
pub const RULES: usize = 1_000;
/// The cluster's name.
const CLUSTER: &str = "kafka/demo";

/// The sidecar in front of the broker.
pub async fn node(starter: &Starter, route: Route, folder: &Path) -> Result<Process> {
    let mut command = command(starter, "node", "kafka/demo-node", route.node, folder)?;
    command
        .env("TUBEWAY_RUN_DIR", &starter.folder)
        .env("TUBEWAY_NODE_ID", "0");
    write_documents(&folder.join("node"), route)?;
    let mut process = Process::start("node", &mut command, folder)?;
    process
        .until(async |log: &str| log.contains("serves=true"))
        .await?;
    Ok(process)
}

/// The sidecar beside the client.
pub async fn client(starter: &Starter, route: Route, folder: &Path) -> Result<Process> {
    let mut command = command(starter, "client", "shop/checkout", route.client, folder)?;
    write_documents(&folder.join("client"), route)?;
    let mut process = Process::start("client", &mut command, folder)?;
    process
        .until(async |log: &str| log.contains("ready for clients"))
        .await?;
    Ok(process)
}

fn command(starter: &Starter, role: &str, token: &str, pod: Pod, folder: &Path) -> Result<Command> {
    let state = folder.join(role);
    std::fs::create_dir_all(&state)?;
    std::fs::write(state.join("token"), token)?;
    std::fs::write(state.join("roots.pem"), starter.authority.roots_pem())?;
    let mut command = Command::new(&starter.sidecar);
    command
        .arg(role)
        .env_clear()
        .env("TUBEWAY_LOG", "info")
        .env("POD_NAME", role)
        .env("POD_NAMESPACE", "bench")
        .env("POD_IP", pod.address.to_string())
        .env("TUBEWAY_LOOPBACK", pod.loopback.to_string())
        .env("TUBEWAY_CLUSTER", CLUSTER)
        .env("TUBEWAY_TRUST_DOMAIN", DOMAIN)
        .env("TUBEWAY_CONTROL_PLANE", &starter.authority.address)
        .env("TUBEWAY_CONTROL_PLANE_NAME", OPERATOR_NAME)
        .env("TUBEWAY_CONTROL_PLANE_ID", OPERATOR)
        .env("TUBEWAY_TOKEN_FILE", state.join("token"))
        .env("TUBEWAY_ROOTS_FILE", state.join("roots.pem"))
        .env("TUBEWAY_STATE_DIR", &state);
    Ok(command)
}

/// What the operator would have sent, as a sidecar finds it after a restart.
fn write_documents(state: &Path, route: Route) -> Result<()> {
    let cluster = CLUSTER.parse().map_err(anyhow::Error::msg)?;
    let topology = Topology {
        cluster,
        identity: NODE.to_owned(),
        nodes: vec![Node {
            id: 0,
            host: "demo-0.demo-nodes.kafka.svc".to_owned(),
            address: route.node.address.into(),
            roles: [NodeRole::Broker].into(),
            rack: None,
        }],
    };
    let access = Access {
        cluster: topology.cluster.clone(),
        access: world::rules(RULES),
    };
    let quotas = Quotas {
        cluster: topology.cluster.clone(),
        quotas: world::quotas(),
    };
    for (name, document) in [
        ("topology.json", topology.to_json()),
        ("access.json", access.to_json()),
        ("quotas.json", quotas.to_json()),
    ] {
        std::fs::write(state.join(name), document)?;
    }
    Ok(())
}

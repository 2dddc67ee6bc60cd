//! The Node object and its heartbeat.

use super::downward::memory_bytes;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Keeps the node known to the API.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) client: kube::Client,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
}

/// The kubelet's figures.
const HEARTBEAT: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;
/// Heartbeats between two full reports of the node's status.
const REPORT_EVERY: u32 = 30;
const LEASES: &str = "kube-node-lease";

// === impl Registration ===

impl Registration {
    /// Registers the node once; the agent does not start without.
    pub(crate) async fn register(&self) -> Result<(), kube::Error> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = from(json!({"metadata": {"name": LEASES}}));
        ignore_existing(namespaces.create(&PostParams::default(), &namespace).await)?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let labels = json!({
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": std::env::consts::OS,
            "kubernetes.io/arch": architecture(),
        });
        let node = from(json!({"metadata": {"name": self.name, "labels": labels}}));
        ignore_existing(nodes.create(&PostParams::default(), &node).await)?;
        self.report(true).await?;
        self.renew_lease().await
    }

    /// Sends heartbeats until dropped.
    pub(crate) async fn run(self) {
        let mut ticks = tokio::time::interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        for beat in 1_u32.. {
            ticks.tick().await;
            let mut result = self.renew_lease().await;
            if result.is_ok() && beat % REPORT_EVERY == 0 {
                result = self.report(true).await;
            }
            if let Err(error) = result {
                tracing::warn!(node = self.name, %error, "node heartbeat failed");
            }
        }
    }

    /// Writes the node's status.
    pub(crate) async fn report(&self, ready: bool) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let known = nodes.get_opt(&self.name).await?;
        let status = self.status(known.as_ref(), ready);
        let params = PatchParams::default();
        nodes
            .patch_status(&self.name, &params, &Patch::Merge(status))
            .await
            .map(drop)
    }

    fn status(&self, known: Option<&Node>, ready: bool) -> Value {
        let now = Time(super::now());
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let resources = json!({
            "cpu": cpus.to_string(),
            "memory": format!("{}Ki", memory_bytes() / 1024),
            "pods": "250",
        });
        let condition = |type_: &str, holds: bool, reason: &str, message: &str| {
            let status = if holds { "True" } else { "False" };
            let since = known
                .and_then(|node| node.status.as_ref()?.conditions.as_ref())
                .and_then(|all| all.iter().find(|c| c.type_ == type_ && c.status == status))
                .and_then(|condition| condition.last_transition_time.clone());
            json!({
                "type": type_, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": now, "lastTransitionTime": since.unwrap_or(now.clone()),
            })
        };
        let ready = if ready {
            condition("Ready", true, "KubeletReady", "the agent runs pods")
        } else {
            condition("Ready", false, "KubeletNotReady", "the agent has stopped")
        };
        json!({"status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": self.address.to_string()},
                {"type": "Hostname", "address": self.name},
            ],
            "conditions": [
                condition("MemoryPressure", false, "KubeletHasSufficientMemory", ""),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure", ""),
                condition("PIDPressure", false, "KubeletHasSufficientPID", ""),
                ready,
            ],
            "nodeInfo": {
                "architecture": architecture(),
                "operatingSystem": std::env::consts::OS,
                "osImage": "local processes",
                "kernelVersion": read("/proc/sys/kernel/osrelease"),
                "bootID": read("/proc/sys/kernel/random/boot_id"),
                "machineID": read("/etc/machine-id"),
                "systemUUID": "",
                "containerRuntimeVersion": concat!("process://", env!("CARGO_PKG_VERSION")),
                "kubeletVersion": concat!("v", env!("CARGO_PKG_VERSION"), "-tubeway"),
                "kubeProxyVersion": "",
            },
        }})
    }

    async fn renew_lease(&self) -> Result<(), kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), LEASES);
        let now = MicroTime(Timestamp::now());
        let spec = json!({
            "holderIdentity": self.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now,
        });
        let patch = Patch::Merge(json!({"spec": spec}));
        match leases
            .patch(&self.name, &PatchParams::default(), &patch)
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let lease = from(json!({"metadata": {"name": self.name}, "spec": spec}));
                leases
                    .create(&PostParams::default(), &lease)
                    .await
                    .map(drop)
            }
            other => other.map(drop),
        }
    }
}

/// An object from literal JSON.
fn from<K: serde::de::DeserializeOwned + Default>(value: Value) -> K {
    serde_json::from_value(value).unwrap_or_default()
}

fn ignore_existing<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The processor architecture by the name Kubernetes gives it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

//! What `up` puts into the cluster, and when it counts as running.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _, discovery};
use serde_json::Value;
use tubeway_config::{ClusterRef, ports};
use tubeway_operator::cluster::build::SidecarSettings;
use tubeway_operator::config::Images;
use tubeway_operator::inject::{self, InjectConfig};
use tubeway_telemetry::Shutdown;

use crate::apply;
use crate::install;
use crate::mesh;
use crate::progress::Progress;
use crate::status;
use crate::up::wait::{Seen, dynamic, until};

const OPERATOR_WITHIN: Duration = Duration::from_secs(60);
const CLUSTER_WITHIN: Duration = Duration::from_secs(180);
const CLIENTS_WITHIN: Duration = Duration::from_secs(120);
const GROUP: &str = "kafka.tubeway.dev";

/// Installs the resource types, the operator's rights, and the operator.
pub async fn operator(client: &Client, cert_ttl: Duration) -> Result<()> {
    apply::all(client, install::kinds()?).await?;
    let mut documents = apply::documents(include_str!("../../manifests/operator.yaml"))?;
    let pod = documents.pop();
    apply::all(client, documents).await?;
    apply::all(
        client,
        apply::documents(include_str!("../../../../deploy/rbac.yaml"))?,
    )
    .await?;
    if let Some(mut pod) = pod {
        if let Some(args) = pod
            .pointer_mut("/spec/containers/0/args")
            .and_then(Value::as_array_mut)
        {
            args.push(format!("--cert-ttl={}s", cert_ttl.as_secs()).into());
        }
        apply::all(client, vec![pod]).await?;
    }
    Ok(())
}

/// Waits until the operator's pod is ready.
pub async fn wait_for_operator(
    client: &Client,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<()> {
    wait_for_pod(
        client,
        "tubeway-system",
        "tubeway-operator",
        OPERATOR_WITHIN,
        progress,
        shutdown,
    )
    .await
}

/// Applies the cluster, its topic, and who may use it.
pub async fn cluster(client: &Client, versions: &[String], loggers: &[String]) -> Result<()> {
    let mut documents = apply::documents(include_str!("../../manifests/demo.yaml"))?;
    let clusters = documents.iter_mut().filter(|d| d["kind"] == "KafkaCluster");
    for (cluster, version) in clusters.zip(versions) {
        cluster["spec"]["version"] = version.as_str().into();
    }
    for pool in documents
        .iter_mut()
        .filter(|d| d["kind"] == "KafkaNodePool")
    {
        for pair in loggers {
            let (logger, level) = pair
                .split_once('=')
                .with_context(|| format!("--kafka-log {pair:?} is not LOGGER=LEVEL"))?;
            pool["spec"]["loggers"][logger] = level.into();
        }
    }
    apply::all(client, documents).await
}

/// Waits for the cluster, its topic, and the access to it.
pub async fn wait_for_cluster(
    client: &Client,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<()> {
    for (kind, namespace, name, conditions) in [
        (
            "KafkaCluster",
            "kafka",
            "demo",
            ["Ready", "AccessApplied"].as_slice(),
        ),
        ("KafkaTopic", "shop", "orders", &["Ready"]),
    ] {
        let gvk = GroupVersionKind::gvk(GROUP, "v1alpha1", kind);
        let (resource, _) = discovery::pinned_kind(client, &gvk).await?;
        let api = dynamic(client, namespace, &resource);
        let look = |object: &kube::api::DynamicObject| {
            for condition in conditions {
                match status::condition(&object.data, condition) {
                    Some(text) if text == condition.to_lowercase() => {}
                    Some(text) => return Seen::NotYet(format!("{name} is {text}")),
                    None => {
                        return Seen::NotYet(format!("{name} has no condition {condition} yet"));
                    }
                }
            }
            Seen::Done
        };
        let report = |why: &str| progress.waits_for(why);
        until(api, name, CLUSTER_WITHIN, shutdown, look, report).await?;
    }
    Ok(())
}

/// Creates the clients' pods, each with its sidecar.
pub async fn clients(client: &Client) -> Result<()> {
    for document in apply::documents(include_str!("../../manifests/clients.yaml"))? {
        let mut pod: Pod = serde_json::from_value(document)?;
        inject::client_sidecar(&mut pod, &inject_config(client).await?)?;
        let mut value = serde_json::to_value(&pod)?;
        value["apiVersion"] = "v1".into();
        value["kind"] = "Pod".into();
        apply::all(client, vec![value]).await?;
    }
    Ok(())
}

/// Waits until the clients run.
pub async fn wait_for_clients(
    client: &Client,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<()> {
    for name in ["checkout", "billing", "intruder"] {
        wait_for_pod(client, "shop", name, CLIENTS_WITHIN, progress, shutdown).await?;
    }
    Ok(())
}

/// The cluster of the demonstration, reached through the operator's pod.
async fn inject_config(client: &Client) -> Result<InjectConfig> {
    let operator: Api<Pod> = Api::namespaced(client.clone(), "tubeway-system");
    let operator = operator.get("tubeway-operator").await?;
    let address = operator
        .status
        .and_then(|status| status.pod_ip)
        .context("the operator's pod has no address")?;
    let cluster = ClusterRef {
        namespace: "kafka".to_owned(),
        name: "demo".to_owned(),
    };
    Ok(InjectConfig {
        sidecar: SidecarSettings {
            image: Images::default().proxy,
            trust_domain: mesh::TRUST_DOMAIN.to_owned(),
            control_plane: format!("{address}:{}", ports::CONTROL_PLANE),
            control_plane_name: mesh::OPERATOR_NAME.to_owned(),
            control_plane_id: mesh::OPERATOR_ID.to_owned(),
            cluster,
            issuer: None,
        },
    })
}

async fn wait_for_pod(
    client: &Client,
    namespace: &str,
    name: &str,
    within: Duration,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<()> {
    let api = dynamic(client, namespace, &ApiResource::erase::<Pod>(&()));
    let look = |object: &kube::api::DynamicObject| {
        let pod: Option<Pod> = serde_json::to_value(object)
            .and_then(serde_json::from_value)
            .ok();
        match pod {
            Some(pod) if status::is_ready(&pod) => Seen::Done,
            pod => Seen::NotYet(format!(
                "{} is not ready{}",
                object.name_any(),
                why(pod.as_ref())
            )),
        }
    };
    until(api, name, within, shutdown, look, |why| {
        progress.waits_for(why);
    })
    .await
}

/// The first container that says why it waits.
fn why(pod: Option<&Pod>) -> String {
    pod.and_then(|pod| pod.status.as_ref())
        .into_iter()
        .flat_map(|status| {
            let init = status.init_container_statuses.iter().flatten();
            init.chain(status.container_statuses.iter().flatten())
        })
        .find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            let reason = waiting.reason.as_deref().unwrap_or("waiting");
            Some(format!(": container {} is {reason}", container.name))
        })
        .unwrap_or_default()
}

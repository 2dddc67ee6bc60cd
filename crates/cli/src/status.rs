//! `tubeway status`: what runs and where.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _, discovery};

use crate::state::State;

/// A client of the local Kubernetes API, as its administrator.
pub async fn client(state: &State) -> Result<Client> {
    let path = state.kubeconfig();
    let kubeconfig = Kubeconfig::read_from(&path)
        .with_context(|| format!("cannot read {}; `tubeway up` writes it", path.display()))?;
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Prints the state of the installation; fails where nothing runs.
pub async fn run(state: &State) -> Result<()> {
    let Some(running) = state.running()? else {
        println!("not running   state folder {}", state.root().display());
        println!("\nstart it with `tubeway up`");
        return Ok(());
    };
    println!(
        "running       process {}{}",
        running.pid,
        if running.ready {
            ""
        } else {
            ", still starting"
        }
    );
    println!("API server    {}", running.api);
    println!("kubeconfig    {}", state.kubeconfig().display());
    println!("logs          {}", state.node().join("logs").display());
    let client = client(state).await?;
    println!();
    clusters(&client).await?;
    pods(&client).await
}

async fn clusters(client: &Client) -> Result<()> {
    let gvk = GroupVersionKind::gvk("kafka.tubeway.dev", "v1alpha1", "KafkaCluster");
    let Ok((resource, _)) = discovery::pinned_kind(client, &gvk).await else {
        return Ok(());
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    for cluster in api.list(&ListParams::default()).await? {
        let ready = condition(&cluster.data, "Ready").unwrap_or_else(|| "unknown".to_owned());
        println!(
            "cluster       {}/{}  bootstrap {}  {ready}",
            cluster.namespace().unwrap_or_default(),
            cluster.name_any(),
            cluster.data["status"]["bootstrap"].as_str().unwrap_or("-"),
        );
    }
    Ok(())
}

async fn pods(client: &Client) -> Result<()> {
    let pods: Api<Pod> = Api::all(client.clone());
    for pod in pods.list(&ListParams::default()).await? {
        let status = pod.status.clone().unwrap_or_default();
        println!(
            "pod           {:<32} {:<10} {:<8} {}",
            format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any()),
            status.phase.clone().unwrap_or_else(|| "Pending".to_owned()),
            if is_ready(&pod) { "ready" } else { "not ready" },
            status.pod_ip.unwrap_or_default(),
        );
    }
    Ok(())
}

/// Whether the pod's `Ready` condition is true.
pub fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A condition of a custom resource as `True` or `False: message`.
pub fn condition(object: &serde_json::Value, kind: &str) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|c| c["type"] == kind)?;
    let status = condition["status"].as_str()?;
    let message = condition["message"].as_str().unwrap_or_default();
    Some(if status == "True" {
        kind.to_lowercase()
    } else {
        format!("not {}: {message}", kind.to_lowercase())
    })
}

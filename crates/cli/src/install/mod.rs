//! `tubeway install`, `upgrade`, `uninstall` and `render`: the operator on any
//! Kubernetes.

mod existing;
mod istio;
mod manifests;
mod remove;
mod scope;

use std::time::Duration;

use anyhow::{Result, bail};
use kube::Client;
use kube::core::GroupVersionKind;
use kube::discovery;
use serde_json::Value;
use tubeway_operator::config::duration;
use tubeway_operator::watched::Watched;
use tubeway_telemetry::Shutdown;

use crate::apply::{self, Change};
use crate::progress::Progress;
use crate::state::State;
use crate::target::Target;
use crate::up::wait::{Seen, dynamic, until};

pub use existing::Existing;
#[cfg(test)]
pub use istio::Istio;
pub use manifests::{Choices, OPERATOR, kinds};
pub use remove::{UninstallOptions, uninstall};
pub use scope::WATCHED;

/// What `tubeway install` takes.
#[derive(Debug, clap::Args)]
pub struct InstallOptions {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    choices: Choices,
    /// Also the demonstration: namespaces, a cluster of three nodes, a topic,
    /// and who may use it.
    #[arg(long, short)]
    all: bool,
    /// With --all: everything but the demonstration's cluster.
    #[arg(long)]
    no_demo_cluster: bool,
    #[command(flatten)]
    how: How,
}

/// What `tubeway upgrade` takes: what is not given stays as it is.
#[derive(Debug, clap::Args)]
pub struct UpgradeOptions {
    #[command(flatten)]
    target: Target,
    /// Where the images come from.
    #[arg(long, value_parser = manifests::registry)]
    registry: Option<String>,
    /// Tag of the operator's and the sidecars' images.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"), value_parser = manifests::tag)]
    tag: String,
    /// Life of the certificates, from 60s to 24h.
    #[arg(long, value_name = "DURATION", value_parser = manifests::life)]
    cert_ttl: Option<String>,
    /// Namespaces that the operator looks after, with commas between them; empty
    /// for all.
    #[arg(long, value_name = "NAMESPACES")]
    watch_namespaces: Option<Watched>,
    #[command(flatten)]
    istio: istio::IstioChange,
    #[command(flatten)]
    how: How,
}

/// How something is applied.
#[derive(Debug, clap::Args)]
struct How {
    /// Say what would change, as the server sees it, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// How long the operator may take to be available; 0s does not wait.
    #[arg(long, default_value = "180s", value_name = "DURATION", value_parser = duration)]
    wait: Duration,
}

/// What `tubeway render` takes.
#[derive(Debug, clap::Args)]
pub struct RenderOptions {
    #[command(flatten)]
    choices: Choices,
    /// The form of what is printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Form,
}

/// A form of manifests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// YAML documents.
    #[default]
    Yaml,
    /// One JSON list.
    Json,
}

/// Prints what an installation consists of.
pub fn render(options: &RenderOptions) -> Result<()> {
    let documents = options.choices.documents()?;
    match options.output {
        Form::Yaml => print!("{}", manifests::yaml(&documents)?),
        Form::Json => println!("{:#}", manifests::json(&documents)),
    }
    Ok(())
}

/// Installs the operator, or brings an installation to what was asked for.
pub async fn install(state: &State, options: &InstallOptions) -> Result<()> {
    let (client, url) = options.target.client(state).await?;
    if let Some(existing) = Existing::find(&client).await? {
        existing.allows(&client, &options.choices).await?;
    }
    let mut documents = options.choices.documents()?;
    if options.all && !options.no_demo_cluster {
        documents.extend(apply::documents(include_str!("../../manifests/demo.yaml"))?);
    }
    put(&client, &url, documents, &options.choices, &options.how).await
}

/// Brings an installation to this version.
pub async fn upgrade(state: &State, options: &UpgradeOptions) -> Result<()> {
    let (client, url) = options.target.client(state).await?;
    let Some(existing) = Existing::find(&client).await? else {
        bail!("nothing is installed at {url}; `tubeway install` installs it");
    };
    let mut choices = existing.choices.clone();
    choices.tag.clone_from(&options.tag);
    if let Some(registry) = &options.registry {
        choices.registry.clone_from(registry);
    }
    if let Some(life) = &options.cert_ttl {
        choices.cert_ttl.clone_from(life);
    }
    if let Some(watched) = &options.watch_namespaces {
        choices.watch_namespaces.clone_from(watched);
    }
    options.istio.apply(&mut choices.istio);
    existing.allows(&client, &choices).await?;
    let documents = choices.documents()?;
    put(&client, &url, documents, &choices, &options.how).await
}

async fn put(
    client: &Client,
    url: &str,
    mut documents: Vec<Value>,
    choices: &Choices,
    how: &How,
) -> Result<()> {
    scope::are_there(client, &choices.watch_namespaces, &documents).await?;
    // The demonstration's may be among those that rights are given in.
    documents.sort_by_key(|document| !scope::is_namespace(document));
    println!("{url}\n");
    let changes = put_all(client, documents, how).await?;
    // Not before the new rights are there.
    let taken = take_left_over(client, &choices.watch_namespaces, how).await?;
    if how.dry_run {
        println!(
            "\n{} objects would change; nothing was changed",
            changes + taken
        );
        return Ok(());
    }
    println!();
    if how.wait.is_zero() {
        return Ok(());
    }
    let progress = Progress::default();
    let shutdown = tubeway_telemetry::on_signal()?;
    progress.step("waiting for the operator");
    wait_for_operator(client, &choices.namespace, how.wait, &progress, &shutdown).await?;
    progress.done();
    println!("\ninstalled. `tubeway check` looks at it; docs/resources.md has what to apply next");
    Ok(())
}

/// Applies the documents; how many were not there just so.
async fn put_all(client: &Client, documents: Vec<Value>, how: &How) -> Result<usize> {
    let mut changes = 0;
    for document in documents {
        let name = apply::describe(&document);
        // A kind that was defined a moment ago is not served at once.
        let is_ours = document["apiVersion"]
            .as_str()
            .is_some_and(|v| v.starts_with(GROUP));
        if is_ours && how.dry_run {
            println!("  ?          {name}");
            continue;
        }
        let change = apply::one(client, document, how.dry_run).await?;
        changes += usize::from(change != Change::Unchanged);
        println!("  {:<10} {name}", word(change));
    }
    Ok(changes)
}

/// Takes away the rights that only earlier choices had a use for; how many.
async fn take_left_over(client: &Client, watched: &Watched, how: &How) -> Result<usize> {
    let left = scope::left_over(client, watched).await?;
    let count = left.len();
    for document in left {
        let name = apply::describe(&document);
        if how.dry_run {
            println!("  would go   {name}");
        } else if apply::delete(client, document).await? {
            println!("  deleted    {name}");
        }
    }
    Ok(count)
}

/// The group of the project's own kinds.
pub const GROUP: &str = "kafka.tubeway.dev";

async fn wait_for_operator(
    client: &Client,
    namespace: &str,
    within: Duration,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<()> {
    let gvk = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let (resource, _) = discovery::pinned_kind(client, &gvk).await?;
    let api = dynamic(client, namespace, &resource);
    let look = |object: &kube::api::DynamicObject| match available(&object.data) {
        Ok(()) => Seen::Done,
        Err(why) => Seen::NotYet(why),
    };
    until(api, OPERATOR, within, shutdown, look, |why| {
        progress.waits_for(why);
    })
    .await
}

/// Whether a Deployment runs as it was asked for, or why not.
pub fn available(deployment: &Value) -> Result<(), String> {
    let (status, wanted) = (&deployment["status"], &deployment["spec"]["replicas"]);
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    let wanted = wanted.as_i64().unwrap_or(1);
    let generation = number(&deployment["metadata"]["generation"]);
    let observed = number(&status["observedGeneration"]);
    if status.is_null() || (generation > 0 && observed < generation) {
        return Err("no controller has looked at the operator's Deployment yet".to_owned());
    }
    let (updated, ready) = (
        number(&status["updatedReplicas"]),
        number(&status["availableReplicas"]),
    );
    if updated >= wanted && ready >= wanted {
        return Ok(());
    }
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut complaints = conditions.filter(|c| c["status"] == "False");
    let complaint = complaints.find_map(|c| c["message"].as_str());
    Err(match complaint {
        Some(complaint) => format!("{ready} of {wanted} operator pods are available: {complaint}"),
        None => format!("{ready} of {wanted} operator pods are available"),
    })
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Changed => "changed",
        Change::Unchanged => "unchanged",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operator_counts_when_its_newest_pods_are_available() {
        let deployment = |generation: i64, status: &Value| json!({"metadata": {"generation": generation}, "spec": {"replicas": 1}, "status": status});
        let good = json!({"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 1});
        assert_eq!(available(&deployment(2, &good)), Ok(()));
        assert!(
            available(&deployment(3, &good))
                .unwrap_err()
                .contains("no controller")
        );
        let failing = json!({"observedGeneration": 2, "updatedReplicas": 1, "conditions": [
            {"type": "Progressing", "status": "True", "message": "going on"},
            {"type": "Available", "status": "False", "message": "does not have minimum availability"},
        ]});
        assert_eq!(
            available(&deployment(2, &failing)).unwrap_err(),
            "0 of 1 operator pods are available: does not have minimum availability"
        );
    }
}

//! `tubeway uninstall`.

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tubeway_api::labels;
use tubeway_operator::cluster::names::ROOTS_CONFIG_MAP;

use super::existing::{Existing, clusters};
use super::scope;
use crate::apply;
use crate::state::State;
use crate::target::Target;

/// What `tubeway uninstall` takes.
#[derive(Debug, clap::Args)]
pub struct UninstallOptions {
    #[command(flatten)]
    target: Target,
    /// Also the kinds' definitions, and with them every object of them.
    #[arg(long)]
    kinds: bool,
    /// Go on although Kafka clusters are there: they run on without an operator,
    /// and their certificates end.
    #[arg(long)]
    leave_clusters: bool,
    /// Say what would be deleted, and delete nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Takes the operator away. Data stays: claims belong to the clusters.
pub async fn uninstall(state: &State, options: &UninstallOptions) -> Result<()> {
    let (client, url) = options.target.client(state).await?;
    let Some(existing) = Existing::find(&client).await? else {
        bail!("nothing is installed at {url}");
    };
    existing.is_the_command_s("uninstall")?;
    let left = clusters(&client).await?;
    if let Some(first) = left.first() {
        if options.kinds {
            bail!(
                "{} Kafka clusters are there, {first} among them: --kinds would delete them. \
                 Delete them first, `kubectl delete kafkaclusters --all -A`",
                left.len()
            );
        }
        if !options.leave_clusters {
            bail!(
                "{} Kafka clusters are there, {first} among them. Delete them first, or give \
                 --leave-clusters: they run on, until their certificates end after {}",
                left.len(),
                existing.choices.cert_ttl
            );
        }
    }
    println!("{url}\n");
    let is_kind = |document: &Value| document["kind"] == "CustomResourceDefinition";
    let mut documents = existing.choices.documents()?;
    documents.extend(scope::left_over(&client, &existing.choices.watch_namespaces).await?);
    // What was applied last goes first: the operator before its rights.
    for document in documents.into_iter().rev() {
        if is_kind(&document) && !options.kinds {
            continue;
        }
        let name = apply::describe(&document);
        if options.dry_run {
            println!("  would go   {name}");
        } else if apply::delete(&client, document).await? {
            println!("  deleted    {name}");
        }
    }
    if left.is_empty() {
        remove_roots(&client, options.dry_run).await?;
    }
    if !options.kinds {
        println!("\nthe kinds stay; --kinds deletes them and every object of them");
    }
    Ok(())
}

/// The operator has put its trust bundle into namespaces of others. Where clusters
/// run on it stays, since new pods would not start without it.
async fn remove_roots(client: &Client, dry_run: bool) -> Result<()> {
    let all: Api<ConfigMap> = Api::all(client.clone());
    let ours = format!("{}={}", labels::APP_MANAGED_BY, labels::MANAGER);
    let ours = all.list(&ListParams::default().labels(&ours)).await;
    let ours = ours.context("cannot list the trust bundles")?;
    let bundles = ours.iter().filter(|map| map.name_any() == ROOTS_CONFIG_MAP);
    for namespace in bundles.filter_map(kube::ResourceExt::namespace) {
        let name = format!("ConfigMap {namespace}/{ROOTS_CONFIG_MAP}");
        if dry_run {
            println!("  would go   {name}");
            continue;
        }
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        match api.delete(ROOTS_CONFIG_MAP, &DeleteParams::default()).await {
            Ok(_) => println!("  deleted    {name}"),
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            Err(error) => return Err(error).with_context(|| format!("cannot delete {name}")),
        }
    }
    Ok(())
}

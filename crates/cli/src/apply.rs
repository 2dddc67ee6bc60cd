//! Applies manifests the way `kubectl apply --server-side` does.

use anyhow::{Context as _, Result};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, discovery};
use serde_json::Value;

/// The field manager of everything that the command itself applies.
const MANAGER: &str = "tubeway";

/// The documents of a YAML file, in order.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(yaml).context("not YAML")
}

/// Applies each document; `applied` is told of each.
pub async fn all(client: &Client, documents: Vec<Value>) -> Result<()> {
    for document in documents {
        one(client, document).await?;
    }
    Ok(())
}

async fn one(client: &Client, document: Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(document)
        .context("a manifest lacks apiVersion, kind or metadata")?;
    let types = object
        .types
        .clone()
        .context("a manifest lacks apiVersion or kind")?;
    let name = object
        .metadata
        .name
        .clone()
        .context("a manifest lacks metadata.name")?;
    let what = format!("{} {name}", types.kind);
    let gvk = GroupVersionKind::try_from(&types)?;
    let (resource, _) = discovery::pinned_kind(client, &gvk)
        .await
        .with_context(|| format!("the API does not serve {gvk:?}"))?;
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(
        &name,
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .with_context(|| format!("cannot apply {what}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_of_the_command_has_a_kind_and_a_name() {
        for text in [
            include_str!("../manifests/demo.yaml"),
            include_str!("../manifests/clients.yaml"),
            include_str!("../manifests/operator.yaml"),
        ] {
            let documents = documents(text).unwrap();
            assert!(documents.len() > 1);
            for document in documents {
                assert!(document["kind"].is_string(), "{document}");
                assert!(document["metadata"]["name"].is_string(), "{document}");
            }
        }
    }
}

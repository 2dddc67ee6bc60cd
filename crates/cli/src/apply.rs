//! Applies manifests the way `kubectl apply --server-side` does, and takes them
//! away again.

use anyhow::{Context as _, Result, ensure};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, discovery};
use serde_json::{Value, json};

/// The field manager of everything that the command itself applies.
const MANAGER: &str = "tubeway";

/// The documents of a YAML file, in order.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(yaml).context("not YAML")
}

/// What applying a document did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Created,
    /// It was there, and otherwise.
    Changed,
    /// It was there just so.
    Unchanged,
}

/// Applies each document.
pub async fn all(client: &Client, documents: Vec<Value>) -> Result<()> {
    for document in documents {
        one(client, document, false).await?;
    }
    Ok(())
}

/// Applies a document, or with `dry_run` has the server say what that would do.
pub async fn one(client: &Client, document: Value, dry_run: bool) -> Result<Change> {
    let what = describe(&document);
    let (api, object) = located(client, document).await?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let before = api
        .get_opt(&name)
        .await
        .with_context(|| format!("cannot read {what}"))?;
    let mut params = PatchParams::apply(MANAGER).force();
    params.dry_run = dry_run;
    let after = match api.patch(&name, &params, &Patch::Apply(&object)).await {
        Ok(after) => after,
        // Its namespace would have been made a moment before.
        Err(kube::Error::Api(error)) if dry_run && error.code == 404 => return Ok(Change::Created),
        Err(error) => return Err(error).with_context(|| format!("cannot apply {what}")),
    };
    Ok(match before {
        None => Change::Created,
        Some(before) if matter(&before) == matter(&after) => Change::Unchanged,
        Some(_) => Change::Changed,
    })
}

/// Deletes what a document names; whether there was anything.
pub async fn delete(client: &Client, document: Value) -> Result<bool> {
    let what = describe(&document);
    let (api, object) = located(client, document).await?;
    let name = object.metadata.name.clone().unwrap_or_default();
    match api.delete(&name, &DeleteParams::default()).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot delete {what}")),
    }
}

/// `<kind> <namespace>/<name>`, for messages.
pub fn describe(document: &Value) -> String {
    let text = |at: &str| document.pointer(at).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or("object");
    let name = text("/metadata/name").unwrap_or_default();
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// A document as an object, and where it belongs.
async fn located(client: &Client, document: Value) -> Result<(Api<DynamicObject>, DynamicObject)> {
    let object: DynamicObject = serde_json::from_value(document)
        .context("a manifest lacks apiVersion, kind or metadata")?;
    let types = object
        .types
        .as_ref()
        .context("a manifest lacks apiVersion or kind")?;
    ensure!(
        object.metadata.name.is_some(),
        "a manifest lacks metadata.name"
    );
    let gvk = GroupVersionKind::try_from(types)?;
    let (resource, _) = discovery::pinned_kind(client, &gvk)
        .await
        .with_context(|| format!("the API does not serve {gvk:?}"))?;
    let api = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Ok((api, object))
}

/// What makes two states of an object different ones: not who wrote it, when,
/// or how it is doing.
fn matter(object: &DynamicObject) -> Value {
    let mut data = object.data.clone();
    if let Some(data) = data.as_object_mut() {
        data.remove("status");
    }
    json!({
        "labels": object.metadata.labels,
        "annotations": object.metadata.annotations,
        "data": data,
    })
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

//! What must go before something else may: contents of namespaces, objects of CRDs, uses of claims.

use crate::api::status::{Reply, Status};
use crate::api::{Api, key_of};
use crate::objects::{CRD_CLEANUP, Deletion, drop_finalizer, ending, finalizers};
use crate::resource::Resource;
use crate::store::{Key, StoreError};

const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// Empties namespaces that are ending and lets the empty ones go; gives the others what they lack.
pub(super) fn namespaces(api: &Api) -> Reply<()> {
    let catalog = api.registry.catalog();
    for namespace in api.store.list("namespaces", None).1 {
        let name = namespace.value["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        if !ending(&namespace.value) {
            api.furnish(name);
            continue;
        }
        let mut left = false;
        for resource in catalog.stored().filter(|resource| resource.namespaced) {
            left |= empty(api, resource, Some(name))?;
        }
        if !left {
            let key = Key::new(&"namespaces".into(), "", name);
            let gone = api.adjust(&key, |namespace| {
                namespace["spec"]["finalizers"] = serde_json::json!([]);
                ending(namespace)
            });
            report(gone)?;
        }
    }
    Ok(())
}

/// Deletes the objects of CRDs that are ending and lets those without objects go.
pub(super) fn definitions(api: &Api) -> Reply<()> {
    let catalog = api.registry.catalog();
    for crd in api
        .store
        .list("customresourcedefinitions.apiextensions.k8s.io", None)
        .1
    {
        if !ending(&crd.value) || !finalizers(&crd.value).contains(&CRD_CLEANUP) {
            continue;
        }
        let name = crd.value["metadata"]["name"].as_str().unwrap_or_default();
        let resource = catalog
            .stored()
            .find(|r| r.crd.as_ref().is_some_and(|own| own.name == name));
        let left = match resource {
            Some(resource) => empty(api, resource, None)?,
            None => false,
        };
        if !left {
            let key = key_of(
                &"customresourcedefinitions.apiextensions.k8s.io".into(),
                &crd,
            );
            report(api.adjust(&key, |crd| drop_finalizer(crd, CRD_CLEANUP)))?;
        }
    }
    Ok(())
}

/// Lets claims go that are ending and that no pod uses.
pub(super) fn claims(api: &Api) -> Reply<()> {
    for claim in api.store.list("persistentvolumeclaims", None).1 {
        if !ending(&claim.value) || !finalizers(&claim.value).contains(&PROTECTION) {
            continue;
        }
        let key = key_of(&"persistentvolumeclaims".into(), &claim);
        let used = api
            .store
            .list("pods", Some(&key.namespace))
            .1
            .iter()
            .any(|pod| {
                let over = matches!(
                    pod.value["status"]["phase"].as_str(),
                    Some("Succeeded" | "Failed")
                );
                let volumes = pod.value["spec"]["volumes"]
                    .as_array()
                    .into_iter()
                    .flatten();
                !over
                    && volumes
                        .into_iter()
                        .any(|volume| volume["persistentVolumeClaim"]["claimName"] == *key.name)
            });
        if !used {
            report(api.adjust(&key, |claim| drop_finalizer(claim, PROTECTION)))?;
        }
    }
    Ok(())
}

/// Deletes all objects of a resource; true if some are still there.
fn empty(api: &Api, resource: &Resource, namespace: Option<&str>) -> Reply<bool> {
    for object in api.store.list(&resource.storage, namespace).1 {
        if ending(&object.value) {
            continue;
        }
        match api.discard(
            resource,
            &key_of(&resource.storage, &object),
            &Deletion::default(),
        ) {
            Err(status) if status.reason != "NotFound" => return Err(status),
            _ => {}
        }
    }
    Ok(!api.store.list(&resource.storage, namespace).1.is_empty())
}

fn report(result: Result<(), StoreError>) -> Reply<()> {
    result.map_err(Status::internal)
}

//! Installs the kinds' definitions.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use tubeway_api::labels;

use crate::error::{Error, Result};

/// How long the API server may take to serve a new kind.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// Applies every definition and waits until all are served.
pub async fn install(client: &Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply(labels::MANAGER).force();
    let crds = tubeway_api::crds();
    for crd in &crds {
        let name = crd.name_any();
        api.patch(&name, &params, &Patch::Apply(crd))
            .await
            .map_err(Error::kubernetes(format!("apply definition {name}")))?;
    }
    for crd in &crds {
        let name = crd.name_any();
        let served = await_condition(api.clone(), &name, conditions::is_crd_established());
        match tokio::time::timeout(ESTABLISHED, served).await {
            Ok(Ok(_)) => tracing::info!(crd = name, "definition installed"),
            Ok(Err(error)) => return Err(damaged(&name, &error.to_string())),
            Err(_) => return Err(damaged(&name, "it is still not served")),
        }
    }
    Ok(())
}

fn damaged(name: &str, problem: &str) -> Error {
    Error::Damaged {
        object: format!("CustomResourceDefinition {name}"),
        problem: problem.to_owned(),
        remedy: "its conditions say why, in `kubectl describe crd`",
    }
}

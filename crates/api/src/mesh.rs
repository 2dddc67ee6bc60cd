//! Who vouches for the pods of a cluster and for its clients.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The mesh that a cluster is in.
#[derive(KubeSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mesh {
    /// Who issues the certificates of the cluster's nodes and of its clients'
    /// sidecars. `istio` needs Istio in the Kubernetes cluster, with the
    /// operator's trust domain.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("mesh.provider cannot be changed: nodes with certificates of one issuer do not trust those of another; make another cluster and move over"))]
    pub provider: MeshProvider,
}

/// Who issues certificates.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MeshProvider {
    /// The operator's own certificate authority.
    #[default]
    Builtin,
    /// Istio's.
    Istio,
}

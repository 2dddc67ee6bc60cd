//! The sidecar's container and the volumes it needs, the same in every pod.

use serde_json::{Value, json};
use tubeway_config::ClusterRef;

use crate::config::Config;

/// Audience of the tokens that the certificate authority takes.
pub const TOKEN_AUDIENCE: &str = "tubeway-ca";
/// ConfigMap with the mesh's trust bundle, in every namespace that needs it.
pub const ROOTS_CONFIG_MAP: &str = "tubeway-ca-root";
/// Its key.
pub const ROOTS_KEY: &str = "root-cert.pem";
/// Name of the sidecar's container.
pub const CONTAINER: &str = "tubeway-proxy";

const TOKEN_DIR: &str = "/var/run/tubeway/token";
const ROOTS_DIR: &str = "/var/run/tubeway/roots";
const STATE_DIR: &str = "/var/run/tubeway/state";

/// What a sidecar is told about the mesh.
#[derive(Debug, Clone)]
pub struct Mesh {
    /// Trust domain.
    pub trust_domain: String,
    /// `host:port` of the operator.
    pub control_plane: String,
    /// DNS name of the operator's certificate.
    pub control_plane_name: String,
    /// SPIFFE id of the operator.
    pub control_plane_id: String,
    /// Image of the sidecar.
    pub image: String,
}

// === impl Mesh ===

impl Mesh {
    /// As this operator is configured.
    pub fn of(config: &Config) -> Self {
        Self {
            trust_domain: config.trust_domain.clone(),
            control_plane: config.advertise.clone(),
            control_plane_name: config.service_name.clone(),
            control_plane_id: format!(
                "spiffe://{}/ns/{}/sa/{}",
                config.trust_domain, config.namespace, config.service_account
            ),
            image: config.proxy_image.clone(),
        }
    }

    /// A native sidecar (an init container that keeps running) in `role`.
    pub fn container(
        &self,
        role: &str,
        cluster: &ClusterRef,
        more_env: &[Value],
        more_mounts: &[Value],
    ) -> Value {
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let var = |name: &str, value: &str| json!({"name": name, "value": value});
        let mut env = vec![
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("POD_IP", "status.podIP"),
            var("TUBEWAY_LOOPBACK", "127.0.0.1"),
            var("TUBEWAY_CLUSTER", &cluster.to_string()),
            var("TUBEWAY_TRUST_DOMAIN", &self.trust_domain),
            var("TUBEWAY_CONTROL_PLANE", &self.control_plane),
            var("TUBEWAY_CONTROL_PLANE_NAME", &self.control_plane_name),
            var("TUBEWAY_CONTROL_PLANE_ID", &self.control_plane_id),
            var("TUBEWAY_TOKEN_FILE", &format!("{TOKEN_DIR}/token")),
            var("TUBEWAY_ROOTS_FILE", &format!("{ROOTS_DIR}/{ROOTS_KEY}")),
            var("TUBEWAY_STATE_DIR", STATE_DIR),
        ];
        env.extend_from_slice(more_env);
        let mut mounts = vec![
            json!({"name": "tubeway-token", "mountPath": TOKEN_DIR, "readOnly": true}),
            json!({"name": "tubeway-roots", "mountPath": ROOTS_DIR, "readOnly": true}),
            json!({"name": "tubeway-state", "mountPath": STATE_DIR}),
        ];
        mounts.extend_from_slice(more_mounts);
        let probe = |question: &str, period: u32, failures: u32| {
            json!({
                "exec": {"command": ["tubeway-proxy", "probe", question]},
                "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures,
            })
        };
        json!({
            "name": CONTAINER,
            "image": self.image,
            "command": ["tubeway-proxy", role],
            "restartPolicy": "Always",
            "env": env,
            "volumeMounts": mounts,
            "startupProbe": probe("started", 1, 300),
            "readinessProbe": probe("ready", 1, 3),
            "securityContext": restricted(),
        })
    }

    /// The volumes of [`container`](Self::container).
    pub fn volumes() -> Vec<Value> {
        vec![
            json!({"name": "tubeway-token", "projected": {"sources": [
                {"serviceAccountToken": {"audience": TOKEN_AUDIENCE, "expirationSeconds": 3600, "path": "token"}},
            ]}}),
            json!({"name": "tubeway-roots", "configMap": {"name": ROOTS_CONFIG_MAP}}),
            json!({"name": "tubeway-state", "emptyDir": {"sizeLimit": "16Mi"}}),
        ]
    }
}

/// What Pod Security "restricted" asks of a container.
pub fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

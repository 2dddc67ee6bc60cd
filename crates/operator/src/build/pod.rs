//! A node's pod.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tubeway_api::labels;
use tubeway_config::ClusterRef;

use crate::build::sidecar::{Mesh, restricted};
use crate::build::{BuildError, node_labels, owner};
use crate::config::Config;
use crate::names;
use crate::validate::{ValidatedCluster, ValidatedNode};

const CONFIG_DIR: &str = "/etc/tubeway";
const RUN_DIR: &str = "/run/tubeway";
const DATA_DIR: &str = "/var/lib/kafka";

/// The pod of `node`, whose rendered configuration is `properties`. It carries
/// a digest of all it was built from.
pub fn pod(
    config: &Config,
    cluster: &ValidatedCluster,
    node: &ValidatedNode,
    properties: &str,
) -> Result<Pod, BuildError> {
    let reference = ClusterRef {
        namespace: cluster.names.namespace.clone(),
        name: cluster.names.cluster.clone(),
    };
    let run = json!({"name": "run", "mountPath": RUN_DIR});
    let sidecar_env = [
        json!({"name": "TUBEWAY_RUN_DIR", "value": RUN_DIR}),
        json!({"name": "TUBEWAY_NODE_ID", "value": node.id.to_string()}),
    ];
    let sidecar = Mesh::of(config).container("node", &reference, &sidecar_env, &[run.clone()]);
    let mut volumes = Mesh::volumes();
    volumes.push(json!({"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}));
    volumes.push(json!({"name": "config", "configMap": {"name": names::config_map(&node.pod)}}));
    volumes.push(
        json!({"name": "data", "persistentVolumeClaim": {"claimName": names::claim(&node.pod)}}),
    );
    volumes.push(json!({"name": "tmp", "emptyDir": {}}));
    let spec = json!({
        "serviceAccountName": cluster.names.service_account(),
        "automountServiceAccountToken": false,
        "hostname": node.pod,
        "subdomain": cluster.names.nodes_service(),
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 60,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [sidecar],
        "containers": [kafka(config, cluster, node, &run)],
        "volumes": volumes,
    });
    let digest = digest(&spec, properties);
    let mut labels = node_labels(cluster, node);
    labels.insert(labels::APP_COMPONENT.to_owned(), "node".to_owned());
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": node.pod,
            "namespace": cluster.names.namespace,
            "labels": labels,
            "annotations": {labels::SPEC_HASH: digest},
            "ownerReferences": [owner(cluster)],
        },
        "spec": spec,
    });
    Ok(serde_json::from_value(pod)?)
}

fn kafka(config: &Config, cluster: &ValidatedCluster, node: &ValidatedNode, run: &Value) -> Value {
    let jvm = &node.pool.spec.jvm;
    let flags: Vec<String> = [format!("-Xms{0} -Xmx{0}", jvm.heap)]
        .into_iter()
        .chain(jvm.options.iter().cloned())
        .collect();
    let levels: Vec<String> = node
        .pool
        .spec
        .loggers
        .iter()
        .map(|(logger, level)| format!("{logger}={level}"))
        .collect();
    json!({
        "name": "kafka",
        "image": format!("{}:{}", config.kafka_image, cluster.version),
        "command": ["tubeway-launcher", "run"],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "TUBEWAY_LOOPBACK", "value": "127.0.0.1"},
            {"name": "TUBEWAY_CONFIG_DIR", "value": CONFIG_DIR},
            {"name": "TUBEWAY_RUN_DIR", "value": RUN_DIR},
            {"name": "TUBEWAY_DATA_DIR", "value": DATA_DIR},
            {"name": "KAFKA_LIBS", "value": "/opt/kafka/libs"},
            {"name": "KAFKA_JVM_OPTS", "value": flags.join(" ")},
            {"name": "KAFKA_LOG_LEVELS", "value": levels.join(",")},
        ],
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": true},
            run,
            {"name": "data", "mountPath": DATA_DIR},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "resources": node.pool.spec.resources,
        "securityContext": restricted(),
    })
}

/// What tells one build of a pod from another.
fn digest(spec: &Value, properties: &str) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    hash.update(spec.to_string());
    hash.update(properties);
    hash.finalize()
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

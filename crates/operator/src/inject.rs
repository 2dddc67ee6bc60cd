//! The client sidecar, added to a pod that knows nothing of it.

use k8s_openapi::api::core::v1::{Container, EnvVar, HostAlias, Pod, Volume};
use serde_json::json;
use tubeway_config::{ClusterRef, ports};

use crate::build::sidecar::{CONTAINER, Mesh};
use crate::names::ClusterNames;

/// Which cluster a pod's clients talk to, and the mesh.
#[derive(Debug, Clone)]
pub struct InjectConfig {
    /// The cluster.
    pub cluster: ClusterRef,
    /// The mesh.
    pub mesh: Mesh,
}

/// Adds the sidecar, its volumes, the bootstrap name and the environment by
/// which an application finds the bootstrap. A pod that has it stays as it is.
///
/// # Errors
/// Only where this program builds what Kubernetes' types do not know.
pub fn client_sidecar(
    pod: &mut Pod,
    config: &InjectConfig,
) -> Result<(), crate::build::BuildError> {
    let Some(spec) = &mut pod.spec else {
        return Ok(());
    };
    let init = spec.init_containers.get_or_insert_default();
    if init.iter().any(|container| container.name == CONTAINER) {
        return Ok(());
    }
    let sidecar = config.mesh.container("client", &config.cluster, &[], &[]);
    let sidecar: Container = serde_json::from_value(sidecar)?;
    // First, so that the pod's other init containers reach Kafka too.
    init.insert(0, sidecar);
    let volumes: Vec<Volume> = serde_json::from_value(json!(Mesh::volumes()))?;
    spec.volumes.get_or_insert_default().extend(volumes);
    let names = ClusterNames::new(&config.cluster.namespace, &config.cluster.name);
    spec.host_aliases.get_or_insert_default().push(HostAlias {
        ip: "127.0.0.1".to_owned(),
        hostnames: Some(vec![names.bootstrap_host()]),
    });
    let others = init.iter_mut().skip(1);
    for container in others.chain(&mut spec.containers) {
        let env = container.env.get_or_insert_default();
        // In front of what is there, which may refer to them.
        for (name, value) in [
            (
                "KAFKA_BOOTSTRAP_SERVERS",
                format!("$(TUBEWAY_LOOPBACK):{}", ports::CLIENT),
            ),
            ("TUBEWAY_LOOPBACK", "127.0.0.1".to_owned()),
        ] {
            if !env.iter().any(|var| var.name == name) {
                env.insert(
                    0,
                    EnvVar {
                        name: name.to_owned(),
                        value: Some(value),
                        value_from: None,
                    },
                );
            }
        }
    }
    Ok(())
}

//! Gives a client's pod its sidecar. Pure.

use k8s_openapi::api::core::v1::{Container, EnvVar, HostAlias, Pod};
use kube::ResourceExt;
use tubeway_api::labels;
use tubeway_config::ports;

use crate::cluster::build::{
    SidecarRole, SidecarSettings, env, sidecar_container, sidecar_volumes,
};
use crate::cluster::names;

/// Name of the sidecar's container in a client's pod.
pub const CLIENT_SIDECAR: &str = "tubeway-sidecar";
/// The sidecar's user, in a pod that may say nothing of users.
const USER: i64 = 10001;

/// What an injected sidecar is told.
#[derive(Debug, Clone)]
pub struct InjectConfig {
    /// The sidecar's settings, the Kafka cluster among them.
    pub sidecar: SidecarSettings,
}

/// Why a pod gets no sidecar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// There is no pod to speak of.
    #[error("the pod has no spec")]
    NoSpec,
    /// The name is the pod's own already.
    #[error(
        "the pod has a {kind} {name:?} of its own; rename it, since the sidecar needs the name"
    )]
    Taken {
        /// Container or volume.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// Adds the client sidecar to a pod that has none: the container, its volumes,
/// the bootstrap name at the pod's own loopback, and in every container where
/// Kafka is. Doing it again changes nothing.
///
/// What the pod says itself about these variables stays.
pub fn client_sidecar(pod: &mut Pod, config: &InjectConfig) -> Result<(), InjectError> {
    let cluster = &config.sidecar.cluster;
    let injected = pod.annotations().contains_key(labels::CLIENT_OF);
    let spec = pod.spec.as_mut().ok_or(InjectError::NoSpec)?;
    let inits = spec.init_containers.get_or_insert_default();
    if injected && inits.iter().any(|c| c.name == CLIENT_SIDECAR) {
        return Ok(());
    }
    let mut names = inits.iter().chain(&spec.containers).map(|c| &c.name);
    if names.any(|name| name == CLIENT_SIDECAR) {
        return Err(taken("container", CLIENT_SIDECAR));
    }
    let volumes = spec.volumes.get_or_insert_default();
    for volume in sidecar_volumes(&config.sidecar) {
        if volumes.iter().any(|v| v.name == volume.name) {
            return Err(taken("volume", &volume.name));
        }
        volumes.push(volume);
    }
    for container in inits.iter_mut().chain(&mut spec.containers) {
        add_env(container);
    }
    // First of all: other init containers may be Kafka clients too.
    inits.insert(0, container(&config.sidecar));
    spec.host_aliases.get_or_insert_default().push(HostAlias {
        ip: "127.0.0.1".to_owned(),
        hostnames: Some(vec![names::bootstrap_host(cluster)]),
    });
    let annotations = pod.annotations_mut();
    annotations.insert(labels::CLIENT_OF.to_owned(), cluster.to_string());
    Ok(())
}

fn container(settings: &SidecarSettings) -> Container {
    let mut container = sidecar_container(settings, SidecarRole::Client);
    CLIENT_SIDECAR.clone_into(&mut container.name);
    let security = container.security_context.get_or_insert_default();
    security.run_as_user = Some(USER);
    security.run_as_group = Some(USER);
    container
}

fn add_env(container: &mut Container) {
    let list = container.env.get_or_insert_default();
    let bootstrap = format!("$(TUBEWAY_LOOPBACK):{}", ports::CLIENT);
    let add = |list: &mut Vec<EnvVar>, at: usize, variable: EnvVar| {
        if !list.iter().any(|v| v.name == variable.name) {
            list.insert(at, variable);
        }
    };
    // A variable can name only those that stand before it.
    add(list, 0, env("KAFKA_BOOTSTRAP_SERVERS", bootstrap));
    add(list, 0, env("TUBEWAY_LOOPBACK", "127.0.0.1"));
}

fn taken(kind: &'static str, name: &str) -> InjectError {
    InjectError::Taken {
        kind,
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config() -> InjectConfig {
        InjectConfig {
            sidecar: SidecarSettings {
                image: "proxy:1".into(),
                trust_domain: "cluster.local".into(),
                control_plane: "op:15012".into(),
                control_plane_name: "op".into(),
                control_plane_id: "spiffe://cluster.local/ns/s/sa/o".into(),
                cluster: "kafka/demo".parse().unwrap(),
                issuer: None,
            },
        }
    }

    fn pod(spec: &Value) -> Pod {
        let pod = json!({ "metadata": { "name": "app" }, "spec": spec });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_second_time_changes_nothing() {
        let mut once = pod(&json!({ "containers": [{ "name": "app" }] }));
        client_sidecar(&mut once, &config()).unwrap();
        let mut twice = once.clone();
        client_sidecar(&mut twice, &config()).unwrap();
        assert_eq!(once, twice);
    }

    #[test]
    fn what_the_pod_says_itself_stays() {
        let own = json!([{ "name": "KAFKA_BOOTSTRAP_SERVERS", "value": "mine:1" }]);
        let mut pod = pod(&json!({ "containers": [{ "name": "app", "env": own }] }));
        client_sidecar(&mut pod, &config()).unwrap();
        let spec = pod.spec.unwrap();
        let env = spec.containers[0].env.as_ref().unwrap();
        assert_eq!(env[1].value.as_deref(), Some("mine:1"));
        assert_eq!(env[0].name, "TUBEWAY_LOOPBACK");
    }

    #[test]
    fn a_name_that_is_taken_is_refused_rather_than_shared() {
        let mut pod = pod(&json!({ "containers": [{ "name": CLIENT_SIDECAR }] }));
        let error = client_sidecar(&mut pod, &config()).unwrap_err();
        assert!(matches!(
            error,
            InjectError::Taken {
                kind: "container",
                ..
            }
        ));
    }
}

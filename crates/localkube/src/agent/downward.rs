//! The downward API: what a container may learn about its pod.

use super::quantity::Nanos;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What the pod object itself does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub(crate) pod_ip: Ipv4Addr,
    pub(crate) host_ip: Ipv4Addr,
    pub(crate) node_name: String,
}

/// Why a reference has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DownwardError {
    #[error(
        "fieldPath {path:?} is not known; use metadata.name, .namespace, .uid, .labels, \
         .annotations (or one of them as ['key']), spec.nodeName, spec.serviceAccountName, \
         status.podIP, status.podIPs, status.hostIP or status.hostIPs"
    )]
    Field { path: String },
    #[error(
        "resource {resource:?} of container {container:?} is not known; use limits.* or \
         requests.* with cpu, memory or ephemeral-storage"
    )]
    Resource { resource: String, container: String },
}

/// The value of a `fieldRef`.
pub(crate) fn field(pod: &Pod, around: &Surroundings, path: &str) -> Result<String, DownwardError> {
    let meta = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(DownwardError::Field { path: path.into() }),
        };
        let value = map.as_ref().and_then(|map| map.get(key));
        return Ok(value.cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => around.node_name.clone(),
        "spec.serviceAccountName" => service_account(pod).to_owned(),
        "status.podIP" | "status.podIPs" => around.pod_ip.to_string(),
        "status.hostIP" | "status.hostIPs" => around.host_ip.to_string(),
        _ => return Err(DownwardError::Field { path: path.into() }),
    })
}

/// The value of a `resourceFieldRef` about `container`. A limit that is not set is what the
/// machine has, as on a node.
pub(crate) fn resource(
    container: &Container,
    selector: &ResourceFieldSelector,
) -> Result<String, DownwardError> {
    let unknown = || DownwardError::Resource {
        resource: selector.resource.clone(),
        container: container.name.clone(),
    };
    let (list, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|r| r.limits.as_ref());
    let requests = resources.and_then(|r| r.requests.as_ref());
    let listed = match list {
        "limits" => limits.and_then(|list| list.get(name)),
        "requests" => requests
            .and_then(|list| list.get(name))
            .or_else(|| limits.and_then(|list| list.get(name))),
        _ => return Err(unknown()),
    };
    let amount = match (listed, list) {
        (Some(quantity), _) => Nanos::parse(&quantity.0),
        (None, "limits") => machine_has(name),
        (None, _) => Nanos::parse("0"),
    };
    let divisor = match selector.divisor.as_ref().map(|divisor| divisor.0.as_str()) {
        // "0" is how the API server writes a divisor that was left out.
        None | Some("" | "0") => Some(Nanos::one()),
        Some(text) => Nanos::parse(text),
    };
    amount
        .zip(divisor)
        .and_then(|(amount, divisor)| amount.divided_by(divisor))
        .map(|value| value.to_string())
        .ok_or_else(unknown)
}

/// The pod's service account.
pub(crate) fn service_account(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref())
        .filter(|name| !name.is_empty())
        .unwrap_or("default")
}

/// Splits `map['key']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

/// Labels or annotations as a downward API file shows them.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", quoted(value)))
        .collect();
    lines.join("\n")
}

fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn machine_has(resource: &str) -> Option<Nanos> {
    match resource {
        "cpu" => {
            let cpus = std::thread::available_parallelism().map_or(1, usize::from);
            Nanos::parse(&cpus.to_string())
        }
        "memory" => Nanos::parse(&memory_bytes().to_string()),
        "ephemeral-storage" => Nanos::parse("0"),
        _ => None,
    }
}

/// The machine's memory in bytes, 0 when it does not say.
pub(crate) fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "broker-0", "namespace": "demo", "uid": "u-1",
                "labels": {"app": "kafka", "zone": "a"},
                "annotations": {"note": "a \"b\"\nc"},
            },
            "spec": {"containers": [{
                "name": "c", "resources": {"limits": {"memory": "512Mi", "cpu": "1500m"}},
            }]},
        }))
        .unwrap()
    }

    fn value(path: &str) -> Result<String, DownwardError> {
        let around = Surroundings {
            pod_ip: Ipv4Addr::new(127, 1, 2, 1),
            host_ip: Ipv4Addr::LOCALHOST,
            node_name: "laptop".to_owned(),
        };
        field(&pod(), &around, path)
    }

    #[test]
    fn fields() {
        for (path, expected) in [
            ("metadata.name", "broker-0"),
            ("metadata.namespace", "demo"),
            ("metadata.uid", "u-1"),
            ("metadata.labels['zone']", "a"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "app=\"kafka\"\nzone=\"a\""),
            ("metadata.annotations", "note=\"a \\\"b\\\"\\nc\""),
            ("spec.nodeName", "laptop"),
            ("spec.serviceAccountName", "default"),
            ("status.podIP", "127.1.2.1"),
            ("status.hostIP", "127.0.0.1"),
        ] {
            assert_eq!(value(path).unwrap(), expected, "{path}");
        }
        assert!(value("spec.containers").is_err());
        assert!(value("spec.x['y']").is_err());
    }

    #[test]
    fn resources() {
        let pod = pod();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let value = |name: &str, divisor: Option<&str>| {
            let selector: ResourceFieldSelector =
                serde_json::from_value(json!({"resource": name, "divisor": divisor})).unwrap();
            resource(container, &selector)
        };
        assert_eq!(value("limits.memory", Some("1Mi")).unwrap(), "512");
        assert_eq!(value("limits.cpu", None).unwrap(), "2");
        assert_eq!(value("requests.cpu", Some("1m")).unwrap(), "1500");
        assert!(value("limits.gpu", None).is_err());
        assert!(value("cpu", None).is_err());
    }
}

//! Kinds of the core group other than pods.

use jiff::Timestamp;
use serde_json::Value;

use super::{Cells, Headings, age, count, items, since, text, text_or_none};

pub(super) fn printer(plural: &str) -> (Headings, Cells) {
    match plural {
        "services" => (
            &[
                "Name",
                "Type",
                "Cluster-IP",
                "External-IP",
                "Port(s)",
                "Age",
                "+Selector",
            ],
            service,
        ),
        "configmaps" => (&["Name", "Data", "Age"], config_map),
        "secrets" => (&["Name", "Type", "Data#", "Age"], secret),
        "namespaces" => (&["Name", "Status", "Age"], namespace),
        "serviceaccounts" => (&["Name", "Secrets", "Age"], service_account),
        "nodes" => (
            &[
                "Name",
                "Status",
                "Roles",
                "Age",
                "Version",
                "+Internal-IP",
                "+External-IP",
                "+OS-Image",
                "+Kernel-Version",
                "+Container-Runtime",
            ],
            node,
        ),
        "persistentvolumeclaims" => (
            &[
                "Name",
                "Status",
                "Volume",
                "Capacity",
                "Access Modes",
                "StorageClass",
                "VolumeAttributesClass",
                "Age",
                "+VolumeMode",
            ],
            claim,
        ),
        "persistentvolumes" => (
            &[
                "Name",
                "Capacity",
                "Access Modes",
                "Reclaim Policy",
                "Status",
                "Claim",
                "StorageClass",
                "VolumeAttributesClass",
                "Reason",
                "Age",
                "+VolumeMode",
            ],
            volume,
        ),
        "events" => (
            &[
                "Last Seen",
                "Type",
                "Reason",
                "Object",
                "+Subobject",
                "+Source",
                "Message",
                "+First Seen",
                "+Count",
                "+Name",
            ],
            event,
        ),
        "endpoints" => (&["Name", "Endpoints", "Age"], endpoints),
        _ => (&["Name", "Age"], plain),
    }
}

/// Name and age.
pub(super) fn plain(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

pub(super) fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(object, "/spec/ports")
        .map(|port| {
            let node = port["nodePort"]
                .as_i64()
                .filter(|&node| node > 0)
                .map(|node| format!(":{node}"));
            format!(
                "{}{}/{}",
                port["port"],
                node.unwrap_or_default(),
                text(port, "/protocol")
            )
        })
        .collect();
    let external: Vec<&str> = items(object, "/spec/externalIPs")
        .filter_map(Value::as_str)
        .collect();
    let external = match text(object, "/spec/type") {
        "ExternalName" => text(object, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let addresses: Vec<&str> = items(object, "/status/loadBalancer/ingress")
                .map(|ingress| {
                    if text(ingress, "/ip").is_empty() {
                        text(ingress, "/hostname")
                    } else {
                        text(ingress, "/ip")
                    }
                })
                .chain(external)
                .collect();
            if addresses.is_empty() {
                "<pending>".into()
            } else {
                addresses.join(",")
            }
        }
        _ if external.is_empty() => "<none>".into(),
        _ => external.join(","),
    };
    vec![
        name(object),
        text(object, "/spec/type").into(),
        text_or_none(object, "/spec/clusterIP"),
        external.into(),
        none_if_empty(ports.join(",")),
        age(object, now),
        labels(&object["spec"]["selector"]),
    ]
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn labels(map: &Value) -> Value {
    let pairs = map.as_object().into_iter().flatten();
    let pairs: Vec<String> = pairs
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    none_if_empty(pairs.join(","))
}

pub(super) fn none_if_empty(text: String) -> Value {
    if text.is_empty() {
        "<none>".into()
    } else {
        text.into()
    }
}

fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        (count(&object["data"]) + count(&object["binaryData"])).into(),
        age(object, now),
    ]
}

fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/type").into(),
        count(&object["data"]).into(),
        age(object, now),
    ]
}

fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/status/phase").into(),
        age(object, now),
    ]
}

fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        count(&object["secrets"]).into(),
        age(object, now),
    ]
}

fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = items(object, "/status/conditions").find(|condition| condition["type"] == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".into(),
        None => "Unknown".into(),
    };
    if object["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    const ROLE: &str = "node-role.kubernetes.io/";
    let labels = object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten();
    let roles: Vec<&str> = labels
        .filter_map(|(key, _)| key.strip_prefix(ROLE))
        .collect();
    let address = |kind: &str| {
        let found = items(object, "/status/addresses").find(|address| address["type"] == kind);
        none_if_empty(
            found
                .map(|address| text(address, "/address").to_owned())
                .unwrap_or_default(),
        )
    };
    let info = |field: &str| {
        let text = text(object, &format!("/status/nodeInfo/{field}"));
        Value::from(if text.is_empty() { "<unknown>" } else { text })
    };
    vec![
        name(object),
        status.into(),
        none_if_empty(roles.join(",")),
        age(object, now),
        text(object, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

/// `RWO,ROX`
fn access_modes(list: impl Iterator<Item = Value>) -> String {
    let short = list.filter_map(|mode| match mode.as_str()? {
        "ReadWriteOnce" => Some("RWO"),
        "ReadOnlyMany" => Some("ROX"),
        "ReadWriteMany" => Some("RWX"),
        "ReadWriteOncePod" => Some("RWOP"),
        _ => None,
    });
    short.collect::<Vec<_>>().join(",")
}

fn unset(object: &Value, pointer: &str) -> Value {
    let text = text(object, pointer);
    if text.is_empty() {
        "<unset>".into()
    } else {
        text.into()
    }
}

fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let leaving = object["metadata"]["deletionTimestamp"].is_string();
    let phase = if leaving {
        "Terminating"
    } else {
        text(object, "/status/phase")
    };
    let bound = !text(object, "/spec/volumeName").is_empty();
    let capacity = if bound {
        text(object, "/status/capacity/storage")
    } else {
        ""
    };
    let modes = if bound {
        access_modes(items(object, "/status/accessModes").cloned())
    } else {
        String::new()
    };
    vec![
        name(object),
        phase.into(),
        text(object, "/spec/volumeName").into(),
        capacity.into(),
        modes.into(),
        text(object, "/spec/storageClassName").into(),
        unset(object, "/spec/volumeAttributesClassName"),
        age(object, now),
        unset(object, "/spec/volumeMode"),
    ]
}

fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let leaving = object["metadata"]["deletionTimestamp"].is_string();
    let phase = if leaving {
        "Terminating"
    } else {
        text(object, "/status/phase")
    };
    let claim = match text(object, "/spec/claimRef/name") {
        "" => String::new(),
        name => format!("{}/{name}", text(object, "/spec/claimRef/namespace")),
    };
    vec![
        name(object),
        text(object, "/spec/capacity/storage").into(),
        access_modes(items(object, "/spec/accessModes").cloned()).into(),
        text(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase.into(),
        claim.into(),
        text(object, "/spec/storageClassName").into(),
        unset(object, "/spec/volumeAttributesClassName"),
        text(object, "/status/reason").into(),
        age(object, now),
        unset(object, "/spec/volumeMode"),
    ]
}

/// An event of the core group.
pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let either = |a: &str, b: &str| {
        let found = object
            .pointer(a)
            .filter(|time| time.is_string())
            .or_else(|| object.pointer(b));
        found.map_or_else(|| "<unknown>".into(), |time| since(time, now))
    };
    let first = either("/firstTimestamp", "/eventTime");
    let last = match object.pointer("/series/lastObservedTime") {
        Some(time) => since(time, now),
        None => either("/lastTimestamp", "/eventTime"),
    };
    let times = object
        .pointer("/series/count")
        .or_else(|| object.get("count"))
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let component = match text(object, "/source/component") {
        "" => text(object, "/reportingComponent"),
        component => component,
    };
    let host = match text(object, "/source/host") {
        "" => text(object, "/reportingInstance"),
        host => host,
    };
    let source = if host.is_empty() {
        component.to_owned()
    } else {
        format!("{component}, {host}")
    };
    vec![
        last,
        text(object, "/type").into(),
        text(object, "/reason").into(),
        format!(
            "{}/{}",
            text(object, "/involvedObject/kind").to_lowercase(),
            text(object, "/involvedObject/name")
        )
        .into(),
        text(object, "/involvedObject/fieldPath").into(),
        source.into(),
        text(object, "/message").trim().into(),
        first,
        times.into(),
        name(object),
    ]
}

fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in items(object, "/subsets") {
        for address in items(subset, "/addresses") {
            let ip = text(address, "/ip");
            let before = all.len();
            all.extend(items(subset, "/ports").map(|port| format!("{ip}:{}", port["port"])));
            if all.len() == before {
                all.push(ip.to_owned());
            }
        }
    }
    let shown = match all.len() {
        0..=3 => all.join(","),
        total => format!("{} + {} more...", all[..3].join(","), total - 3),
    };
    vec![name(object), none_if_empty(shown), age(object, now)]
}

//! Pods.

use serde_json::{Value, json};

use super::{duplicate, fill, forbidden, required};
use crate::pure::schema::FieldError;

pub(super) fn default(pod: &mut Value) {
    let spec = &mut pod["spec"];
    fill(
        spec,
        &json!({
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "terminationGracePeriodSeconds": 30,
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "enableServiceLinks": true,
        }),
    );
    for list in ["containers", "initContainers"] {
        spec.get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(container);
    }
    spec.get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .for_each(volume);
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .split_once(':')
        .map_or("latest", |(_, tag)| tag);
    let pull = if tag == "latest" && !image.contains('@') {
        "Always"
    } else {
        "IfNotPresent"
    };
    fill(
        container,
        &json!({
            "imagePullPolicy": pull,
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "resources": {},
        }),
    );
    requests(&mut container["resources"]);
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        fill(port, &json!({"protocol": "TCP"}));
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(name) else {
            continue;
        };
        fill(
            probe,
            &json!({"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}),
        );
        if let Some(get) = probe.get_mut("httpGet") {
            fill(get, &json!({"path": "/", "scheme": "HTTP"}));
        }
        if let Some(grpc) = probe.get_mut("grpc") {
            fill(grpc, &json!({"service": ""}));
        }
    }
    for variable in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            fill(field, &json!({"apiVersion": "v1"}));
        }
    }
}

/// What has a limit and no request requests the limit.
fn requests(resources: &mut Value) {
    if let Some(limits) = resources
        .get("limits")
        .filter(|limits| limits.is_object())
        .cloned()
    {
        fill(&mut resources["requests"], &limits);
    }
}

fn volume(volume: &mut Value) {
    for kind in ["configMap", "secret", "projected", "downwardAPI"] {
        let Some(source) = volume.get_mut(kind) else {
            continue;
        };
        fill(source, &json!({"defaultMode": 0o644}));
        source.get_mut("items").map(downward);
        for part in source
            .get_mut("sources")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(token) = part.get_mut("serviceAccountToken") {
                fill(token, &json!({"expirationSeconds": 3600}));
            }
            part.pointer_mut("/downwardAPI/items").map(downward);
        }
    }
}

fn downward(items: &mut Value) {
    for item in items.as_array_mut().into_iter().flatten() {
        if let Some(field) = item.get_mut("fieldRef") {
            fill(field, &json!({"apiVersion": "v1"}));
        }
    }
}

pub(super) fn validate(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = &new["spec"];
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        errors.push(required("spec.containers", ""));
    }
    let mut names = Vec::new();
    for list in ["initContainers", "containers"] {
        for (at, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let path = format!("spec.{list}[{at}]");
            for field in ["name", "image"] {
                if container[field].as_str().unwrap_or_default().is_empty() {
                    errors.push(required(&format!("{path}.{field}"), ""));
                }
            }
            mounts(container, spec, &path, errors);
            let name = &container["name"];
            if names.contains(&name) {
                errors.push(duplicate(&format!("{path}.name"), name));
            }
            names.push(name);
        }
    }
    let policy = &spec["restartPolicy"];
    if !matches!(policy.as_str(), Some("Always" | "OnFailure" | "Never")) {
        let message = format!(
            "Unsupported value: {policy}: supported values: \"Always\", \"OnFailure\", \"Never\""
        );
        errors.push(FieldError {
            path: "spec.restartPolicy".into(),
            reason: "FieldValueNotSupported",
            message,
        });
    }
    if let Some(old) = old {
        unchanged(new, old, errors);
    }
}

fn mounts(container: &Value, spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let volumes = spec["volumes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (at, mount) in container["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        if !volumes.iter().any(|volume| volume["name"] == mount["name"]) {
            let message = format!("Not found: {}", mount["name"]);
            let path = format!("{path}.volumeMounts[{at}].name");
            errors.push(FieldError {
                path,
                reason: "FieldValueNotFound",
                message,
            });
        }
    }
}

/// Of a pod's spec only images and a few numbers can change. The node is set once, by binding.
fn unchanged(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        for list in ["containers", "initContainers"] {
            for container in spec
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                container["image"] = Value::Null;
            }
        }
        for field in ["activeDeadlineSeconds", "tolerations"] {
            spec[field] = Value::Null;
        }
        if old["spec"]["nodeName"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            spec["nodeName"] = Value::Null;
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,\
            `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
            existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously \
            negative)";
        errors.push(forbidden("spec", why));
    }
}

/// `status.qosClass`
pub(super) fn quality(spec: &Value) -> &'static str {
    let mut any = false;
    let mut all = true;
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            let resources = &container["resources"];
            for name in ["cpu", "memory"] {
                let (request, limit) = (&resources["requests"][name], &resources["limits"][name]);
                any |= !request.is_null() || !limit.is_null();
                all &= !limit.is_null() && request == limit;
            }
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        let mut pod = json!({"spec": {"containers": [{"name": "a", "image": "reg:5000/x:1"}]}});
        default(&mut pod);
        pod
    }

    fn errors(new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut errors = Vec::new();
        validate(new, old, &mut errors);
        errors.into_iter().map(|error| error.path).collect()
    }

    #[test]
    fn defaults_are_those_of_the_real_server() {
        let pod = pod();
        assert_eq!(
            pod["spec"]["containers"][0]["imagePullPolicy"],
            "IfNotPresent"
        );
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 30);
        assert!(
            pod["spec"].get("initContainers").is_none() && pod["spec"].get("volumes").is_none()
        );
        assert_eq!(errors(&pod, None), [""; 0]);
        let mut again = pod.clone();
        default(&mut again);
        assert_eq!(again, pod);
    }

    #[test]
    fn a_running_pod_keeps_its_spec_but_for_images() {
        let old = pod();
        let mut new = old.clone();
        new["spec"]["containers"][0]["image"] = "y".into();
        new["spec"]["nodeName"] = "n".into();
        assert_eq!(errors(&new, Some(&old)), [""; 0]);
        let mut moved = new.clone();
        moved["spec"]["nodeName"] = "m".into();
        assert_eq!(errors(&moved, Some(&new)), ["spec"]);
        let mut changed = old.clone();
        changed["spec"]["containers"][0]["args"] = json!(["x"]);
        assert_eq!(errors(&changed, Some(&old)), ["spec"]);
    }

    #[test]
    fn quality_follows_requests_and_limits() {
        let with = |resources: Value| json!({"containers": [{"resources": resources}]});
        assert_eq!(quality(&with(json!({}))), "BestEffort");
        assert_eq!(
            quality(&with(json!({"requests": {"cpu": "1"}}))),
            "Burstable"
        );
        let full = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            quality(&with(json!({"requests": full, "limits": full}))),
            "Guaranteed"
        );
    }
}

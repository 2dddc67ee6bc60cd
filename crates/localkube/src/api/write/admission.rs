//! What plugins of the real server refuse or add.

use serde_json::{Value, json};

use super::shape::suffix;
use crate::api::status::{Reply, Status};
use crate::api::{Api, Call};
use crate::store::Key;
use crate::strategy::fill;

// === impl Api ===

impl Api {
    /// What plugins of the real server refuse or add.
    pub(super) fn admit(&self, call: &Call, value: &mut Value) -> Reply<()> {
        let resource = &call.resource;
        if resource.is_core("pods") {
            self.admit_pod(call, value)
        } else {
            Ok(())
        }
    }

    /// Sees to a pod's service account: it must exist, and its token is mounted.
    fn admit_pod(&self, call: &Call, pod: &mut Value) -> Reply<()> {
        fill(
            &mut pod["spec"],
            &json!({"serviceAccountName": "default", "preemptionPolicy": "PreemptLowerPriority", "priority": 0}),
        );
        // The old name of the field follows the new one.
        pod["spec"]["serviceAccount"] = pod["spec"]["serviceAccountName"].clone();
        tolerate(&mut pod["spec"]);
        let name = pod["spec"]["serviceAccountName"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let namespace = &call.target.namespace;
        let Some(account) = self
            .store
            .get(&Key::new(&"serviceaccounts".into(), namespace, &name))
        else {
            // A namespace that is not there is the better thing to complain about.
            if self
                .store
                .get(&Key::new(&"namespaces".into(), "", namespace))
                .is_none()
            {
                return Err(Status::no_namespace(namespace));
            }
            let why = format!(
                "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
            );
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Status::forbidden(&call.resource, pod, &why));
        };
        let wanted = pod["spec"]
            .get("automountServiceAccountToken")
            .filter(|wanted| wanted.is_boolean());
        if wanted.unwrap_or(&account.value["automountServiceAccountToken"]) != false {
            mount_token(pod);
        }
        Ok(())
    }
}

/// Every pod stays for five minutes on a node that is in trouble.
fn tolerate(spec: &mut Value) {
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let known = spec["tolerations"].as_array().into_iter().flatten();
        let covered = |t: &Value| {
            (t["key"] == key || t["key"].is_null())
                && matches!(t["effect"].as_str(), None | Some("NoExecute"))
        };
        if !known.into_iter().any(covered) {
            let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
            push(spec, "tolerations", toleration);
        }
    }
}

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn mount_token(pod: &mut Value) {
    let name = format!("kube-api-access-{}", suffix());
    let mounted = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        mounts.clone().any(|mount| mount["mountPath"] == TOKEN_PATH)
    };
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in pod["spec"]
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if mounted(container) {
                continue;
            }
            used = true;
            let mount = json!({"name": name, "mountPath": TOKEN_PATH, "readOnly": true});
            push(container, "volumeMounts", mount);
        }
    }
    if used {
        let sources = json!([
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ]);
        push(
            &mut pod["spec"],
            "volumes",
            json!({"name": name, "projected": {"defaultMode": 420, "sources": sources}}),
        );
    }
}

fn push(value: &mut Value, list: &str, item: Value) {
    match value.get_mut(list).and_then(Value::as_array_mut) {
        Some(list) => list.push(item),
        None => value[list] = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_mounted_once() {
        let mut pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        mount_token(&mut pod);
        let once = pod.clone();
        mount_token(&mut pod);
        assert_eq!(pod, once);
        assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 1);
    }
}

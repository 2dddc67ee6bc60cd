//! Creating, replacing, names, versions, dry runs.

use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, config_map, gadget, pod, topic};
use crate::trial::Trial;

super::cases! {
    a_name_is_taken_once,
    versions_guard_replacement,
    a_uid_guards_replacement,
    names_are_generated,
    names_are_checked,
    labels_and_annotations_are_checked,
    a_dry_run_leaves_nothing,
    put_makes_only_some_kinds,
    config_maps_and_secrets_may_be_immutable,
    secrets_have_types_and_plain_data,
    services_get_defaults_and_addresses,
    pods_get_defaults,
    claims_and_accounts_get_defaults,
    pods_may_change_little,
    pods_are_checked,
}

async fn a_name_is_taken_once(t: &mut Trial<'_>) {
    t.create(201, "configmaps", config_map("a", json!({"a": "1"})))
        .await;
    t.create(409, "configmaps", config_map("a", json!({"a": "1"})))
        .await;
    t.create(201, TOPICS, topic("a", json!({}))).await;
    t.create(409, TOPICS, topic("a", json!({}))).await;
    let nowhere = "/api/v1/namespaces/nowhere/configmaps";
    t.create(404, nowhere, config_map("a", json!({}))).await;
    let mut elsewhere = config_map("b", json!({}));
    elsewhere["metadata"]["namespace"] = "elsewhere".into();
    t.create(400, "configmaps", elsewhere).await;
    let mut versioned = config_map("b", json!({}));
    versioned["metadata"]["resourceVersion"] = "5".into();
    t.create(500, "configmaps", versioned).await;
}

async fn versions_guard_replacement(t: &mut Trial<'_>) {
    let first = t
        .create(201, "configmaps", config_map("a", json!({"a": "1"})))
        .await;
    let mut second = first.clone();
    second["data"]["b"] = "2".into();
    t.replace(200, "configmaps/a", second.clone()).await;
    t.replace(409, "configmaps/a", second).await;
    // Without a version the last one wins, but not for custom resources.
    t.replace(200, "configmaps/a", config_map("a", json!({"c": "3"})))
        .await;
    t.replace(200, "configmaps/a", config_map("a", json!({"c": "3"})))
        .await;
    t.replace(404, "configmaps/b", config_map("b", json!({})))
        .await;
    t.replace(400, "configmaps/b", config_map("a", json!({})))
        .await;
    let made = t.create(201, TOPICS, topic("a", json!({}))).await;
    t.replace(
        422,
        &format!("{TOPICS}/a"),
        topic("a", json!({"partitions": 1})),
    )
    .await;
    let mut changed = made;
    changed["spec"]["partitions"] = 2.into();
    t.replace(200, &format!("{TOPICS}/a"), changed.clone())
        .await;
    t.replace(409, &format!("{TOPICS}/a"), changed.clone())
        .await;
    changed["metadata"]["resourceVersion"] = "soon".into();
    t.replace(500, &format!("{TOPICS}/a"), changed).await;
}

async fn a_uid_guards_replacement(t: &mut Trial<'_>) {
    t.create(201, "configmaps", config_map("a", json!({"a": "1"})))
        .await;
    let mut other = config_map("a", json!({"a": "2"}));
    other["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
    t.replace(409, "configmaps/a", other).await;
    let uid = json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}});
    t.merge(422, "configmaps/a", uid).await;
    let made = t.create(201, TOPICS, topic("a", json!({}))).await;
    let mut other = made;
    other["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
    t.replace(409, &format!("{TOPICS}/a"), other).await;
    t.get(200, "configmaps/a").await;
}

async fn names_are_generated(t: &mut Trial<'_>) {
    for (path, mut body) in [
        ("configmaps", config_map("", json!({}))),
        (TOPICS, topic("", json!({}))),
    ] {
        body["metadata"] = json!({"generateName": "gen-"});
        for _ in 0..2 {
            // Its name is in its answer, so it goes unnoted first.
            let made = t.create_generated(path, body.clone()).await;
            t.note(
                "length",
                made["metadata"]["name"].as_str().unwrap_or_default().len(),
            );
        }
    }
    let mut long = config_map("", json!({}));
    long["metadata"] = json!({"generateName": "g".repeat(250)});
    let made = t.create_generated("configmaps", long).await;
    t.note(
        "length",
        made["metadata"]["name"].as_str().unwrap_or_default().len(),
    );
    let mut both = config_map("named", json!({}));
    both["metadata"]["generateName"] = "gen-".into();
    t.create(201, "configmaps", both).await;
    let mut neither = config_map("", json!({}));
    neither["metadata"] = json!({});
    t.create(422, "configmaps", neither).await;
    let mut wrong = config_map("", json!({}));
    wrong["metadata"] = json!({"generateName": "Gen_"});
    let code = t.attempt("configmaps", &wrong).await;
    t.note("a wrong prefix", code);
}

async fn names_are_checked(t: &mut Trial<'_>) {
    for name in ["UPPER", "a_b", "-a", "a b", "a..b"] {
        t.create(422, "configmaps", config_map(name, json!({})))
            .await;
        t.create(422, TOPICS, topic(name, json!({}))).await;
    }
    t.create(422, "configmaps", config_map(&"a".repeat(254), json!({})))
        .await;
    t.create(201, "configmaps", config_map("a.b-c", json!({})))
        .await;
    let service = |name: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 1}]}});
    t.create(201, "services", service("1a")).await;
    t.create(422, "services", service("a.b")).await;
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    t.create(422, "/api/v1/namespaces", namespace("a.b")).await;
    t.create(422, "/api/v1/namespaces", namespace(&"n".repeat(64)))
        .await;
    let role = |name: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": []});
    t.create(201, "rbac.authorization.k8s.io/v1/roles", role("a:B_c"))
        .await;
    t.create(422, "rbac.authorization.k8s.io/v1/roles", role("a%b"))
        .await;
}

async fn labels_and_annotations_are_checked(t: &mut Trial<'_>) {
    let with = |metadata: Value| {
        let mut map = config_map("a", json!({}));
        map["metadata"] = metadata;
        map["metadata"]["name"] = "a".into();
        map
    };
    t.create(422, "configmaps", with(json!({"labels": {"a b": "x"}})))
        .await;
    t.create(422, "configmaps", with(json!({"labels": {"a": "x y"}})))
        .await;
    t.create(
        422,
        "configmaps",
        with(json!({"labels": {"a": "x".repeat(64)}})),
    )
    .await;
    t.create(
        422,
        "configmaps",
        with(json!({"annotations": {"a b": "x"}})),
    )
    .await;
    t.create(400, "configmaps", with(json!({"labels": {"a": 1}})))
        .await;
    t.create(400, "configmaps", with(json!({"labels": ["a"]})))
        .await;
    t.create(422, "configmaps", with(json!({"finalizers": ["plain"]})))
        .await;
    t.create(422, "configmaps", config_map("a", json!({"bad key": "1"})))
        .await;
    let mut body = gadget("a", json!({}));
    body["metadata"]["labels"] = json!({"a": 1});
    t.create(400, GADGETS, body).await;
    t.create(
        201,
        "configmaps",
        with(json!({"labels": {"a.b/c": "x", "empty": ""}})),
    )
    .await;
}

async fn a_dry_run_leaves_nothing(t: &mut Trial<'_>) {
    t.create(
        201,
        "configmaps?dryRun=All",
        config_map("a", json!({"a": "1"})),
    )
    .await;
    t.get(404, "configmaps/a").await;
    t.create(422, "configmaps?dryRun=Some", config_map("a", json!({})))
        .await;
    let made = t
        .create(201, "configmaps", config_map("a", json!({"a": "1"})))
        .await;
    t.create(409, "configmaps?dryRun=All", config_map("a", json!({})))
        .await;
    t.merge(200, "configmaps/a?dryRun=All", json!({"data": {"a": "2"}}))
        .await;
    let mut changed = made;
    changed["data"]["b"] = "1".into();
    t.replace(200, "configmaps/a?dryRun=All", changed).await;
    t.apply(
        201,
        "configmaps/b?dryRun=All&fieldManager=m",
        config_map("b", json!({})),
    )
    .await;
    t.delete(200, "configmaps/a?dryRun=All", Value::Null).await;
    t.delete(200, "configmaps/a", json!({"dryRun": ["All"]}))
        .await;
    t.get(200, "configmaps/a").await;
    t.get(404, "configmaps/b").await;
    t.create(201, &format!("{TOPICS}?dryRun=All"), topic("a", json!({})))
        .await;
    t.get(404, &format!("{TOPICS}/a")).await;
}

async fn put_makes_only_some_kinds(t: &mut Trial<'_>) {
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    t.replace(201, "coordination.k8s.io/v1/leases/l", lease.clone())
        .await;
    t.replace(422, "coordination.k8s.io/v1/leases/l", lease)
        .await;
    t.replace(404, "configmaps/none", config_map("none", json!({})))
        .await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    t.replace(404, "secrets/s", secret).await;
}

async fn config_maps_and_secrets_may_be_immutable(t: &mut Trial<'_>) {
    let mut map = config_map("a", json!({"a": "1"}));
    map["immutable"] = true.into();
    t.create(201, "configmaps", map).await;
    t.merge(422, "configmaps/a", json!({"data": {"a": "2"}}))
        .await;
    t.merge(422, "configmaps/a", json!({"immutable": false}))
        .await;
    t.merge(
        200,
        "configmaps/a",
        json!({"metadata": {"labels": {"a": "b"}}}),
    )
    .await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "immutable": true, "stringData": {"a": "1"}});
    t.create(201, "secrets", secret).await;
    t.merge(422, "secrets/a", json!({"stringData": {"a": "2"}}))
        .await;
}

async fn secrets_have_types_and_plain_data(t: &mut Trial<'_>) {
    let secret = |more: Value| {
        let mut secret = more;
        secret["apiVersion"] = "v1".into();
        secret["kind"] = "Secret".into();
        secret["metadata"] = json!({"name": "a"});
        secret
    };
    t.create(
        400,
        "secrets",
        secret(json!({"data": {"a": "not base64!"}})),
    )
    .await;
    t.create(
        422,
        "secrets",
        secret(json!({"type": "kubernetes.io/tls", "data": {}})),
    )
    .await;
    t.create(
        201,
        "secrets",
        secret(json!({"data": {"a": "MQ=="}, "stringData": {"b": "2", "a": "3"}})),
    )
    .await;
    t.merge(200, "secrets/a", json!({"stringData": {"c": "4"}}))
        .await;
    t.merge(422, "secrets/a", json!({"type": "other"})).await;
}

async fn services_get_defaults_and_addresses(t: &mut Trial<'_>) {
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    t.create(
        201,
        "services",
        service(
            "a",
            json!({"selector": {"a": "b"}, "ports": [{"port": 80}]}),
        ),
    )
    .await;
    t.create(201, "services", service("b", json!({"clusterIP": "None", "ports": [{"name": "x", "port": 80, "targetPort": "web"}, {"name": "y", "port": 81}]}))).await;
    t.create(
        201,
        "services",
        service(
            "c",
            json!({"clusterIP": "None", "publishNotReadyAddresses": true}),
        ),
    )
    .await;
    t.create(422, "services", service("d", json!({"ports": []})))
        .await;
    t.create(
        422,
        "services",
        service("d", json!({"ports": [{"port": 0}]})),
    )
    .await;
    t.create(
        422,
        "services",
        service("d", json!({"ports": [{"port": 1}, {"port": 2}]})),
    )
    .await;
    let named = |port: u16| json!({"name": "same", "port": port});
    let twice = service("d", json!({"ports": [named(1), named(2), named(3)]}));
    t.create(422, "services", twice).await;
    t.create(
        422,
        "services",
        service("d", json!({"type": "Wrong", "ports": [{"port": 1}]})),
    )
    .await;
    t.merge(422, "services/a", json!({"spec": {"clusterIP": "None"}}))
        .await;
    t.merge(200, "services/a", json!({"spec": {"selector": {"c": "d"}}}))
        .await;
}

async fn pods_get_defaults(t: &mut Trial<'_>) {
    let mut quiet = pod("a");
    quiet["spec"]["automountServiceAccountToken"] = false.into();
    t.create(201, "pods", quiet).await;
    let full = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"},
        "spec": {
            "automountServiceAccountToken": false,
            "initContainers": [{"name": "side", "image": "s", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}}],
            "containers": [{
                "name": "main", "image": "x:latest",
                "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "ports": [{"containerPort": 9092, "name": "kafka"}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
                "livenessProbe": {"exec": {"command": ["true"]}},
                "resources": {"limits": {"memory": "1Gi", "cpu": "0.5"}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "empty", "emptyDir": {}},
                {"name": "config", "configMap": {"name": "c"}},
                {"name": "secret", "secret": {"secretName": "s"}},
                {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "a"}}]}},
            ],
            "securityContext": {"runAsNonRoot": true},
            "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a"]}],
        },
    });
    t.create(201, "pods", full).await;
}

async fn claims_and_accounts_get_defaults(t: &mut Trial<'_>) {
    let claim = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec});
    let size = json!({"requests": {"storage": "1Gi"}});
    t.create(201, "persistentvolumeclaims", claim("a", json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": size}))).await;
    t.create(
        422,
        "persistentvolumeclaims",
        claim("b", json!({"resources": size})),
    )
    .await;
    t.create(
        422,
        "persistentvolumeclaims",
        claim("b", json!({"accessModes": ["ReadWriteOnce"]})),
    )
    .await;
    t.merge(
        422,
        "persistentvolumeclaims/a",
        json!({"spec": {"storageClassName": "other"}}),
    )
    .await;
    // There is no volume yet that could grow.
    let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    t.merge(422, "persistentvolumeclaims/a", larger).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
    t.create(201, "serviceaccounts", account).await;
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    t.create(
        201,
        "policy/v1/poddisruptionbudgets?dryRun=All",
        budget.clone(),
    )
    .await;
    let mut both = budget;
    both["spec"]["minAvailable"] = 1.into();
    t.create(422, "policy/v1/poddisruptionbudgets", both).await;
}

async fn pods_may_change_little(t: &mut Trial<'_>) {
    let mut quiet = pod("a");
    quiet["spec"]["automountServiceAccountToken"] = false.into();
    t.create(201, "pods", quiet).await;
    t.merge(
        200,
        "pods/a",
        json!({"metadata": {"labels": {"x": "y"}, "annotations": {"z": "1"}}}),
    )
    .await;
    t.strategic(
        200,
        "pods/a",
        json!({"spec": {"containers": [{"name": "main", "image": "x:2"}]}}),
    )
    .await;
    let refused = t
        .refused_change("pods/a", json!({"spec": {"hostNetwork": true}}))
        .await;
    t.note("a refused change", refused);
    let refused = t
        .refused_change("pods/a", json!({"spec": {"serviceAccountName": "other"}}))
        .await;
    t.note("a refused change", refused);
    let refused = t
        .refused_change("pods/a", json!({"spec": {"nodeName": "n"}}))
        .await;
    t.note("a refused change", refused);
    t.merge(200, "pods/a/status", json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})).await;
    t.strategic(
        200,
        "pods/a/status",
        json!({"status": {"conditions": [{"type": "Mine", "status": "False"}]}}),
    )
    .await;
}

async fn pods_are_checked(t: &mut Trial<'_>) {
    let with = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
    t.create(422, "pods", with(json!({"containers": []}))).await;
    t.create(422, "pods", with(json!({}))).await;
    t.create(422, "pods", with(json!({"containers": [{"name": "a"}]})))
        .await;
    t.create(
        422,
        "pods",
        with(json!({"containers": [{"name": "A", "image": "x"}]})),
    )
    .await;
    t.create(
        422,
        "pods",
        with(json!({"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]})),
    )
    .await;
    t.create(422, "pods", with(json!({"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]}))).await;
    t.create(
        422,
        "pods",
        with(json!({"restartPolicy": "Maybe", "containers": [{"name": "a", "image": "x"}]})),
    )
    .await;
    t.create(
        403,
        "pods",
        with(json!({"serviceAccountName": "none", "containers": [{"name": "a", "image": "x"}]})),
    )
    .await;
    t.create(400, "pods", with(json!({"containers": [{"name": "a", "image": "x", "resources": {"limits": {"cpu": "much"}}}]}))).await;
    t.create(400, "pods", with(json!({"containers": {}}))).await;
}

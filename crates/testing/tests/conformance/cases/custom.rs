//! Custom resources: defaults, pruning, status, generation, scale.

use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, gadget, kafka, topic};
use crate::trial::Trial;

super::cases! {
    definitions_say_that_they_are_served,
    discovery_lists_the_kinds,
    defaults_are_filled_in_and_unknown_fields_pruned,
    null_is_pruned_or_kept_as_the_schema_says,
    unknown_fields_are_refused_or_warned_about,
    status_and_spec_are_written_apart,
    generation_counts_changes_of_the_spec,
    observed_generation_is_checked,
    scale_reads_and_writes_replicas,
    a_changed_definition_takes_effect,
    a_wrong_definition_is_refused,
}

async fn definitions_say_that_they_are_served(t: &mut Trial<'_>) {
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for name in [
        "kafkaclusters",
        "kafkanodepools",
        "kafkatopics",
        "kafkaacls",
        "kafkaquotas",
    ] {
        t.get(200, &format!("{crds}/{name}.kafka.tubeway.dev"))
            .await;
    }
    t.get(200, &format!("{crds}/gadgets.test.tubeway.dev"))
        .await;
    t.get(404, &format!("{crds}/none.test.tubeway.dev")).await;
}

async fn discovery_lists_the_kinds(t: &mut Trial<'_>) {
    t.get(200, "/apis/kafka.tubeway.dev").await;
    t.get(200, "/apis/kafka.tubeway.dev/v1alpha1").await;
    t.get(200, "/apis/test.tubeway.dev/v1").await;
    t.get(404, "/apis/test.tubeway.dev/v2").await;
    t.get(404, "/apis/none.tubeway.dev/v1").await;
}

async fn defaults_are_filled_in_and_unknown_fields_pruned(t: &mut Trial<'_>) {
    let spec = json!({"partitions": 3, "unknown": 1, "config": {"cleanup.policy": "compact", "retention.ms": 5, "x": {"y": [1]}}});
    t.create(201, TOPICS, topic("a", spec)).await;
    t.create(201, GADGETS, gadget("a", json!({}))).await;
    let spec = json!({"limits": {"cpu": 4, "gpu": 1}, "free": {"x": {"y": null, "z": 1}}, "ports": [{"number": 1}, {"number": 1, "protocol": "UDP"}], "size": "10%"});
    t.create(201, GADGETS, gadget("b", spec)).await;
    let spec = json!({
        "cluster": "demo", "replicas": 3, "roles": ["broker", "controller"],
        "storage": {"class": "standard", "size": "1Gi"},
    });
    let pool = kafka("KafkaNodePool", "pool", spec);
    t.create(201, "kafka.tubeway.dev/v1alpha1/kafkanodepools", pool)
        .await;
    let spec = json!({"cluster": {"name": "demo"}, "limits": {"producedBytesPerSecond": "10M", "connections": 3}});
    t.create(
        201,
        "kafka.tubeway.dev/v1alpha1/kafkaquotas",
        kafka("KafkaQuota", "quota", spec),
    )
    .await;
    t.create(
        201,
        "kafka.tubeway.dev/v1alpha1/kafkaclusters",
        kafka("KafkaCluster", "demo", json!({"version": "4.3.1"})),
    )
    .await;
}

async fn null_is_pruned_or_kept_as_the_schema_says(t: &mut Trial<'_>) {
    let spec = json!({"partitions": null, "deletionPolicy": null, "topicName": null});
    t.create(201, TOPICS, topic("a", spec)).await;
    t.merge(
        200,
        &format!("{TOPICS}/a"),
        json!({"spec": {"partitions": 2}}),
    )
    .await;
    t.merge(
        200,
        &format!("{TOPICS}/a"),
        json!({"spec": {"partitions": null}}),
    )
    .await;
    let mut body = topic("b", json!({}));
    body["status"] = Value::Null;
    t.create(201, TOPICS, body).await;
    t.create(
        201,
        GADGETS,
        gadget("c", json!({"color": null, "tags": null})),
    )
    .await;
    t.create(
        201,
        GADGETS,
        gadget("d", json!({"replicas": null, "limits": null})),
    )
    .await;
}

async fn unknown_fields_are_refused_or_warned_about(t: &mut Trial<'_>) {
    let body = || gadget("a", json!({"colour": "red", "limits": {"gpu": 1}}));
    t.create(400, &format!("{GADGETS}?fieldValidation=Strict"), body())
        .await;
    t.create(201, &format!("{GADGETS}?fieldValidation=Warn"), body())
        .await;
    let more = json!({"spec": {"colour": "blue"}});
    t.merge(
        422,
        &format!("{GADGETS}/a?fieldValidation=Strict"),
        more.clone(),
    )
    .await;
    t.merge(200, &format!("{GADGETS}/a?fieldValidation=Ignore"), more)
        .await;
    t.create(422, &format!("{GADGETS}?fieldValidation=Sloppy"), body())
        .await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "lables": {}}, "dta": {}});
    t.create(400, "configmaps?fieldValidation=Strict", map.clone())
        .await;
    t.create(201, "configmaps?fieldValidation=Warn", map).await;
    let applied =
        json!({"apiVersion": "test.tubeway.dev/v1", "kind": "Gadget", "spec": {"colour": "red"}});
    t.apply(
        500,
        &format!("{GADGETS}/b?fieldManager=m&fieldValidation=Strict"),
        applied,
    )
    .await;
}

async fn status_and_spec_are_written_apart(t: &mut Trial<'_>) {
    let mut body = topic("a", json!({"partitions": 1}));
    body["status"] = json!({"partitions": 7});
    t.create(201, TOPICS, body).await;
    let both = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"partitions": 2}, "status": {"partitions": 2, "topicId": "abc"}});
    let a = format!("{TOPICS}/a");
    t.merge(200, &format!("{a}/status"), both.clone()).await;
    t.merge(
        200,
        &a,
        json!({"status": {"topicId": "def"}, "spec": {"partitions": 3}}),
    )
    .await;
    let mut now = t.get(200, &format!("{a}/status")).await;
    now["spec"]["partitions"] = 9.into();
    now["status"]["replicas"] = 3.into();
    t.replace(200, &format!("{a}/status"), now.clone()).await;
    now["status"]["replicas"] = 4.into();
    t.replace(409, &format!("{a}/status"), now).await;
    t.merge(
        422,
        &format!("{a}/status"),
        json!({"status": {"partitions": "two"}}),
    )
    .await;
    t.merge(200, &format!("{a}/status"), json!({"status": null}))
        .await;
    t.get(404, &format!("{TOPICS}/none/status")).await;
}

async fn generation_counts_changes_of_the_spec(t: &mut Trial<'_>) {
    let a = format!("{TOPICS}/a");
    let mut body = topic("a", json!({"partitions": 1}));
    body["metadata"]["generation"] = 7.into();
    t.create(201, TOPICS, body).await;
    t.merge(
        200,
        &a,
        json!({"metadata": {"labels": {"l": "1"}, "annotations": {"a": "1"}, "generation": 9}}),
    )
    .await;
    t.merge(200, &a, json!({"spec": {"partitions": 1}})).await;
    t.merge(200, &a, json!({"spec": {"partitions": 2}})).await;
    t.merge(
        200,
        &format!("{a}/status"),
        json!({"status": {"partitions": 2}}),
    )
    .await;
    t.merge(200, &a, json!({"metadata": {"finalizers": ["test.dev/f"]}}))
        .await;
    t.delete(200, &a, Value::Null).await;
    t.get(200, &a).await;
    t.merge(200, &a, json!({"metadata": {"finalizers": null}}))
        .await;
    t.get(404, &a).await;
}

async fn observed_generation_is_checked(t: &mut Trial<'_>) {
    t.create(201, TOPICS, topic("a", json!({}))).await;
    let status = format!("{TOPICS}/a/status");
    let condition = |generation: i64, status: &str| {
        json!({"status": {"observedGeneration": generation, "conditions": [{
            "type": "Ready", "status": status, "reason": "Made", "message": "", "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}})
    };
    t.merge(200, &status, condition(1, "True")).await;
    t.merge(422, &status, condition(-1, "True")).await;
    t.merge(422, &status, condition(1, "Perhaps")).await;
    let twice = json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "reason": "A", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        {"type": "Ready", "status": "True", "reason": "B", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]}});
    t.merge(422, &status, twice).await;
    let bare =
        json!({"status": {"conditions": [{"type": "Ready", "lastTransitionTime": "yesterday"}]}});
    t.merge(422, &status, bare).await;
}

async fn scale_reads_and_writes_replicas(t: &mut Trial<'_>) {
    t.create(201, GADGETS, gadget("a", json!({"replicas": 2})))
        .await;
    let (a, scale) = (format!("{GADGETS}/a"), format!("{GADGETS}/a/scale"));
    t.get(200, &scale).await;
    t.merge(
        200,
        &format!("{a}/status"),
        json!({"status": {"replicas": 1, "selector": "app=x"}}),
    )
    .await;
    let mut now = t.get(200, &scale).await;
    now["spec"]["replicas"] = 5.into();
    t.replace(200, &scale, now.clone()).await;
    now["spec"]["replicas"] = 6.into();
    t.replace(409, &scale, now).await;
    t.merge(200, &scale, json!({"spec": {"replicas": 3}})).await;
    t.merge(422, &scale, json!({"spec": {"replicas": -1}}))
        .await;
    t.get(200, &a).await;
    t.get(404, &format!("{GADGETS}/none/scale")).await;
    t.get(404, &format!("{TOPICS}/none/scale")).await;
}

fn definition(name: &str, plural: &str, schema: Value) -> Value {
    let kind = format!("{}{}", plural[..1].to_uppercase(), &plural[1..]);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {
            "group": "case.tubeway.dev", "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

async fn a_changed_definition_takes_effect(t: &mut Trial<'_>) {
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let schema = |maximum: i64| json!({"type": "object", "properties": {"size": {"type": "integer", "maximum": maximum}}});
    let name = "boxes.case.tubeway.dev";
    t.create(201, crds, definition(name, "boxes", schema(5)))
        .await;
    let boxes = "case.tubeway.dev/v1/boxes";
    t.until(boxes, |code, _| code == 200).await;
    let make = |name: &str, size: i64| json!({"apiVersion": "case.tubeway.dev/v1", "kind": "Boxes", "metadata": {"name": name}, "size": size});
    t.create(422, boxes, make("a", 6)).await;
    t.create(201, boxes, make("a", 5)).await;
    let change = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema(2)}]);
    t.json_patch(200, &format!("{crds}/{name}"), change).await;
    // The new handler is there a moment later.
    let probe = make("probe", 3);
    let mut refused = false;
    for _ in 0..200 {
        let dry = format!("{boxes}?dryRun=All");
        refused = t.attempt(&dry, &probe).await == 422;
        if refused {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    t.note("refused by the new schema", refused);
    // What was there before is as it was, and an unchanged wrong field is let be.
    t.get(200, &format!("{boxes}/a")).await;
    t.merge(
        200,
        &format!("{boxes}/a"),
        json!({"metadata": {"labels": {"x": "y"}}}),
    )
    .await;
    t.merge(422, &format!("{boxes}/a"), json!({"size": 4}))
        .await;
    t.delete(200, &format!("{crds}/{name}"), Value::Null).await;
    t.until_gone(&format!("{crds}/{name}")).await;
    t.until_gone(boxes).await;
}

async fn a_wrong_definition_is_refused(t: &mut Trial<'_>) {
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All";
    let object = || json!({"type": "object"});
    t.create(
        422,
        crds,
        definition("wrong.case.tubeway.dev", "cups", object()),
    )
    .await;
    t.create(
        422,
        crds,
        definition(
            "cups.case.tubeway.dev",
            "cups",
            json!({"type": "object", "properties": {"a": {}}}),
        ),
    )
    .await;
    let broken =
        json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.nothing > 1"}]});
    t.create(
        422,
        crds,
        definition("cups.case.tubeway.dev", "cups", broken),
    )
    .await;
    let mut unstored = definition("cups.case.tubeway.dev", "cups", object());
    unstored["spec"]["versions"][0]["storage"] = false.into();
    t.create(422, crds, unstored).await;
    let mut schemaless = definition("cups.case.tubeway.dev", "cups", object());
    schemaless["spec"]["versions"][0]["schema"] = Value::Null;
    t.create(422, crds, schemaless).await;
    let default =
        json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}});
    t.create(
        422,
        crds,
        definition("cups.case.tubeway.dev", "cups", default),
    )
    .await;
}

//! Events, and leases for leader election.

use serde_json::{Value, json};

use crate::trial::Trial;

super::cases! {
    events_are_shown_by_both_groups,
    events_are_checked,
    one_of_two_gets_a_lease,
    leases_are_checked,
    budgets_and_evictions,
}

const EVENTS: &str = "events.k8s.io/v1/events";
const LEASES: &str = "coordination.k8s.io/v1/leases";

fn event(t: &Trial<'_>, name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name},
        "eventTime": "2026-01-01T00:00:00.000001Z", "type": "Warning", "reason": "NotReady", "action": "Reconcile",
        "note": "no broker answers", "reportingController": "tubeway.dev/operator", "reportingInstance": "operator-0",
        "regarding": {"apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaCluster", "name": "demo", "namespace": t.namespace},
    })
}

async fn events_are_shown_by_both_groups(t: &mut Trial<'_>) {
    let body = event(t, "a");
    t.create(201, EVENTS, body).await;
    t.get(200, &format!("{EVENTS}/a")).await;
    t.get(200, "events/a").await;
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
    t.merge(200, &format!("{EVENTS}/a"), series).await;
    t.get(200, "events/a").await;
    let list = t
        .get(
            200,
            "events?fieldSelector=involvedObject.name%3Ddemo,type%3DWarning,reason%3DNotReady",
        )
        .await;
    t.note("events", list["items"].as_array().map_or(0, Vec::len));
    let old = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "old"}, "type": "Normal", "reason": "Made", "message": "made",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": t.namespace}, "source": {"component": "x"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    });
    t.create(201, "events", old).await;
    t.get(200, &format!("{EVENTS}/old")).await;
    t.delete(200, &format!("{EVENTS}/a"), Value::Null).await;
    t.get(404, "events/a").await;
}

async fn events_are_checked(t: &mut Trial<'_>) {
    let without = |field: &str, t: &Trial<'_>| {
        let mut body = event(t, "a");
        body.as_object_mut().unwrap().remove(field);
        body
    };
    for field in [
        "eventTime",
        "reportingController",
        "reportingInstance",
        "action",
        "reason",
        "type",
    ] {
        let body = without(field, t);
        t.create(422, EVENTS, body).await;
    }
    let mut long = event(t, "a");
    long["note"] = "x".repeat(1025).into();
    t.create(422, EVENTS, long).await;
    let mut elsewhere = event(t, "b");
    elsewhere["regarding"]["namespace"] = "elsewhere".into();
    t.create(201, EVENTS, elsewhere).await;
    let body = event(t, "a");
    t.create(201, EVENTS, body).await;
    t.merge(422, &format!("{EVENTS}/a"), json!({"note": "other"}))
        .await;
}

fn lease(holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "operator"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0, "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z"},
    })
}

async fn one_of_two_gets_a_lease(t: &mut Trial<'_>) {
    let made = t.create(201, LEASES, lease("a")).await;
    t.create(409, LEASES, lease("b")).await;
    let path = format!("{LEASES}/operator");
    let mut renewed = made.clone();
    renewed["spec"]["renewTime"] = "2026-01-01T00:00:10.000000Z".into();
    t.replace(200, &path, renewed).await;
    let mut stolen = made.clone();
    stolen["spec"]["holderIdentity"] = "b".into();
    t.replace(409, &path, stolen.clone()).await;
    let now = t.get(200, &path).await;
    stolen["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
    stolen["spec"]["leaseTransitions"] = 1.into();
    t.replace(200, &path, stolen).await;
    t.merge(409, &path, json!({"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "spec": {"holderIdentity": "a"}})).await;
    let apply = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "operator"}, "spec": {"holderIdentity": "a"}});
    t.apply(409, &format!("{path}?fieldManager=a"), apply).await;
    let fence = json!({"preconditions": {"uid": now["metadata"]["uid"], "resourceVersion": now["metadata"]["resourceVersion"]}});
    t.delete(409, &path, fence).await;
    t.delete(200, &path, Value::Null).await;
}

async fn leases_are_checked(t: &mut Trial<'_>) {
    let with = |spec: Value| {
        let mut body = lease("a");
        body["spec"] = spec;
        body
    };
    t.create(422, LEASES, with(json!({"leaseDurationSeconds": 0})))
        .await;
    t.create(422, LEASES, with(json!({"leaseTransitions": -1})))
        .await;
    t.create(
        201,
        &format!("{LEASES}?dryRun=All"),
        with(json!({"holderIdentity": ""})),
    )
    .await;
    t.create(400, LEASES, with(json!({"renewTime": "yesterday"})))
        .await;
    t.create(400, LEASES, with(json!({"leaseDurationSeconds": "long"})))
        .await;
    t.create(
        400,
        LEASES,
        with(json!({"renewTime": "2026-01-01T00:00:00Z"})),
    )
    .await;
}

async fn budgets_and_evictions(t: &mut Trial<'_>) {
    let mut pod = super::bodies::pod("a");
    pod["spec"]["automountServiceAccountToken"] = false.into();
    t.create(201, "pods", pod).await;
    let eviction = |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    t.create(404, "pods/none/eviction", eviction("none")).await;
    t.create(201, "pods/a/eviction?dryRun=All", eviction("a"))
        .await;
    t.get(200, "pods/a").await;
    t.create(201, "pods/a/eviction", eviction("a")).await;
    t.get(404, "pods/a").await;
}

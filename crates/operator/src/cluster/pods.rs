//! What a pod's status says about its node. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tubeway_api::labels;
use tubeway_planner::NodeState;

/// Seconds that the operator gives a pod to stop. A broker hands over its
/// partitions first, for which Kafka itself takes up to five minutes; what is not
/// handed over by then is recovered at the next start.
pub(super) const GRACE: u32 = 330;

/// How the node is that this pod runs; no pod is a missing node.
///
/// A pod that is over does not serve, whatever its conditions still say: Kafka
/// goes on to count its broker as in sync until its session has timed out.
pub(super) fn state(pod: Option<&Pod>) -> NodeState {
    let Some(pod) = pod else {
        return NodeState::Missing;
    };
    if is_ending(pod) {
        NodeState::Terminating
    } else if is_ready(pod) && !is_over(pod) {
        NodeState::Ready
    } else {
        NodeState::NotReady
    }
}

/// Whether the pod was told to go.
pub(super) fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod's containers have ended for good, as after an eviction: it
/// will not run again, and only another pod in its place can.
pub(super) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// Whether Kafka's process runs, and has not just ended and been started again.
pub(super) fn runs_kafka(pod: &Pod) -> bool {
    let kafka = |status: &ContainerStatus| {
        let running = status
            .state
            .as_ref()
            .and_then(|state| state.running.as_ref());
        status.name == super::names::KAFKA_CONTAINER && running.is_some()
    };
    all_statuses(pod).any(|(_, status)| kafka(status))
}

/// Whether the pod was built as it would be built now, and nobody wants another
/// in its place.
pub(super) fn is_current(pod: &Pod, wanted: &Pod) -> bool {
    let unmarked = !pod.annotations().contains_key(labels::RESTART);
    unmarked
        && pod.annotations().get(labels::SPEC_HASH) == wanted.annotations().get(labels::SPEC_HASH)
}

/// Why a pod is not ready, in words of its own status: what somebody would
/// look for with `kubectl describe`.
pub(super) fn trouble(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return "has not been seen by a kubelet".to_owned();
    };
    let waiting = all_statuses(pod).find_map(|(_, container)| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        // What every pod goes through says nothing.
        (!matches!(reason, "PodInitializing" | "ContainerCreating"))
            .then(|| format!("container {} waits: {reason}", container.name))
    });
    if let Some(waiting) = waiting {
        return waiting;
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unscheduled = conditions
        .iter()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        let message = condition.message.as_deref().unwrap_or("no node fits");
        return format!("is not scheduled: {message}");
    }
    let not_ready: Vec<_> = all_statuses(pod)
        .filter(|(long_running, container)| *long_running && !container.ready)
        .map(|(_, container)| container.name.as_str())
        .collect();
    match (status.phase.as_deref(), not_ready.as_slice()) {
        (Some("Running"), [_, ..]) => format!("container {} is not ready", not_ready.join(", ")),
        (phase, _) => format!("is {}", phase.unwrap_or("Pending")),
    }
}

/// Since when the pod is ready, if it is and says so.
pub(super) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let time = ready(pod)?.last_transition_time.as_ref()?;
    Some(time.0)
}

fn is_ready(pod: &Pod) -> bool {
    ready(pod).is_some()
}

fn ready(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.find(|c| c.type_ == "Ready" && c.status == "True")
}

/// Each container's status, and whether it is one that keeps running.
fn all_statuses(pod: &Pod) -> impl Iterator<Item = (bool, &ContainerStatus)> {
    let status = pod.status.as_ref();
    let sidecars = status.and_then(|s| s.init_container_statuses.as_deref());
    let containers = status.and_then(|s| s.container_statuses.as_deref());
    let runs_on = |name: &str| {
        let inits = pod.spec.as_ref().and_then(|s| s.init_containers.as_deref());
        let mut inits = inits.unwrap_or_default().iter();
        inits.any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
    };
    let sidecars = sidecars.unwrap_or_default().iter();
    let containers = containers.unwrap_or_default().iter();
    sidecars
        .map(move |s| (runs_on(&s.name), s))
        .chain(containers.map(|s| (true, s)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "demo-all-0" }, "status": status }))
            .unwrap()
    }

    fn container(name: &str, ready: bool, state: &Value) -> Value {
        json!({ "name": name, "ready": ready, "state": state, "image": "", "imageID": "", "restartCount": 0 })
    }

    #[test]
    fn the_trouble_of_a_pod_is_what_its_status_says() {
        let crash = container(
            "kafka",
            false,
            &json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
        );
        let slow = container("kafka", false, &json!({ "running": {} }));
        let scheduled =
            json!([{ "type": "PodScheduled", "status": "False", "message": "0/3 nodes fit" }]);
        for (status, words) in [
            (
                json!({ "phase": "Running", "containerStatuses": [crash] }),
                "container kafka waits: CrashLoopBackOff",
            ),
            (
                json!({ "phase": "Running", "containerStatuses": [slow] }),
                "container kafka is not ready",
            ),
            (
                json!({ "phase": "Pending", "conditions": scheduled }),
                "is not scheduled: 0/3 nodes fit",
            ),
            (json!({}), "is Pending"),
        ] {
            assert_eq!(trouble(&pod(&status)), words);
        }
    }

    #[test]
    fn a_pod_says_since_when_it_is_ready() {
        let at = "2026-05-04T03:02:01Z";
        let ready = |status: &str| {
            let condition = json!({ "type": "Ready", "status": status, "lastTransitionTime": at });
            pod(&json!({ "conditions": [condition] }))
        };
        assert_eq!(ready_since(&ready("True")), Some(at.parse().unwrap()));
        assert_eq!(ready_since(&ready("False")), None);
        assert_eq!(ready_since(&pod(&json!({}))), None);
    }

    #[test]
    fn kafka_runs_when_its_own_container_does() {
        let state = |name: &str, state: &Value| {
            let statuses = [container(name, false, state)];
            pod(&json!({ "phase": "Running", "containerStatuses": statuses }))
        };
        let waits = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        assert!(runs_kafka(&state("kafka", &json!({ "running": {} }))));
        assert!(!runs_kafka(&state("kafka", &waits)));
        assert!(!runs_kafka(&state("sidecar", &json!({ "running": {} }))));
        assert!(!runs_kafka(&pod(&json!({ "phase": "Pending" }))));
    }

    #[test]
    fn a_pod_that_was_evicted_is_over() {
        assert!(is_over(&pod(
            &json!({ "phase": "Failed", "reason": "Evicted" })
        )));
        assert!(!is_over(&pod(&json!({ "phase": "Running" }))));
    }

    #[test]
    fn a_pod_that_is_over_is_not_ready_whatever_it_says() {
        let with = |phase: &str| {
            let ready = [json!({ "type": "Ready", "status": "True" })];
            pod(&json!({ "phase": phase, "conditions": ready }))
        };
        assert_eq!(state(Some(&with("Running"))), NodeState::Ready);
        assert_eq!(state(Some(&with("Failed"))), NodeState::NotReady);
    }
}

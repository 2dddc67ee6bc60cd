//! Pods, with the state that people mean by "status".

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Headings, age, items, since, text, text_or_none};

pub(super) const HEADINGS: Headings = &[
    "Name",
    "Ready",
    "Status",
    "Restarts",
    "Age",
    "+IP",
    "+Node",
    "+Nominated Node",
    "+Readiness Gates",
];

/// What the containers of a pod add up to.
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<String>,
}

/// Restarts of some containers, with the time of the last.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<String>,
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match &summary.last_restart {
        Some(time) if summary.restarts > 0 => {
            let ago = since(&json!(time), now);
            format!(
                "{} ({} ago)",
                summary.restarts,
                ago.as_str().unwrap_or_default()
            )
        }
        _ => summary.restarts.to_string(),
    };
    let gates = match items(pod, "/spec/readinessGates").count() {
        0 => "<none>".to_owned(),
        total => {
            let met = |gate: &&Value| {
                items(pod, "/status/conditions")
                    .any(|c| c["type"] == gate["conditionType"] && c["status"] == "True")
            };
            format!(
                "{}/{total}",
                items(pod, "/spec/readinessGates").filter(met).count()
            )
        }
    };
    vec![
        pod["metadata"]["name"].clone(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        text_or_none(pod, "/status/podIP"),
        text_or_none(pod, "/spec/nodeName"),
        text_or_none(pod, "/status/nominatedNodeName"),
        gates.into(),
    ]
}

// === impl Restarts ===

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += container["restartCount"].as_i64().unwrap_or(0);
        let finished = text(container, "/lastState/terminated/finishedAt");
        // RFC 3339 in UTC sorts as text.
        if !finished.is_empty() && self.last.as_deref().is_none_or(|last| last < finished) {
            self.last = Some(finished.to_owned());
        }
    }
}

// === impl Summary ===

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = text(pod, "/status/phase");
        let said = text(pod, "/status/reason");
        let mut reason = if said.is_empty() { phase } else { said }.to_owned();
        let sidecars = items(pod, "/spec/initContainers")
            .filter(|c| c["restartPolicy"] == "Always")
            .count();
        let total = items(pod, "/spec/containers").count() + sidecars;

        let (mut all, mut of_sidecars, mut ready) = (Restarts::default(), Restarts::default(), 0);
        let initializing = initial(pod, &mut all, &mut of_sidecars, &mut ready);
        if let Some(initializing) = &initializing {
            reason.clone_from(initializing);
        }
        let mut restarts = all;
        if initializing.is_none() || condition(pod, "Initialized") {
            restarts = of_sidecars;
            main(pod, &mut reason, &mut restarts, &mut ready);
        }
        let leaving = pod["metadata"]["deletionTimestamp"].is_string();
        if leaving && said == "NodeLost" {
            reason = "Unknown".into();
        } else if leaving && !matches!(phase, "Succeeded" | "Failed") {
            reason = "Terminating".into();
        }
        Self {
            reason,
            ready,
            total,
            restarts: restarts.count,
            last_restart: restarts.last,
        }
    }
}

/// Looks at the init containers; what keeps the pod from being initialized, if something does.
fn initial(
    pod: &Value,
    all: &mut Restarts,
    of_sidecars: &mut Restarts,
    ready: &mut usize,
) -> Option<String> {
    let count = items(pod, "/spec/initContainers").count();
    for (at, container) in items(pod, "/status/initContainerStatuses").enumerate() {
        all.add(container);
        let sidecar = items(pod, "/spec/initContainers")
            .any(|c| c["name"] == container["name"] && c["restartPolicy"] == "Always");
        if sidecar {
            of_sidecars.add(container);
        }
        let terminated = &container["state"]["terminated"];
        if terminated.is_object() && terminated["exitCode"] == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            *ready += usize::from(container["ready"] == true);
            continue;
        }
        let waiting = text(container, "/state/waiting/reason");
        return Some(if terminated.is_object() {
            format!("Init:{}", ending(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{at}/{count}")
        });
    }
    None
}

/// Looks at the main containers, last to first, so that the first one's state wins.
fn main(pod: &Value, reason: &mut String, restarts: &mut Restarts, ready: &mut usize) {
    let mut running = false;
    for container in items(pod, "/status/containerStatuses").rev() {
        restarts.add(container);
        let waiting = text(container, "/state/waiting/reason");
        let terminated = &container["state"]["terminated"];
        if !waiting.is_empty() {
            waiting.clone_into(reason);
        } else if terminated.is_object() {
            *reason = ending(terminated);
        } else if container["ready"] == true && container["state"]["running"].is_object() {
            running = true;
            *ready += 1;
        }
    }
    if reason == "Completed" && running {
        *reason = if condition(pod, "Ready") {
            "Running"
        } else {
            "NotReady"
        }
        .into();
    }
}

/// How a container ended.
fn ending(terminated: &Value) -> String {
    match (
        text(terminated, "/reason"),
        terminated["signal"].as_i64().unwrap_or(0),
    ) {
        ("", 0) => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn condition(pod: &Value, kind: &str) -> bool {
    items(pod, "/status/conditions").any(|c| c["type"] == kind && c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pod: &Value) -> (String, String, String) {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let cells = cells(pod, now);
        let text = |at: usize| cells[at].as_str().unwrap().to_owned();
        (text(1), text(2), text(3))
    }

    fn want(ready: &str, status: &str, restarts: &str) -> (String, String, String) {
        (ready.into(), status.into(), restarts.into())
    }

    fn pod(inits: Value, init_statuses: Value, statuses: Value) -> Value {
        json!({
            "metadata": {"name": "p"},
            "spec": {"initContainers": inits, "containers": [{"name": "a"}, {"name": "b"}]},
            "status": {"phase": "Running", "initContainerStatuses": init_statuses, "containerStatuses": statuses},
        })
    }

    #[test]
    fn a_pod_on_its_way() {
        let inits = json!([{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]);
        let waiting = json!([{"name": "i", "state": {"running": {}}}, {"name": "s", "state": {"waiting": {}}}]);
        assert_eq!(
            row(&pod(inits.clone(), waiting, json!([]))),
            want("0/3", "Init:0/2", "0")
        );
        let failing = json!([{"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:09:00Z"}}}]);
        assert_eq!(
            row(&pod(inits.clone(), failing, json!([]))),
            want("0/3", "Init:CrashLoopBackOff", "2 (60s ago)")
        );
        let done = json!([
            {"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            {"name": "s", "restartCount": 1, "started": true, "ready": true, "state": {"running": {}}},
        ]);
        let running = json!([
            {"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}},
            {"name": "b", "ready": false, "restartCount": 0, "state": {"running": {}}},
        ]);
        assert_eq!(row(&pod(inits, done, running)), want("2/3", "Running", "1"));
    }

    #[test]
    fn a_pod_in_trouble_or_leaving() {
        let trouble =
            |state: Value| pod(json!([]), json!([]), json!([{"name": "a", "state": state}]));
        let cases = [
            (
                json!({"waiting": {"reason": "ErrImagePull"}}),
                "ErrImagePull",
            ),
            (json!({"terminated": {"exitCode": 3}}), "ExitCode:3"),
            (
                json!({"terminated": {"exitCode": 137, "signal": 9}}),
                "Signal:9",
            ),
            (
                json!({"terminated": {"exitCode": 0, "reason": "Completed"}}),
                "Completed",
            ),
        ];
        for (state, status) in cases {
            assert_eq!(row(&trouble(state)), want("0/2", status, "0"));
        }
        let mut leaving = trouble(json!({"running": {}}));
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(row(&leaving).1, "Terminating");
    }

    #[test]
    fn half_done_is_not_ready() {
        let statuses = json!([
            {"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            {"name": "b", "ready": true, "state": {"running": {}}},
        ]);
        assert_eq!(
            row(&pod(json!([]), json!([]), statuses)),
            want("1/2", "NotReady", "0")
        );
    }
}

//! What a person wants to see when something on the node did not come about.

use std::fmt::Write as _;

use serde_json::Value;

use super::Node;

/// Lines of each container's log.
const LOG_LINES: &str = "--tail=30";
/// Newest events of a namespace.
const EVENTS: usize = 25;

// === impl Node ===

impl Node {
    /// The pods of these namespaces, their newest events, and how the logs end of
    /// all containers that are not ready or were started again. What cannot be had
    /// is told in its place.
    pub async fn report(&self, namespaces: &[&str]) -> String {
        let mut text = String::new();
        for namespace in namespaces {
            let namespace = format!("--namespace={namespace}");
            let pods = self.ask(&["get", "pods", &namespace, "-o", "wide"]).await;
            let events = ["get", "events", &namespace, "--sort-by=.lastTimestamp"];
            let events = self.ask(&events).await;
            let lines: Vec<_> = events.lines().collect();
            let newest = lines[lines.len().saturating_sub(EVENTS)..].join("\n");
            let _ = writeln!(text, "--- {namespace}\n{pods}\nevents:\n{newest}");
            let pods = self.ask(&["get", "pods", &namespace, "-o", "json"]).await;
            let pods: Value = serde_json::from_str(&pods).unwrap_or_default();
            for pod in pods["items"].as_array().into_iter().flatten() {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                for container in troubled(pod) {
                    let logs = ["logs", &namespace, name, "-c", &container, LOG_LINES];
                    let log = self.ask(&logs).await;
                    let _ = writeln!(text, "--- log of {name}/{container}:\n{log}");
                    let before = self.ask(&[&logs[..], &["--previous"]].concat()).await;
                    if !before.contains("previous terminated container") {
                        let _ = writeln!(text, "--- log of {name}/{container} before:\n{before}");
                    }
                }
            }
        }
        text
    }

    async fn ask(&self, arguments: &[&str]) -> String {
        match self.kubectl().args(arguments).output().await {
            Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into(),
            Err(error) => error.to_string(),
        }
    }
}

/// The containers of a pod that are not ready or have been started again.
fn troubled(pod: &Value) -> Vec<String> {
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let statuses = statuses
        .iter()
        .filter_map(|list| pod["status"][list].as_array());
    let troubled = statuses.flatten().filter(|status| {
        status["ready"] != true || status["restartCount"].as_u64().unwrap_or_default() > 0
    });
    let names = troubled.filter_map(|status| status["name"].as_str());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn logs_are_shown_of_what_is_not_ready_or_was_started_again() {
        let status = |name: &str, ready: bool, restarts: u64| json!({"name": name, "ready": ready, "restartCount": restarts});
        let pod = json!({"status": {
            "initContainerStatuses": [status("sidecar", true, 0)],
            "containerStatuses": [status("kafka", false, 0), status("app", true, 2)],
        }});
        assert_eq!(troubled(&pod), ["kafka", "app"]);
    }
}

//! A pod's status from what its containers do, as the kubelet computes it. Pure.

use super::board::{
    ContainerBoard, Ended, PodBoard, Restart, Role, RunState, all_containers, init_containers,
};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// The status to report for `pod`. Conditions that did not change keep their transition time from
/// the status in `pod`; conditions of others are not among the result.
pub(crate) fn pod_status(pod: &Pod, board: &PodBoard, host_ip: &str, now: Timestamp) -> PodStatus {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let phase = phase(spec, board);
    let pod_ip = board.pod_ip.map(|address| address.to_string());
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let statuses = |containers: &[Container]| -> Option<Vec<ContainerStatus>> {
        let all = containers.iter();
        let statuses: Vec<_> = all.map(|c| container_status(uid, c, board)).collect();
        (!statuses.is_empty()).then_some(statuses)
    };
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: board.failed.as_ref().map(|verdict| verdict.reason.clone()),
        message: board.failed.as_ref().map(|verdict| verdict.message.clone()),
        conditions: Some(conditions(pod, spec, board, phase, now)),
        host_ip: Some(host_ip.to_owned()),
        host_ips: Some(vec![HostIP {
            ip: host_ip.to_owned(),
        }]),
        pod_ips: pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip,
        start_time: board.start_time.map(Time),
        observed_generation: pod.metadata.generation,
        init_container_statuses: statuses(spec.init_containers.as_deref().unwrap_or_default()),
        container_statuses: statuses(&spec.containers),
        ..PodStatus::default()
    }
}

/// The pod's phase.
pub(crate) fn phase(spec: &PodSpec, board: &PodBoard) -> &'static str {
    if board.failed.is_some() {
        return "Failed";
    }
    for (container, role) in init_containers(spec) {
        match role {
            Role::Init => match latest_code(board, &container.name) {
                Some(0) => {}
                Some(_) if spec.restart_policy.as_deref() == Some("Never") => return "Failed",
                _ if any_main_ran(spec, board) => {}
                _ => return "Pending",
            },
            _ if !is_started(board, &container.name) && !any_main_ran(spec, board) => {
                return "Pending";
            }
            _ => {}
        }
    }
    main_phase(spec, board)
}

fn main_phase(spec: &PodSpec, board: &PodBoard) -> &'static str {
    let (mut running, mut failed) = (0, 0);
    for container in &spec.containers {
        let Some(state) = board.containers.get(&container.name) else {
            return "Pending";
        };
        match (&state.state, state.latest_end()) {
            (RunState::Running { .. }, _) => running += 1,
            (_, Some(ended)) => failed += usize::from(ended.code != 0),
            (_, None) => return "Pending",
        }
    }
    match Restart::of(spec, Role::Main) {
        _ if running > 0 => "Running",
        Restart::Always => "Running",
        _ if sidecars_run(spec, board) => "Running",
        _ if failed == 0 => "Succeeded",
        Restart::Never => "Failed",
        Restart::OnFailure => "Running",
    }
}

fn sidecars_run(spec: &PodSpec, board: &PodBoard) -> bool {
    init_containers(spec)
        .filter(|(_, role)| *role == Role::Sidecar)
        .filter_map(|(container, _)| board.containers.get(&container.name))
        .any(|state| matches!(state.state, RunState::Running { .. }))
}

fn any_main_ran(spec: &PodSpec, board: &PodBoard) -> bool {
    spec.containers
        .iter()
        .filter_map(|container| board.containers.get(&container.name))
        .any(|state| state.runs > 0)
}

fn latest_code(board: &PodBoard, name: &str) -> Option<i32> {
    Some(board.containers.get(name)?.latest_end()?.code)
}

fn is_started(board: &PodBoard, name: &str) -> bool {
    board
        .containers
        .get(name)
        .is_some_and(|state| state.started)
}

fn conditions(
    pod: &Pod,
    spec: &PodSpec,
    board: &PodBoard,
    phase: &str,
    now: Timestamp,
) -> Vec<PodCondition> {
    let over = matches!(phase, "Succeeded" | "Failed");
    let uninitialized: Vec<&str> = init_containers(spec)
        .filter(|(container, role)| match role {
            Role::Sidecar => !is_started(board, &container.name) && !over,
            _ => latest_code(board, &container.name) != Some(0),
        })
        .map(|(container, _)| container.name.as_str())
        .collect();
    let unready: Vec<&str> = all_containers(spec)
        .filter(|(_, role)| *role != Role::Init)
        .filter(|(c, _)| {
            !board
                .containers
                .get(&c.name)
                .is_some_and(|state| state.ready)
        })
        .map(|(container, _)| container.name.as_str())
        .collect();
    let completed = (phase == "Succeeded").then_some("PodCompleted");
    let containers_ready = Finding::lacking(
        &unready,
        "ContainersNotReady",
        "containers with unready status",
        completed.or((phase == "Failed").then_some("PodFailed")),
    );
    let gates = missing_gates(pod, spec);
    let ready = if containers_ready.holds && !gates.is_empty() {
        Finding::lacking(
            &gates,
            "ReadinessGatesNotReady",
            "conditions not true",
            None,
        )
    } else {
        containers_ready.clone()
    };
    let initialized = Finding::lacking(
        &uninitialized,
        "ContainersNotInitialized",
        "containers with incomplete status",
        None,
    );
    [
        (
            "PodReadyToStartContainers",
            Finding::plain(board.pod_ip.is_some() && !over),
        ),
        ("Initialized", initialized.or_reason(completed)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", Finding::plain(true)),
    ]
    .into_iter()
    .map(|(type_, finding)| finding.condition(pod, type_, now))
    .collect()
}

/// Readiness gates whose condition is not true.
fn missing_gates<'a>(pod: &'a Pod, spec: &'a PodSpec) -> Vec<&'a str> {
    spec.readiness_gates
        .iter()
        .flatten()
        .map(|gate| gate.condition_type.as_str())
        .filter(|type_| previous(pod, type_).is_none_or(|known| known.status != "True"))
        .collect()
}

fn previous<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition holds, and why.
#[derive(Clone)]
struct Finding {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

// === impl Finding ===

impl Finding {
    fn plain(holds: bool) -> Self {
        Self {
            holds,
            reason: None,
            message: None,
        }
    }

    /// False when anything is lacking; `instead` replaces reason and message.
    fn lacking(
        names: &[&str],
        reason: &'static str,
        what: &str,
        instead: Option<&'static str>,
    ) -> Self {
        match (names, instead) {
            ([], None) => Self::plain(true),
            (_, Some(reason)) => Self {
                holds: false,
                reason: Some(reason),
                message: None,
            },
            (names, None) => Self {
                holds: false,
                reason: Some(reason),
                message: Some(format!("{what}: [{}]", names.join(" "))),
            },
        }
    }

    fn or_reason(mut self, reason: Option<&'static str>) -> Self {
        self.reason = self.reason.or(reason);
        self
    }

    fn condition(self, pod: &Pod, type_: &str, now: Timestamp) -> PodCondition {
        let status = if self.holds { "True" } else { "False" };
        let since = previous(pod, type_)
            .filter(|known| known.status == status)
            .and_then(|known| known.last_transition_time.clone());
        PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: self.reason.map(str::to_owned),
            message: self.message,
            last_transition_time: Some(since.unwrap_or(Time(now))),
            observed_generation: pod.metadata.generation,
            ..PodCondition::default()
        }
    }
}

fn container_status(uid: &str, container: &Container, board: &PodBoard) -> ContainerStatus {
    let default = ContainerBoard::default();
    let state = board.containers.get(&container.name).unwrap_or(&default);
    let image = container.image.clone().unwrap_or_default();
    let id = |run: u32| format!("process://{uid}/{}/{run}", container.name);
    let present = match &state.state {
        RunState::Waiting { reason, message } => ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some((*reason).to_owned()),
                message: message.clone(),
            }),
            ..ContainerState::default()
        },
        RunState::Running { since } => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: Some(Time(*since)),
            }),
            ..ContainerState::default()
        },
        RunState::Ended(ended) => terminated(ended, id(state.restarts())),
    };
    let last_run = match &state.state {
        RunState::Waiting { .. } => state.restarts(),
        _ => state.restarts().saturating_sub(1),
    };
    ContainerStatus {
        name: container.name.clone(),
        image_id: image.clone(),
        image,
        container_id: (state.runs > 0).then(|| id(state.restarts())),
        ready: state.ready,
        started: Some(state.started),
        restart_count: i32::try_from(state.restarts()).unwrap_or(i32::MAX),
        state: Some(present),
        last_state: state
            .last
            .as_ref()
            .map(|ended| terminated(ended, id(last_run))),
        ..ContainerStatus::default()
    }
}

fn terminated(ended: &Ended, id: String) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(id),
            exit_code: ended.code,
            signal: ended.signal,
            reason: Some(ended.reason.clone()),
            message: ended.message.clone(),
            started_at: ended.started_at.map(Time),
            finished_at: Some(Time(ended.finished_at)),
        }),
        ..ContainerState::default()
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

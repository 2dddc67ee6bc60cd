//! What the agent knows about the containers of one pod, the source of the pod's status.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The present state of a pod, as its tasks see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PodBoard {
    /// The pod's address, once it has one.
    pub(crate) pod_ip: Option<Ipv4Addr>,
    /// When the agent took the pod.
    pub(crate) start_time: Option<Timestamp>,
    /// By container name, init containers included.
    pub(crate) containers: BTreeMap<String, ContainerBoard>,
    /// A verdict that overrides what the containers say, such as a spec this agent refuses.
    pub(crate) failed: Option<Verdict>,
}

/// Why a pod failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// One container's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ContainerBoard {
    pub(crate) state: RunState,
    /// How the run before the present one ended.
    pub(crate) last: Option<Ended>,
    /// How often it was started, over the whole life of the pod.
    pub(crate) runs: u32,
    pub(crate) started: bool,
    pub(crate) ready: bool,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunState {
    Waiting {
        reason: &'static str,
        message: Option<String>,
    },
    Running {
        since: Timestamp,
    },
    Ended(Ended),
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Timestamp,
}

/// What a container is to its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that stays.
    Sidecar,
    Main,
}

/// When a container that ended starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

// === impl PodBoard ===

impl PodBoard {
    /// The board of a pod that this agent takes over, knowing what an earlier agent wrote.
    pub(crate) fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let known: BTreeMap<&str, &ContainerStatus> = status
            .into_iter()
            .flat_map(|status| [&status.init_container_statuses, &status.container_statuses])
            .flatten()
            .flatten()
            .map(|status| (status.name.as_str(), status))
            .collect();
        let spec = pod.spec.clone().unwrap_or_default();
        let waiting = if init_containers(&spec).next().is_some() {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let containers = all_containers(&spec)
            .map(|(container, _)| {
                let known = known.get(container.name.as_str()).copied();
                (
                    container.name.clone(),
                    ContainerBoard::after(known, waiting),
                )
            })
            .collect();
        Self {
            pod_ip: None,
            start_time: status.and_then(|status| Some(status.start_time.as_ref()?.0)),
            containers,
            failed: None,
        }
    }
}

// === impl ContainerBoard ===

impl ContainerBoard {
    /// The state of a container whose last known status is `known`: nothing runs any more.
    fn after(known: Option<&ContainerStatus>, waiting: &'static str) -> Self {
        let fresh = Self {
            state: RunState::Waiting {
                reason: waiting,
                message: None,
            },
            ..Self::default()
        };
        let Some(known) = known else { return fresh };
        let last = last_run(known);
        if last.is_none() && known.restart_count == 0 {
            return fresh;
        }
        Self {
            last,
            runs: known.restart_count.unsigned_abs() + 1,
            ..fresh
        }
    }

    /// How often it was started again.
    pub(crate) fn restarts(&self) -> u32 {
        self.runs.saturating_sub(1)
    }

    /// How its latest finished run ended.
    pub(crate) fn latest_end(&self) -> Option<&Ended> {
        match &self.state {
            RunState::Ended(ended) => Some(ended),
            _ => self.last.as_ref(),
        }
    }
}

impl Default for RunState {
    fn default() -> Self {
        Self::Waiting {
            reason: "ContainerCreating",
            message: None,
        }
    }
}

fn last_run(known: &ContainerStatus) -> Option<Ended> {
    let state = known.state.as_ref();
    if let Some(running) = state.and_then(|state| state.running.as_ref()) {
        return Some(Ended {
            code: 137,
            signal: None,
            reason: "ContainerStatusUnknown".to_owned(),
            message: Some("the agent that ran this container is gone".to_owned()),
            started_at: running.started_at.as_ref().map(|time| time.0),
            finished_at: super::now(),
        });
    }
    let terminated = state
        .and_then(|state| state.terminated.as_ref())
        .or_else(|| known.last_state.as_ref()?.terminated.as_ref())?;
    Some(Ended {
        code: terminated.exit_code,
        signal: terminated.signal,
        reason: terminated.reason.clone().unwrap_or_default(),
        message: terminated.message.clone(),
        started_at: terminated.started_at.as_ref().map(|time| time.0),
        finished_at: terminated
            .finished_at
            .as_ref()
            .map_or_else(super::now, |time| time.0),
    })
}

// === impl Restart ===

impl Restart {
    /// The rule for a container of `role` in this pod.
    pub(crate) fn of(spec: &PodSpec, role: Role) -> Self {
        match (role, spec.restart_policy.as_deref()) {
            (Role::Sidecar, _) => Self::Always,
            (_, Some("Never")) => Self::Never,
            // An init container that succeeded is done, whatever the pod's policy.
            (Role::Init, _) | (_, Some("OnFailure")) => Self::OnFailure,
            _ => Self::Always,
        }
    }

    /// Whether a run that ended with `code` is followed by another.
    pub(crate) fn again_after(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// All containers with their roles, init containers first.
pub(crate) fn all_containers(spec: &PodSpec) -> impl Iterator<Item = (&Container, Role)> {
    init_containers(spec).chain(spec.containers.iter().map(|c| (c, Role::Main)))
}

/// The init containers with their roles, in order.
pub(crate) fn init_containers(spec: &PodSpec) -> impl Iterator<Item = (&Container, Role)> {
    spec.init_containers.iter().flatten().map(|container| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        (container, if sidecar { Role::Sidecar } else { Role::Init })
    })
}

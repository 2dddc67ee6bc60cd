//! Why and by when a pod is to stop.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What the agent wants of a pod, beside what its object says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Run,
    /// Stop, and leave the object as it is.
    Halt {
        grace: Duration,
    },
    /// The object is gone.
    Vanished,
}

/// Why and by when a pod is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) cause: Cause,
    pub(super) deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Halted,
    Deleted,
    Vanished,
}

pub(super) type Orders = watch::Receiver<Option<Order>>;

/// Grace of containers whose pod object is already gone, and least grace of a sidecar.
pub(super) const SHORT_GRACE: Duration = Duration::from_secs(2);

/// Turns what happens to the pod into orders; a later one may only hasten the stop.
pub(super) async fn conduct(
    mut object: watch::Receiver<Arc<Pod>>,
    mut control: watch::Receiver<Control>,
    orders: watch::Sender<Option<Order>>,
) {
    loop {
        let wanted = order(&object.borrow_and_update(), *control.borrow_and_update());
        orders.send_if_modified(|order| {
            let Some((cause, grace)) = wanted else {
                return false;
            };
            let deadline = Instant::now() + grace;
            let new = match *order {
                Some(old) => Order {
                    cause,
                    deadline: old.deadline.min(deadline),
                },
                None => Order { cause, deadline },
            };
            let changed = *order != Some(new);
            *order = Some(new);
            changed
        });
        tokio::select! {
            changed = object.changed() => if changed.is_err() { return },
            changed = control.changed() => if changed.is_err() { return },
        }
    }
}

fn order(pod: &Pod, control: Control) -> Option<(Cause, Duration)> {
    let deleted = pod.metadata.deletion_timestamp.is_some();
    match control {
        Control::Vanished => Some((Cause::Vanished, SHORT_GRACE)),
        Control::Halt { grace } => {
            let own = pod.spec.as_ref().map_or(grace, grace_of);
            Some((Cause::Halted, own.min(grace)))
        }
        Control::Run if deleted => {
            let given = pod.metadata.deletion_grace_period_seconds;
            let given = given.and_then(|seconds| u64::try_from(seconds).ok());
            let own = pod.spec.as_ref().map_or(SHORT_GRACE, grace_of);
            Some((Cause::Deleted, given.map_or(own, Duration::from_secs)))
        }
        Control::Run => None,
    }
}

/// The time the pod's containers have to stop.
pub(super) fn grace_of(spec: &PodSpec) -> Duration {
    let seconds = spec.termination_grace_period_seconds;
    Duration::from_secs(seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(30))
}

pub(super) async fn wait_order(orders: &mut Orders) -> Order {
    match orders.wait_for(Option::is_some).await {
        Ok(order) => order.unwrap_or(Order::now()),
        Err(_) => Order::now(),
    }
}

// === impl Order ===

impl Order {
    /// What holds when nobody is left to give orders.
    pub(super) fn now() -> Self {
        Self {
            cause: Cause::Halted,
            deadline: Instant::now(),
        }
    }
}

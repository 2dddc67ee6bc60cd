//! The order in which a pod's containers start and stop.

use super::orders::{Orders, SHORT_GRACE, wait_order};
use crate::agent::board::{Restart, Role, init_containers};
use crate::agent::container::{Scene, Supervisor};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// The containers of a pod that are running, each with its stop switch.
#[derive(Default)]
pub(super) struct Running {
    /// In the order they were started.
    sidecars: Vec<(Switch, AbortOnDropHandle<()>)>,
    main: Option<(Switch, JoinSet<()>)>,
}

type Switch = watch::Sender<Option<Instant>>;

/// Runs the init containers and starts the sidecars, in order. `false` when the pod is to stop, or
/// an init container failed for good.
pub(super) async fn initialize(
    scene: &Arc<Scene>,
    spec: &PodSpec,
    running: &mut Running,
    orders: &mut Orders,
) -> bool {
    for (container, role) in init_containers(spec) {
        let (switch, task) = spawn(scene, spec, container, role);
        let name = container.name.clone();
        let mut board = scene.board.subscribe();
        if role == Role::Sidecar {
            running.sidecars.push((switch, task));
            let started = board.wait_for(|board| {
                board
                    .containers
                    .get(&name)
                    .is_some_and(|entry| entry.started)
            });
            tokio::select! {
                started = started => if started.is_err() { return false },
                _ = orders.wait_for(Option::is_some) => return false,
            }
            continue;
        }
        let mut task = task;
        tokio::select! {
            _ = &mut task => {}
            order = wait_order(orders) => {
                switch.send_replace(Some(order.deadline));
                follow(orders, &switch, task).await;
                return false;
            }
        }
        let board = board.borrow();
        let end = board
            .containers
            .get(&name)
            .and_then(|entry| entry.latest_end());
        if end.is_none_or(|end| end.code != 0) {
            return false;
        }
    }
    true
}

fn spawn(
    scene: &Arc<Scene>,
    spec: &PodSpec,
    container: &Container,
    role: Role,
) -> (Switch, AbortOnDropHandle<()>) {
    let (switch, stop) = watch::channel(None);
    let supervisor = Supervisor {
        scene: Arc::clone(scene),
        container: container.clone(),
        role,
        restart: Restart::of(spec, role),
        stop,
    };
    (
        switch,
        AbortOnDropHandle::new(tokio::spawn(supervisor.run())),
    )
}

// === impl Running ===

impl Running {
    pub(super) fn start_main(&mut self, scene: &Arc<Scene>, spec: &PodSpec) {
        let (switch, stop) = watch::channel(None);
        let mut tasks = JoinSet::new();
        for container in &spec.containers {
            let supervisor = Supervisor {
                scene: Arc::clone(scene),
                container: container.clone(),
                role: Role::Main,
                restart: Restart::of(spec, Role::Main),
                stop: stop.clone(),
            };
            tasks.spawn(supervisor.run());
        }
        self.main = Some((switch, tasks));
    }

    /// Waits until all main containers have ended for good, or the pod is to stop.
    pub(super) async fn until_main_ended(&mut self, orders: &mut Orders) {
        if let Some((_, tasks)) = &mut self.main {
            tokio::select! {
                () = all(tasks) => {}
                _ = orders.wait_for(Option::is_some) => {}
            }
        }
    }

    /// Stops main containers together, then sidecars, the last one started first.
    pub(super) async fn stop(self, orders: &mut Orders, grace: Duration) {
        let own = Instant::now() + grace;
        let deadline =
            move |orders: &Orders| (*orders.borrow()).map_or(own, |order| order.deadline);
        if let Some((switch, mut tasks)) = self.main {
            switch.send_replace(Some(deadline(orders)));
            follow(orders, &switch, all(&mut tasks)).await;
        }
        for (switch, task) in self.sidecars.into_iter().rev() {
            let least = Instant::now() + SHORT_GRACE;
            switch.send_replace(Some(deadline(orders).max(least)));
            follow(orders, &switch, task).await;
        }
    }
}

async fn all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Waits for `done` while passing on that the deadline was brought forward.
async fn follow(orders: &mut Orders, switch: &Switch, done: impl Future) {
    let mut done = std::pin::pin!(done);
    loop {
        tokio::select! {
            _ = &mut done => return,
            Ok(()) = orders.changed() => {
                if let Some(order) = *orders.borrow_and_update() {
                    switch.send_replace(Some(order.deadline));
                }
            }
        }
    }
}

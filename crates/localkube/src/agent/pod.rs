//! One pod from its first sight to its end.
//!
//! ```text
//! mount ─▶ init containers and sidecars, in order ─▶ main containers ─▶ (all ended, or told to stop)
//!       ─▶ stop main containers together, sidecars in reverse order ─▶ end
//! ```
//! What the end is depends on why: a deleted pod is cleaned up and its object removed; one whose
//! object vanished is cleaned up; one that is halted keeps everything, for a later agent.

use super::address::PodNetwork;
use super::board::{PodBoard, Restart, Role, all_containers, init_containers};
use super::container::{Scene, Supervisor};
use super::downward::Surroundings;
use super::files::remove_folder;
use super::mounts::{LiveVolumes, Mounts};
use super::node::Node;
use super::records::kill_all_in;
use super::reporter::Reporter;
use super::status;
use super::store::{Note, PodId, StoreError};
use super::volumes::MountError;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

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

/// A pod's task.
pub(crate) struct PodTask {
    pub(crate) node: Arc<Node>,
    pub(crate) id: PodId,
    pub(crate) object: watch::Receiver<Arc<Pod>>,
    pub(crate) control: watch::Receiver<Control>,
}

/// Why and by when a pod is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    cause: Cause,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Halted,
    Deleted,
    Vanished,
}

type Orders = watch::Receiver<Option<Order>>;

/// The containers of a pod that are running, each with its stop switch.
#[derive(Default)]
struct Running {
    /// In the order they were started.
    sidecars: Vec<(Switch, AbortOnDropHandle<()>)>,
    main: Option<(Switch, JoinSet<()>)>,
}

type Switch = watch::Sender<Option<Instant>>;

const MOUNT_RETRY: Duration = Duration::from_secs(2);
const REMOVE_RETRY: Duration = Duration::from_secs(1);
/// Grace of containers whose pod object is already gone, and least grace of a sidecar.
const SHORT_GRACE: Duration = Duration::from_secs(2);

// === impl PodTask ===

impl PodTask {
    /// Runs the pod to its end.
    pub(crate) async fn run(self) {
        let pod = Arc::clone(&self.object.borrow());
        let board = Arc::new(watch::channel(PodBoard::of(&pod)).0);
        let reporter = Reporter::new(&self.node, &self.id, self.object.clone(), board.subscribe());
        let reporter = AbortOnDropHandle::new(tokio::spawn(reporter.run()));
        let (orders_in, mut orders) = watch::channel(None);
        let conductor = conduct(self.object.clone(), self.control.clone(), orders_in);
        let _conductor = AbortOnDropHandle::new(tokio::spawn(conductor));

        self.live(&pod, &board, &mut orders).await;
        let ordered = orders.wait_for(Option::is_some).await;
        let cause = ordered.ok().and_then(|order| Some((*order)?.cause));
        // The last state is written before anything of the pod goes away.
        drop(board);
        if cause != Some(Cause::Vanished) {
            let _ = reporter.await;
        }
        self.finish(cause.unwrap_or(Cause::Halted)).await;
    }

    /// From mounting to the end of the last container.
    async fn live(&self, pod: &Pod, board: &Arc<watch::Sender<PodBoard>>, orders: &mut Orders) {
        let spec = pod.spec.clone().unwrap_or_default();
        board.send_modify(|board| {
            board.start_time.get_or_insert_with(super::now);
        });
        let over = pod.metadata.deletion_timestamp.is_some()
            || matches!(
                status::phase(&spec, &board.borrow()),
                "Succeeded" | "Failed"
            );
        if over {
            keep_end(board, &spec);
            return;
        }
        let Some((network, mounts, live)) = self.mount(pod, orders).await else {
            return;
        };
        board.send_modify(|board| board.pod_ip = Some(network.pod_ip()));
        let scene = Arc::new(Scene {
            node: Arc::clone(&self.node),
            id: self.id.clone(),
            object: self.object.clone(),
            board: Arc::clone(board),
            around: self.around(&network),
            loopback: network.loopback(),
            mounts,
            home: self.node.dirs.pod(&self.id.uid).join("home"),
            grace: grace_of(&spec),
        });
        let changes = self.node.changes.subscribe();
        let node = Arc::clone(&self.node);
        let fresh = live.keep_fresh(node, self.object.clone(), scene.around.clone(), changes);
        let _fresh = AbortOnDropHandle::new(tokio::spawn(fresh));

        let mut running = Running::default();
        let initialized = initialize(&scene, &spec, &mut running, orders).await;
        if initialized {
            running.start_main(&scene, &spec);
            running.until_main_ended(orders).await;
        }
        running.stop(orders, scene.grace).await;
    }

    /// Gets an address and mounts the volumes, trying as long as it takes. `None` when the pod is
    /// to stop before that.
    async fn mount(
        &self,
        pod: &Pod,
        orders: &mut Orders,
    ) -> Option<(PodNetwork, Mounts, LiveVolumes)> {
        let mut network = None;
        let mut changes = self.node.changes.subscribe();
        loop {
            let mounted = tokio::select! {
                mounted = self.try_mount(pod, &mut network) => mounted,
                _ = orders.wait_for(Option::is_some) => return None,
            };
            match (mounted, network.take()) {
                (Ok((mounts, live)), Some(network)) => return Some((network, mounts, live)),
                (Err(error), kept) => {
                    network = kept;
                    self.node
                        .note(&self.id, Note::warning("FailedMount", error.to_string()));
                }
                (Ok(_), None) => {}
            }
            tokio::select! {
                () = sleep(MOUNT_RETRY) => {}
                // Perhaps the ConfigMap that was missing.
                _ = changes.recv() => {}
                _ = orders.wait_for(Option::is_some) => return None,
            }
        }
    }

    async fn try_mount(
        &self,
        pod: &Pod,
        network: &mut Option<PodNetwork>,
    ) -> Result<(Mounts, LiveVolumes), MountError> {
        let home = self.node.dirs.pod(&self.id.uid).join("home");
        std::fs::create_dir_all(&home)
            .map_err(|source| MountError::Folder { path: home, source })?;
        let network = match network {
            Some(network) => network,
            None => {
                let taken = self.node.addresses.take(&self.id.namespace, &self.id.name);
                network.insert(taken.map_err(|error| MountError::Address(error.to_string()))?)
            }
        };
        Mounts::mount(&self.node, pod, &self.around(network)).await
    }

    fn around(&self, network: &PodNetwork) -> Surroundings {
        Surroundings {
            pod_ip: network.pod_ip(),
            host_ip: self.node.host_ip,
            node_name: self.node.node_name.clone(),
        }
    }

    async fn finish(&self, cause: Cause) {
        let folder = self.node.dirs.pod(&self.id.uid);
        let PodId {
            namespace,
            name,
            uid,
        } = &self.id;
        let logs = self.node.logs.pod_dir(namespace, name, uid);
        let id = self.id.clone();
        let cleaned = tokio::task::spawn_blocking(move || {
            let strays = kill_all_in(&folder);
            if strays > 0 {
                tracing::info!(pod = %id, strays, "processes that had left their container killed");
            }
            if cause == Cause::Halted {
                return Ok(());
            }
            remove_folder(&folder).and_then(|()| remove_folder(&logs))
        });
        if let Ok(Err(error)) = cleaned.await {
            // What is left is removed when the next agent finds no pod for it.
            tracing::warn!(pod = %self.id, %error, "pod folder not removed");
        }
        if cause == Cause::Deleted {
            self.remove_object().await;
        }
    }

    async fn remove_object(&self) {
        while let Err(error) = self.node.store.remove(&self.id).await {
            if matches!(error, StoreError::Gone { .. }) || *self.control.borrow() != Control::Run {
                return;
            }
            tracing::warn!(pod = %self.id, %error, "pod not removed, trying again");
            sleep(REMOVE_RETRY).await;
        }
    }
}

/// Turns what happens to the pod into orders; a later one may only hasten the stop.
async fn conduct(
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
fn grace_of(spec: &PodSpec) -> Duration {
    let seconds = spec.termination_grace_period_seconds;
    Duration::from_secs(seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(30))
}

/// Shows the containers of a pod that is over as they last were.
fn keep_end(board: &watch::Sender<PodBoard>, spec: &PodSpec) {
    use super::board::RunState;
    board.send_modify(|board| {
        for (container, _) in all_containers(spec) {
            if let Some(entry) = board.containers.get_mut(&container.name)
                && let Some(ended) = entry.last.take()
            {
                entry.state = RunState::Ended(ended);
            }
        }
    });
}

/// Runs the init containers and starts the sidecars, in order. `false` when the pod is to stop, or
/// an init container failed for good.
async fn initialize(
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
    fn start_main(&mut self, scene: &Arc<Scene>, spec: &PodSpec) {
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
    async fn until_main_ended(&mut self, orders: &mut Orders) {
        if let Some((_, tasks)) = &mut self.main {
            tokio::select! {
                () = all(tasks) => {}
                _ = orders.wait_for(Option::is_some) => {}
            }
        }
    }

    /// Stops main containers together, then sidecars, the last one started first.
    async fn stop(self, orders: &mut Orders, grace: Duration) {
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

async fn wait_order(orders: &mut Orders) -> Order {
    match orders.wait_for(Option::is_some).await {
        Ok(order) => order.unwrap_or(Order::now()),
        Err(_) => Order::now(),
    }
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

// === impl Order ===

impl Order {
    /// What holds when nobody is left to give orders.
    fn now() -> Self {
        Self {
            cause: Cause::Halted,
            deadline: Instant::now(),
        }
    }
}

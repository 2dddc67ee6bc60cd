//! One pod from its first sight to its end.
//!
//! ```text
//! mount ─▶ init containers and sidecars, in order ─▶ main containers ─▶ (all ended, or told to stop)
//!       ─▶ stop main containers together, sidecars in reverse order ─▶ end
//! ```
//! What the end is depends on why: a deleted pod is cleaned up and its object removed; one whose
//! object vanished is cleaned up; one that is halted keeps everything, for a later agent.

mod orders;
mod sequence;

pub(crate) use orders::Control;

use super::address::PodNetwork;
use super::board::{PodBoard, RunState, all_containers};
use super::container::Scene;
use super::downward::Surroundings;
use super::files::remove_folder;
use super::mounts::{LiveVolumes, Mounts};
use super::node::Node;
use super::records::kill_all_in;
use super::reporter::Reporter;
use super::status;
use super::store::{Note, PodId, StoreError};
use super::volumes::MountError;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use orders::{Cause, Orders, conduct, grace_of};
use sequence::{Running, initialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// A pod's task.
pub(crate) struct PodTask {
    pub(crate) node: Arc<Node>,
    pub(crate) id: PodId,
    pub(crate) object: watch::Receiver<Arc<Pod>>,
    pub(crate) control: watch::Receiver<Control>,
}

/// Waits between attempts to mount: a claim is usually bound in a moment.
const FIRST_MOUNT_RETRY: Duration = Duration::from_millis(50);
const LAST_MOUNT_RETRY: Duration = Duration::from_secs(2);
const REMOVE_RETRY: Duration = Duration::from_secs(1);

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
        let mut wait = FIRST_MOUNT_RETRY;
        let mut said = String::new();
        loop {
            let mounted = tokio::select! {
                mounted = self.try_mount(pod, &mut network) => mounted,
                _ = orders.wait_for(Option::is_some) => return None,
            };
            match (mounted, network.take()) {
                (Ok((mounts, live)), Some(network)) => return Some((network, mounts, live)),
                (Err(error), kept) => {
                    network = kept;
                    let message = error.to_string();
                    let expected = matches!(error, MountError::Unbound { .. });
                    if message != said && (!expected || wait == LAST_MOUNT_RETRY) {
                        self.node
                            .note(&self.id, Note::warning("FailedMount", &message));
                        said = message;
                    }
                }
                (Ok(_), None) => {}
            }
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(LAST_MOUNT_RETRY),
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
        let network = if let Some(network) = network {
            network
        } else {
            let taken = self.node.addresses.take(&self.id.namespace, &self.id.name);
            network.insert(taken.map_err(|error| MountError::Address(error.to_string()))?)
        };
        Mounts::mount(&self.node, pod, &self.around(network)).await
    }

    fn around(&self, network: &PodNetwork) -> Surroundings {
        Surroundings {
            pod_ip: network.pod_ip(),
            host_ip: self.node.host_ip,
            node_name: self.node.name.clone(),
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

/// Shows the containers of a pod that is over as they last were.
fn keep_end(board: &watch::Sender<PodBoard>, spec: &PodSpec) {
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

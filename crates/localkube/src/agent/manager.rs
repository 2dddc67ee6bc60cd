//! Takes the pods of this node and gives each a task.

use super::files::remove_folder;
use super::node::Node;
use super::pod::{Control, PodTask};
use super::store::{PodEvent, PodId};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Runs the pods of one node.
pub(crate) struct Manager {
    node: Arc<Node>,
    /// By UID.
    pods: HashMap<String, Taken>,
    /// Pods whose name another pod still holds here.
    waiting: HashMap<String, Arc<Pod>>,
    /// Pods that were halted; nothing starts them again.
    halted: HashSet<String>,
    tasks: JoinSet<String>,
    /// Told when a pod has ended.
    ended: Arc<Notify>,
    binding: HashSet<String>,
}

/// A pod with a task.
struct Taken {
    id: PodId,
    object: watch::Sender<Arc<Pod>>,
    control: watch::Sender<Control>,
    /// Who wants to know when it has stopped.
    waiters: Vec<oneshot::Sender<()>>,
}

/// An order to the manager.
pub(crate) enum Command {
    /// Stop one pod, keep its object.
    Halt {
        namespace: String,
        name: String,
        grace: Duration,
        done: oneshot::Sender<()>,
    },
    /// Stop all pods, take no new ones, and end.
    Shutdown,
}

/// Waits between attempts to bind a pod.
const BIND_RETRY: Duration = Duration::from_millis(500);
const BIND_ATTEMPTS: u32 = 20;
/// More than any pod's own grace: it is the pod's that counts.
const ANY_GRACE: Duration = Duration::from_hours(24);

// === impl Manager ===

impl Manager {
    pub(crate) fn new(node: Arc<Node>, ended: Arc<Notify>) -> Self {
        Self {
            node,
            pods: HashMap::new(),
            waiting: HashMap::new(),
            halted: HashSet::new(),
            tasks: JoinSet::new(),
            ended,
            binding: HashSet::new(),
        }
    }

    /// Runs pods until [`Command::Shutdown`], or until nobody can give commands any more; then
    /// stops them all.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let store = Arc::clone(&self.node.store);
        let mut events = store.pods();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.see(event),
                    None => break,
                },
                Some(ended) = self.tasks.join_next() => self.task_ended(ended),
                command = commands.recv() => match command {
                    Some(Command::Halt { namespace, name, grace, done }) => {
                        self.halt(&namespace, &name, grace, done);
                    }
                    Some(Command::Shutdown) | None => break,
                },
            }
        }
        self.stop_all().await;
    }

    fn see(&mut self, event: PodEvent) {
        match event {
            PodEvent::All(pods) => {
                let known: HashSet<String> = pods.iter().map(|pod| PodId::of(pod).uid).collect();
                for (uid, taken) in &self.pods {
                    if !known.contains(uid) {
                        taken.control.send_replace(Control::Vanished);
                    }
                }
                self.waiting.retain(|uid, _| known.contains(uid));
                self.clean_up(known);
                for pod in pods {
                    self.changed(pod);
                }
            }
            PodEvent::Changed(pod) => self.changed(pod),
            PodEvent::Gone(id) => {
                self.waiting.remove(&id.uid);
                if let Some(taken) = self.pods.get(&id.uid) {
                    taken.control.send_replace(Control::Vanished);
                }
            }
        }
    }

    fn changed(&mut self, pod: Arc<Pod>) {
        let id = PodId::of(&pod);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        match node.filter(|name| !name.is_empty()) {
            None => self.bind(id, &pod),
            Some(name) if name != self.node.node_name => {}
            Some(_) if self.halted.contains(&id.uid) => {}
            Some(_) => match self.pods.get(&id.uid) {
                Some(taken) => {
                    taken.object.send_replace(pod);
                }
                None => self.take(id, pod),
            },
        }
    }

    /// Assigns a pod that has no node to this one.
    fn bind(&mut self, id: PodId, pod: &Pod) {
        let gated = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.scheduling_gates.as_ref())
            .is_some_and(|gates| !gates.is_empty());
        if gated
            || pod.metadata.deletion_timestamp.is_some()
            || !self.binding.insert(id.uid.clone())
        {
            return;
        }
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            for _ in 0..BIND_ATTEMPTS {
                match node.store.bind(&id, &node.node_name).await {
                    Ok(()) | Err(super::store::StoreError::Gone { .. }) => return,
                    Err(error) => {
                        tracing::warn!(pod = %id, %error, "pod not bound, trying again");
                        tokio::time::sleep(BIND_RETRY).await;
                    }
                }
            }
        });
    }

    fn take(&mut self, id: PodId, pod: Arc<Pod>) {
        self.binding.remove(&id.uid);
        let held = self
            .pods
            .values()
            .any(|taken| taken.id.name == id.name && taken.id.namespace == id.namespace);
        if held {
            self.waiting.insert(id.uid.clone(), pod);
            return;
        }
        let (object, object_out) = watch::channel(pod);
        let (control, control_out) = watch::channel(Control::Run);
        let task = PodTask {
            node: Arc::clone(&self.node),
            id: id.clone(),
            object: object_out,
            control: control_out,
        };
        let uid = id.uid.clone();
        tracing::info!(pod = %id, uid, "pod taken");
        self.tasks.spawn(async move {
            task.run().await;
            uid
        });
        let taken = Taken {
            id: id.clone(),
            object,
            control,
            waiters: Vec::new(),
        };
        self.pods.insert(id.uid, taken);
    }

    fn task_ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        let uid = match ended {
            Ok(uid) => uid,
            Err(error) => {
                // Its processes died with it; the pod stays as it is until the next agent.
                tracing::error!(%error, "a pod's task failed");
                return;
            }
        };
        if let Some(taken) = self.pods.remove(&uid) {
            tracing::info!(pod = %taken.id, uid, "pod ended");
            for waiter in taken.waiters {
                let _ = waiter.send(());
            }
            self.ended.notify_one();
            let next = self.waiting.values().find(|pod| {
                let id = PodId::of(pod);
                id.name == taken.id.name && id.namespace == taken.id.namespace
            });
            if let Some(pod) = next.cloned() {
                let id = PodId::of(&pod);
                self.waiting.remove(&id.uid);
                self.take(id, pod);
            }
        }
    }

    fn halt(&mut self, namespace: &str, name: &str, grace: Duration, done: oneshot::Sender<()>) {
        let taken = self
            .pods
            .values_mut()
            .find(|taken| taken.id.namespace == namespace && taken.id.name == name);
        // A pod that does not run has stopped: `done` says so by being dropped or sent.
        let Some(taken) = taken else {
            let _ = done.send(());
            return;
        };
        self.halted.insert(taken.id.uid.clone());
        taken.control.send_if_modified(|control| {
            let running = *control == Control::Run;
            if running {
                *control = Control::Halt { grace };
            }
            running
        });
        taken.waiters.push(done);
    }

    async fn stop_all(mut self) {
        self.waiting.clear();
        for taken in self.pods.values() {
            taken.control.send_if_modified(|control| {
                let running = *control == Control::Run;
                if running {
                    *control = Control::Halt { grace: ANY_GRACE };
                }
                running
            });
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.task_ended(ended);
        }
    }

    /// Removes folders of pods that are no more.
    fn clean_up(&self, known: HashSet<String>) {
        let node = Arc::clone(&self.node);
        let taken: HashSet<String> = self.pods.keys().cloned().collect();
        tokio::task::spawn_blocking(move || {
            let keep = |uid: &str| known.contains(uid) || taken.contains(uid);
            for folder in leftover_folders(&node, keep) {
                if let Err(error) = remove_folder(&folder) {
                    tracing::warn!(path = %folder.display(), %error, "pod folder not removed");
                }
            }
        });
    }
}

fn leftover_folders(node: &Node, keep: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let pods = std::fs::read_dir(node.dirs.pods()).into_iter().flatten();
    let pods = pods.flatten().filter_map(|entry| {
        let uid = entry.file_name().into_string().ok()?;
        Some((uid, entry.path()))
    });
    let logs = node.logs.pod_dirs().unwrap_or_default();
    pods.chain(logs)
        .filter(|(uid, _)| !keep(uid))
        .map(|(_, path)| path)
        .collect()
}

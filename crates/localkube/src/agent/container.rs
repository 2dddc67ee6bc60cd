//! One container: started, probed, restarted, stopped.

mod health;
mod showing;
mod stopping;

use super::backoff::Backoff;
use super::board::{PodBoard, Restart, Role, RunState};
use super::downward::Surroundings;
use super::env::{EnvError, Given, Recipe, Variables, variables};
use super::expand::expand;
use super::mounts::Mounts;
use super::node::Node;
use super::probe;
use super::process::{Exit, Process};
use super::records::Recorded;
use super::store::{Note, PodId};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// What the containers of a pod share.
pub(crate) struct Scene {
    pub(crate) node: Arc<Node>,
    pub(crate) id: PodId,
    pub(crate) object: watch::Receiver<Arc<Pod>>,
    pub(crate) board: Arc<watch::Sender<PodBoard>>,
    pub(crate) around: Surroundings,
    pub(crate) loopback: Ipv4Addr,
    pub(crate) mounts: Mounts,
    pub(crate) home: PathBuf,
    /// How long a container may take to stop.
    pub(crate) grace: Duration,
}

/// Runs one container until it is done or told to stop.
///
/// # Guarantees
/// At most one process of the container runs at a time. When [`Supervisor::run`] returns, or its
/// future is dropped, none does.
pub(crate) struct Supervisor {
    pub(crate) scene: Arc<Scene>,
    pub(crate) container: Container,
    pub(crate) role: Role,
    pub(crate) restart: Restart,
    /// When it has to have stopped, once it is to stop.
    pub(crate) stop: StopSignal,
}

/// Tells a container to stop by a moment, which may be brought forward.
pub(crate) type StopSignal = watch::Receiver<Option<Instant>>;

/// What came of one attempt to run the container.
enum Attempt {
    Stopped,
    Refused(Refusal),
    Ended { code: i32, lasted: Duration },
}

/// Why a run is over.
enum Cause {
    Exit,
    /// A probe failed; how long the container has to stop.
    Unhealthy(Duration),
    Stop(Instant),
}

/// Why a container was not started.
struct Refusal {
    reason: &'static str,
    /// The reason shown once it has been refused before.
    again: &'static str,
    message: String,
}

/// A started container.
struct Run {
    process: Process,
    recipe: Recipe,
    began: Instant,
    since: Timestamp,
    /// Keeps the process on record for as long as it runs.
    _recorded: Recorded,
}

// === impl Supervisor ===

impl Supervisor {
    /// Runs the container. Returns when it ended and is not to be started again, or has stopped.
    pub(crate) async fn run(mut self) {
        if self.is_over() {
            self.set(|entry| {
                if let Some(ended) = entry.last.take() {
                    entry.state = RunState::Ended(ended);
                }
            });
            return;
        }
        let mut backoff = Backoff::new(self.scene.node.backoff);
        let mut refused_before = false;
        while self.stop.borrow().is_none() {
            let wait = match self.attempt().await {
                Attempt::Stopped => return,
                Attempt::Refused(refusal) => {
                    self.show_refusal(refusal, refused_before);
                    refused_before = true;
                    backoff.after_refusal()
                }
                Attempt::Ended { code, lasted } => {
                    if !self.restart.again_after(code) {
                        return;
                    }
                    refused_before = false;
                    let wait = backoff.after_run(lasted);
                    self.show_wait(wait);
                    wait
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                _ = stopping(&mut self.stop) => {}
            }
        }
        self.settle();
    }

    /// Whether an earlier agent ran it and it is not to run again. Init containers run again with
    /// every new life of the pod.
    fn is_over(&self) -> bool {
        let board = self.scene.board.borrow();
        let entry = board.containers.get(&self.container.name);
        self.role == Role::Main
            && entry.is_some_and(|entry| {
                let end = entry.latest_end();
                entry.runs > 0 && end.is_some_and(|end| !self.restart.again_after(end.code))
            })
    }

    async fn attempt(&mut self) -> Attempt {
        let mut run = match self.start().await {
            Ok(run) => run,
            Err(refusal) => return Attempt::Refused(refusal),
        };
        let mut stop = self.stop.clone();
        let cause = tokio::select! {
            _ = run.process.exit() => Cause::Exit,
            grace = self.health(&run.recipe) => Cause::Unhealthy(grace),
            deadline = stopping(&mut stop) => Cause::Stop(deadline),
        };
        let (deadline, stopped) = match cause {
            Cause::Exit => (None, false),
            Cause::Unhealthy(grace) => (Some(Instant::now() + grace), false),
            Cause::Stop(deadline) => {
                let name = &self.container.name;
                self.note(Note::normal(
                    "Killing",
                    format!("Stopping container {name}"),
                ));
                (Some(deadline), true)
            }
        };
        let exit = match deadline {
            Some(deadline) => self.terminate(&mut run, deadline).await,
            None => run.process.exit().await,
        };
        let exit = exit.unwrap_or_else(|error| {
            tracing::error!(pod = %self.scene.id, container = self.container.name, %error,
                "cannot tell how a container ended");
            Exit {
                code: 137,
                signal: None,
            }
        });
        self.show_end(&run, exit);
        if stopped || self.stop.borrow().is_some() {
            return Attempt::Stopped;
        }
        Attempt::Ended {
            code: exit.code,
            lasted: run.began.elapsed(),
        }
    }

    async fn start(&self) -> Result<Run, Refusal> {
        let recipe = self.recipe().await?;
        let config = |error: EnvError| Refusal::same("CreateContainerError", error.to_string());
        let failed = |what: &str, error: std::io::Error| {
            Refusal::same("RunContainerError", format!("{what}: {error}"))
        };
        let launch = recipe.main().map_err(config)?;
        let (process, output) = Process::start(&launch).map_err(|error| {
            failed(&format!("cannot start {}", launch.program.display()), error)
        })?;
        let scene = &self.scene;
        let name = &self.container.name;
        let recorded = scene
            .node
            .records
            .add(process.pid(), &scene.id.uid, name)
            .map_err(|error| failed("cannot record the process", error))?;
        let number = self.entry(|entry| entry.runs);
        let PodId {
            namespace,
            name: pod,
            uid,
        } = &scene.id;
        let logs = scene.node.logs.pod_dir(namespace, pod, uid).join(name);
        scene
            .node
            .logs
            .collect(&logs, number, output)
            .map_err(|error| failed("cannot write the log", error))?;
        let since = super::now();
        self.set(|entry| {
            entry.runs += 1;
            if let RunState::Ended(ended) = &entry.state {
                entry.last = Some(ended.clone());
            }
            entry.state = RunState::Running { since };
        });
        self.note(Note::normal("Started", format!("Started container {name}")));
        Ok(Run {
            process,
            recipe,
            began: Instant::now(),
            since,
            _recorded: recorded,
        })
    }

    async fn recipe(&self) -> Result<Recipe, Refusal> {
        let scene = &self.scene;
        let container = &self.container;
        let name = container.image.as_deref().unwrap_or_default();
        let image = scene
            .node
            .images
            .find(name)
            .cloned()
            .ok_or_else(|| Refusal {
                reason: "ErrImagePull",
                again: "ImagePullBackOff",
                message: format!(
                    "no image {name:?} on this node, which pulls none; it has: {}",
                    scene.node.images.names()
                ),
            })?;
        let given = self.given();
        let pod = Arc::clone(&scene.object.borrow());
        let store = scene.node.store.as_ref();
        let config = |message| Refusal::same("CreateContainerConfigError", message);
        let variables = variables(store, &pod, container, &scene.around, &given)
            .await
            .map_err(|error| config(error.to_string()))?;
        let paths = scene
            .mounts
            .paths(container, &image.paths, |text| expand(text, &variables))
            .map_err(|error| config(error.to_string()))?;
        Ok(Recipe {
            container: container.clone(),
            image,
            variables,
            given,
            paths,
        })
    }

    fn given(&self) -> Given {
        let scene = &self.scene;
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let mut defaults: Variables = scene.node.host_env.variables.clone();
        defaults.insert("HOME".to_owned(), text(&scene.home));
        defaults.insert("HOSTNAME".to_owned(), scene.id.name.clone());
        if let Some(file) = &scene.mounts.kubeconfig {
            defaults.insert("KUBECONFIG".to_owned(), text(file));
        }
        let loopback = ("TUBEWAY_LOOPBACK".to_owned(), scene.loopback.to_string());
        Given {
            defaults,
            forced: Variables::from([loopback]),
            search_path: scene.node.host_env.search_path.clone(),
            home: scene.home.clone(),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    fn same(reason: &'static str, message: String) -> Self {
        Self {
            reason,
            again: reason,
            message,
        }
    }
}

async fn run_command(recipe: &Recipe, words: &[String]) -> Result<(), String> {
    let launch = recipe.command(words).map_err(|error| error.to_string())?;
    probe::run(&launch).await.map_err(|error| error.to_string())
}

/// Waits until the container is to stop.
async fn stopping(stop: &mut StopSignal) -> Instant {
    match stop.wait_for(Option::is_some).await {
        // A pod whose task is gone has to stop at once.
        Err(_) => Instant::now(),
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
    }
}

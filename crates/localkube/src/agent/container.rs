//! One container: started, probed, restarted, stopped.

use super::backoff::Backoff;
use super::board::{ContainerBoard, Ended, PodBoard, Restart, Role, RunState};
use super::downward::Surroundings;
use super::env::{EnvError, Given, Recipe, Variables, variables};
use super::expand::expand;
use super::mounts::Mounts;
use super::node::Node;
use super::probe::{self, Schedule, Streak};
use super::process::{Exit, Process};
use super::records::Recorded;
use super::store::{Note, PodId};
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use k8s_openapi::jiff::Timestamp;
use rustix::process::Signal;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

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
    Unhealthy(Probe),
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

/// What a container gets to stop when its time is used up, as on a node.
const LEAST_GRACE: Duration = Duration::from_secs(2);

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
            probe = self.health(&run.recipe) => Cause::Unhealthy(probe),
            deadline = stopping(&mut stop) => Cause::Stop(deadline),
        };
        let (deadline, stopped) = match cause {
            Cause::Exit => (None, false),
            Cause::Unhealthy(probe) => {
                let own = probe.termination_grace_period_seconds;
                let own = own.and_then(|seconds| u64::try_from(seconds).ok());
                let grace = own.map_or(self.scene.grace, Duration::from_secs);
                (Some(Instant::now() + grace), false)
            }
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

    // === health ===

    /// Follows the probes; returns the one because of which the container must be restarted.
    async fn health(&self, recipe: &Recipe) -> Probe {
        let hook = self.container.lifecycle.as_ref();
        if let Some(exec) = hook.and_then(|hook| hook.post_start.as_ref()?.exec.as_ref()) {
            let words = exec.command.as_deref().unwrap_or_default();
            if let Err(error) = run_command(recipe, words).await {
                let message = format!("PostStartHook failed: {error}");
                self.note(Note::warning("FailedPostStartHook", message));
                return Probe::default();
            }
        }
        if let Some(probe) = &self.container.startup_probe
            && !self.until_verdict(probe, recipe, "Startup").await
        {
            return probe.clone();
        }
        let unprobed = self.container.readiness_probe.is_none();
        self.set(|entry| {
            entry.started = true;
            entry.ready = unprobed;
        });
        tokio::select! {
            never = self.readiness(recipe) => match never {},
            probe = self.liveness(recipe) => probe,
        }
    }

    async fn readiness(&self, recipe: &Recipe) -> std::convert::Infallible {
        let Some(probe) = &self.container.readiness_probe else {
            return std::future::pending().await;
        };
        let schedule = Schedule::of(probe);
        let mut streak = Streak::new(schedule);
        sleep(schedule.initial_delay).await;
        loop {
            let healthy = self.check(probe, recipe, "Readiness").await;
            if let Some(ready) = streak.add(healthy) {
                self.set(|entry| entry.ready = ready);
            }
            sleep(schedule.period).await;
        }
    }

    async fn liveness(&self, recipe: &Recipe) -> Probe {
        let Some(probe) = &self.container.liveness_probe else {
            return std::future::pending().await;
        };
        let schedule = Schedule::of(probe);
        let mut streak = Streak::new(schedule);
        sleep(schedule.initial_delay).await;
        loop {
            let healthy = self.check(probe, recipe, "Liveness").await;
            if streak.add(healthy) == Some(false) {
                self.note_unhealthy("liveness");
                return probe.clone();
            }
            sleep(schedule.period).await;
        }
    }

    /// Runs a startup probe to its verdict.
    async fn until_verdict(&self, probe: &Probe, recipe: &Recipe, kind: &str) -> bool {
        let schedule = Schedule::of(probe);
        let mut streak = Streak::new(schedule);
        sleep(schedule.initial_delay).await;
        loop {
            let healthy = self.check(probe, recipe, kind).await;
            if let Some(verdict) = streak.add(healthy) {
                if !verdict {
                    self.note_unhealthy("startup");
                }
                return verdict;
            }
            sleep(schedule.period).await;
        }
    }

    async fn check(&self, probe: &Probe, recipe: &Recipe, kind: &str) -> bool {
        let pod_ip = self.scene.around.pod_ip;
        let command = |words: &[String]| recipe.command(words);
        match probe::check(probe, &self.container, pod_ip, command).await {
            Ok(()) => true,
            Err(error) => {
                self.note(Note::warning(
                    "Unhealthy",
                    format!("{kind} probe failed: {error}"),
                ));
                false
            }
        }
    }

    fn note_unhealthy(&self, kind: &str) {
        let name = &self.container.name;
        let message = format!("Container {name} failed {kind} probe, will be restarted");
        self.note(Note::normal("Killing", message));
    }

    // === stopping ===

    /// preStop hook, then the stop signal, then SIGKILL at the deadline.
    async fn terminate(&self, run: &mut Run, mut deadline: Instant) -> std::io::Result<Exit> {
        let mut stop = self.stop.clone();
        stop.mark_unchanged();
        let lifecycle = self.container.lifecycle.as_ref();
        if let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()) {
            let hook = self.pre_stop(hook, &run.recipe);
            tokio::select! {
                () = hook => {}
                exit = run.process.exit() => return exit,
                () = sleep_until(deadline) => {}
            }
            deadline = deadline.max(Instant::now() + LEAST_GRACE);
        }
        let named = lifecycle.and_then(|lifecycle| lifecycle.stop_signal.as_deref());
        run.process.signal(stop_signal(named));
        loop {
            tokio::select! {
                exit = run.process.exit() => return exit,
                () = sleep_until(deadline) => {
                    run.process.kill();
                    return run.process.exit().await;
                }
                sooner = sooner(&mut stop, deadline) => deadline = sooner,
            }
        }
    }

    async fn pre_stop(&self, hook: &k8s_openapi::api::core::v1::LifecycleHandler, recipe: &Recipe) {
        let failed = if let Some(exec) = &hook.exec {
            let words = exec.command.as_deref().unwrap_or_default();
            run_command(recipe, words).await.err()
        } else if let Some(pause) = &hook.sleep {
            sleep(Duration::from_secs(pause.seconds.unsigned_abs())).await;
            None
        } else {
            Some("this agent runs exec and sleep hooks only".to_owned())
        };
        if let Some(error) = failed {
            let message = format!("PreStopHook failed: {error}");
            self.note(Note::warning("FailedPreStopHook", message));
        }
    }

    // === the board ===

    fn set(&self, change: impl FnOnce(&mut ContainerBoard)) {
        self.scene.board.send_if_modified(|board| {
            let entry = board
                .containers
                .entry(self.container.name.clone())
                .or_default();
            let before = entry.clone();
            change(entry);
            *entry != before
        });
    }

    fn entry<T>(&self, read: impl FnOnce(&ContainerBoard) -> T) -> T {
        let default = ContainerBoard::default();
        let board = self.scene.board.borrow();
        read(
            board
                .containers
                .get(&self.container.name)
                .unwrap_or(&default),
        )
    }

    fn note(&self, note: Note) {
        self.scene.node.note(&self.scene.id, note);
    }

    fn show_refusal(&self, refusal: Refusal, before: bool) {
        self.note(Note::warning(
            "Failed",
            format!("Error: {}", refusal.message),
        ));
        self.set(|entry| {
            if let RunState::Ended(ended) = &entry.state {
                entry.last = Some(ended.clone());
            }
            entry.state = RunState::Waiting {
                reason: if before {
                    refusal.again
                } else {
                    refusal.reason
                },
                message: Some(refusal.message),
            };
        });
    }

    fn show_end(&self, run: &Run, exit: Exit) {
        let ended = Ended {
            code: exit.code,
            signal: exit.signal,
            reason: if exit.code == 0 { "Completed" } else { "Error" }.to_owned(),
            message: None,
            started_at: Some(run.since),
            finished_at: super::now(),
        };
        let done = self.role == Role::Init && exit.code == 0;
        self.set(|entry| {
            entry.state = RunState::Ended(ended);
            entry.started = false;
            entry.ready = done;
        });
    }

    /// Shows that the container waits before its next run.
    fn show_wait(&self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let (name, id) = (&self.container.name, &self.scene.id);
        let message = format!(
            "back-off {}s restarting failed container={name} pod={id}",
            wait.as_secs()
        );
        let event = format!("Back-off restarting failed container {name} in pod {id}");
        self.note(Note::warning("BackOff", event));
        self.set(|entry| {
            if let RunState::Ended(ended) = &entry.state {
                entry.last = Some(ended.clone());
            }
            entry.state = RunState::Waiting {
                reason: "CrashLoopBackOff",
                message: Some(message),
            };
        });
    }

    /// A container that was stopped while it waited has ended as its last run did.
    fn settle(&self) {
        self.set(|entry| {
            if matches!(entry.state, RunState::Waiting { .. })
                && let Some(ended) = entry.last.take()
            {
                entry.state = RunState::Ended(ended);
            }
        });
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

/// Waits until the deadline is brought forward.
async fn sooner(stop: &mut StopSignal, deadline: Instant) -> Instant {
    loop {
        if stop.changed().await.is_err() {
            return std::future::pending().await;
        }
        if let Some(new) = *stop.borrow_and_update()
            && new < deadline
        {
            return new;
        }
    }
}

fn stop_signal(name: Option<&str>) -> Signal {
    match name {
        Some("SIGINT") => Signal::INT,
        Some("SIGQUIT") => Signal::QUIT,
        Some("SIGHUP") => Signal::HUP,
        Some("SIGUSR1") => Signal::USR1,
        Some("SIGUSR2") => Signal::USR2,
        Some("SIGKILL") => Signal::KILL,
        _ => Signal::TERM,
    }
}

//! How a container is stopped.

use super::{Run, StopSignal, Supervisor, run_command};
use crate::agent::env::Recipe;
use crate::agent::process::Exit;
use crate::agent::store::Note;
use k8s_openapi::api::core::v1::LifecycleHandler;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// What a container gets to stop when its hook used up its time, as on a node.
const LEAST_GRACE: Duration = Duration::from_secs(2);

impl Supervisor {
    /// preStop hook, then the stop signal, then SIGKILL at the deadline.
    pub(super) async fn terminate(
        &self,
        run: &mut Run,
        mut deadline: Instant,
    ) -> std::io::Result<Exit> {
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

    async fn pre_stop(&self, hook: &LifecycleHandler, recipe: &Recipe) {
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

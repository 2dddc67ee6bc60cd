//! A running container's probes and its start hook.

use super::{Supervisor, run_command};
use crate::agent::env::Recipe;
use crate::agent::probe::{self, Schedule, Streak};
use crate::agent::store::Note;
use k8s_openapi::api::core::v1::Probe;
use std::time::Duration;
use tokio::time::sleep;

impl Supervisor {
    /// Follows the probes until the container must be restarted because of one; returns the time
    /// it has to stop.
    pub(super) async fn health(&self, recipe: &Recipe) -> Duration {
        let hook = self.container.lifecycle.as_ref();
        if let Some(exec) = hook.and_then(|hook| hook.post_start.as_ref()?.exec.as_ref()) {
            let words = exec.command.as_deref().unwrap_or_default();
            if let Err(error) = run_command(recipe, words).await {
                let message = format!("PostStartHook failed: {error}");
                self.note(Note::warning("FailedPostStartHook", message));
                return self.scene.grace;
            }
        }
        if let Some(probe) = &self.container.startup_probe
            && !self.until_verdict(probe, recipe, "Startup").await
        {
            return self.grace_after(probe);
        }
        let unprobed = self.container.readiness_probe.is_none();
        self.set(|entry| {
            entry.started = true;
            entry.ready = unprobed;
        });
        tokio::select! {
            never = self.readiness(recipe) => match never {},
            grace = self.liveness(recipe) => grace,
        }
    }

    /// The time to stop after `probe` failed: the probe's own, or the pod's.
    fn grace_after(&self, probe: &Probe) -> Duration {
        let own = probe.termination_grace_period_seconds;
        let own = own.and_then(|seconds| u64::try_from(seconds).ok());
        own.map_or(self.scene.grace, Duration::from_secs)
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

    async fn liveness(&self, recipe: &Recipe) -> Duration {
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
                return self.grace_after(probe);
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
}

//! What a container does, put on the pod's board and into events.

use super::{Refusal, Run, Supervisor};
use crate::agent::board::{ContainerBoard, Ended, Role, RunState};
use crate::agent::process::Exit;
use crate::agent::store::Note;
use std::time::Duration;

impl Supervisor {
    pub(super) fn set(&self, change: impl FnOnce(&mut ContainerBoard)) {
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

    pub(super) fn entry<T>(&self, read: impl FnOnce(&ContainerBoard) -> T) -> T {
        let default = ContainerBoard::default();
        let board = self.scene.board.borrow();
        read(
            board
                .containers
                .get(&self.container.name)
                .unwrap_or(&default),
        )
    }

    pub(super) fn note(&self, note: Note) {
        self.scene.node.note(&self.scene.id, note);
    }

    pub(super) fn show_refusal(&self, refusal: Refusal, before: bool) {
        tracing::warn!(pod = %self.scene.id, container = self.container.name,
            reason = refusal.reason, message = %refusal.message, "container not started");
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

    pub(super) fn show_end(&self, run: &Run, exit: Exit) {
        let ended = Ended {
            code: exit.code,
            signal: exit.signal,
            reason: if exit.code == 0 { "Completed" } else { "Error" }.to_owned(),
            message: None,
            started_at: Some(run.since),
            finished_at: crate::agent::now(),
        };
        let done = self.role == Role::Init && exit.code == 0;
        self.set(|entry| {
            entry.state = RunState::Ended(ended);
            entry.started = false;
            entry.ready = done;
        });
    }

    /// Shows that the container waits before its next run.
    pub(super) fn show_wait(&self, wait: Duration) {
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
    pub(super) fn settle(&self) {
        self.set(|entry| {
            if matches!(entry.state, RunState::Waiting { .. })
                && let Some(ended) = entry.last.take()
            {
                entry.state = RunState::Ended(ended);
            }
        });
    }
}

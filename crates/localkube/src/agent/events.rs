//! Events about pods, bounded so that a crash loop cannot flood the API.

use super::store::{Note, PodId, PodStore};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Takes notes without ever waiting; they are written by a task of their own.
#[derive(Debug, Clone)]
pub(crate) struct Notebook {
    queue: mpsc::Sender<(PodId, Note)>,
}

/// How many notes a pod may still write: a burst, then one at intervals.
#[derive(Debug)]
struct Allowance {
    left: u32,
    refilled: Instant,
}

const QUEUE: usize = 256;
/// The figures of Kubernetes' own event sources.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_mins(5);
/// Pods remembered before those with a full allowance are forgotten.
const REMEMBERED: usize = 1024;

// === impl Notebook ===

impl Notebook {
    /// Starts the writing task, which ends with the last clone of the notebook.
    pub(crate) fn start(store: Arc<dyn PodStore>) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, mut notes) = mpsc::channel::<(PodId, Note)>(QUEUE);
        let task = tokio::spawn(async move {
            let mut allowances = HashMap::new();
            while let Some((pod, note)) = notes.recv().await {
                if allowed(&mut allowances, &pod.uid, Instant::now()) {
                    store.record(&pod, &note).await;
                }
            }
        });
        (Self { queue }, task)
    }

    /// Takes a note; it is lost when too many are waiting.
    pub(crate) fn add(&self, pod: &PodId, note: Note) {
        tracing::debug!(pod = %pod, reason = note.reason, message = %note.message, "pod event");
        let _ = self.queue.try_send((pod.clone(), note));
    }
}

fn allowed(allowances: &mut HashMap<String, Allowance>, uid: &str, now: Instant) -> bool {
    if allowances.len() >= REMEMBERED {
        allowances.retain(|_, allowance| now - allowance.refilled < REFILL * BURST);
    }
    let allowance = allowances.entry(uid.to_owned()).or_insert(Allowance {
        left: BURST,
        refilled: now,
    });
    allowance.take(now)
}

// === impl Allowance ===

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now - self.refilled >= REFILL {
            self.left += 1;
            self.refilled += REFILL;
        }
        if self.left == BURST {
            self.refilled = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_in_five_minutes_for_each_pod() {
        let mut allowances = HashMap::new();
        let now = Instant::now();
        let mut ask = |uid: &str, now| allowed(&mut allowances, uid, now);
        assert_eq!((0..40).filter(|_| ask("a", now)).count(), 25);
        assert!(ask("b", now), "another pod has its own");
        let later = now + REFILL;
        assert_eq!((0..40).filter(|_| ask("a", later)).count(), 1);
        let much_later = now + REFILL * 1000;
        assert_eq!((0..40).filter(|_| ask("a", much_later)).count(), 25);
    }
}

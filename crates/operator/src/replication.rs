//! How many replicas topics are to have, where they have another number.
//!
//! KafkaTopics say it and the cluster controller carries it out: moves of one
//! cluster are planned in one place, or they would undo each other's limits.
//! What is said here is said again as long as it is meant, so that an object
//! that goes leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tubeway_config::ClusterRef;

/// What is not said again for so long is not meant any more.
const LAPSE: Duration = Duration::from_mins(2);

/// What topics wait for. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Replication {
    topics: Arc<Mutex<BTreeMap<(ClusterRef, String), Entry>>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Clone)]
enum Entry {
    Open {
        replicas: usize,
        until: Instant,
        refused: Option<String>,
    },
    Done,
}

/// How far a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Its replicas move, or are to.
    Open {
        /// Why they cannot.
        refused: Option<String>,
    },
    /// They have moved, and nothing of it is left, since this program started.
    Done,
    /// This program knows nothing of it.
    Unknown,
}

// === impl Replication ===

impl Default for Replication {
    fn default() -> Self {
        Self {
            topics: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Replication {
    /// The topic is to have so many replicas; to be said again within a minute.
    pub fn want(&self, cluster: &ClusterRef, topic: &str, replicas: usize) -> Progress {
        let mut topics = self.lock();
        let key = (cluster.clone(), topic.to_owned());
        let before = topics.get(&key);
        let same = before.and_then(|entry| match entry {
            Entry::Open {
                replicas: now,
                refused,
                ..
            } if *now == replicas => Some(refused.clone()),
            _ => None,
        });
        let is_new = same.is_none();
        let refused = same.flatten();
        let open = Entry::Open {
            replicas,
            until: Instant::now() + LAPSE,
            refused: refused.clone(),
        };
        topics.insert(key, open);
        drop(topics);
        if is_new {
            self.changed.send_replace(());
        }
        Progress::Open { refused }
    }

    /// The topic is to have what it has.
    pub fn withdraw(&self, cluster: &ClusterRef, topic: &str) {
        self.lock().remove(&(cluster.clone(), topic.to_owned()));
    }

    /// How far the topic is.
    pub fn progress(&self, cluster: &ClusterRef, topic: &str) -> Progress {
        match self.lock().get(&(cluster.clone(), topic.to_owned())) {
            Some(Entry::Open { refused, .. }) => Progress::Open {
                refused: refused.clone(),
            },
            Some(Entry::Done) => Progress::Done,
            None => Progress::Unknown,
        }
    }

    /// What the cluster's topics are to have.
    pub fn wanted(&self, cluster: &ClusterRef) -> BTreeMap<String, usize> {
        let mut topics = self.lock();
        let now = Instant::now();
        topics.retain(|_, entry| !matches!(entry, Entry::Open { until, .. } if *until < now));
        let open = topics.iter().filter(|((of, _), _)| of == cluster);
        let open = open.filter_map(|((_, topic), entry)| match entry {
            Entry::Open { replicas, .. } => Some((topic.clone(), *replicas)),
            Entry::Done => None,
        });
        open.collect()
    }

    /// What became of a topic that was to have so many replicas: it has them, or
    /// why it cannot, or it is under way. Not if it is to have others by now.
    pub fn answer(
        &self,
        cluster: &ClusterRef,
        (topic, wanted): (&str, usize),
        done: bool,
        refusal: Option<String>,
    ) {
        let mut topics = self.lock();
        let entry = topics.get_mut(&(cluster.clone(), topic.to_owned()));
        let Some(Entry::Open {
            replicas, refused, ..
        }) = entry
        else {
            return;
        };
        if *replicas != wanted {
            return;
        }
        let news = done || *refused != refusal;
        *refused = refusal;
        if done {
            topics.insert((cluster.clone(), topic.to_owned()), Entry::Done);
        }
        drop(topics);
        if news {
            self.changed.send_replace(());
        }
    }

    /// Forgets a cluster.
    pub fn forget(&self, cluster: &ClusterRef) {
        self.lock().retain(|(of, _), _| of != cluster);
    }

    /// Tells when something was said or answered.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ClusterRef, String), Entry>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> ClusterRef {
        "kafka/demo".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_said_again_is_forgotten() {
        let (all, demo) = (Replication::default(), demo());
        all.want(&demo, "a", 3);
        all.want(&demo, "b", 2);
        tokio::time::advance(Duration::from_mins(1)).await;
        all.want(&demo, "b", 2);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(all.wanted(&demo), [("b".to_owned(), 2)].into());
        assert_eq!(all.wanted(&"kafka/other".parse().unwrap()), BTreeMap::new());
    }

    #[tokio::test]
    async fn an_answer_is_for_what_was_asked() {
        let (all, demo) = (Replication::default(), demo());
        assert_eq!(all.progress(&demo, "a"), Progress::Unknown);
        all.want(&demo, "a", 3);
        let mut news = all.subscribe();
        all.answer(&demo, ("a", 2), true, None);
        assert!(!news.has_changed().unwrap(), "it is to have three by now");
        let refused = Some("too few brokers".to_owned());
        all.answer(&demo, ("a", 3), false, refused.clone());
        assert!(news.has_changed().unwrap());
        news.mark_unchanged();
        let open = Progress::Open { refused };
        assert_eq!(
            all.want(&demo, "a", 3),
            open,
            "said again, the answer stays"
        );
        assert!(!news.has_changed().unwrap());
        all.answer(&demo, ("a", 3), true, None);
        assert_eq!(all.progress(&demo, "a"), Progress::Done);
        assert_eq!(all.wanted(&demo), BTreeMap::new());
        all.want(&demo, "a", 2);
        assert_eq!(all.wanted(&demo), [("a".to_owned(), 2)].into());
        all.withdraw(&demo, "a");
        assert_eq!(all.progress(&demo, "a"), Progress::Unknown);
    }
}

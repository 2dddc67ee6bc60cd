//! What a status says about a topic.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tubeway_api::condition::{self, Wanted, reasons, types};
use tubeway_api::{KafkaTopic, KafkaTopicStatus};

use super::RESYNC;
use super::ensure::Ensured;
use super::plan::Observed;

/// The spec wants what Kafka cannot do; the rest of it is in force.
const NOT_SUPPORTED: &str = "NotSupported";

/// The topic is to have another number of replicas, and these move.
pub(super) const MOVING: &str = "MovingReplicas";

/// What was found about one object.
pub(super) struct Verdict {
    pub(super) ready: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) observed: Option<Observed>,
    /// When to look again, if nothing happens before.
    pub(super) again: Duration,
}

// === impl Verdict ===

impl Verdict {
    pub(super) fn not(reason: &'static str, message: String) -> Self {
        Self {
            ready: false,
            reason,
            message,
            observed: None,
            again: RESYNC,
        }
    }

    pub(super) fn of(ensured: &Ensured) -> Self {
        let ready = ensured.unsupported.is_empty();
        Self {
            ready,
            reason: if ready { reasons::READY } else { NOT_SUPPORTED },
            message: if ready {
                "the topic is as the spec says".to_owned()
            } else {
                ensured.unsupported.join("; ")
            },
            observed: Some(ensured.observed),
            again: RESYNC,
        }
    }

    /// The same, while replicas move.
    pub(super) fn moving(self, replicas: usize, refused: Option<String>) -> Self {
        let now = self.observed.map_or(0, |observed| observed.replicas);
        let refused = refused.map_or_else(String::new, |why| format!("; {why}"));
        Self {
            ready: false,
            reason: MOVING,
            message: format!(
                "the topic goes from {now} to {replicas} replicas of each partition, as the \
                 KafkaCluster's condition Progressing tells{refused}"
            ),
            ..self
        }
    }

    /// The status that says this. What was seen of the topic before stays while
    /// Kafka cannot be asked, and goes when the topic is not this object's.
    pub(super) fn status(&self, topic: &KafkaTopic, now: Timestamp) -> KafkaTopicStatus {
        let old = topic.status.clone().unwrap_or_default();
        let not_ours = matches!(
            self.reason,
            reasons::CONFLICT | reasons::NOT_ALLOWED | reasons::NOT_FOUND
        );
        let mut status = KafkaTopicStatus {
            observed_generation: topic.metadata.generation,
            conditions: old.conditions.clone(),
            ..if not_ours {
                KafkaTopicStatus::default()
            } else {
                old
            }
        };
        status.topic_name = Some(topic.topic_name());
        if let Some(observed) = self.observed {
            status.topic_id = Some(observed.id.to_string());
            status.partitions = Some(observed.partitions);
            status.replicas = Some(observed.replicas);
        }
        let wanted = Wanted {
            type_: types::READY,
            status: Some(self.ready),
            reason: self.reason,
            message: self.message.clone(),
            observed_generation: topic.metadata.generation,
        };
        condition::set_condition(&mut status.conditions, wanted, now);
        status
    }
}

/// Whether the object's status says that replicas move.
pub(super) fn was_moving(topic: &KafkaTopic) -> bool {
    let conditions = topic.status.as_ref().map(|status| &status.conditions);
    let ready = conditions.and_then(|all| condition::find(all, types::READY));
    ready.is_some_and(|ready| ready.reason == MOVING)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn topic(status: Option<KafkaTopicStatus>) -> KafkaTopic {
        let mut topic: KafkaTopic = serde_json::from_value(json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"namespace": "shop", "name": "orders", "generation": 3},
            "spec": {"cluster": {"name": "main"}},
        }))
        .unwrap();
        topic.status = status;
        topic
    }

    fn good() -> Verdict {
        Verdict::of(&Ensured {
            observed: Observed {
                id: Uuid::from_u128(7),
                partitions: 3,
                replicas: 1,
            },
            done: vec!["created"],
            unsupported: Vec::new(),
            moves: None,
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_same_verdict_again_is_the_same_status() {
        let first = good().status(&topic(None), at(1));
        assert!(condition::is_true(&first.conditions, types::READY));
        assert_eq!(first.observed_generation, Some(3));
        assert_eq!(
            first.topic_id.as_deref(),
            Some("00000000-0000-0000-0000-000000000007")
        );
        let again = good().status(&topic(Some(first.clone())), at(2));
        assert_eq!(first, again);
    }

    #[test]
    fn what_was_seen_stays_while_kafka_is_away_and_goes_with_the_claim() {
        let first = good().status(&topic(None), at(1));
        let away = Verdict::not(reasons::KAFKA_ERROR, "away".to_owned());
        let away = away.status(&topic(Some(first.clone())), at(2));
        assert_eq!(
            (away.topic_id, away.partitions),
            (first.topic_id.clone(), Some(3))
        );
        assert!(!condition::is_true(&away.conditions, types::READY));

        for reason in [reasons::CONFLICT, reasons::NOT_ALLOWED, reasons::NOT_FOUND] {
            let lost = Verdict::not(reason, "lost".to_owned());
            let lost = lost.status(&topic(Some(first.clone())), at(2));
            assert_eq!((lost.topic_id, lost.partitions), (None, None), "{reason}");
        }
    }

    #[test]
    fn what_kafka_cannot_do_is_said() {
        let mut ensured = Ensured {
            observed: good().observed.unwrap(),
            done: Vec::new(),
            unsupported: vec!["a".to_owned(), "b".to_owned()],
            moves: None,
        };
        let status = Verdict::of(&ensured).status(&topic(None), at(1));
        let ready = condition::find(&status.conditions, types::READY).unwrap();
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str()),
            ("False", NOT_SUPPORTED)
        );
        assert_eq!(ready.message, "a; b");
        ensured.unsupported.clear();
        assert!(Verdict::of(&ensured).ready);
    }
}

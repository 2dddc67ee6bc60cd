//! Which objects would speak for which topic. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use kube::runtime::watcher::Event;
use tubeway_api::KafkaTopic;
use tubeway_policy::rbac::{ObjectRef, Topic};

use super::inputs::{self, rbac_topic};

/// A topic of a cluster.
type Key = (ObjectRef, String);

/// All KafkaTopics by the topic that they are about, so that who asks about one need
/// not look at all. Nothing else of the objects is kept.
#[derive(Debug, Default)]
pub(super) struct Claimants {
    topics: HashMap<Key, BTreeMap<ObjectRef, Topic>>,
    keys: HashMap<ObjectRef, Key>,
    /// Those of the list that is under way.
    listed: HashSet<ObjectRef>,
    /// Whether that list has brought something new.
    news: bool,
}

// === impl Claimants ===

impl Claimants {
    /// Takes what a watch says. Whether that changes anything here: what a status
    /// says does not, and what a list brings counts when it is whole.
    pub(super) fn take(&mut self, event: &Event<KafkaTopic>) -> bool {
        match event {
            Event::Apply(object) => self.put(rbac_topic(object)),
            Event::Delete(object) => self.remove(&inputs::key(object)).is_some(),
            Event::Init => {
                self.listed.clear();
                false
            }
            Event::InitApply(object) => {
                self.listed.insert(inputs::key(object));
                self.news |= self.put(rbac_topic(object));
                false
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone = self.keys.keys().filter(|object| !listed.contains(*object));
                for object in gone.cloned().collect::<Vec<_>>() {
                    self.news |= self.remove(&object).is_some();
                }
                std::mem::take(&mut self.news)
            }
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Topic> {
        let all = self.topics.values().flat_map(BTreeMap::values);
        all.cloned().collect()
    }

    /// The other objects that are about the same topic.
    pub(super) fn rivals(&self, own: &Topic) -> Vec<Topic> {
        let key = (own.cluster.clone(), own.topic.clone());
        let all = self.topics.get(&key).into_iter().flat_map(BTreeMap::values);
        let others = all.filter(|other| other.object != own.object);
        others.cloned().collect()
    }

    fn put(&mut self, topic: Topic) -> bool {
        let before = self.remove(&topic.object);
        let changed = before.is_none_or(|before| before != topic);
        let key = (topic.cluster.clone(), topic.topic.clone());
        self.keys.insert(topic.object.clone(), key.clone());
        let claimants = self.topics.entry(key).or_default();
        claimants.insert(topic.object.clone(), topic);
        changed
    }

    fn remove(&mut self, object: &ObjectRef) -> Option<Topic> {
        let key = self.keys.remove(object)?;
        let claimants = self.topics.get_mut(&key)?;
        let topic = claimants.remove(object);
        if claimants.is_empty() {
            self.topics.remove(&key);
        }
        topic
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(name: u8, topic: u8) -> KafkaTopic {
        serde_json::from_value(json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"namespace": "shop", "name": format!("n{name}")},
            "spec": {"cluster": {"name": "main"}, "topicName": format!("t{topic}")},
        }))
        .unwrap()
    }

    fn sorted(mut topics: Vec<Topic>) -> Vec<Topic> {
        topics.sort_by(|a, b| a.object.cmp(&b.object));
        topics
    }

    /// One event, or a whole list.
    fn events() -> impl Strategy<Value = Vec<Event<KafkaTopic>>> {
        let object = || (0..4_u8, 0..3_u8).prop_map(|(name, topic)| object(name, topic));
        prop_oneof![
            object().prop_map(|object| vec![Event::Apply(object)]),
            object().prop_map(|object| vec![Event::Delete(object)]),
            prop::collection::btree_map(0..4_u8, 0..3_u8, 0..4).prop_map(|list| {
                let list = list
                    .into_iter()
                    .map(|(name, topic)| self::object(name, topic));
                let list = list.map(Event::InitApply);
                let all = std::iter::once(Event::Init).chain(list);
                all.chain([Event::InitDone]).collect()
            }),
        ]
    }

    proptest! {
        #[test]
        fn rivals_are_those_that_a_look_at_all_finds(
            history in prop::collection::vec(events(), 0..30),
        ) {
            let (store, mut writer) = kube::runtime::reflector::store();
            let mut claimants = Claimants::default();
            let mut before = Vec::new();
            for event in history.into_iter().flatten() {
                let in_a_list = matches!(event, Event::Init | Event::InitApply(_));
                writer.apply_watcher_event(&event);
                let changed = claimants.take(&event);
                if !in_a_list {
                    let now = sorted(claimants.all());
                    prop_assert_eq!(changed, now != before);
                    before = now;
                }
            }
            let all = store.state();
            let all = sorted(all.iter().map(|object| rbac_topic(object)).collect());
            prop_assert_eq!(&before, &all);
            for own in (0..3).map(|topic| rbac_topic(&object(0, topic))) {
                let expected = all.iter().filter(|other| {
                    other.object != own.object
                        && (&other.cluster, &other.topic) == (&own.cluster, &own.topic)
                });
                let expected: Vec<_> = expected.cloned().collect();
                prop_assert_eq!(sorted(claimants.rivals(&own)), expected);
            }
        }
    }
}

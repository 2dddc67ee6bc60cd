//! Several watches of one kind as if they were one. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

/// What the sources have said so far, each of objects of its own.
///
/// What comes out is what one watch would say, and a store that takes it holds
/// what all sources' own stores would hold together. A source that lists anew
/// comes out as the difference: to a store a new list is the list of everything,
/// and it would take what the others have said away. So each object is kept here
/// a second time.
pub(super) struct Merge<K>
where
    K: Resource,
    K::DynamicType: Hash + Eq,
{
    kind: K::DynamicType,
    sources: Vec<Source<K>>,
    /// Whether every source has been listed, and that was said.
    begun: bool,
}

struct Source<K>
where
    K: Resource,
    K::DynamicType: Hash + Eq,
{
    known: HashMap<ObjectRef<K>, K>,
    /// What a list that is under way has brought.
    listing: HashMap<ObjectRef<K>, K>,
    listed: bool,
}

// === impl Merge ===

impl<K> Merge<K>
where
    K: Resource + Clone,
    K::DynamicType: Hash + Eq + Clone,
{
    /// Of so many sources, of which nothing is known.
    pub(super) fn new(sources: usize, kind: K::DynamicType) -> Self {
        Self {
            kind,
            sources: (0..sources).map(|_| Source::default()).collect(),
            begun: false,
        }
    }

    /// What comes out when a source, by its index, has said something.
    pub(super) fn take(&mut self, source: usize, event: Event<K>) -> Vec<Event<K>> {
        let kind = self.kind.clone();
        let key = |object: &K| ObjectRef::from_obj_with(object, kind.clone());
        let source = &mut self.sources[source];
        let out = match event {
            Event::Apply(object) => {
                source.known.insert(key(&object), object.clone());
                vec![Event::Apply(object)]
            }
            Event::Delete(object) => {
                source.known.remove(&key(&object));
                vec![Event::Delete(object)]
            }
            Event::Init => {
                source.listing.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                source.listing.insert(key(&object), object);
                Vec::new()
            }
            Event::InitDone => {
                source.listed = true;
                source.listed_anew()
            }
        };
        if self.begun {
            return out;
        }
        self.begun = self.sources.iter().all(|source| source.listed);
        if self.begun { self.all() } else { Vec::new() }
    }

    /// The list of everything.
    fn all(&self) -> Vec<Event<K>> {
        let known = self.sources.iter().flat_map(|source| source.known.values());
        let mut all = vec![Event::Init];
        all.extend(known.cloned().map(Event::InitApply));
        all.push(Event::InitDone);
        all
    }
}

// === impl Source ===

impl<K> Source<K>
where
    K: Resource + Clone,
    K::DynamicType: Hash + Eq,
{
    /// A list is whole: what it says that was not known.
    fn listed_anew(&mut self) -> Vec<Event<K>> {
        let before = mem::replace(&mut self.known, mem::take(&mut self.listing));
        let mut out = Vec::new();
        for (key, object) in &self.known {
            if before.get(key).is_none_or(|old| !is_same(old, object)) {
                out.push(Event::Apply(object.clone()));
            }
        }
        let gone = before.into_iter();
        let gone = gone.filter(|(key, _)| !self.known.contains_key(key));
        out.extend(gone.map(|(_, object)| Event::Delete(object)));
        out
    }
}

impl<K> Default for Source<K>
where
    K: Resource,
    K::DynamicType: Hash + Eq,
{
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            listing: HashMap::new(),
            listed: false,
        }
    }
}

/// Whether these are one object in one state.
fn is_same<K: Resource>(one: &K, other: &K) -> bool {
    let (one, other) = (one.meta(), other.meta());
    let version = &one.resource_version;
    version.is_some() && *version == other.resource_version && one.uid == other.uid
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::reflector::{self, Store};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SOURCES: usize = 3;

    /// Object `name` of a source in one of its states.
    fn object(source: usize, name: u8, version: u8) -> ConfigMap {
        let object = json!({"metadata": {
            "namespace": format!("ns-{source}"),
            "name": format!("name-{name}"),
            "uid": "u",
            "resourceVersion": version.to_string(),
        }});
        serde_json::from_value(object).unwrap()
    }

    /// Anything that a source can say, in no order that any watch would keep.
    fn said() -> impl Strategy<Value = (usize, Event<ConfigMap>)> {
        let which = (0..SOURCES, 0..3_u8, 0..3_u8, 0..7_u8);
        which.prop_map(|(source, name, version, what)| {
            let object = object(source, name, version);
            let event = match what {
                0 => Event::Apply(object),
                1 => Event::Delete(object),
                2 => Event::Init,
                3 | 4 => Event::InitApply(object),
                _ => Event::InitDone,
            };
            (source, event)
        })
    }

    type Held = BTreeMap<(String, String), Option<String>>;

    fn held(stores: &[Store<ConfigMap>]) -> Held {
        let all = stores.iter().flat_map(Store::state);
        all.map(|object| {
            let key = (object.namespace().unwrap(), object.name_any());
            (key, object.resource_version())
        })
        .collect()
    }

    proptest! {
        #[test]
        fn a_store_of_all_holds_what_the_sources_own_stores_hold(
            events in prop::collection::vec(said(), 1..120)
        ) {
            let mut merge = Merge::new(SOURCES, ());
            let (store, mut writer) = reflector::store::<ConfigMap>();
            let mut own: Vec<Writer<ConfigMap>> = (0..SOURCES).map(|_| Writer::default()).collect();
            let stores: Vec<_> = own.iter().map(Writer::as_reader).collect();
            let mut listed = [false; SOURCES];
            let mut lists = 0;
            for (source, event) in events {
                listed[source] |= matches!(event, Event::InitDone);
                own[source].apply_watcher_event(&event);
                for event in merge.take(source, event) {
                    lists += usize::from(matches!(event, Event::Init));
                    writer.apply_watcher_event(&event);
                }
                if listed == [true; SOURCES] {
                    prop_assert_eq!(held(std::slice::from_ref(&store)), held(&stores));
                    prop_assert_eq!(lists, 1);
                } else {
                    prop_assert_eq!((store.len(), lists), (0, 0), "before all were listed");
                }
            }
        }
    }

    #[test]
    fn a_list_that_brings_nothing_new_says_nothing() {
        let mut merge = Merge::new(1, ());
        let list = || {
            [
                Event::Init,
                Event::InitApply(object(0, 1, 1)),
                Event::InitDone,
            ]
        };
        let mut count = |events: [Event<ConfigMap>; 3]| {
            let out = events.into_iter().flat_map(|event| merge.take(0, event));
            out.count()
        };
        assert_eq!(count(list()), 3);
        assert_eq!(count(list()), 0);
    }

    #[test]
    fn an_object_that_was_made_anew_is_another() {
        let (one, mut other) = (object(0, 1, 1), object(0, 1, 1));
        assert!(is_same(&one, &other));
        other.metadata.uid = Some("v".to_owned());
        assert!(!is_same(&one, &other));
    }
}

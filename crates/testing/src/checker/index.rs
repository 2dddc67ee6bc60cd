//! Sends and reads by record and by place.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::History;
use crate::records::{Outcome, Position, RecordId, Sent};

/// A history, indexed the ways the checks need it.
pub(super) struct Index {
    sent: HashMap<RecordId, Sent>,
    read: HashSet<RecordId>,
    places: HashMap<RecordId, Vec<Position>>,
    by_place: BTreeMap<Position, Vec<Option<RecordId>>>,
    highest_read: HashMap<i32, i64>,
    read_places: HashSet<Position>,
}

// === impl Index ===

impl Index {
    pub(super) fn new(history: &History) -> Self {
        let mut index = Self {
            sent: history.sent.iter().map(|sent| (sent.id, *sent)).collect(),
            read: HashSet::new(),
            places: HashMap::new(),
            by_place: BTreeMap::new(),
            highest_read: HashMap::new(),
            read_places: HashSet::new(),
        };
        for sent in &history.sent {
            if let Outcome::Acked(Some(at)) = sent.outcome {
                index.place(at, Some(sent.id));
            }
        }
        for read in history.sessions.iter().flatten() {
            index.place(read.at, read.id);
            index.read.extend(read.id);
            index.read_places.insert(read.at);
            let highest = index
                .highest_read
                .entry(read.at.partition)
                .or_insert(read.at.offset);
            *highest = read.at.offset.max(*highest);
        }
        index
    }

    fn place(&mut self, at: Position, id: Option<RecordId>) {
        let ids = self.by_place.entry(at).or_default();
        if ids.contains(&id) {
            return;
        }
        ids.push(id);
        if let Some(id) = id {
            self.places.entry(id).or_default().push(at);
        }
    }

    pub(super) fn sent(&self, id: RecordId) -> Option<&Sent> {
        self.sent.get(&id)
    }

    pub(super) fn was_read(&self, id: RecordId) -> bool {
        self.read.contains(&id)
    }

    /// How many different records were read.
    pub(super) fn read_count(&self) -> usize {
        self.read.len()
    }

    /// How many different places were read.
    pub(super) fn read_place_count(&self) -> usize {
        self.read_places.len()
    }

    pub(super) fn highest_read(&self, partition: i32) -> Option<i64> {
        self.highest_read.get(&partition).copied()
    }

    /// Every place that was read or acknowledged, in order, with all that was said to be there.
    pub(super) fn by_place(&self) -> &BTreeMap<Position, Vec<Option<RecordId>>> {
        &self.by_place
    }

    /// All places of one record.
    pub(super) fn places(&self, id: RecordId) -> &[Position] {
        self.places.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The records that are at more than one place, in order.
    pub(super) fn duplicated(&self) -> impl Iterator<Item = (RecordId, &[Position])> {
        let mut several: Vec<_> = self
            .places
            .iter()
            .filter(|(_, places)| places.len() > 1)
            .map(|(&id, places)| (id, places.as_slice()))
            .collect();
        several.sort_unstable();
        several.into_iter()
    }
}

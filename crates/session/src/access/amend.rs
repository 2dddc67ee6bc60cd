//! What is to be done to a response.

use std::collections::BTreeSet;

use tubeway_protocol::value::Struct;

use super::listed::PutBack;
use super::merge::Merge;
use super::metadata::Described;
use super::offsets::OfGroups;
use super::pages::Page;
use super::{Access, NameOf};

/// What is to be done to the response of a request that was cut, or whose
/// response tells more than the caller may know.
#[derive(Debug, Default)]
pub struct Amend {
    changes: Vec<Change>,
}

/// One change; they are made in their order.
#[derive(Debug)]
pub(super) enum Change {
    /// Something that depends on nothing but the rules.
    Rule(fn(&Access<'_>, &mut Struct)),
    /// Entries that were cut go where they belong.
    PutBack(PutBack),
    /// Topics and partitions that were cut go where they belong.
    Merge(Merge),
    /// The same, for the topics of each group.
    OfGroups(OfGroups),
    Metadata(Described),
    Page(Page),
}

// === impl Amend ===

impl Amend {
    pub(super) fn new(changes: impl IntoIterator<Item = Change>) -> Self {
        Self {
            changes: changes.into_iter().collect(),
        }
    }

    pub(super) fn rule(change: fn(&Access<'_>, &mut Struct)) -> Self {
        Self::new([Change::Rule(change)])
    }

    /// Whether the response stays as it is, and need not be looked at.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The topic ids in a response whose names have to be known before it is
    /// amended; a topic whose name is not known then is left out of it.
    pub fn ids_to_resolve(&self, access: &Access<'_>, response: &Struct) -> BTreeSet<[u8; 16]> {
        let mut ids = BTreeSet::new();
        for change in &self.changes {
            if let Change::OfGroups(groups) = change {
                groups.ids(response, &mut ids);
            }
        }
        ids.retain(|id| access.names.name_of(id) == NameOf::NotAsked);
        ids
    }

    /// Makes the changes.
    pub fn apply(self, access: &Access<'_>, response: &mut Struct) {
        for change in self.changes {
            match change {
                Change::Rule(change) => change(access, response),
                Change::PutBack(entries) => entries.apply(response),
                Change::Merge(topics) => topics.apply(response),
                Change::OfGroups(groups) => groups.apply(access, response),
                Change::Metadata(described) => described.apply(access, response),
                Change::Page(page) => page.apply(access, response),
            }
        }
    }
}

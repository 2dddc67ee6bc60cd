//! APIs that ask for a list of things, each by its name: those that the caller
//! may not use are cut out, and answered here.

use std::collections::HashSet;

use tubeway_protocol::value::{Struct, Value};

use super::amend::{Amend, Change};
use super::{Case, Verdict, tree};

/// Where entries of a response go that the broker did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the broker's.
    First,
    /// After the broker's.
    Last,
    /// Where the request had them.
    AsAsked,
}

/// Entries of a response that the broker did not make.
#[derive(Debug)]
pub(super) struct PutBack {
    array: &'static str,
    place: Place,
    /// Whether a broker that refuses the whole request leaves them out.
    unless_error: bool,
    /// With their places in the request, rising.
    entries: Vec<(usize, Struct)>,
}

// === impl PutBack ===

impl PutBack {
    pub(super) fn new(array: &'static str, place: Place) -> Self {
        Self {
            array,
            place,
            unless_error: false,
            entries: Vec::new(),
        }
    }

    pub(super) fn unless_error(mut self) -> Self {
        self.unless_error = true;
        self
    }

    pub(super) fn push(&mut self, at: usize, entry: Struct) {
        self.entries.push((at, entry));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn apply(self, response: &mut Struct) {
        if self.unless_error && response.int("ErrorCode") != 0 {
            return;
        }
        let Some(values) = tree::array(response, self.array) else {
            return;
        };
        let entries = self.entries.into_iter();
        match self.place {
            Place::First => {
                values.splice(0..0, entries.map(|(_, entry)| entry.into()));
            }
            Place::Last => values.extend(entries.map(|(_, entry)| Value::from(entry))),
            Place::AsAsked => {
                let mut sent = std::mem::take(values).into_iter();
                for (at, entry) in entries {
                    let before = at.saturating_sub(values.len());
                    values.extend(sent.by_ref().take(before));
                    values.push(entry.into());
                }
                values.extend(sent);
            }
        }
    }
}

// === impl Case ===

/// An API that takes a list of names and answers with a list of structs.
pub(super) struct Named {
    /// The request's array of strings.
    pub(super) asked: &'static str,
    /// The response's array, and the field in it that has the name.
    pub(super) answered: &'static str,
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// The error of those that are refused.
    pub(super) code: i16,
    /// Whether a name that is asked for twice is answered once.
    pub(super) once: bool,
}

impl Case<'_> {
    /// Cuts the names that are refused. What is left is not sent if nothing is
    /// left; `changes` are made to the response first.
    pub(super) fn cut_names(
        &self,
        of: &Named,
        allowed: impl Fn(&[u8]) -> bool,
        refuse: impl Fn(&mut Struct),
        changes: Vec<Change>,
    ) -> Verdict {
        let blank = self.blank();
        let mut refused = PutBack::new(of.answered, of.place);
        let mut kept = Vec::new();
        let mut seen = HashSet::new();
        for (at, name) in tree::strings(self.request, of.asked)
            .into_iter()
            .enumerate()
        {
            if allowed(&name) {
                kept.push(Value::String(name));
                continue;
            }
            if of.once && seen.contains(&name) {
                continue;
            }
            let mut entry = tree::element(&blank, of.answered);
            entry.set(of.name, tree::text(&name));
            entry.set("ErrorCode", of.code);
            refuse(&mut entry);
            refused.push(at, entry);
            seen.insert(name);
        }
        self.cut(of.asked, kept, refused, changes)
    }

    /// The verdict on a request of which `kept` is left in `array`.
    pub(super) fn cut(
        &self,
        array: &'static str,
        kept: Vec<Value>,
        refused: PutBack,
        mut changes: Vec<Change>,
    ) -> Verdict {
        if refused.is_empty() {
            return if changes.is_empty() {
                Verdict::Pass
            } else {
                Verdict::Amend(Amend::new(changes))
            };
        }
        if kept.is_empty() {
            let mut answer = self.blank();
            refused.apply(&mut answer);
            return Verdict::Answer(answer);
        }
        let mut request = self.request.clone();
        request.set(array, Value::Array(kept));
        changes.push(Change::PutBack(refused));
        Verdict::Cut(request, Amend::new(changes))
    }
}

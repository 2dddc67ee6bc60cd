//! `metadata.managedFields`: who owns which fields, and since when.

use serde_json::{Map, Value, json};

use super::fieldset::{FieldSet, FieldsV1Error};

/// More entries of operation Update than this are folded together, oldest first.
const MAX_UPDATERS: usize = 10;

/// The manager under which folded entries go.
const ANCIENT: &str = "ancient-changes";

/// What kind of request an entry stands for. Apply sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// Who made a request, and through which version and subresource.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) manager: String,
    pub(super) operation: Operation,
    pub(super) api_version: String,
    pub(super) subresource: String,
}

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) who: Identity,
    /// RFC 3339, as it was given.
    pub(super) time: Option<String>,
    pub(super) fields: FieldSet,
}

/// All entries of an object, at most one an identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers {
    pub(super) entries: Vec<Entry>,
}

// === impl Identity ===

impl Identity {
    /// Whether both are one owner. An applier stays itself when it changes the API version.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The owner as conflict messages name it.
    pub(super) fn describe(&self) -> String {
        let mut out = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            out = format!("{out} with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            out = format!("{out} using {}", self.api_version);
        }
        out
    }
}

// === impl Managers ===

impl Managers {
    /// Reads an object's entries; none where it has none.
    pub(super) fn of(object: &Value) -> Result<Self, FieldsV1Error> {
        let list = object.pointer("/metadata/managedFields");
        let list = list
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let entries = list.iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// The entry of `who`, if it owns anything.
    pub(super) fn get(&self, who: &Identity) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.who.is(who))
    }

    /// Replaces the entry of the same owner, or adds one.
    pub(super) fn put(&mut self, entry: Entry) {
        self.entries.retain(|one| !one.who.is(&entry.who));
        self.entries.push(entry);
    }

    /// Takes `lost` from every entry but that of `except`.
    pub(super) fn take_from_others(&mut self, lost: &FieldSet, except: &Identity) {
        for entry in self.entries.iter_mut().filter(|one| !one.who.is(except)) {
            entry.fields = entry.fields.difference(lost);
        }
    }

    /// Everything that anyone owns.
    pub(super) fn union(&self) -> FieldSet {
        self.entries
            .iter()
            .fold(FieldSet::default(), |all, entry| all.union(&entry.fields))
    }

    /// Writes the entries into `object`, in the server's order; removes them where none is left.
    pub(super) fn write(mut self, object: &mut Value) {
        self.entries.retain(|entry| !entry.fields.is_empty());
        self.fold_updaters();
        self.entries.sort_by(|a, b| {
            let key = |e: &Entry| (e.who.operation, e.time.clone().unwrap_or_default());
            let rest = |e: &Entry| {
                let who = e.who.clone();
                (who.manager, who.api_version, who.subresource)
            };
            key(a).cmp(&key(b)).then_with(|| rest(a).cmp(&rest(b)))
        });
        let Some(meta) = metadata_mut(object) else {
            return;
        };
        if self.entries.is_empty() {
            meta.remove("managedFields");
        } else {
            let list = self.entries.iter().map(encode).collect();
            meta.insert("managedFields".to_owned(), Value::Array(list));
        }
    }

    fn fold_updaters(&mut self) {
        loop {
            let mut updaters: Vec<usize> = (0..self.entries.len())
                .filter(|&i| self.entries[i].who.operation == Operation::Update)
                .collect();
            if updaters.len() <= MAX_UPDATERS {
                return;
            }
            updaters.sort_by_key(|&i| self.entries[i].time.clone());
            // The bucket itself is never the one to fold away.
            let Some(&oldest) = updaters
                .iter()
                .find(|&&i| self.entries[i].who.manager != ANCIENT)
            else {
                return;
            };
            let mut folded = self.entries.remove(oldest);
            ANCIENT.clone_into(&mut folded.who.manager);
            folded.who.subresource.clear();
            if let Some(bucket) = self.get(&folded.who) {
                folded.fields = folded.fields.union(&bucket.fields);
                folded.time = folded.time.max(bucket.time.clone());
            }
            self.put(folded);
            // Folding into a fresh bucket frees no place; once there is one, each round does.
        }
    }
}

/// `object`'s metadata, made if it has none.
pub(super) fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let fields = object.as_object_mut()?;
    fields
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
}

fn decode(entry: &Value) -> Result<Entry, FieldsV1Error> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let operation = match text("operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        other => return Err(FieldsV1Error(format!("operation {other}"))),
    };
    let none = Value::Object(Map::new());
    Ok(Entry {
        who: Identity {
            manager: text("manager").to_owned(),
            operation,
            api_version: text("apiVersion").to_owned(),
            subresource: text("subresource").to_owned(),
        },
        time: entry.get("time").and_then(Value::as_str).map(str::to_owned),
        fields: FieldSet::from_fields_v1(entry.get("fieldsV1").unwrap_or(&none))?,
    })
}

fn encode(entry: &Entry) -> Value {
    let mut out = json!({
        "manager": entry.who.manager,
        "operation": match entry.who.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        },
        "apiVersion": entry.who.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.to_fields_v1(),
    });
    if let Some(time) = &entry.time {
        out["time"] = Value::from(time.as_str());
    }
    if !entry.who.subresource.is_empty() {
        out["subresource"] = Value::from(entry.who.subresource.as_str());
    }
    out
}

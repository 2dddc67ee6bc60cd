//! Which fields a walk reports.

use super::Mark;
use crate::schema::{Api, FieldId, Layout, Schemas};

/// Longest string or byte field that is reported, unless told otherwise.
const DEFAULT_CAPTURE: u32 = 4 * 1024;

/// The fields of one version of a message that a walk reports.
#[derive(Debug)]
pub struct Interest {
    layout: &'static Layout,
    /// By field id.
    marks: Vec<Option<Mark>>,
    /// By field id.
    runs: Vec<Run>,
    pub(super) capture: u32,
    pub(super) root_tags: Option<Mark>,
    pub(super) unknown_tags: Option<Mark>,
}

/// Fields of a fixed size that follow each other in a struct and are not
/// reported: a walk passes over all of them at once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    pub(super) fields: u16,
    pub(super) bytes: u32,
}

/// A path that no version of the message has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no version of the {api} {direction:?} has a field {path}")]
pub struct UnknownField {
    /// The API's name.
    pub api: &'static str,
    /// Request or response.
    pub direction: crate::Direction,
    /// The path that was asked for.
    pub path: String,
}

// === impl Interest ===

impl Interest {
    /// Reports nothing: the walk only checks.
    pub fn none(layout: &'static Layout) -> Self {
        let mut interest = Self {
            layout,
            marks: vec![None; layout.fields.len()],
            runs: vec![Run::default(); layout.fields.len()],
            capture: DEFAULT_CAPTURE,
            root_tags: None,
            unknown_tags: None,
        };
        interest.find_runs();
        interest
    }

    /// Reports the fields at these paths, such as `TopicData.PartitionData.Index`; `**.ErrorCode`
    /// is every field of that name. Later paths win. Paths that this version does not have, but
    /// another version has, are left out.
    pub fn new(layout: &'static Layout, paths: &[(&str, Mark)]) -> Result<Self, UnknownField> {
        let mut interest = Self::none(layout);
        for (path, mark) in paths {
            interest.add(path, *mark)?;
        }
        interest.find_runs();
        Ok(interest)
    }

    /// Also reports the field at `path`, if this version has it.
    #[must_use]
    pub(crate) fn and(mut self, path: &str, mark: Mark) -> Self {
        if let Some(id) = self.layout.find(path) {
            self.marks[usize::from(id.0)] = Some(mark);
            self.find_runs();
        }
        self
    }

    /// Captures strings and byte fields of up to `bytes`; longer ones are reported as too long.
    #[must_use]
    pub fn capture(mut self, bytes: u32) -> Self {
        self.capture = bytes;
        self
    }

    /// Reports where the message's own tagged fields begin.
    #[must_use]
    pub fn root_tags(mut self, mark: Mark) -> Self {
        self.root_tags = Some(mark);
        self
    }

    /// Reports tagged fields that the schema does not have.
    #[must_use]
    pub fn unknown_tags(mut self, mark: Mark) -> Self {
        self.unknown_tags = Some(mark);
        self
    }

    /// The version of a message that this is for.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    pub(super) fn mark(&self, field: FieldId) -> Option<Mark> {
        self.marks[usize::from(field.0)]
    }

    /// The run that begins with this field; of no fields if it is none's.
    pub(super) fn run(&self, field: FieldId) -> Run {
        self.runs[usize::from(field.0)]
    }

    fn find_runs(&mut self) {
        for of in &self.layout.structs {
            let mut after = Run::default();
            for at in (of.first..of.untagged).rev().map(usize::from) {
                let field = &self.layout.fields[at];
                let size = field.kind.size();
                let size = size.filter(|_| !field.array && self.marks[at].is_none());
                after = size.map_or_else(Run::default, |size| Run {
                    fields: after.fields + 1,
                    bytes: after.bytes + size,
                });
                self.runs[at] = after;
            }
        }
    }

    fn add(&mut self, path: &str, mark: Mark) -> Result<(), UnknownField> {
        let layout = self.layout;
        let message = Schemas::get()
            .api(layout.api)
            .map(|api| api.message(layout.direction));
        let known = if let Some(name) = path.strip_prefix("**.") {
            for (at, field) in layout.fields.iter().enumerate() {
                if field.name == name {
                    self.marks[at] = Some(mark);
                }
            }
            message.is_some_and(|message| message.has_field_named(name))
        } else {
            if let Some(id) = layout.find(path) {
                self.marks[usize::from(id.0)] = Some(mark);
            }
            message.is_some_and(|message| message.has_field(path))
        };
        if known {
            return Ok(());
        }
        let api = Schemas::get().api(layout.api).map_or("unknown", Api::name);
        Err(UnknownField {
            api,
            direction: layout.direction,
            path: path.to_owned(),
        })
    }
}

//! The walk itself: what comes next, and what straddles chunks.

use super::event::{Event, Mark, Span, What};
use super::{BatchProblem, CARRY, RecordsTotal, Trailing, WalkError, WalkProblem, Walker};
use crate::schema::{Direction, FieldId, StructId};

/// A struct or an array of primitives that has begun and not ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// The field whose value this is; `None` for the message itself.
    pub(super) field: Option<FieldId>,
    pub(super) phase: Phase,
    /// The struct, if it is one.
    pub(super) structure: StructId,
    /// The next field of the struct without a tag.
    pub(super) next: u16,
    /// Elements that follow this one, or for primitives all that are to come.
    pub(super) left: u32,
    pub(super) array: bool,
    pub(super) tags_left: u32,
    pub(super) last_tag: Option<u32>,
    /// The limit outside of the tagged field that is being read.
    pub(super) outer_limit: u64,
    /// Where the field began.
    pub(super) start: u64,
    /// Where this struct began.
    pub(super) element_start: u64,
}

/// What a level reads next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The struct's next field without a tag.
    Fields,
    /// How many tagged fields there are.
    TagCount,
    /// A tag and its size.
    Tag,
    /// The value of a tagged field.
    TagValue(FieldId),
    /// The value has begun; when this level is on top again it has ended.
    TagEnd(FieldId),
    /// The next element of an array of primitives.
    Elements(FieldId),
}

/// Records that have begun and not ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Records {
    pub(super) field: FieldId,
    pub(super) mark: Mark,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) total: RecordsTotal,
}

impl Records {
    /// Reports that they have ended.
    fn end_at(&self, end: u64, visit: &mut impl FnMut(Event<'_>)) {
        visit(Event {
            mark: self.mark,
            span: Span {
                start: self.start,
                end,
            },
            what: What::RecordsEnd(self.total),
        });
    }
}

impl Walker {
    pub(super) fn push_root(&mut self) {
        let root = self.interest.layout().root();
        let level = self.struct_level(None, root, 0, false);
        self.levels.push(level);
    }

    pub(super) fn struct_level(
        &self,
        field: Option<FieldId>,
        structure: StructId,
        left: u32,
        array: bool,
    ) -> Level {
        Level {
            field,
            phase: Phase::Fields,
            structure,
            next: self.interest.layout().structure(structure).first,
            left,
            array,
            tags_left: 0,
            last_tag: None,
            outer_limit: 0,
            start: self.pos,
            element_start: self.pos,
        }
    }

    /// Consumes all of `input`, which lies within the frame.
    pub(super) fn run(
        &mut self,
        mut input: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Result<(), WalkError> {
        loop {
            if self.skip > 0 {
                let take = self.skip.min(input.len() as u64);
                self.skip -= take;
                self.pos += take;
                input = &input[take as usize..];
                if self.skip > 0 {
                    return Ok(());
                }
            }
            if self.capture.active {
                input = self.fill_capture(input, visit)?;
                if self.capture.active {
                    return Ok(());
                }
            }
            if !self.settle(visit)? {
                return Ok(());
            }
            if self.skip > 0 {
                continue;
            }
            match self.next_unit(input, visit)? {
                Some(taken) => input = &input[taken..],
                None => return Ok(()),
            }
        }
    }

    /// Reads one unit from what was carried over and `input`, and says how much of `input` it
    /// took; `None` when all of it was carried over because the unit is longer.
    fn next_unit(
        &mut self,
        input: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Result<Option<usize>, WalkError> {
        let carried = self.carried;
        if carried == 0 {
            let taken = self.bounded_unit(input, visit)?;
            if taken.is_none() {
                self.carry[..input.len()].copy_from_slice(input);
                self.carried = input.len();
            }
            return Ok(taken);
        }
        let fill = input.len().min(CARRY - carried);
        let mut unit = self.carry;
        unit[carried..carried + fill].copy_from_slice(&input[..fill]);
        self.carried = 0;
        if let Some(taken) = self.bounded_unit(&unit[..carried + fill], visit)? {
            // It did not fit into what was carried, so it ends within the input.
            return Ok(Some(taken - carried));
        }
        self.carry = unit;
        self.carried = carried + fill;
        Ok(None)
    }

    /// Reads one unit from `bytes`; `None` when it is longer. Units are at most 61 bytes long,
    /// but for strings and byte fields that lie in `bytes` whole.
    fn bounded_unit(
        &mut self,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Result<Option<usize>, WalkError> {
        let records = self.records.as_ref();
        let limit = records.map_or(self.limit, |records| records.end);
        let room = limit - self.pos;
        let bytes = match usize::try_from(room) {
            Ok(room) if room < bytes.len() => &bytes[..room],
            _ => bytes,
        };
        let taken = self.unit(bytes, visit)?;
        match taken {
            Some(taken) => self.pos += taken as u64,
            None if bytes.len() as u64 == room => {
                return Err(self.error(self.current(), WalkProblem::Overrun));
            }
            None => {}
        }
        Ok(taken)
    }

    /// Ends what has ended. False when the message has.
    fn settle(&mut self, visit: &mut impl FnMut(Event<'_>)) -> Result<bool, WalkError> {
        if self.done {
            return Ok(false);
        }
        if let Some(records) = &self.records {
            if self.pos < records.end {
                return Ok(true);
            }
            records.end_at(self.pos, visit);
            self.records = None;
        }
        let layout = self.interest.layout();
        let flexible = layout.is_flexible();
        while let Some(level) = self.levels.last() {
            match level.phase {
                Phase::Fields if level.next < layout.structure(level.structure).untagged => {
                    return Ok(true);
                }
                Phase::Fields if flexible => {
                    self.top().phase = Phase::TagCount;
                    return Ok(true);
                }
                Phase::TagCount | Phase::TagValue(_) => return Ok(true),
                Phase::Tag if level.tags_left > 0 => return Ok(true),
                Phase::Elements(_) if level.left > 0 => return Ok(true),
                Phase::TagEnd(field) => {
                    if self.pos != self.limit {
                        let name = layout.field(field).name;
                        return Err(self.error(name, WalkProblem::TagLength));
                    }
                    self.limit = level.outer_limit;
                    self.top().phase = Phase::Tag;
                }
                Phase::Fields | Phase::Tag => {
                    let level = *level;
                    self.end_struct(level, visit);
                }
                Phase::Elements(_) => {
                    let level = *level;
                    self.levels.pop();
                    self.emit_end(level, What::ArrayEnd, level.start, visit);
                }
            }
        }
        self.end_message()
    }

    /// Passes over the rest of the records, whose last batch is cut short; `seen` bytes of it are
    /// at hand.
    pub(super) fn cut_short(
        &mut self,
        mut records: Records,
        seen: usize,
    ) -> Result<Option<usize>, WalkError> {
        let layout = self.interest.layout();
        if layout.direction() == Direction::Request {
            let problem = WalkProblem::Batch(BatchProblem::Partial);
            return Err(self.error(layout.field(records.field).name, problem));
        }
        records.total.partial = true;
        self.records = Some(records);
        self.skip = records.end - self.pos - seen as u64;
        Ok(Some(seen))
    }

    fn end_struct(&mut self, level: Level, visit: &mut impl FnMut(Event<'_>)) {
        self.emit_end(level, What::StructEnd, level.element_start, visit);
        if level.left > 0 {
            let first = self.interest.layout().structure(level.structure).first;
            let pos = self.pos;
            let top = self.top();
            top.left -= 1;
            top.next = first;
            top.phase = Phase::Fields;
            top.last_tag = None;
            top.element_start = pos;
            self.emit_end(level, What::StructStart, pos, visit);
            return;
        }
        self.levels.pop();
        if level.array {
            self.emit_end(level, What::ArrayEnd, level.start, visit);
        }
    }

    fn emit_end(
        &self,
        level: Level,
        what: What<'_>,
        start: u64,
        visit: &mut impl FnMut(Event<'_>),
    ) {
        if let Some(mark) = level.field.and_then(|field| self.interest.mark(field)) {
            visit(Event {
                mark,
                span: Span {
                    start,
                    end: self.pos,
                },
                what,
            });
        }
    }

    fn end_message(&mut self) -> Result<bool, WalkError> {
        let trailing = self.end - self.pos;
        if trailing > 0 {
            if self.trailing == Trailing::Refuse {
                return Err(self.error(self.current(), WalkProblem::Trailing(trailing)));
            }
            self.skip = trailing;
            return Ok(true);
        }
        self.done = true;
        Ok(false)
    }

    /// The level that is being read. There is one until the message has ended.
    pub(super) fn top(&mut self) -> &mut Level {
        self.levels
            .last_mut()
            .expect("a level, while the message has not ended")
    }

    /// The name of what is being read, for errors.
    pub(super) fn current(&self) -> &'static str {
        let layout = self.interest.layout();
        let Some(level) = self.levels.last() else {
            return "the end";
        };
        match level.phase {
            Phase::Fields => layout
                .fields
                .get(usize::from(level.next))
                .map_or("", |f| f.name),
            Phase::TagCount | Phase::Tag => "tagged fields",
            Phase::TagValue(field) | Phase::TagEnd(field) | Phase::Elements(field) => {
                layout.field(field).name
            }
        }
    }

    /// Collects a string or byte field that straddles chunks, and returns what is left of `input`.
    fn fill_capture<'i>(
        &mut self,
        input: &'i [u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Result<&'i [u8], WalkError> {
        let (taken, rest) = input.split_at(self.capture.left.min(input.len()));
        self.capture.bytes.extend_from_slice(taken);
        self.capture.left -= taken.len();
        self.pos += taken.len() as u64;
        if self.capture.left == 0 {
            self.capture.active = false;
            let span = Span {
                start: self.capture.start,
                end: self.pos,
            };
            let what = self.captured(&self.capture.bytes, self.capture.text)?;
            visit(Event {
                mark: self.capture.mark,
                span,
                what,
            });
        }
        Ok(rest)
    }

    pub(super) fn captured<'a>(&self, bytes: &'a [u8], text: bool) -> Result<What<'a>, WalkError> {
        if !text {
            return Ok(What::Bytes(bytes));
        }
        std::str::from_utf8(bytes)
            .map(What::Text)
            .map_err(|_| self.error("a string", WalkProblem::NotUtf8))
    }
}

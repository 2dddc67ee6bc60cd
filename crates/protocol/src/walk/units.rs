//! The units that a walk reads whole: a number, a length with what it announces, a batch's header.

use super::batch::{HEADER_V0, HEADER_V2, TO_MAGIC};
use super::event::{Event, Mark, Span, What};
use super::machine::{Level, Phase, Records};
use super::{Batch, RecordsTotal, WalkError, WalkProblem, Walker};
use crate::schema::{Field, FieldId, Kind, Layout, StructId};
use crate::wire::{self, MAX_STRING, head};

/// A unit's length, unless more bytes are needed.
type Taken = Result<Option<usize>, WalkError>;

/// A length or count, and the bytes that it took.
enum Length {
    Null(usize),
    Of(u32, usize),
}

impl Walker {
    /// Reads the next unit from `bytes`, which end where the frame or tagged field does at the
    /// latest.
    pub(super) fn unit(&mut self, bytes: &[u8], visit: &mut impl FnMut(Event<'_>)) -> Taken {
        if let Some(records) = self.records {
            return self.batch(records, bytes, visit);
        }
        let layout = self.interest.layout();
        let Some(level) = self.levels.last_mut() else {
            return Ok(None);
        };
        match level.phase {
            Phase::Fields => {
                let id = FieldId(level.next);
                let run = self.interest.run(id);
                // One that does not fit is read field by field, to say which.
                if run.fields > 0 && u64::from(run.bytes) <= self.limit - self.pos {
                    level.next += run.fields;
                    self.skip = u64::from(run.bytes);
                    return Ok(Some(0));
                }
                let at = self.levels.len() - 1;
                let taken = self.value(layout, id, bytes, visit)?;
                if taken.is_some() {
                    self.levels[at].next += 1;
                }
                Ok(taken)
            }
            Phase::TagValue(id) => {
                let at = self.levels.len() - 1;
                let taken = self.value(layout, id, bytes, visit)?;
                if taken.is_some() {
                    self.levels[at].phase = Phase::TagEnd(id);
                }
                Ok(taken)
            }
            Phase::Elements(id) => {
                let field = layout.field(id);
                let taken = self.single(id, field, false, bytes, visit)?;
                if taken.is_some() {
                    self.top().left -= 1;
                }
                Ok(taken)
            }
            Phase::TagCount => self.tag_count(bytes, visit),
            Phase::Tag | Phase::TagEnd(_) => {
                let level = *level;
                self.tag(layout, level, bytes, visit)
            }
        }
    }

    fn value(
        &mut self,
        layout: &'static Layout,
        id: FieldId,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Taken {
        let field = layout.field(id);
        if field.array {
            self.array(layout, id, field, bytes, visit)
        } else {
            self.single(id, field, field.nullable, bytes, visit)
        }
    }

    fn single(
        &mut self,
        id: FieldId,
        field: &Field,
        nullable: bool,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Taken {
        match field.kind {
            Kind::String | Kind::Bytes => self.string(id, field, nullable, bytes, visit),
            Kind::Records => self.records(id, field, nullable, bytes, visit),
            Kind::Struct(structure) => {
                self.structure(id, field.name, structure, nullable, bytes, visit)
            }
            fixed => {
                let size = fixed.size().unwrap_or(0) as usize;
                let Some(value) = bytes.get(..size) else {
                    return Ok(None);
                };
                if self.interest.mark(id).is_some() {
                    self.emit(id, size, scalar(fixed, value), visit);
                }
                Ok(Some(size))
            }
        }
    }

    fn structure(
        &mut self,
        id: FieldId,
        name: &'static str,
        structure: StructId,
        nullable: bool,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Taken {
        if nullable {
            match bytes.first().map(|byte| *byte as i8) {
                None => return Ok(None),
                Some(1) => {}
                Some(-1) => {
                    self.emit(id, 1, What::Null, visit);
                    return Ok(Some(1));
                }
                Some(other) => return Err(self.error(name, WalkProblem::Presence(other))),
            }
        }
        let mut level = self.struct_level(Some(id), structure, 0, false);
        level.element_start += u64::from(nullable);
        if let Some(mark) = self.interest.mark(id) {
            let span = Span {
                start: level.element_start,
                end: level.element_start,
            };
            visit(Event {
                mark,
                span,
                what: What::StructStart,
            });
        }
        self.levels.push(level);
        Ok(Some(usize::from(nullable)))
    }

    fn string(
        &mut self,
        id: FieldId,
        field: &Field,
        nullable: bool,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Taken {
        let (length, prefix) = match self.length(field, nullable, false, bytes)? {
            None => return Ok(None),
            Some(Length::Null(taken)) => {
                self.emit(id, taken, What::Null, visit);
                return Ok(Some(taken));
            }
            Some(Length::Of(length, prefix)) => (length, prefix),
        };
        self.room(field, prefix, u64::from(length))?;
        let Some(mark) = self.interest.mark(id) else {
            self.skip = u64::from(length);
            return Ok(Some(prefix));
        };
        let whole = prefix + length as usize;
        let span = Span {
            start: self.pos,
            end: self.pos + whole as u64,
        };
        if length > self.interest.capture {
            visit(Event {
                mark,
                span,
                what: What::TooLong(length),
            });
            self.skip = u64::from(length);
            return Ok(Some(prefix));
        }
        let text = field.kind == Kind::String;
        if let Some(value) = bytes.get(prefix..whole) {
            let what = self.captured(value, text)?;
            visit(Event { mark, span, what });
            return Ok(Some(whole));
        }
        self.capture.active = true;
        self.capture.mark = mark;
        self.capture.text = text;
        self.capture.start = self.pos;
        self.capture.left = length as usize;
        self.capture.bytes.clear();
        Ok(Some(prefix))
    }

    fn records(
        &mut self,
        id: FieldId,
        field: &Field,
        nullable: bool,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Taken {
        let (length, prefix) = match self.length(field, nullable, false, bytes)? {
            None => return Ok(None),
            Some(Length::Null(taken)) => {
                self.emit(id, taken, What::Null, visit);
                return Ok(Some(taken));
            }
            Some(Length::Of(length, prefix)) => (length, prefix),
        };
        self.room(field, prefix, u64::from(length))?;
        let Some(mark) = self.interest.mark(id) else {
            self.skip = u64::from(length);
            return Ok(Some(prefix));
        };
        self.emit(id, prefix, What::RecordsStart(length), visit);
        let start = self.pos;
        self.records = Some(Records {
            field: id,
            mark,
            start,
            end: start + prefix as u64 + u64::from(length),
            total: RecordsTotal {
                bytes: u64::from(length),
                ..RecordsTotal::default()
            },
        });
        Ok(Some(prefix))
    }

    fn array(
        &mut self,
        layout: &'static Layout,
        id: FieldId,
        field: &Field,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Taken {
        let (count, prefix) = match self.length(field, field.nullable, true, bytes)? {
            None => return Ok(None),
            Some(Length::Null(taken)) => {
                self.emit(id, taken, What::Null, visit);
                return Ok(Some(taken));
            }
            Some(Length::Of(count, prefix)) => (count, prefix),
        };
        // An element that takes no bytes would make the count a loop without bounds.
        let least = layout.element_min(field).max(1);
        self.room(field, prefix, u64::from(count) * least)?;
        self.emit(id, prefix, What::ArrayStart(count), visit);
        let marked = self.interest.mark(id);
        let after = self.pos + prefix as u64;
        let level = match (count, field.kind) {
            (0, _) => {
                self.emit(id, prefix, What::ArrayEnd, visit);
                return Ok(Some(prefix));
            }
            (_, Kind::Struct(structure)) => {
                if let Some(mark) = marked {
                    let span = Span {
                        start: after,
                        end: after,
                    };
                    visit(Event {
                        mark,
                        span,
                        what: What::StructStart,
                    });
                }
                let level = self.struct_level(Some(id), structure, count - 1, true);
                Level {
                    element_start: after,
                    ..level
                }
            }
            (_, kind) => {
                if let (Some(size), None) = (kind.size(), marked) {
                    self.skip = u64::from(count) * u64::from(size);
                    return Ok(Some(prefix));
                }
                let level = self.struct_level(Some(id), layout.root(), count, true);
                Level {
                    phase: Phase::Elements(id),
                    ..level
                }
            }
        };
        self.levels.push(level);
        Ok(Some(prefix))
    }

    fn tag_count(&mut self, bytes: &[u8], visit: &mut impl FnMut(Event<'_>)) -> Taken {
        let Some((count, taken)) = self.uvarint("tagged fields", bytes)? else {
            return Ok(None);
        };
        // Each takes a tag and a size at least.
        if u64::from(count) * 2 > self.limit - self.pos - taken as u64 {
            return Err(self.error("tagged fields", WalkProblem::Overrun));
        }
        let root = self.levels.len() == 1;
        let level = self.top();
        level.tags_left = count;
        level.phase = Phase::Tag;
        if root && let Some(mark) = self.interest.root_tags {
            self.emit_as(mark, taken, What::Tags(count), visit);
        }
        Ok(Some(taken))
    }

    fn tag(
        &mut self,
        layout: &'static Layout,
        level: Level,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Taken {
        const NAME: &str = "tagged fields";
        let Some((tag, first)) = self.uvarint(NAME, bytes)? else {
            return Ok(None);
        };
        let Some((size, second)) = self.uvarint(NAME, &bytes[first..])? else {
            return Ok(None);
        };
        let taken = first + second;
        if let Some(last) = level.last_tag.filter(|last| *last >= tag) {
            return Err(self.error(NAME, WalkProblem::TagOrder { tag, last }));
        }
        let value = self.pos + taken as u64;
        let end = value + u64::from(size);
        if end > self.limit {
            return Err(self.error(NAME, WalkProblem::Overrun));
        }
        let of = layout.structure(level.structure);
        let known = (of.untagged..of.end).map(FieldId);
        let known = known
            .into_iter()
            .find(|id| layout.field(*id).tag == Some(tag));
        let limit = self.limit;
        let top = self.top();
        top.tags_left -= 1;
        top.last_tag = Some(tag);
        if let Some(id) = known {
            top.phase = Phase::TagValue(id);
            top.outer_limit = limit;
            self.limit = end;
        } else {
            self.skip = u64::from(size);
            if let Some(mark) = self.interest.unknown_tags {
                let span = Span { start: value, end };
                visit(Event {
                    mark,
                    span,
                    what: What::UnknownTag(tag),
                });
            }
        }
        Ok(Some(taken))
    }

    fn batch(
        &mut self,
        mut records: Records,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>),
    ) -> Taken {
        let field = self.interest.layout().field(records.field).name;
        let left = records.end - self.pos;
        let read =
            Batch::read(bytes).map_err(|problem| self.error(field, WalkProblem::Batch(problem)))?;
        let Some((batch, header)) = read else {
            let needs = match bytes.get(TO_MAGIC - 1) {
                None => TO_MAGIC,
                Some(2) => HEADER_V2,
                Some(_) => HEADER_V0,
            };
            if left < needs as u64 {
                return self.cut_short(records, bytes.len());
            }
            return Ok(None);
        };
        if batch.bytes > left {
            return self.cut_short(records, bytes.len());
        }
        records.total.batches += 1;
        records.total.records += u64::from(batch.records);
        self.records = Some(records);
        self.skip = batch.bytes - header as u64;
        let span = Span {
            start: self.pos,
            end: self.pos + batch.bytes,
        };
        visit(Event {
            mark: records.mark,
            span,
            what: What::Batch(batch),
        });
        Ok(Some(header))
    }

    /// Reads the length of a string, byte field or records, or the count of an array.
    fn length(
        &self,
        field: &Field,
        nullable: bool,
        array: bool,
        bytes: &[u8],
    ) -> Result<Option<Length>, WalkError> {
        let (length, taken) = if self.interest.layout().is_flexible() {
            let Some((value, taken)) = self.uvarint(field.name, bytes)? else {
                return Ok(None);
            };
            (i64::from(value) - 1, taken)
        } else if field.kind == Kind::String && !array {
            let Some(value) = head::<2>(bytes) else {
                return Ok(None);
            };
            (i64::from(i16::from_be_bytes(value)), 2)
        } else {
            let Some(value) = head::<4>(bytes) else {
                return Ok(None);
            };
            (i64::from(i32::from_be_bytes(value)), 4)
        };
        match u32::try_from(length) {
            Ok(_) if field.kind == Kind::String && !array && length > MAX_STRING => {
                Err(self.error(field.name, WalkProblem::Length(length)))
            }
            Ok(length) => Ok(Some(Length::Of(length, taken))),
            Err(_) if length < -1 => Err(self.error(field.name, WalkProblem::Length(length))),
            Err(_) if nullable => Ok(Some(Length::Null(taken))),
            Err(_) => Err(self.error(field.name, WalkProblem::Null)),
        }
    }

    fn uvarint(
        &self,
        field: &'static str,
        bytes: &[u8],
    ) -> Result<Option<(u32, usize)>, WalkError> {
        wire::uvarint(bytes).map_err(|overflow| self.error(field, overflow))
    }

    /// Whether `length` more bytes after a prefix lie within the frame or tagged field.
    fn room(&self, field: &Field, prefix: usize, length: u64) -> Result<(), WalkError> {
        let left = self.limit - self.pos - prefix as u64;
        if length > left {
            return Err(self.error(field.name, WalkProblem::Overrun));
        }
        Ok(())
    }

    /// Reports `what` of a field, if it was asked for, over the next `length` bytes.
    fn emit(&self, id: FieldId, length: usize, what: What<'_>, visit: &mut impl FnMut(Event<'_>)) {
        if let Some(mark) = self.interest.mark(id) {
            self.emit_as(mark, length, what, visit);
        }
    }

    fn emit_as(
        &self,
        mark: Mark,
        length: usize,
        what: What<'_>,
        visit: &mut impl FnMut(Event<'_>),
    ) {
        let span = Span {
            start: self.pos,
            end: self.pos + length as u64,
        };
        visit(Event { mark, span, what });
    }
}

/// A value of fixed size, which `bytes` has.
fn scalar(kind: Kind, bytes: &[u8]) -> What<'static> {
    match (kind, bytes) {
        (Kind::Bool, [byte]) => What::Int(i64::from(*byte != 0)),
        (Kind::Int8, [byte]) => What::Int(i64::from(*byte as i8)),
        (Kind::Int16, [a, b]) => What::Int(i64::from(i16::from_be_bytes([*a, *b]))),
        (Kind::Uint16, [a, b]) => What::Int(i64::from(u16::from_be_bytes([*a, *b]))),
        (Kind::Int32, [a, b, c, d]) => What::Int(i64::from(i32::from_be_bytes([*a, *b, *c, *d]))),
        (Kind::Float64, _) => What::Float(f64::from_be_bytes(head(bytes).unwrap_or_default())),
        (Kind::Uuid, _) => What::Uuid(head(bytes).unwrap_or_default()),
        _ => What::Int(i64::from_be_bytes(head(bytes).unwrap_or_default())),
    }
}

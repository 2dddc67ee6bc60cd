//! One version's wire form, flat.

use super::{Api, ApiKey, Definition, Direction, Message};

/// A field's place in its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub(crate) u16);

/// A struct's place in its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StructId(pub(crate) u16);

/// What kind of value a field, or each element of an array, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are Kafka's")]
pub enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    /// A struct of this layout.
    Struct(StructId),
}

/// A field in one version.
#[derive(Debug, Clone)]
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) array: bool,
    pub(crate) nullable: bool,
    pub(crate) tag: Option<u32>,
    pub(crate) default: Option<&'static str>,
    pub(crate) entity: Option<&'static str>,
}

/// A struct in one version: fields `first..untagged` in the order of the wire, then
/// `untagged..end` in the order of their tags.
#[derive(Debug, Clone, Copy)]
pub struct Struct {
    pub(crate) first: u16,
    pub(crate) untagged: u16,
    pub(crate) end: u16,
    /// Fewest bytes on the wire.
    pub(crate) min: u32,
}

/// The wire form of one version of a message.
#[derive(Debug)]
pub struct Layout {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) direction: Direction,
    pub(crate) flexible: bool,
    pub(crate) fields: Vec<Field>,
    /// The first is the message itself.
    pub(crate) structs: Vec<Struct>,
    /// How deep structs and arrays nest at most.
    pub(crate) depth: usize,
}

/// The struct that is the message itself.
pub(crate) const ROOT: StructId = StructId(0);

// === impl Layout ===

impl Layout {
    /// The API.
    pub fn api(&self) -> ApiKey {
        self.api
    }

    /// The version.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Request or response.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether lengths are compact and structs end with tagged fields.
    pub fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// The field at a path such as `TopicData.PartitionData.Index`, if this version has it.
    pub fn find(&self, path: &str) -> Option<FieldId> {
        let mut of = Some(ROOT);
        let mut found = None;
        for name in path.split('.') {
            let id = self
                .field_ids(of?)
                .find(|id| self.field(*id).name == name)?;
            of = match self.field(id).kind {
                Kind::Struct(inner) => Some(inner),
                _ => None,
            };
            found = Some(id);
        }
        found
    }

    /// A field.
    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[usize::from(id.0)]
    }

    /// The fields of a struct: in the order of the wire, then tagged ones by tag.
    pub fn field_ids(&self, id: StructId) -> impl Iterator<Item = FieldId> + use<> {
        let of = self.structure(id);
        (of.first..of.end).map(FieldId)
    }

    /// The fields of all structs.
    pub fn all_fields(&self) -> impl Iterator<Item = FieldId> + use<> {
        (0..self.fields.len() as u16).map(FieldId)
    }

    /// How deep structs and arrays nest at most; the message itself is the first level.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The struct that is the message itself.
    pub fn root(&self) -> StructId {
        ROOT
    }

    pub(crate) fn structure(&self, id: StructId) -> Struct {
        self.structs[usize::from(id.0)]
    }

    /// Fewest bytes that one value of a field takes, or one element if it is an array.
    pub fn element_min(&self, field: &Field) -> u64 {
        match field.kind {
            Kind::Struct(id) if field.array => u64::from(self.structure(id).min),
            kind => u64::from(self.kind_min(kind, field.nullable && !field.array)),
        }
    }

    fn kind_min(&self, kind: Kind, nullable: bool) -> u32 {
        match kind {
            Kind::Struct(_) if nullable => 1,
            Kind::Struct(id) => self.structure(id).min,
            Kind::String => {
                if self.flexible {
                    1
                } else {
                    2
                }
            }
            Kind::Bytes | Kind::Records => {
                if self.flexible {
                    1
                } else {
                    4
                }
            }
            fixed => fixed.size().unwrap_or(0),
        }
    }

    pub(super) fn build(api: &Api, message: &Message, version: i16, direction: Direction) -> Self {
        let mut layout = Self {
            api: api.key,
            version,
            direction,
            flexible: message.is_flexible(version),
            fields: Vec::new(),
            structs: Vec::new(),
            depth: 0,
        };
        layout.add_struct(&message.fields, 1);
        layout
    }

    /// Appends a struct and all within it. A struct's own fields lie side by side.
    fn add_struct(&mut self, definitions: &[Definition], depth: usize) -> StructId {
        let version = self.version;
        self.depth = self.depth.max(depth);
        let id = StructId(self.structs.len() as u16);
        let first = self.fields.len();
        let mut present: Vec<&Definition> = definitions
            .iter()
            .filter(|field| field.versions.contains(version))
            .collect();
        // Stable: fields without a tag keep the order of the wire.
        present.sort_by_key(|field| field.tag_in(version));
        let untagged = present
            .iter()
            .filter(|field| field.tag_in(version).is_none())
            .count();
        self.fields
            .extend(present.iter().map(|field| field.in_version(version)));
        self.structs.push(Struct {
            first: first as u16,
            untagged: (first + untagged) as u16,
            end: self.fields.len() as u16,
            min: 0,
        });
        for (at, field) in present.iter().enumerate() {
            if field.primitive.is_none() {
                let inner = self.add_struct(&field.fields, depth + 1);
                self.fields[first + at].kind = Kind::Struct(inner);
            } else if field.array {
                self.depth = self.depth.max(depth + 1);
            }
        }
        self.structs[usize::from(id.0)].min = self.struct_min(first..first + untagged);
        id
    }

    fn struct_min(&self, untagged: std::ops::Range<usize>) -> u32 {
        let tags = u32::from(self.flexible);
        let fields = self.fields[untagged].iter().map(|field| {
            if field.array {
                if self.flexible { 1 } else { 4 }
            } else {
                self.kind_min(field.kind, field.nullable)
            }
        });
        fields.sum::<u32>() + tags
    }
}

// === impl Definition ===

impl Definition {
    fn tag_in(&self, version: i16) -> Option<u32> {
        self.tagged
            .and_then(|(tag, versions)| versions.contains(version).then_some(tag))
    }

    fn in_version(&self, version: i16) -> Field {
        Field {
            name: self.name,
            // A struct's id is known once its own fields are in place.
            kind: self.primitive.unwrap_or(Kind::Struct(StructId(u16::MAX))),
            array: self.array,
            nullable: self
                .nullable
                .is_some_and(|versions| versions.contains(version)),
            tag: self.tag_in(version),
            default: self.default,
            entity: self.entity,
        }
    }
}

// === impl Field ===

impl Field {
    /// Kafka's name for it, such as `ErrorCode`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The kind of value, or of each element.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is an array of the kind.
    pub fn is_array(&self) -> bool {
        self.array
    }

    /// Whether it may be null.
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// Its tag, if it travels as a tagged field.
    pub fn tag(&self) -> Option<u32> {
        self.tag
    }

    /// What it names, such as `topicName`, if the schema says.
    pub fn entity(&self) -> Option<&'static str> {
        self.entity
    }
}

// === impl Kind ===

impl Kind {
    /// Bytes on the wire, if that is always the same.
    pub fn size(self) -> Option<u32> {
        match self {
            Self::Bool | Self::Int8 => Some(1),
            Self::Int16 | Self::Uint16 => Some(2),
            Self::Int32 => Some(4),
            Self::Int64 | Self::Float64 => Some(8),
            Self::Uuid => Some(16),
            Self::String | Self::Bytes | Self::Records | Self::Struct(_) => None,
        }
    }
}

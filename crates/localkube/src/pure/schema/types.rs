//! One view of a field's type, whether it is built in, from a CRD, or unknown.

use serde_json::Value;

use super::builtin::{self, Shape, Ty};
use super::structural::{ListType, Structural};
use crate::pure::apply::fieldset::PathElement;

/// The type of a value, for merging.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TypeRef<'s> {
    /// A built-in struct. `atomic` says it is replaced whole; `root` that it is an object.
    Builtin { ty: Ty, atomic: bool, root: bool },
    /// A list field of a built-in struct.
    BuiltinList { shape: Shape, item: Ty },
    /// A CRD's schema. `object` says that its `metadata` is an object's metadata.
    Custom {
        schema: &'s Structural,
        object: bool,
    },
    /// Nothing is known: maps merge by key, lists are replaced.
    Unknown,
}

/// How a list merges.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ListKind {
    /// Replaced whole.
    Atomic,
    /// Distinct scalars.
    Set,
    /// Structs told apart by these keys, with what stands for an absent one.
    Map(Vec<(String, Option<Value>)>),
}

/// An item that an associative list cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ItemError {
    #[error(
        "associative list with keys has an element that omits key field {0:?} (and doesn't have default value)"
    )]
    NoKey(String),
    #[error("associative list with keys may not have non-map elements")]
    NotAMap,
    #[error("associative list without keys has an element that's a map or a list")]
    NotAScalar,
}

// === impl TypeRef ===

impl<'s> TypeRef<'s> {
    /// Whether an object of this type is replaced whole.
    pub(crate) fn is_atomic_map(self) -> bool {
        match self {
            Self::Builtin { atomic, .. } => atomic,
            Self::Custom { schema, .. } => schema.atomic_map,
            Self::BuiltinList { .. } | Self::Unknown => false,
        }
    }

    /// How a list of this type merges.
    pub(crate) fn list_kind(self) -> ListKind {
        match self {
            Self::BuiltinList { shape, .. } => match shape {
                Shape::Set => ListKind::Set,
                Shape::Map(keys) | Shape::MapOfAtoms(keys) => ListKind::Map(
                    keys.iter()
                        .map(|key| (key.name.to_owned(), key.default.map(Value::from)))
                        .collect(),
                ),
                Shape::Plain | Shape::AtomicStruct => ListKind::Atomic,
            },
            Self::Custom { schema, .. } => match schema.list_type {
                ListType::Atomic => ListKind::Atomic,
                ListType::Set => ListKind::Set,
                ListType::Map => ListKind::Map(
                    schema
                        .list_keys
                        .iter()
                        .map(|key| (key.clone(), schema.item_default(key)))
                        .collect(),
                ),
            },
            Self::Builtin { .. } | Self::Unknown => ListKind::Atomic,
        }
    }

    /// The type of the field or map key `name`, and whether it is a declared field.
    pub(crate) fn field(self, name: &str) -> (TypeRef<'s>, bool) {
        match self {
            Self::Builtin { ty, root, .. } => (builtin_field(ty, root, name), true),
            Self::Custom { schema, object } => custom_field(schema, object, name),
            Self::BuiltinList { .. } | Self::Unknown => (Self::Unknown, false),
        }
    }

    /// The type of a list's items.
    pub(crate) fn item(self) -> TypeRef<'s> {
        match self {
            Self::BuiltinList { shape, item } => Self::Builtin {
                ty: item,
                atomic: matches!(shape, Shape::MapOfAtoms(_)),
                root: false,
            },
            Self::Custom { schema, .. } => {
                schema.items.as_deref().map_or(Self::Unknown, Self::custom)
            }
            Self::Builtin { .. } | Self::Unknown => Self::Unknown,
        }
    }

    fn custom(schema: &'s Structural) -> Self {
        Self::Custom {
            schema,
            object: schema.embedded,
        }
    }
}

fn builtin_field<'s>(ty: Ty, root: bool, name: &str) -> TypeRef<'s> {
    let plain = |ty| TypeRef::Builtin {
        ty,
        atomic: false,
        root: false,
    };
    if root && name == "metadata" {
        return plain(Ty::Meta);
    }
    match ty.row(name) {
        None if root && name == "status" => plain(Ty::Status),
        None => plain(Ty::Any),
        Some(row) => match row.shape {
            Shape::Plain => plain(row.ty),
            Shape::AtomicStruct => TypeRef::Builtin {
                ty: row.ty,
                atomic: true,
                root: false,
            },
            shape @ (Shape::Map(_) | Shape::MapOfAtoms(_) | Shape::Set) => TypeRef::BuiltinList {
                shape,
                item: row.ty,
            },
        },
    }
}

fn custom_field<'s>(schema: &'s Structural, object: bool, name: &str) -> (TypeRef<'s>, bool) {
    if object {
        match name {
            "metadata" => {
                let meta = TypeRef::Builtin {
                    ty: Ty::Meta,
                    atomic: false,
                    root: false,
                };
                return (meta, true);
            }
            "apiVersion" | "kind" => return (TypeRef::Unknown, true),
            _ => {}
        }
    }
    match schema.properties.get(name) {
        Some(property) => (TypeRef::custom(property), true),
        None => (
            schema
                .additional
                .as_deref()
                .map_or(TypeRef::Unknown, TypeRef::custom),
            false,
        ),
    }
}

/// The path element of a list's item.
pub(crate) fn item_element(kind: &ListKind, item: &Value) -> Result<PathElement, ItemError> {
    match kind {
        ListKind::Map(keys) => {
            let Value::Object(fields) = item else {
                return Err(ItemError::NotAMap);
            };
            let mut found = Vec::with_capacity(keys.len());
            for (name, default) in keys {
                let value = fields.get(name).or(default.as_ref());
                let value = value.ok_or_else(|| ItemError::NoKey(name.clone()))?;
                found.push((name.as_str(), value.clone()));
            }
            Ok(PathElement::key(found))
        }
        ListKind::Set | ListKind::Atomic if item.is_object() || item.is_array() => {
            Err(ItemError::NotAScalar)
        }
        ListKind::Set | ListKind::Atomic => Ok(PathElement::value(item)),
    }
}

/// The root type of a built-in kind.
pub(crate) fn builtin_root<'s>(ty: Ty) -> TypeRef<'s> {
    TypeRef::Builtin {
        ty,
        atomic: false,
        root: true,
    }
}

/// What a new object of the kind is compared with; see [`builtin::skeleton`].
pub(crate) fn skeleton(root: TypeRef<'_>) -> Value {
    match root {
        TypeRef::Builtin { ty, .. } => builtin::skeleton(ty),
        _ => Value::Object(serde_json::Map::new()),
    }
}

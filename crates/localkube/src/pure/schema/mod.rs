//! Schemas: what fields an object may have, what they default to, and how they merge.
//!
//! A CRD's schema prunes, defaults and validates as the real server does, down to the wording.
//! A built-in kind's only knows how its lists merge: its objects are taken as they come.

pub(crate) mod builtin;
mod defaults;
mod formats;
mod prune;
mod rules;
pub(crate) mod structural;
pub(crate) mod types;
mod validate;

use std::fmt;

use serde_json::Value;

use builtin::Ty;
use structural::Structural;
use types::TypeRef;

/// How objects of one kind are checked and merged. Parse once, share, use from any thread.
#[derive(Debug)]
pub struct Schema {
    root: Root,
}

#[derive(Debug)]
enum Root {
    Builtin(Ty),
    Crd(Box<Structural>),
}

/// A CRD's schema that cannot be used: says where it is wrong and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {detail}")]
pub struct SchemaError {
    /// Where in the schema, e.g. `openAPIV3Schema.properties[spec].type`.
    pub path: String,
    /// What is wrong there.
    pub detail: String,
}

/// One field that breaks a schema, as a cause in the server's `Invalid` status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field, e.g. `spec.items[0].name`; `<nil>` for the whole object.
    pub path: String,
    /// The machine-readable cause, e.g. `FieldValueInvalid`.
    pub reason: &'static str,
    /// The cause's message without the path, e.g. `Required value`.
    pub message: String,
}

// === impl Schema ===

impl Schema {
    /// The schema of a built-in kind, or of any kind of which nothing is known.
    ///
    /// It knows how lists merge and accepts every field.
    pub fn for_builtin(group: &str, kind: &str) -> Self {
        Self {
            root: Root::Builtin(Ty::of_kind(group, kind)),
        }
    }

    /// Parses a CRD's `openAPIV3Schema`, with its CEL rules and regular expressions.
    pub fn for_crd(schema: &Value) -> Result<Self, SchemaError> {
        Structural::parse_root(schema).map(|root| Self {
            root: Root::Crd(Box::new(root)),
        })
    }

    /// Removes fields that the schema does not have and returns their paths.
    ///
    /// `apiVersion`, `kind` and `metadata` stay, as does what
    /// `x-kubernetes-preserve-unknown-fields` keeps.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        match &self.root {
            Root::Builtin(_) => Vec::new(),
            Root::Crd(root) => prune::prune(root, object),
        }
    }

    /// Fills in defaults of absent fields, and of nulls that may not be null; other nulls that
    /// may not be null are removed.
    pub fn default(&self, object: &mut Value) {
        if let Root::Crd(root) = &self.root {
            defaults::fill(root, object);
        }
    }

    /// Everything in `object` that breaks the schema, CEL rules excepted.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        self.validate_update(object, None)
    }

    /// As [`Self::validate`] for an update: what did not change since `old` is not held against
    /// it, so that a tightened schema does not lock the objects that broke it before.
    pub fn validate_update(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        match &self.root {
            Root::Builtin(_) => Vec::new(),
            Root::Crd(root) => validate::validate(root, new, old),
        }
    }

    /// Every CEL rule (`x-kubernetes-validations`) that `new` breaks.
    ///
    /// Rules that use `oldSelf` are evaluated only where `old` has a value to compare with. A
    /// rule that cannot be evaluated counts as broken.
    pub fn validate_cel(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        match &self.root {
            Root::Builtin(_) => Vec::new(),
            Root::Crd(root) => rules::validate(root, new, old),
        }
    }

    /// The type of whole objects, for merging.
    pub(crate) fn root(&self) -> TypeRef<'_> {
        match &self.root {
            Root::Builtin(ty) => types::builtin_root(*ty),
            Root::Crd(schema) => TypeRef::Custom {
                schema,
                object: true,
            },
        }
    }
}

// === impl SchemaError ===

impl SchemaError {
    fn at(path: &str, detail: &str) -> Self {
        Self {
            path: path.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

// === impl FieldError ===

impl FieldError {
    fn new(path: &Path<'_>, reason: &'static str, message: String) -> Self {
        Self {
            path: path.to_string(),
            reason,
            message,
        }
    }

    /// `Invalid value: <value>: <detail>`.
    fn invalid(path: &Path<'_>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self::new(path, "FieldValueInvalid", message)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A path into an object as messages print it: a list on the stack, so that paths are only
/// written out when there is an error to report.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    /// A key of a map, which some messages print as `[key]`.
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

// === impl Path ===

impl Path<'_> {
    /// The path in the form that validation messages repeat it: empty for the whole object.
    fn in_message(&self) -> String {
        match self {
            Self::Root => String::new(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("<nil>"),
            Self::Field(Path::Root, name) | Self::Key(Path::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Key(parent, name) => write!(f, "{parent}[{name}]"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The old item that a list's item is compared with: the one with the same keys, if the list
/// tells its items apart.
fn correlate<'o>(
    schema: &Structural,
    item: &Value,
    old_list: Option<&'o Value>,
) -> Option<&'o Value> {
    let kind = TypeRef::Custom {
        schema,
        object: false,
    }
    .list_kind();
    if !matches!(kind, types::ListKind::Map(_)) {
        return None;
    }
    let element = types::item_element(&kind, item).ok()?;
    old_list?
        .as_array()?
        .iter()
        .find(|old| types::item_element(&kind, old).is_ok_and(|theirs| theirs == element))
}

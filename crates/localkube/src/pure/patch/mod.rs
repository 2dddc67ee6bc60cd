//! The three patch formats besides apply.

mod strategic;

use serde_json::Value;

/// Why a patch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The document is not a patch of its kind.
    #[error("invalid patch: {0}")]
    Malformed(String),
    /// A `test` operation found another value.
    #[error("testing value {path} failed")]
    TestFailed {
        /// The tested path, as a JSON pointer.
        path: String,
    },
    /// An operation names a place that the object does not have.
    #[error("the server rejected our request due to an error in our request: {0}")]
    NotApplicable(String),
    /// A JSON patch has too many operations.
    #[error(
        "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
    )]
    TooLong {
        /// How many.
        count: usize,
    },
    /// A strategic merge patch's list item has no merge key.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The list's merge key.
        key: String,
        /// The item, as JSON.
        item: String,
    },
}

/// The most operations of a JSON patch, as in the real server.
const MAX_OPERATIONS: usize = 10_000;

/// Applies a JSON patch (RFC 6902): all operations or none.
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let patch: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|e| PatchError::Malformed(e.to_string()))?;
    if patch.0.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLong {
            count: patch.0.len(),
        });
    }
    let mut out = target.clone();
    let patch = with_lenient_replacements(patch);
    match json_patch::patch(&mut out, &patch) {
        Ok(()) => Ok(out),
        Err(error) if matches!(error.kind, json_patch::PatchErrorKind::TestFailed) => {
            Err(PatchError::TestFailed {
                path: error.path.to_string(),
            })
        }
        Err(error) => Err(PatchError::NotApplicable(error.to_string())),
    }
}

/// The API server's library replaces a field that is not there as if it were; only in a list must
/// there be something to replace.
fn with_lenient_replacements(patch: json_patch::Patch) -> json_patch::Patch {
    let in_list = |path: &str| {
        let last = path.rsplit('/').next().unwrap_or_default();
        last.is_empty() || last == "-" || last.bytes().all(|byte| byte.is_ascii_digit())
    };
    let lenient = |operation| match operation {
        json_patch::PatchOperation::Replace(replace) if !in_list(replace.path.as_str()) => {
            json_patch::PatchOperation::Add(json_patch::AddOperation {
                path: replace.path,
                value: replace.value,
            })
        }
        other => other,
    };
    json_patch::Patch(patch.0.into_iter().map(lenient).collect())
}

/// Applies a JSON merge patch (RFC 7396).
pub fn merge_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed(
            "a merge patch must be an object".to_owned(),
        ));
    }
    let mut out = target.clone();
    json_patch::merge(&mut out, patch);
    Ok(out)
}

/// Applies a strategic merge patch to an object of a built-in kind.
///
/// The kind comes from `apiVersion` and `kind` of the target, or of the patch where the target
/// has none. Custom resources have no strategies: the caller refuses the format for them (415).
pub fn strategic_merge_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    strategic::apply(target, patch)
}

#[cfg(test)]
mod tests;

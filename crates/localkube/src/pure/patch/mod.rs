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
    /// A strategic merge patch's list item has no merge key.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The list's merge key.
        key: String,
        /// The item, as JSON.
        item: String,
    },
}

/// Applies a JSON patch (RFC 6902): all operations or none.
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let patch: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|e| PatchError::Malformed(e.to_string()))?;
    let mut out = target.clone();
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

//! Node ids in sentences.

use std::collections::BTreeSet;

/// `3, 5`, or `none`.
pub(crate) fn list(ids: &BTreeSet<u32>) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
    ids.join(", ")
}

/// `node 3 is`, or `nodes 3, 5 are`.
pub(crate) fn nodes(what: &str, ids: &BTreeSet<u32>) -> String {
    if ids.len() == 1 {
        format!("{what} {} is", list(ids))
    } else {
        format!("{what}s {} are", list(ids))
    }
}

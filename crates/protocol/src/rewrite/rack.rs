//! The client's rack, so that consumers read from the nearest replica.

use std::sync::Arc;

use super::RewriteError;
use crate::edit::Edits;
use crate::schema::{ApiKey, Direction, Schemas};
use crate::walk::{Interest, Mark, Trailing, Walker, What};

const RACK: Mark = Mark(0);

/// The body of a Fetch request with `rack` in the place of an empty rack id.
///
/// `None` when nothing changes: the version has no rack id (before 11) or is unknown, or the
/// client has a rack of its own.
pub fn fill_rack_id(
    version: i16,
    body: &[u8],
    rack: &str,
) -> Result<Option<Vec<u8>>, RewriteError> {
    let Ok(layout) = Schemas::get().layout(ApiKey::FETCH, version, Direction::Request) else {
        return Ok(None);
    };
    if layout.find("RackId").is_none() {
        return Ok(None);
    }
    let encoded = layout
        .encode_string(rack)
        .ok_or(RewriteError::TooLong("rack"))?;
    let Ok(interest) = Interest::new(layout, &[("RackId", RACK)]) else {
        return Ok(None);
    };
    let mut edits = Edits::new();
    let mut walker = Walker::new(Arc::new(interest), 0, body.len() as u64, Trailing::Refuse);
    walker.feed(body, |event| {
        if event.what == What::Text("") {
            edits.replace(event.span, encoded.clone());
        }
    })?;
    Ok(if edits.is_empty() {
        None
    } else {
        Some(edits.apply(body, 0)?)
    })
}

//! ApiVersions: what is offered is what both the broker and this sidecar know,
//! asked on every connection, for brokers differ during an upgrade.

use tubeway_protocol::exchange::{ApiRanges, unsupported_api_versions};
use tubeway_protocol::schema::Versions;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};

use bytes::Bytes;

use crate::verdict::{TreeError, put_together, trusted};

/// Error code UNSUPPORTED_VERSION: the body is then that of version 0.
const UNSUPPORTED_VERSION: [u8; 2] = 35_i16.to_be_bytes();

/// Whether this sidecar can read the request; one that is newer is answered as
/// a broker would that does not know it either (KIP-511).
pub(crate) fn knows(version: i16) -> bool {
    served().contains(version)
}

/// The body of the answer to a version that is too new.
pub(crate) fn too_new() -> Option<Bytes> {
    unsupported_api_versions(served()).ok().map(Bytes::from)
}

/// Takes out of a response what this sidecar could not pass on.
///
/// Kafka offers Produce from version 0 on although it serves none below 3:
/// older librdkafka compresses only where it sees that (KAFKA-18659). The
/// tables have these versions, so the offer stays.
pub(crate) fn clamp(version: i16, body: &Bytes) -> Result<Bytes, TreeError> {
    let version = match body.get(..2) {
        Some(error) if error == UNSUPPORTED_VERSION => 0,
        _ => version,
    };
    let layout = Schemas::get().layout(ApiKey::API_VERSIONS, version, Direction::Response)?;
    let mut response = trusted(layout, body)?;
    let offered = ApiRanges::read(&response);
    let Some(Value::Array(entries)) = response.get_mut("ApiKeys") else {
        return Ok(body.clone());
    };
    let mut changed = false;
    entries.retain_mut(|entry| {
        let Value::Struct(entry) = entry else {
            return true;
        };
        let key = ApiKey(entry.int("ApiKey") as i16);
        let both = offered
            .get(key)
            .and_then(|theirs| ours(key)?.intersect(theirs));
        match both {
            Some(both) => changed |= narrow(entry, both),
            None => changed = true,
        }
        both.is_some()
    });
    if changed {
        put_together(&response)
    } else {
        Ok(body.clone())
    }
}

fn narrow(entry: &mut Struct, to: Versions) -> bool {
    let (first, last) = (entry.int("MinVersion"), entry.int("MaxVersion"));
    entry.set("MinVersion", to.first);
    entry.set("MaxVersion", to.last);
    (first, last) != (i64::from(to.first), i64::from(to.last))
}

fn ours(key: ApiKey) -> Option<Versions> {
    let api = Schemas::get().api(key)?;
    Some(api.message(Direction::Request).versions())
}

fn served() -> Versions {
    ours(ApiKey::API_VERSIONS).unwrap_or(Versions { first: 0, last: 0 })
}

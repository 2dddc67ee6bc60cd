//! What clients push of their own metrics (KIP-714).
//!
//! It needs no right, so anybody who is let in may send it, and brokers before
//! 4.2.2 and 4.3.1 limit it by its compressed size only (CVE-2026-111073). It
//! goes on as it came, but only if it is small when decompressed, too.

use tubeway_protocol::records::codec::{CodecError, decompress};
use tubeway_protocol::value::Value;
use tubeway_protocol::walk::Compression;
use tubeway_protocol::{ApiKey, Layout};

use crate::verdict::{Amendment, Outcome, TreeError, response, take_apart};

/// PushTelemetry.
pub(crate) const PUSH: ApiKey = ApiKey(72);

/// Bytes after decompression. Brokers take 1 MiB compressed by default
/// (`telemetry.max.bytes`); what clients send has some ten KiB.
const MAX_METRICS: usize = 8 * 1024 * 1024;
/// Error code TELEMETRY_TOO_LARGE: the client drops it and goes on.
const TOO_LARGE: i16 = 118;
/// Error code INVALID_RECORD: as a broker answers what it cannot read.
const INVALID: i16 = 87;

pub(crate) fn decide(layout: &'static Layout, body: &[u8]) -> Result<Outcome, TreeError> {
    let request = take_apart(layout, body)?;
    let compression = Compression::from(request.int("CompressionType") as u8);
    let metrics = request.get("Metrics").and_then(Value::as_bytes);
    let metrics = metrics.map_or(&[][..], |bytes| bytes);
    let error = match decompress(compression, 2, metrics, MAX_METRICS) {
        // A codec that there is not is the broker's to refuse.
        Ok(_) | Err(CodecError::Unknown(..)) => return Ok(Outcome::Pass(Amendment::None)),
        Err(CodecError::TooLong(_)) => TOO_LARGE,
        Err(CodecError::Malformed { .. }) => INVALID,
    };
    let mut answer = response(layout.api(), layout.version())?;
    answer.set("ErrorCode", error);
    Ok(Outcome::Answer(Box::new(answer)))
}

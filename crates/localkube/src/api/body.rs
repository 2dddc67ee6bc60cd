//! Bodies of requests.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use serde_json::Value;

use super::protobuf;
use super::status::{Reply, Status};

/// The largest body that is read, as in the real server: 3 MiB.
const LIMIT: usize = 3 << 20;
/// How much of a body that is too large is read all the same, in bytes: as much as Go's server.
const LINGER: usize = 256 << 10;

/// The media type without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/json");
    header.split(';').next().unwrap_or_default().trim()
}

/// Reads a body as an object.
pub(super) async fn read(headers: &HeaderMap, body: Incoming) -> Reply<Value> {
    let bytes = collect(body).await?;
    parse(&bytes, media_type(headers))
}

/// Reads a body as an object if there is one.
pub(super) async fn read_optional(headers: &HeaderMap, body: Incoming) -> Reply<Option<Value>> {
    let bytes = collect(body).await?;
    if bytes.is_empty() {
        Ok(None)
    } else {
        parse(&bytes, media_type(headers)).map(Some)
    }
}

/// Reads a body as it is.
pub(super) async fn collect(mut body: Incoming) -> Reply<Vec<u8>> {
    let mut read = Vec::new();
    while let Some(data) = next(&mut body).await? {
        if read.len() + data.len() > LIMIT {
            linger(body).await;
            return Err(Status::new(
                http::StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {LIMIT}"),
            ));
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

/// Reads on for a while and forgets: a client that is still writing when the connection is
/// closed gets a broken pipe instead of the answer.
async fn linger(mut body: Incoming) {
    let mut left = LINGER;
    while let Ok(Some(data)) = next(&mut body).await
        && data.len() <= left
    {
        left -= data.len();
    }
}

/// The next bytes, `None` at the end.
async fn next(body: &mut Incoming) -> Reply<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Status::bad_request(format!("the body could not be read: {error}")))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Parses JSON or YAML.
pub(super) fn parse(bytes: &[u8], media_type: &str) -> Reply<Value> {
    match media_type {
        "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => {
            serde_json::from_slice(bytes).map_err(|error| Status::bad_request(error.to_string()))
        }
        // What is valid JSON is valid YAML, but the JSON parser is many times faster.
        "application/yaml" | "application/apply-patch+yaml" | "application/apply-patch+json" => {
            serde_json::from_slice(bytes).or_else(|_| {
                let text = std::str::from_utf8(bytes)
                    .map_err(|error| Status::bad_request(error.to_string()))?;
                serde_saphyr::from_str(text)
                    .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))
            })
        }
        protobuf::MEDIA_TYPE => {
            protobuf::decode(bytes).map_err(|error| Status::bad_request(error.to_string()))
        }
        _ => Err(Status::unsupported(
            "application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

//! Bodies of requests.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use super::status::{Reply, Status};

/// The largest body that is read, as in the real server: 3 MiB.
const LIMIT: usize = 3 << 20;

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
pub(super) async fn collect(body: Incoming) -> Reply<Vec<u8>> {
    match Limited::new(body, LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes().to_vec()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Status::new(
            http::StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {LIMIT}"),
        )),
        Err(error) => Err(Status::bad_request(format!(
            "the body could not be read: {error}"
        ))),
    }
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
        _ => Err(Status::unsupported("application/json, application/yaml")),
    }
}

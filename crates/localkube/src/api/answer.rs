//! Answers, and the forms in which clients want them.

use std::io;

use bytes::Bytes;
use futures::Stream;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, WARNING};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::status::{Reply, Status};

/// Body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// In which form objects are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    /// As they are.
    Object,
    /// As a table for people.
    Table,
    /// Their metadata only.
    Metadata,
}

/// An answer that is no refusal by exception.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) code: StatusCode,
    /// Things that the client should know; kubectl prints them.
    pub(crate) warnings: Vec<String>,
    content_type: &'static str,
    body: Body,
}

// === impl Accept ===

impl Accept {
    /// The first form among those accepted that can be had.
    pub(crate) fn parse(headers: &HeaderMap) -> Reply<Self> {
        let header = headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("*/*");
        header
            .split(',')
            .find_map(Self::one)
            .ok_or_else(Status::not_acceptable)
    }

    fn one(entry: &str) -> Option<Self> {
        let mut parts = entry.split(';').map(str::trim);
        if !matches!(
            parts.next()?,
            "application/json" | "application/*" | "*/*" | ""
        ) {
            return None;
        }
        let (mut form, mut version, mut group) = (None, None, None);
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key {
                "as" => form = Some(value),
                "v" => version = Some(value),
                "g" => group = Some(value),
                _ => {}
            }
        }
        match (form, group, version) {
            (None, ..) => Some(Self::Object),
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Some(Self::Table),
            (
                Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                Some("meta.k8s.io"),
                Some("v1"),
            ) => Some(Self::Metadata),
            _ => None,
        }
    }
}

// === impl Answer ===

impl Answer {
    /// A value, as JSON.
    pub(crate) fn json(value: &Value) -> Self {
        Self::bytes(Bytes::from(value.to_string()), "application/json")
    }

    /// Bytes of a media type.
    pub(crate) fn bytes(bytes: Bytes, content_type: &'static str) -> Self {
        let body = Full::new(bytes)
            .map_err(|never| match never {})
            .boxed_unsync();
        Self {
            code: StatusCode::OK,
            warnings: Vec::new(),
            content_type,
            body,
        }
    }

    /// Text for people.
    pub(crate) fn text(text: &'static str) -> Self {
        Self::bytes(Bytes::from_static(text.as_bytes()), "text/plain")
    }

    /// Bytes that come bit by bit.
    pub(crate) fn stream(
        chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        content_type: &'static str,
    ) -> Self {
        use futures::StreamExt;
        let body = StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync();
        Self {
            code: StatusCode::OK,
            warnings: Vec::new(),
            content_type,
            body,
        }
    }

    /// A refusal.
    pub(crate) fn refusal(status: &Status) -> Self {
        Self {
            code: status.code,
            ..Self::json(&status.body())
        }
    }

    /// The same with another HTTP status.
    pub(crate) fn with_code(self, code: StatusCode) -> Self {
        Self { code, ..self }
    }

    /// The same with warnings.
    pub(crate) fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// The response that goes out.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(
            http::header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, private"),
        );
        for warning in self.warnings {
            // 299 - is "miscellaneous persistent warning" by an unknown agent.
            if let Ok(value) = HeaderValue::from_str(&format!("299 - {warning:?}")) {
                headers.append(WARNING, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_possible_form_wins() {
        let accept = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, text.parse().unwrap());
            Accept::parse(&headers).ok()
        };
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(accept(kubectl), Some(Accept::Table));
        assert_eq!(
            accept("application/vnd.kubernetes.protobuf,application/json"),
            Some(Accept::Object)
        );
        assert_eq!(
            accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            Some(Accept::Metadata)
        );
        assert_eq!(accept("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(accept("application/json, */*"), Some(Accept::Object));
        assert_eq!(Accept::parse(&HeaderMap::new()).ok(), Some(Accept::Object));
    }
}

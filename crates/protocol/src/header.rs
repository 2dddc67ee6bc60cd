//! Request and response headers.
//!
//! The version of a header follows from the API and version of the message: requests with tagged
//! fields have header 2, others 1, and `ControlledShutdown` 0 alone has 0 (no client id);
//! responses with tagged fields have header 1, others 0, and every version of `ApiVersions` 0,
//! so that a client can read the answer before it knows what the broker speaks.

use crate::schema::{ApiKey, Direction, Schemas, UnknownMessage};
use crate::wire::{self, head, put_uvarint};

/// Most bytes that a header may have.
pub const MAX_HEADER: usize = 16 * 1024;

/// Bytes before the client id: key, version, correlation id.
const FIXED: usize = 8;

/// What a request's header says. Offsets count from the header's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The API.
    pub api: ApiKey,
    /// The version of the request, and of its response.
    pub version: i16,
    /// The number by which the response names the request.
    pub correlation_id: i32,
    /// Who the client says it is.
    pub client_id: Option<&'a str>,
    /// Bytes of the header: where the body begins.
    pub length: usize,
}

/// What a response's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The number of the request that is answered.
    pub correlation_id: i32,
    /// Bytes of the header: where the body begins.
    pub length: usize,
}

/// Why a header was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No release has the message. `ApiVersions` is never refused so, because it has an answer
    /// of its own for versions that are too new.
    #[error("request {correlation_id}: {unknown}")]
    Unknown {
        /// What the request asked for.
        #[source]
        unknown: UnknownMessage,
        /// The request's correlation id.
        correlation_id: i32,
    },
    /// The frame ends before the header does.
    #[error("the frame ends within its header")]
    Truncated,
    /// The header is too long.
    #[error("a header has at most {MAX_HEADER} bytes")]
    TooLong,
    /// The client id has a length below -1, or is not UTF-8.
    #[error("the client id is not a string")]
    ClientId,
    /// The tagged fields are malformed, or do not rise by tag.
    #[error("the header's tagged fields are malformed")]
    Tags,
}

/// The version of the header before a request, if the message is known.
pub fn request_header_version(api: ApiKey, version: i16) -> Result<u8, UnknownMessage> {
    if api == ApiKey::CONTROLLED_SHUTDOWN && version == 0 {
        return Ok(0);
    }
    if api == ApiKey::API_VERSIONS && version > 3 {
        // Also of versions that are yet to come.
        return Ok(2);
    }
    Ok(if flexible(api, version, Direction::Request)? {
        2
    } else {
        1
    })
}

/// The version of the header before a response, if the message is known.
pub fn response_header_version(api: ApiKey, version: i16) -> Result<u8, UnknownMessage> {
    if api == ApiKey::API_VERSIONS {
        return Ok(0);
    }
    Ok(u8::from(flexible(api, version, Direction::Response)?))
}

fn flexible(key: ApiKey, version: i16, direction: Direction) -> Result<bool, UnknownMessage> {
    let api = Schemas::get().api(key).ok_or(UnknownMessage::Api(key))?;
    let message = api.message(direction);
    if !message.versions().contains(version) {
        let versions = message.versions();
        return Err(UnknownMessage::Version {
            api: key,
            version,
            versions,
        });
    }
    Ok(message.is_flexible(version))
}

// === impl RequestHeader ===

impl<'a> RequestHeader<'a> {
    /// Reads the header of a request.
    ///
    /// `bytes` is what has come of the frame, and `frame` how long the frame is. `None` asks for
    /// more bytes; no more than [`MAX_HEADER`] have to be kept.
    pub fn read(bytes: &'a [u8], frame: u32) -> Result<Option<Self>, HeaderError> {
        let frame = frame as usize;
        let bytes = &bytes[..bytes.len().min(frame).min(MAX_HEADER)];
        match Self::read_known(bytes)? {
            Some(header) => Ok(Some(header)),
            None if bytes.len() == frame => Err(HeaderError::Truncated),
            None if bytes.len() == MAX_HEADER => Err(HeaderError::TooLong),
            None => Ok(None),
        }
    }

    fn read_known(bytes: &'a [u8]) -> Result<Option<Self>, HeaderError> {
        let Some([k0, k1, v0, v1, c0, c1, c2, c3]) = head::<FIXED>(bytes) else {
            return Ok(None);
        };
        let api = ApiKey(i16::from_be_bytes([k0, k1]));
        let version = i16::from_be_bytes([v0, v1]);
        let correlation_id = i32::from_be_bytes([c0, c1, c2, c3]);
        let header_version =
            request_header_version(api, version).map_err(|unknown| HeaderError::Unknown {
                unknown,
                correlation_id,
            })?;
        let mut length = FIXED;
        let mut client_id = None;
        if header_version >= 1 {
            let Some((id, taken)) = read_client_id(&bytes[length..])? else {
                return Ok(None);
            };
            client_id = id;
            length += taken;
        }
        if header_version >= 2 {
            let Some(taken) = skip_tags(&bytes[length..])? else {
                return Ok(None);
            };
            length += taken;
        }
        Ok(Some(Self {
            api,
            version,
            correlation_id,
            client_id,
            length,
        }))
    }

    /// Appends a header for this API, version, correlation id and client id, without tagged
    /// fields. `length` is not looked at. Client ids are cut at 32,767 bytes.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), UnknownMessage> {
        let header_version = request_header_version(self.api, self.version)?;
        out.extend(self.api.0.to_be_bytes());
        out.extend(self.version.to_be_bytes());
        out.extend(self.correlation_id.to_be_bytes());
        if header_version >= 1 {
            match self.client_id {
                None => out.extend((-1i16).to_be_bytes()),
                Some(id) => {
                    let id = &id[..id.floor_char_boundary(i16::MAX as usize)];
                    out.extend((id.len() as i16).to_be_bytes());
                    out.extend(id.as_bytes());
                }
            }
        }
        if header_version >= 2 {
            out.push(0);
        }
        Ok(())
    }
}

/// A client id keeps its two bytes of length in every version.
fn read_client_id(bytes: &[u8]) -> Result<Option<(Option<&str>, usize)>, HeaderError> {
    let Some(length) = head::<2>(bytes).map(i16::from_be_bytes) else {
        return Ok(None);
    };
    if length == -1 {
        return Ok(Some((None, 2)));
    }
    let length = usize::try_from(length).map_err(|_| HeaderError::ClientId)?;
    let Some(id) = bytes.get(2..2 + length) else {
        return Ok(None);
    };
    let id = std::str::from_utf8(id).map_err(|_| HeaderError::ClientId)?;
    Ok(Some((Some(id), 2 + length)))
}

/// The length of a section of tagged fields, when all of it is there.
fn skip_tags(bytes: &[u8]) -> Result<Option<usize>, HeaderError> {
    let number = |at: usize| match bytes.get(at..) {
        Some(rest) => wire::uvarint(rest).map_err(|_| HeaderError::Tags),
        None => Ok(None),
    };
    let Some((count, mut at)) = number(0)? else {
        return Ok(None);
    };
    let mut last = None;
    // However great the count, each turn takes two bytes of at most MAX_HEADER.
    for _ in 0..count {
        let Some((tag, taken)) = number(at)? else {
            return Ok(None);
        };
        if last.is_some_and(|last| last >= tag) {
            return Err(HeaderError::Tags);
        }
        last = Some(tag);
        at += taken;
        let Some((size, taken)) = number(at)? else {
            return Ok(None);
        };
        at += taken + size as usize;
    }
    Ok((at <= bytes.len()).then_some(at))
}

// === impl ResponseHeader ===

impl ResponseHeader {
    /// Reads the header of the response to a request of this API and version.
    ///
    /// `None` asks for more bytes, as with [`RequestHeader::read`].
    pub fn read(
        bytes: &[u8],
        frame: u32,
        api: ApiKey,
        version: i16,
    ) -> Result<Option<Self>, HeaderError> {
        let frame = frame as usize;
        let bytes = &bytes[..bytes.len().min(frame).min(MAX_HEADER)];
        let header = head::<4>(bytes).map(i32::from_be_bytes);
        let header_version =
            response_header_version(api, version).map_err(|unknown| HeaderError::Unknown {
                unknown,
                correlation_id: header.unwrap_or(-1),
            })?;
        let tags = match (header, header_version) {
            (Some(_), 0) => Some(0),
            (Some(_), _) => skip_tags(&bytes[4..])?,
            (None, _) => None,
        };
        match (header, tags) {
            (Some(correlation_id), Some(tags)) => Ok(Some(Self {
                correlation_id,
                length: 4 + tags,
            })),
            _ if bytes.len() == frame => Err(HeaderError::Truncated),
            _ if bytes.len() == MAX_HEADER => Err(HeaderError::TooLong),
            _ => Ok(None),
        }
    }

    /// Appends the header of the response to request `correlation_id` of this API and version.
    pub fn write(
        out: &mut Vec<u8>,
        api: ApiKey,
        version: i16,
        correlation_id: i32,
    ) -> Result<(), UnknownMessage> {
        let header_version = response_header_version(api, version)?;
        out.extend(correlation_id.to_be_bytes());
        if header_version >= 1 {
            put_uvarint(out, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn header_versions() {
        assert_eq!(request_header_version(ApiKey::PRODUCE, 8), Ok(1));
        assert_eq!(request_header_version(ApiKey::PRODUCE, 9), Ok(2));
        assert_eq!(
            request_header_version(ApiKey::CONTROLLED_SHUTDOWN, 0),
            Ok(0)
        );
        assert_eq!(request_header_version(ApiKey::API_VERSIONS, 3), Ok(2));
        assert_eq!(request_header_version(ApiKey::API_VERSIONS, 99), Ok(2));
        assert_eq!(response_header_version(ApiKey::API_VERSIONS, 3), Ok(0));
        assert_eq!(response_header_version(ApiKey::FETCH, 12), Ok(1));
        assert_eq!(response_header_version(ApiKey::SASL_HANDSHAKE, 1), Ok(0));
        assert!(request_header_version(ApiKey(10_000), 0).is_err());
    }

    #[test]
    fn tagged_fields_are_skipped_within_the_frame() {
        let mut bytes = Vec::new();
        let header = header(ApiKey::METADATA, 12, Some("app"));
        header.write(&mut bytes).unwrap();
        bytes.pop();
        bytes.extend([2, 0, 3, b'x', b'y', b'z', 9, 0]);
        let frame = bytes.len() as u32;
        let read = RequestHeader::read(&bytes, frame).unwrap().unwrap();
        assert_eq!(
            read,
            RequestHeader {
                length: bytes.len(),
                ..header
            }
        );
        let short = RequestHeader::read(&bytes, frame - 1);
        assert_eq!(short, Err(HeaderError::Truncated));
        let at = bytes.len() - 2;
        bytes[at] = 0;
        assert_eq!(RequestHeader::read(&bytes, frame), Err(HeaderError::Tags));
    }

    #[test]
    fn endless_headers_end() {
        let mut bytes = Vec::new();
        header(ApiKey::METADATA, 12, None)
            .write(&mut bytes)
            .unwrap();
        bytes.pop();
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
        for tag in 0..20_000 {
            put_uvarint(&mut bytes, tag);
            bytes.push(0);
        }
        let frame = bytes.len() as u32;
        assert_eq!(RequestHeader::read(&bytes[..8000], frame), Ok(None));
        assert_eq!(
            RequestHeader::read(&bytes, frame),
            Err(HeaderError::TooLong)
        );
    }

    #[test]
    fn what_is_not_kafka() {
        let http = RequestHeader::read(b"GET / HTTP/1.1", 100);
        assert!(matches!(http, Err(HeaderError::Unknown { .. })));
    }

    fn header(api: ApiKey, version: i16, client_id: Option<&str>) -> RequestHeader<'_> {
        RequestHeader {
            api,
            version,
            correlation_id: 7,
            client_id,
            length: 0,
        }
    }

    proptest! {
        #[test]
        fn headers_come_back(
            at: prop::sample::Index, version: prop::sample::Index, correlation_id: i32,
            client_id in prop::option::of(".{0,40}"),
        ) {
            let apis = Schemas::get().apis();
            let api = &apis[at.index(apis.len())];
            let versions = api.message(Direction::Request).versions();
            let version = version.index(versions.last as usize + 1) as i16;
            prop_assume!(versions.contains(version));
            let shutdown = api.key() == ApiKey::CONTROLLED_SHUTDOWN && version == 0;
            let client_id = client_id.as_deref().filter(|_| !shutdown);
            let header =
                RequestHeader { api: api.key(), version, correlation_id, client_id, length: 0 };
            let mut bytes = Vec::new();
            header.write(&mut bytes).unwrap();
            let length = bytes.len();
            bytes.extend([9; 3]);
            for cut in 0..length {
                prop_assert_eq!(RequestHeader::read(&bytes[..cut], bytes.len() as u32), Ok(None));
            }
            let read = RequestHeader::read(&bytes, bytes.len() as u32).unwrap();
            prop_assert_eq!(read, Some(RequestHeader { length, ..header }));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RequestHeader::read(&bytes, bytes.len() as u32);
            let _ = ResponseHeader::read(&bytes, bytes.len() as u32, ApiKey::FETCH, 12);
        }
    }
}

//! SaslHandshake and SaslAuthenticate, from the client's side.

use bytes::Bytes;

use super::ExchangeError;
use crate::header::RequestHeader;
use crate::schema::{ApiKey, Direction, Layout, Schemas, UnknownMessage};
use crate::value::{Budget, Struct, Value, decode};

/// Version of SaslHandshake after which tokens travel in SaslAuthenticate.
const HANDSHAKE: i16 = 1;
/// Version of SaslAuthenticate whose answer says how long the session lives. All brokers since
/// Kafka 2.2 have it.
const AUTHENTICATE: i16 = 1;

/// Writes the requests of a login. Each is a whole frame without the length before it.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// Who the client says it is.
    pub client_id: Option<&'a str>,
}

/// The answer to a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshaken {
    /// 0, or Kafka's error code.
    pub error_code: i16,
    /// What the broker offers.
    pub mechanisms: Vec<String>,
}

/// The answer to a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// 0, or Kafka's error code.
    pub error_code: i16,
    /// What the broker says of an error.
    pub error_message: Option<String>,
    /// The broker's token.
    pub token: Bytes,
    /// Milliseconds until the session ends unless it logs in again; 0: it does not end.
    pub session_lifetime_ms: i64,
}

// === impl Login ===

impl Login<'_> {
    /// Asks for a mechanism.
    pub fn handshake(
        &self,
        correlation_id: i32,
        mechanism: &str,
    ) -> Result<Vec<u8>, ExchangeError> {
        let layout = layout(ApiKey::SASL_HANDSHAKE, HANDSHAKE, Direction::Request)?;
        let mut request = Struct::message(layout);
        request.set("Mechanism", mechanism);
        self.frame(&request, correlation_id)
    }

    /// Sends a token.
    pub fn authenticate(
        &self,
        correlation_id: i32,
        token: Bytes,
    ) -> Result<Vec<u8>, ExchangeError> {
        let layout = layout(ApiKey::SASL_AUTHENTICATE, AUTHENTICATE, Direction::Request)?;
        let mut request = Struct::message(layout);
        request.set("AuthBytes", Value::Bytes(token));
        self.frame(&request, correlation_id)
    }

    fn frame(&self, request: &Struct, correlation_id: i32) -> Result<Vec<u8>, ExchangeError> {
        let mut out = Vec::new();
        let layout = request.layout();
        let header = RequestHeader {
            api: layout.api(),
            version: layout.version(),
            correlation_id,
            client_id: self.client_id,
            length: 0,
        };
        header.write(&mut out)?;
        request.encode(&mut out)?;
        Ok(out)
    }
}

// === impl Handshaken ===

impl Handshaken {
    /// Reads the body of the answer to [`Login::handshake`].
    pub fn read(body: &Bytes) -> Result<Self, ExchangeError> {
        let layout = layout(ApiKey::SASL_HANDSHAKE, HANDSHAKE, Direction::Response)?;
        let response = decode(layout, body, Budget::of(body.len()))?;
        let mechanisms = match response.get("Mechanisms") {
            Some(Value::Array(values)) => values
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            error_code: response.int("ErrorCode") as i16,
            mechanisms,
        })
    }
}

// === impl Authenticated ===

impl Authenticated {
    /// Reads the body of the answer to [`Login::authenticate`].
    pub fn read(body: &Bytes) -> Result<Self, ExchangeError> {
        let layout = layout(ApiKey::SASL_AUTHENTICATE, AUTHENTICATE, Direction::Response)?;
        let response = decode(layout, body, Budget::of(body.len()))?;
        Ok(Self {
            error_code: response.int("ErrorCode") as i16,
            error_message: response.str("ErrorMessage").map(str::to_owned),
            token: response
                .get("AuthBytes")
                .and_then(Value::as_bytes)
                .cloned()
                .unwrap_or_default(),
            session_lifetime_ms: response.int("SessionLifetimeMs"),
        })
    }
}

/// Without the token.
impl std::fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticated")
            .field("error_code", &self.error_code)
            .field("error_message", &self.error_message)
            .field("session_lifetime_ms", &self.session_lifetime_ms)
            .finish_non_exhaustive()
    }
}

fn layout(
    api: ApiKey,
    version: i16,
    direction: Direction,
) -> Result<&'static Layout, UnknownMessage> {
    Schemas::get().layout(api, version, direction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_as_kafka_writes_it() {
        let login = Login {
            client_id: Some("me"),
        };
        let frame = login.handshake(1, "PLAIN").unwrap();
        assert_eq!(frame, b"\0\x11\0\x01\0\0\0\x01\0\x02me\0\x05PLAIN");
        let frame = login
            .authenticate(2, Bytes::from_static(b"\0u\0p"))
            .unwrap();
        assert_eq!(frame, b"\0\x24\0\x01\0\0\0\x02\0\x02me\0\0\0\x04\0u\0p");
    }

    #[test]
    fn answers() {
        let body = Bytes::from_static(b"\0\0\0\0\0\x02\0\x05PLAIN\0\x0bOAUTHBEARER");
        let answer = Handshaken::read(&body).unwrap();
        assert_eq!(answer.mechanisms, ["PLAIN", "OAUTHBEARER"]);
        let body = Bytes::from_static(b"\0\x3a\0\x02no\0\0\0\x01x\0\0\0\0\0\0\0\x05");
        let answer = Authenticated::read(&body).unwrap();
        assert_eq!(
            (answer.error_code, answer.error_message.as_deref()),
            (58, Some("no"))
        );
        assert_eq!(
            (&answer.token[..], answer.session_lifetime_ms),
            (&b"x"[..], 5)
        );
        assert!(!format!("{answer:?}").contains("token"));
        assert!(Authenticated::read(&body.slice(..5)).is_err());
    }
}

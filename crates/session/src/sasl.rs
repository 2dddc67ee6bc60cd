//! SASL as the sidecar speaks it, on either side of a broker.
//!
//! Towards its own broker the sidecar is the client: it pipelines SaslHandshake
//! v1 and SaslAuthenticate v1 (KIP-152, KIP-368) and reads two answers. For its
//! own broker's way out to a peer it is the server: it answers the two requests
//! that the broker's client sends, in any version up to v1 and v2.

use bytes::{BufMut as _, Bytes, BytesMut};
use tubeway_protocol::ApiKey;
use tubeway_protocol::exchange::{Authenticated, Handshaken, Login};

use crate::verdict::{self, Outcome, TreeError};

/// API keys of the two requests.
pub const HANDSHAKE: i16 = 17;
/// See [`HANDSHAKE`].
pub const AUTHENTICATE: i16 = 36;

/// Error code SASL_AUTHENTICATION_FAILED.
const AUTHENTICATION_FAILED: i16 = 58;
/// Error code ILLEGAL_SASL_STATE.
const ILLEGAL_SASL_STATE: i16 = 34;
/// Error code UNSUPPORTED_SASL_MECHANISM.
const UNSUPPORTED_MECHANISM: i16 = 33;

/// Something that is not the SASL exchange it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// Bytes are missing or lengths do not add up.
    #[error("{0} is cut short or longer than it says")]
    Length(&'static str),
    /// A text that is not UTF-8.
    #[error("{0} is not UTF-8")]
    Text(&'static str),
    /// The broker refused, with its error code and what it said.
    #[error("error code {code}{}{message}", if message.is_empty() { "" } else { ": " })]
    Refused {
        /// Kafka's error code; 0 where the refusal is in the message alone.
        code: i16,
        /// What the broker said.
        message: String,
    },
}

/// The two frames of an OAUTHBEARER login (RFC 7628 in Kafka's framing). The
/// correlation ids are `first` and the one after it.
pub fn oauth_login(token: &str, first: i32) -> Bytes {
    login(
        "OAUTHBEARER",
        [b"n,,\x01auth=Bearer ", token.as_bytes(), b"\x01\x01"].concat(),
        first,
    )
}

/// The two frames of a PLAIN login (RFC 4616).
pub fn plain_login(user: &str, password: &str, first: i32) -> Bytes {
    login("PLAIN", format!("\0{user}\0{password}").into_bytes(), first)
}

fn login(mechanism: &str, initial: Vec<u8>, first: i32) -> Bytes {
    let login = Login {
        client_id: Some("tubeway"),
    };
    let mut out = BytesMut::new();
    let frames = [
        login.handshake(first, mechanism),
        login.authenticate(first.wrapping_add(1), initial.into()),
    ];
    // Both are fixed messages of known versions, so they always encode.
    for frame in frames.into_iter().flatten() {
        out.put_i32(frame.len() as i32);
        out.put_slice(&frame);
    }
    out.freeze()
}

/// Reads the body (after the correlation id) of a SaslHandshake v1 response.
pub fn read_handshake(body: &Bytes) -> Result<(), SaslError> {
    let answer = Handshaken::read(body).map_err(|_| SaslError::Length("SaslHandshake response"))?;
    refused(answer.error_code, String::new())
}

/// Reads the body of a SaslAuthenticate v1 response: how long the login lasts,
/// in milliseconds, 0 for as long as the connection.
pub fn read_authenticate(body: &Bytes) -> Result<u64, SaslError> {
    let answer =
        Authenticated::read(body).map_err(|_| SaslError::Length("SaslAuthenticate response"))?;
    refused(answer.error_code, answer.error_message.unwrap_or_default())?;
    // RFC 7628: an OAUTHBEARER server that refuses answers with a JSON text
    // and no error, and waits for the client to end the exchange.
    if !answer.token.is_empty() {
        return Err(SaslError::Refused {
            code: 0,
            message: String::from_utf8_lossy(&answer.token).into_owned(),
        });
    }
    Ok(u64::try_from(answer.session_lifetime_ms).unwrap_or(0))
}

/// The answer to a client that wants to log in although its certificate has
/// said who it is: that of a broker's listener without SASL.
pub(crate) fn already_authenticated(api: ApiKey, version: i16) -> Result<Outcome, TreeError> {
    let mut answer = verdict::response(api, version)?;
    answer.set("ErrorCode", ILLEGAL_SASL_STATE);
    let message = "SaslAuthenticate request received after successful authentication";
    answer.set("ErrorMessage", message);
    Ok(Outcome::Answer(Box::new(answer)))
}

fn refused(code: i16, message: String) -> Result<(), SaslError> {
    match code {
        0 => Ok(()),
        code => Err(SaslError::Refused { code, message }),
    }
}

/// One request of a broker's client on its way out, before it is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerRequest {
    /// SaslHandshake; the answer is to be written.
    Handshake(Bytes),
    /// SaslAuthenticate with this user and password; see [`authenticated`].
    Authenticate {
        /// Its version, 0 to 2.
        version: i16,
        /// To be given back in the answer.
        correlation_id: i32,
        /// SASL/PLAIN's authentication identity.
        user: String,
        /// SASL/PLAIN's password.
        password: String,
    },
    /// Anything else. Only ApiVersions has a reason to come here.
    Other {
        /// The API key.
        api_key: i16,
    },
}

/// Reads one whole frame (without its length).
pub fn read_peer_request(frame: &[u8]) -> Result<PeerRequest, SaslError> {
    let mut reader = Reader::new(frame, "request");
    let (api_key, version) = (reader.i16()?, reader.i16()?);
    let correlation_id = reader.i32()?;
    match (api_key, version) {
        (HANDSHAKE, 0..=1) => {
            reader.nullable_string()?;
            let plain = reader.nullable_string()? == Some("PLAIN");
            let mut out = BytesMut::new();
            self::frame(&mut out, |out| {
                out.put_i32(correlation_id);
                out.put_i16(if plain { 0 } else { UNSUPPORTED_MECHANISM });
                out.put_i32(1);
                put_string(out, "PLAIN");
            });
            Ok(PeerRequest::Handshake(out.freeze()))
        }
        (AUTHENTICATE, 0..=2) => {
            reader.nullable_string()?;
            let token = if version == 2 {
                reader.tags()?;
                reader.compact_bytes()?
            } else {
                reader.bytes()?
            };
            let mut parts = token.split(|b| *b == 0);
            let mut part = |name| {
                let part = parts.next().ok_or(SaslError::Length("PLAIN message"))?;
                String::from_utf8(part.to_vec()).map_err(|_| SaslError::Text(name))
            };
            let (_, user, password) = (part("identity")?, part("user")?, part("password")?);
            Ok(PeerRequest::Authenticate {
                version,
                correlation_id,
                user,
                password,
            })
        }
        _ => Ok(PeerRequest::Other { api_key }),
    }
}

/// The answer to a [`PeerRequest::Authenticate`].
pub fn authenticated(version: i16, correlation_id: i32, accepted: bool) -> Bytes {
    const WHY: &str = "this sidecar takes its own broker's login only";
    let mut out = BytesMut::new();
    frame(&mut out, |out| {
        out.put_i32(correlation_id);
        if version == 2 {
            out.put_u8(0);
        }
        out.put_i16(if accepted { 0 } else { AUTHENTICATION_FAILED });
        match (version == 2, accepted) {
            (true, true) => out.put_u8(0),
            (true, false) => {
                out.put_u8(WHY.len() as u8 + 1);
                out.put_slice(WHY.as_bytes());
            }
            (false, true) => out.put_i16(-1),
            (false, false) => put_string(out, WHY),
        }
        if version == 2 {
            out.put_u8(1);
        } else {
            out.put_i32(0);
        }
        if version >= 1 {
            out.put_i64(0);
        }
        if version == 2 {
            out.put_u8(0);
        }
    });
    out.freeze()
}

fn frame(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_i32(0);
    body(out);
    let length = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

/// Reads the few types that these messages are made of.
struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], SaslError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or(SaslError::Length(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SaslError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| SaslError::Length(self.what))
    }

    fn i16(&mut self) -> Result<i16, SaslError> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, SaslError> {
        self.array().map(i32::from_be_bytes)
    }

    fn nullable_string(&mut self) -> Result<Option<&'a str>, SaslError> {
        let Ok(length) = usize::try_from(self.i16()?) else {
            return Ok(None);
        };
        let text =
            std::str::from_utf8(self.take(length)?).map_err(|_| SaslError::Text(self.what))?;
        Ok(Some(text))
    }

    fn bytes(&mut self) -> Result<&'a [u8], SaslError> {
        let length = usize::try_from(self.i32()?).map_err(|_| SaslError::Length(self.what))?;
        self.take(length)
    }

    fn varint(&mut self) -> Result<usize, SaslError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value as usize);
            }
        }
        Err(SaslError::Length(self.what))
    }

    fn compact_bytes(&mut self) -> Result<&'a [u8], SaslError> {
        let length = self
            .varint()?
            .checked_sub(1)
            .ok_or(SaslError::Length(self.what))?;
        self.take(length)
    }

    fn tags(&mut self) -> Result<(), SaslError> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut frames = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let (frame, rest) = rest.split_at(i32::from_be_bytes(*length) as usize);
            frames.push(frame);
            bytes = rest;
        }
        frames
    }

    #[test]
    fn our_own_login_is_what_our_own_server_side_reads() {
        let login = plain_login("node", "s3cret", 5);
        let frames = frames(&login);
        assert!(matches!(
            read_peer_request(frames[0]),
            Ok(PeerRequest::Handshake(_))
        ));
        assert_eq!(
            read_peer_request(frames[1]),
            Ok(PeerRequest::Authenticate {
                version: 1,
                correlation_id: 6,
                user: "node".to_owned(),
                password: "s3cret".to_owned(),
            })
        );
    }

    #[test]
    fn a_flexible_authenticate_is_read_too() {
        let mut frame = Vec::from([0, 36, 0, 2, 0, 0, 0, 9, 0, 1, b'x', 0]);
        frame.extend([8, 0, b'n', 0, b'p', b'a', b's', b's', 0]);
        let Ok(PeerRequest::Authenticate { user, password, .. }) = read_peer_request(&frame) else {
            panic!("not read");
        };
        assert_eq!((user.as_str(), password.as_str()), ("n", "pass"));
    }

    #[test]
    fn answers_in_every_version_are_as_long_as_they_say() {
        for (version, accepted, length) in [(0, true, 12), (1, true, 20), (2, true, 18)] {
            let answer = authenticated(version, 7, accepted);
            assert_eq!(answer.len(), length + 4, "v{version}");
            assert_eq!(frames(&answer)[0][..4], 7_i32.to_be_bytes());
        }
        let refused = authenticated(1, 7, false);
        let error = read_authenticate(&refused.slice(8..)).unwrap_err();
        assert!(matches!(
            error,
            SaslError::Refused {
                code: AUTHENTICATION_FAILED,
                ..
            }
        ));
        assert_eq!(
            read_authenticate(&authenticated(1, 7, true).slice(8..)),
            Ok(0)
        );
    }

    #[test]
    fn a_refused_token_is_an_error_although_its_code_is_zero() {
        let json = br#"{"status":"invalid_token"}"#;
        let mut body = vec![0, 0, 0xff, 0xff];
        body.extend((json.len() as i32).to_be_bytes());
        body.extend(json);
        body.extend(0_i64.to_be_bytes());
        let error = read_authenticate(&body.into()).unwrap_err();
        assert!(error.to_string().contains("invalid_token"), "{error}");
    }

    #[test]
    fn no_prefix_of_a_request_is_read_as_one_or_panics() {
        let login = oauth_login("token", 0);
        for frame in frames(&login) {
            for end in 0..frame.len() {
                assert!(read_peer_request(&frame[..end]).is_err(), "{end}");
            }
        }
    }
}

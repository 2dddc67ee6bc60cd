//! Whether a stream of bytes is one side of a TLS 1.3 connection, record by record.
//!
//! A stream is walked record header by record header, so that every byte of it
//! is inside of a record, and no record but the hellos is in the clear:
//!
//! - handshake records carry a ClientHello that offers TLS 1.3, or a
//!   ServerHello that selects it (a HelloRetryRequest is one), and nothing
//!   else: in TLS 1.3 all that follows is encrypted;
//! - the rest are application data, the change-cipher-spec of middlebox
//!   compatibility (one byte), and alerts.

use std::fmt;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const TLS13: u16 = 0x0304;
const SUPPORTED_VERSIONS: u16 = 43;

const HEADER: usize = 5;
/// 2^14 bytes of text and 256 of what encryption adds (RFC 8446, 5.2).
const MAX_RECORD: usize = (1 << 14) + 256;
/// Bytes of a plain alert: level and description.
const PLAIN_ALERT: usize = 2;
/// Longest hello that is put together.
const MAX_HELLO: usize = 1 << 16;

/// Which side a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// What is not TLS 1.3 about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFault {
    /// No TLS record begins here.
    NotTls {
        /// The bytes where a record should begin.
        bytes: Vec<u8>,
    },
    /// A handshake message other than a hello, in the clear.
    PlainHandshake {
        /// Its type, such as 11 for a certificate.
        kind: u8,
    },
    /// A hello that does not offer or select TLS 1.3.
    OtherVersion,
    /// Application data before the hello.
    DataBeforeHello,
}

/// One side's stream, walked.
pub(super) struct TlsWalk {
    role: Role,
    /// The header of the record that is being read.
    header: Vec<u8>,
    /// Bytes of its body still to come.
    left: usize,
    /// The hello, as far as it was read.
    hello: Vec<u8>,
    said_hello: bool,
    is_empty: bool,
    fault: Option<TlsFault>,
}

// === impl TlsWalk ===

impl TlsWalk {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            header: Vec::with_capacity(HEADER),
            left: 0,
            hello: Vec::new(),
            said_hello: false,
            is_empty: true,
            fault: None,
        }
    }

    /// Walks on over the stream's next bytes.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.fault.is_none() {
            self.is_empty = false;
            if self.left == 0 {
                let needed = HEADER - self.header.len();
                let (head, rest) = bytes.split_at(needed.min(bytes.len()));
                self.header.extend_from_slice(head);
                bytes = rest;
                if self.header.len() == HEADER || !self.may_begin_a_record() {
                    self.begin_record();
                }
                continue;
            }
            let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= body.len();
            bytes = rest;
            if self.header[0] == HANDSHAKE {
                self.hello.extend_from_slice(body);
                self.read_hello();
            }
            if self.left == 0 {
                self.header.clear();
            }
        }
    }

    pub(super) fn said_hello(&self) -> bool {
        self.said_hello
    }

    /// Whether nothing was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    pub(super) fn fault(&self) -> Option<TlsFault> {
        self.fault.clone()
    }

    /// Whether the first bytes of a header can be those of a record.
    fn may_begin_a_record(&self) -> bool {
        let kind = self.header.first();
        let major = self.header.get(1);
        kind.is_none_or(|kind| (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(kind))
            && major.is_none_or(|&major| major == 3)
    }

    fn begin_record(&mut self) {
        let [kind, 3, minor @ (1 | 3), high, low] = self.header[..] else {
            return self.not_tls();
        };
        self.left = usize::from(u16::from_be_bytes([high, low]));
        let fits = match kind {
            CHANGE_CIPHER_SPEC => self.left == 1,
            // Encrypted ones are application data to whoever looks on.
            ALERT => self.left == PLAIN_ALERT,
            HANDSHAKE => self.left > 0,
            APPLICATION_DATA => self.left > 0 && minor == 3,
            _ => false,
        };
        if !fits || self.left > MAX_RECORD {
            return self.not_tls();
        }
        if kind == APPLICATION_DATA && !self.said_hello {
            self.fault = Some(TlsFault::DataBeforeHello);
        }
    }

    fn not_tls(&mut self) {
        self.fault = Some(TlsFault::NotTls {
            bytes: self.header.clone(),
        });
    }

    /// Reads the hello once it is whole.
    fn read_hello(&mut self) {
        let &[kind, a, b, c, ..] = self.hello.as_slice() else {
            return;
        };
        let wanted = match self.role {
            Role::Client => 1,
            Role::Server => 2,
        };
        if kind != wanted {
            self.fault = Some(TlsFault::PlainHandshake { kind });
            return;
        }
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if len > MAX_HELLO {
            return self.not_tls();
        }
        let Some(body) = self.hello.get(4..4 + len) else {
            return;
        };
        let is_tls13 = match self.role {
            Role::Client => offers_tls13(body),
            Role::Server => selects_tls13(body),
        };
        if is_tls13 != Some(true) {
            self.fault = Some(TlsFault::OtherVersion);
            return;
        }
        self.said_hello = true;
        // What follows in the same record, or another hello, is looked at as well.
        self.hello.drain(..4 + len);
        self.read_hello();
    }
}

// === impl TlsFault ===

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls { bytes } => {
                f.write_str("bytes that begin no TLS record:")?;
                bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
            Self::PlainHandshake { kind } => {
                write!(f, "a handshake message of type {kind} in the clear")
            }
            Self::OtherVersion => f.write_str("a hello of another version than TLS 1.3"),
            Self::DataBeforeHello => f.write_str("application data before its hello"),
        }
    }
}

/// Whether a ClientHello's `supported_versions` has TLS 1.3; `None` if it has none.
fn offers_tls13(hello: &[u8]) -> Option<bool> {
    let mut hello = Cursor(hello);
    hello.skip(2 + 32)?;
    hello.vector8()?; // session id
    hello.vector16()?; // cipher suites
    hello.vector8()?; // compression methods
    let versions = Cursor(hello.extension(SUPPORTED_VERSIONS)?).vector8()?;
    Some(
        versions
            .chunks_exact(2)
            .any(|version| version == TLS13.to_be_bytes()),
    )
}

/// Whether a ServerHello's `supported_versions` is TLS 1.3; `None` if it has none.
fn selects_tls13(hello: &[u8]) -> Option<bool> {
    let mut hello = Cursor(hello);
    hello.skip(2 + 32)?;
    hello.vector8()?; // session id
    hello.skip(2 + 1)?; // cipher suite, compression method
    Some(hello.extension(SUPPORTED_VERSIONS)? == TLS13.to_be_bytes())
}

/// Bytes of a handshake message that are still to be read.
struct Cursor<'a>(&'a [u8]);

// === impl Cursor ===

impl<'a> Cursor<'a> {
    fn skip(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let &[high, low] = self.skip(2)? else {
            return None;
        };
        Some(u16::from_be_bytes([high, low]))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let &[len] = self.skip(1)? else {
            return None;
        };
        self.skip(usize::from(len))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.skip(usize::from(len))
    }

    /// The body of an extension, of all that follow.
    fn extension(&mut self, wanted: u16) -> Option<&'a [u8]> {
        let mut extensions = Cursor(self.vector16()?);
        loop {
            let kind = extensions.u16()?;
            let body = extensions.vector16()?;
            if kind == wanted {
                return Some(body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 3, 3];
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        record
    }

    /// A hello with one extension before `supported_versions`.
    fn hello(role: Role, versions: &[u16]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([1, 9]);
        match role {
            Role::Client => body.extend([0, 2, 0x13, 1, 1, 0]),
            Role::Server => body.extend([0x13, 1, 0]),
        }
        let mut list: Vec<u8> = versions.iter().flat_map(|v| v.to_be_bytes()).collect();
        if role == Role::Client {
            list.insert(0, list.len() as u8);
        }
        let mut extensions = vec![0, 10, 0, 2, 0, 0, 0, 43, 0, list.len() as u8];
        extensions.extend(list);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut message = vec![if role == Role::Client { 1 } else { 2 }, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        record(HANDSHAKE, &message)
    }

    fn walk(role: Role, bytes: &[u8]) -> TlsWalk {
        let mut walk = TlsWalk::new(role);
        walk.take(bytes);
        walk
    }

    fn side(role: Role) -> Vec<u8> {
        let versions: &[u16] = match role {
            Role::Client => &[0x0303, TLS13],
            Role::Server => &[TLS13],
        };
        [
            hello(role, versions),
            record(CHANGE_CIPHER_SPEC, &[1]),
            record(APPLICATION_DATA, &[0; 300]),
            record(APPLICATION_DATA, &vec![0; MAX_RECORD]),
        ]
        .concat()
    }

    #[test]
    fn a_hello_may_be_asked_for_again() {
        for role in [Role::Client, Role::Server] {
            let bytes = [hello(role, &[TLS13]), side(role)].concat();
            let walk = walk(role, &bytes);
            assert_eq!(walk.fault(), None);
            assert!(walk.said_hello());
        }
    }

    #[test]
    fn each_fault_is_found() {
        let ok = || hello(Role::Client, &[TLS13]);
        let plain = |kind| record(HANDSHAKE, &[kind, 0, 0, 0]);
        let not_tls = |bytes: &[u8]| TlsFault::NotTls {
            bytes: bytes.to_vec(),
        };
        for (bytes, fault) in [
            (b"\0\0\0\x10\0\x12".to_vec(), not_tls(&[0, 0, 0, 16, 0])),
            (b"GET / HTTP/1.1".to_vec(), not_tls(b"GET /")),
            (vec![HANDSHAKE, 2], not_tls(&[HANDSHAKE, 2])),
            (hello(Role::Client, &[0x0303]), TlsFault::OtherVersion),
            (record(APPLICATION_DATA, &[1]), TlsFault::DataBeforeHello),
            (
                [ok(), plain(11)].concat(),
                TlsFault::PlainHandshake { kind: 11 },
            ),
            ([ok(), b"secret".to_vec()].concat(), not_tls(b"secre")),
            (
                [ok(), record(ALERT, &[0; 26])].concat(),
                not_tls(&[ALERT, 3, 3, 0, 26]),
            ),
            (
                [ok(), record(APPLICATION_DATA, &vec![0; MAX_RECORD + 1])].concat(),
                not_tls(&[APPLICATION_DATA, 3, 3, 0x41, 1]),
            ),
        ] {
            assert_eq!(walk(Role::Client, &bytes).fault(), Some(fault), "{bytes:?}");
        }
        let tls12 = walk(Role::Server, &hello(Role::Server, &[0x0303]));
        assert_eq!(tls12.fault(), Some(TlsFault::OtherVersion));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_are_cut(
            cuts in prop::collection::vec(1_usize..600, 1..20), server: bool,
        ) {
            let role = if server { Role::Server } else { Role::Client };
            let bytes = side(role);
            let mut walk = TlsWalk::new(role);
            let mut rest = bytes.as_slice();
            for cut in cuts.into_iter().cycle() {
                let (some, more) = rest.split_at(cut.min(rest.len()));
                walk.take(some);
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(walk.fault(), None);
            prop_assert!(walk.said_hello());
        }

        #[test]
        fn any_bytes_are_walked_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), whole: bool,
        ) {
            let body = if whole { record(HANDSHAKE, &bytes) } else { bytes };
            walk(Role::Client, &body);
            walk(Role::Server, &body);
        }
    }
}

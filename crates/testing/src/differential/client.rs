//! A client that sends exactly what it is told and shows exactly what comes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::value::{Budget, Struct, decode};
use tubeway_protocol::{Direction, Schemas};
use tubeway_session::sasl::{oauth_login, plain_login, read_authenticate, read_handshake};

/// Longest time until an answer comes. A broker takes this long only when it is stuck.
const PATIENCE: Duration = Duration::from_secs(20);
/// Trees of a trusted broker's answers may be this many times as large as what came.
const AMPLIFIES: usize = 64;
/// The client id of every request.
pub const CLIENT_ID: &str = "differential";

/// Where a client connects to, from where, and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// The broker, or what stands before it.
    pub address: SocketAddr,
    /// The address that the client's socket is bound to: the host that rules see.
    pub from: Ipv4Addr,
    /// How it logs in; not at all where the other end knows who it is.
    pub login: Option<Login>,
}

/// How a client logs in.
#[derive(Clone)]
pub enum Login {
    /// OAUTHBEARER with this token.
    Token(String),
    /// SASL/PLAIN with this name, which is the password as well.
    User(String),
}

/// A connection.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    next: i32,
}

/// What came for a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The whole frame without its length.
    pub frame: Bytes,
    /// Bytes of it that are the header.
    pub header: usize,
    /// What the rest says.
    pub body: Struct,
}

/// Why no answer came, or none that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The other end closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// Nothing came.
    #[error("no answer within {PATIENCE:?}")]
    Silent,
    /// The connection could not be made or used.
    #[error("could not {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The login was refused.
    #[error("the login was refused: {0}")]
    Login(String),
    /// The request cannot be written, or its answer cannot be read.
    #[error("{what}: {why}")]
    Malformed {
        /// The message.
        what: String,
        /// What is wrong.
        why: String,
    },
}

// === impl Target ===

impl Target {
    /// Whoever connects is taken for `ANONYMOUS`, a super user.
    pub fn open(address: SocketAddr) -> Self {
        Self {
            address,
            from: Ipv4Addr::LOCALHOST,
            login: None,
        }
    }

    /// The same, with a login.
    #[must_use]
    pub fn as_user(self, login: Login) -> Self {
        Self {
            login: Some(login),
            ..self
        }
    }

    /// The same, from another address of this machine.
    #[must_use]
    pub fn from(self, from: Ipv4Addr) -> Self {
        Self { from, ..self }
    }
}

// === impl RawClient ===

impl RawClient {
    /// Connects and logs in.
    pub async fn connect(target: &Target) -> Result<Self, ClientError> {
        let socket = TcpSocket::new_v4().map_err(failed("open a socket"))?;
        socket
            .bind((target.from, 0).into())
            .map_err(failed("bind the socket"))?;
        let stream = socket
            .connect(target.address)
            .await
            .map_err(failed("connect"))?;
        stream
            .set_nodelay(true)
            .map_err(failed("set TCP_NODELAY"))?;
        let mut client = Self { stream, next: 0 };
        if let Some(login) = &target.login {
            client.log_in(login).await?;
        }
        Ok(client)
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), ClientError> {
        let first = self.next;
        self.next += 2;
        let frames = match login {
            Login::Token(token) => oauth_login(token, first),
            Login::User(name) => plain_login(name, name, first),
        };
        self.write(&frames).await?;
        let refused = |error: &dyn std::fmt::Display| ClientError::Login(error.to_string());
        let handshake = self.read().await?.slice(4..);
        read_handshake(&handshake).map_err(|error| refused(&error))?;
        let authenticated = self.read().await?.slice(4..);
        read_authenticate(&authenticated).map_err(|error| refused(&error))?;
        Ok(())
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&mut self, request: &Struct) -> Result<Answer, ClientError> {
        let correlation_id = self.send(request).await?;
        let frame = self.read().await?;
        let layout = request.layout();
        let (api, version) = (layout.api(), layout.version());
        let malformed = |why: &dyn std::fmt::Display| ClientError::Malformed {
            what: format!("response of {api} v{version}"),
            why: why.to_string(),
        };
        let header = ResponseHeader::read(&frame, frame.len() as u32, api, version)
            .map_err(|error| malformed(&error))?
            .ok_or_else(|| malformed(&"no header"))?;
        if header.correlation_id != correlation_id {
            return Err(malformed(&"not the correlation id of the request"));
        }
        let layout = Schemas::get()
            .layout(api, version, Direction::Response)
            .map_err(|error| malformed(&error))?;
        let bytes = frame.slice(header.length..);
        let budget = Budget::bytes(1024 * 1024 + bytes.len() * AMPLIFIES);
        let body = decode(layout, &bytes, budget).map_err(|error| malformed(&error))?;
        Ok(Answer {
            frame,
            header: header.length,
            body,
        })
    }

    /// Sends a request and waits for nothing. Returns its correlation id.
    pub async fn send(&mut self, request: &Struct) -> Result<i32, ClientError> {
        let correlation_id = self.next;
        self.next += 1;
        let layout = request.layout();
        let (api, version) = (layout.api(), layout.version());
        let malformed = |why: &dyn std::fmt::Display| ClientError::Malformed {
            what: format!("request of {api} v{version}"),
            why: why.to_string(),
        };
        let header = RequestHeader {
            api,
            version,
            correlation_id,
            client_id: Some(CLIENT_ID),
            length: 0,
        };
        let mut frame = vec![0; 4];
        header
            .write(&mut frame)
            .map_err(|error| malformed(&error))?;
        request
            .encode(&mut frame)
            .map_err(|error| malformed(&error))?;
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.write(&frame).await?;
        Ok(correlation_id)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.stream.write_all(bytes).await.map_err(ended)
    }

    async fn read(&mut self) -> Result<Bytes, ClientError> {
        let frame = async {
            let length = self.stream.read_u32().await?;
            let mut frame = BytesMut::zeroed(length as usize);
            self.stream.read_exact(&mut frame).await?;
            Ok(frame.freeze())
        };
        match timeout(PATIENCE, frame).await {
            Ok(read) => read.map_err(ended),
            Err(_) => Err(ClientError::Silent),
        }
    }
}

/// Never shows the token.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::User(_) => "User",
        })
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ClientError {
    move |source| ClientError::Io { action, source }
}

/// A connection that is used and gone was closed by the other end.
fn ended(source: io::Error) -> ClientError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => ClientError::Closed,
        _ => ClientError::Io {
            action: "use the connection",
            source,
        },
    }
}

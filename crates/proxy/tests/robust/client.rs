//! A client that is nothing but frames over mutual TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tubeway_protocol::Direction;
use tubeway_protocol::header::ResponseHeader;
use tubeway_protocol::value::Struct;

use crate::wire::{Call, Request};

const MAX_FRAME: i32 = 256 * 1024 * 1024;

/// One connection.
pub struct Client {
    pub stream: TlsStream<TcpStream>,
    id: String,
    correlation_id: i32,
}

// === impl Client ===

impl Client {
    pub async fn connect(
        config: &Arc<ClientConfig>,
        address: SocketAddr,
        id: &str,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(address.ip().into());
        let connector = TlsConnector::from(config.clone());
        Ok(Self {
            stream: connector.connect(name, stream).await?,
            id: id.to_owned(),
            correlation_id: 0,
        })
    }

    /// Sends a request; its correlation id.
    pub async fn send(&mut self, request: &Request) -> io::Result<i32> {
        self.correlation_id += 1;
        let frame = request.frame(self.correlation_id, &self.id);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await?;
        Ok(self.correlation_id)
    }

    /// The next response; none where the sidecar has closed properly.
    pub async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        let mut length = [0; 4];
        if self.stream.read(&mut length[..1]).await? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut length[1..]).await?;
        let length = i32::from_be_bytes(length);
        if !(4..=MAX_FRAME).contains(&length) {
            return Err(io::Error::other(format!("a response of {length} bytes")));
        }
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await?;
        Ok(Some(frame.into()))
    }

    /// Sends a request and reads its answer.
    pub async fn call(&mut self, request: &Request) -> io::Result<Struct> {
        let sent = self.send(request).await?;
        let frame = self.receive().await?;
        let frame = frame.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        read_response(request.call, sent, &frame).map_err(io::Error::other)
    }
}

/// Reads a response, which must be the one to this request.
pub fn read_response(call: Call, correlation_id: i32, frame: &Bytes) -> Result<Struct, String> {
    let length = frame.len() as u32;
    let header = ResponseHeader::read(frame, length, call.api, call.version)
        .map_err(|e| e.to_string())?
        .ok_or("a response that ends within its header")?;
    if header.correlation_id != correlation_id {
        let got = header.correlation_id;
        return Err(format!("response {got} in the place of {correlation_id}"));
    }
    call.read(Direction::Response, &frame.slice(header.length..))
}

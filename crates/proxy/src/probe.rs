//! The probes that a pod runs inside its sidecar's container.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANSWER: Duration = Duration::from_secs(3);

/// Which question a probe asks.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Question {
    /// Has the sidecar an identity, its cluster, and its listeners?
    Started,
    /// Would it serve a connection now?
    Ready,
}

/// Asks the sidecar's admin port.
pub async fn ask(admin: SocketAddr, question: Question) -> Result<()> {
    let path = match question {
        Question::Started => "/started",
        Question::Ready => "/ready",
    };
    let status = tokio::time::timeout(ANSWER, async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET {path} HTTP/1.0\r\nhost: {admin}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        anyhow::Ok(String::from_utf8_lossy(&status).into_owned())
    })
    .await??;
    if !status.ends_with(" 200") {
        bail!("not {question:?} yet");
    }
    Ok(())
}

//! A running `tcpdump`.

use std::fs::File;
use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader as AsyncBufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};

use super::{CaptureError, Evidence, failed};
use crate::tools::Tools;

/// What is said on the wire to see that the capture has come so far.
const SENTINEL: &[u8; 32] = b"tubeway: the capture ends here: ";
/// Longest time that tcpdump may lag behind; a second is what the kernel buffers.
const LAG: Duration = Duration::from_secs(30);
/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running `tcpdump` on the loopback interface; killed when it is dropped.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Child,
    stderr: Lines<AsyncBufReader<ChildStderr>>,
    file: File,
    /// A listener of our own, captured with the others. Packets are captured in
    /// order: when something said to it has arrived, all before it has.
    sentinel: TcpListener,
}

// === impl Capture ===

impl Capture {
    /// Starts to capture what goes to and from these listeners (an unspecified
    /// address stands for all), and waits until it does.
    pub async fn start(tools: &Tools, listeners: &[SocketAddr]) -> Result<Self, CaptureError> {
        let file = tempfile::tempfile().map_err(failed("make a temporary file"))?;
        let output = file.try_clone().map_err(failed("share the capture file"))?;
        let sentinel = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed("listen"))?;
        let own = sentinel.local_addr().map_err(failed("listen"))?;
        let mut tcpdump = Command::new(tools.tcpdump()?)
            // 64 MB of buffer: a loaded machine must not cost packets.
            .args(["-i", "lo", "-n", "-B", "65536", "-U", "-w", "-"])
            .arg(filter(&[listeners, &[own]].concat()))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed("start tcpdump"))?;
        let Some(stderr) = tcpdump.stderr.take() else {
            unreachable!("it is piped");
        };
        let mut capture = Self {
            tcpdump,
            stderr: AsyncBufReader::new(stderr).lines(),
            file,
            sentinel,
        };
        capture.wait_until_it_listens().await?;
        Ok(capture)
    }

    async fn wait_until_it_listens(&mut self) -> Result<(), CaptureError> {
        let mut said = Vec::new();
        while let Some(line) = self.line().await? {
            if line.contains("listening on") {
                return Ok(());
            }
            said.push(line);
        }
        let said = said.join(" ");
        if said.contains("permission") || said.contains("Operation not permitted") {
            return Err(CaptureError::NotPermitted(said));
        }
        Err(CaptureError::Ended(said))
    }

    async fn line(&mut self) -> Result<Option<String>, CaptureError> {
        let line = self.stderr.next_line().await;
        line.map_err(failed("read what tcpdump says"))
    }

    /// Ends the capture and looks at it. A packet that was not captured is an error.
    ///
    /// `markers` are what must not be readable.
    pub async fn stop(mut self, markers: &[&str]) -> Result<Evidence, CaptureError> {
        self.catch_up().await?;
        let pid = self.tcpdump.id().and_then(|id| Pid::from_raw(id as i32));
        if let Some(pid) = pid {
            kill_process(pid, Signal::INT).map_err(|errno| failed("stop tcpdump")(errno.into()))?;
        }
        while let Some(line) = self.line().await? {
            if line.contains("dropped by kernel") && !line.starts_with("0 ") {
                return Err(CaptureError::Dropped(line));
            }
        }
        let status = self.tcpdump.wait().await;
        let status = status.map_err(failed("wait for tcpdump"))?;
        if !status.success() {
            return Err(CaptureError::Ended(status.to_string()));
        }
        let own = self.sentinel.local_addr().map_err(failed("listen"))?;
        let from_its_start = FromStart {
            file: &self.file,
            at: 0,
        };
        let mut evidence = Evidence::read(BufReader::new(from_its_start), markers)?;
        evidence.connections.retain(|one| one.server != own);
        evidence.bytes = evidence.bytes.saturating_sub(SENTINEL.len() as u64);
        Ok(evidence)
    }

    /// Waits until all that was on the wire until now is in the file.
    async fn catch_up(&self) -> Result<(), CaptureError> {
        let own = self.sentinel.local_addr().map_err(failed("listen"))?;
        let mut stream = TcpStream::connect(own)
            .await
            .map_err(failed("connect to ourselves"))?;
        let said = stream.write_all(SENTINEL).await;
        said.map_err(failed("talk to ourselves"))?;

        let deadline = Instant::now() + LAG;
        let mut at = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self.file.read_at(&mut buffer, at);
            let read = read.map_err(failed("read the capture"))?;
            if memmem::find(&buffer[..read], SENTINEL).is_some() {
                return Ok(());
            }
            // What is searched next begins with what may be its first part.
            at += read.saturating_sub(SENTINEL.len()) as u64;
            if read < buffer.len() {
                if Instant::now() > deadline {
                    return Err(CaptureError::Behind);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// A file, read from its start whatever its position, which tcpdump shares.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

// === impl FromStart ===

impl std::io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The listeners as a capture filter.
fn filter(listeners: &[SocketAddr]) -> String {
    let one = |listener: &SocketAddr| match (listener.ip(), listener.port()) {
        (ip, port) if ip.is_unspecified() => format!("port {port}"),
        (ip, port) => format!("(host {ip} and port {port})"),
    };
    let all: Vec<_> = listeners.iter().map(one).collect();
    format!("tcp and ({})", all.join(" or "))
}

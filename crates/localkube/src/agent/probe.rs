//! Probes: one check of a container, and the thresholds that make a verdict of many.

use super::env::{EnvError, Launch};
use super::process::Process;
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// When a probe runs and how many results in a row make a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    timeout: Duration,
    success: u32,
    failure: u32,
}

/// Results in a row.
#[derive(Debug, Clone)]
pub(crate) struct Streak {
    schedule: Schedule,
    last: Option<bool>,
    length: u32,
}

/// A check that did not succeed; the text is for the owner of the pod.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeFailure {
    #[error("timed out after {}s", after.as_secs_f32())]
    Timeout { after: Duration },
    #[error("{0}")]
    Command(#[from] EnvError),
    #[error("command exited with code {code}: {output}")]
    Exit { code: i32, output: String },
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("HTTP probe failed with statuscode: {0}")]
    Status(u16),
    #[error("the probe is not valid: {0}")]
    Invalid(String),
    #[error("{0} probes are not run by this agent; use exec, httpGet over HTTP or tcpSocket")]
    Unsupported(&'static str),
}

/// Output of a probe that is shown when it fails.
const SHOWN_OUTPUT: usize = 1024;

// === impl Schedule ===

impl Schedule {
    pub(crate) fn of(probe: &Probe) -> Self {
        let seconds = |value: Option<i32>, default: u64, least: u64| {
            let given = value.and_then(|value| u64::try_from(value).ok());
            Duration::from_secs(given.filter(|value| *value >= least).unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            let given = value.and_then(|value| u32::try_from(value).ok());
            given.filter(|value| *value > 0).unwrap_or(default)
        };
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0, 0),
            period: seconds(probe.period_seconds, 10, 1),
            timeout: seconds(probe.timeout_seconds, 1, 1),
            success: count(probe.success_threshold, 1),
            failure: count(probe.failure_threshold, 3),
        }
    }
}

// === impl Streak ===

impl Streak {
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            last: None,
            length: 0,
        }
    }

    /// Takes a result; the verdict when enough of the same came in a row.
    pub(crate) fn add(&mut self, success: bool) -> Option<bool> {
        if self.last != Some(success) {
            self.last = Some(success);
            self.length = 0;
        }
        self.length = self.length.saturating_add(1);
        let needed = if success {
            self.schedule.success
        } else {
            self.schedule.failure
        };
        (self.length >= needed).then_some(success)
    }
}

/// Runs one check within the probe's timeout. `command` prepares a command of the container.
pub(crate) async fn check(
    probe: &Probe,
    container: &Container,
    pod_ip: Ipv4Addr,
    command: impl Fn(&[String]) -> Result<Launch, EnvError>,
) -> Result<(), ProbeFailure> {
    let after = Schedule::of(probe).timeout;
    let checked = async {
        if let Some(exec) = &probe.exec {
            let words = exec.command.as_deref().unwrap_or_default();
            run(&command(words)?).await
        } else if let Some(get) = &probe.http_get {
            http_get(get, container, pod_ip).await
        } else if let Some(tcp) = &probe.tcp_socket {
            let port = port(&tcp.port, container)?;
            connect(tcp.host.as_deref(), pod_ip, port).await.map(drop)
        } else if probe.grpc.is_some() {
            Err(ProbeFailure::Unsupported("grpc"))
        } else {
            Err(ProbeFailure::Invalid("it has no handler".to_owned()))
        }
    };
    match tokio::time::timeout(after, checked).await {
        Ok(result) => result,
        Err(_) => Err(ProbeFailure::Timeout { after }),
    }
}

/// Runs a command to its end; dropping the future kills it.
pub(crate) async fn run(launch: &Launch) -> Result<(), ProbeFailure> {
    let (mut process, mut output) = Process::start(launch)?;
    let mut shown = Vec::new();
    let collect = async {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = output.read(&mut buffer).await {
            let room = SHOWN_OUTPUT.saturating_sub(shown.len());
            shown.extend_from_slice(&buffer[..read.min(room)]);
        }
    };
    let (exit, ()) = tokio::join!(process.exit(), collect);
    match exit?.code {
        0 => Ok(()),
        code => Err(ProbeFailure::Exit {
            code,
            output: String::from_utf8_lossy(&shown).trim().to_owned(),
        }),
    }
}

async fn http_get(
    get: &HTTPGetAction,
    container: &Container,
    pod_ip: Ipv4Addr,
) -> Result<(), ProbeFailure> {
    if get
        .scheme
        .as_deref()
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    {
        return Err(ProbeFailure::Unsupported("HTTPS"));
    }
    let port = port(&get.port, container)?;
    let path = get
        .path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/");
    let host = match get.host.as_deref().filter(|host| !host.is_empty()) {
        Some(host) => host.to_owned(),
        None => pod_ip.to_string(),
    };
    let mut request = Request::get(format!("/{}", path.trim_start_matches('/')))
        .header(http::header::USER_AGENT, "kube-probe/tubeway")
        .header(http::header::ACCEPT, "*/*");
    let headers = get.http_headers.as_deref().unwrap_or_default();
    if !headers
        .iter()
        .any(|header| header.name.eq_ignore_ascii_case("host"))
    {
        request = request.header(http::header::HOST, format!("{host}:{port}"));
    }
    for header in headers {
        request = request.header(&header.name, &header.value);
    }
    let request = request
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| ProbeFailure::Invalid(error.to_string()))?;
    let stream = connect(get.host.as_deref(), pod_ip, port).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let response = async {
        let status = sender.send_request(request).await?.status().as_u16();
        if (200..400).contains(&status) {
            Ok(())
        } else {
            Err(ProbeFailure::Status(status))
        }
    };
    let mut response = std::pin::pin!(response);
    tokio::select! {
        result = &mut response => result,
        ended = connection => match ended {
            Err(error) => Err(error.into()),
            Ok(()) => response.await,
        },
    }
}

async fn connect(
    host: Option<&str>,
    pod_ip: Ipv4Addr,
    port: u16,
) -> Result<TcpStream, ProbeFailure> {
    Ok(match host.filter(|host| !host.is_empty()) {
        Some(host) => TcpStream::connect((host, port)).await?,
        None => TcpStream::connect((pod_ip, port)).await?,
    })
}

fn port(port: &IntOrString, container: &Container) -> Result<u16, ProbeFailure> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| ProbeFailure::Invalid(format!("there is no port {port:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    fn probe(value: serde_json::Value) -> Probe {
        serde_json::from_value(value).unwrap()
    }

    async fn checked(value: serde_json::Value, ports: serde_json::Value) -> Result<(), String> {
        let container: Container =
            serde_json::from_value(json!({"name": "c", "ports": ports})).unwrap();
        let shell = |words: &[String]| {
            Ok(Launch {
                program: words[0].clone().into(),
                args: words[1..].to_vec(),
                env: [].into(),
                cwd: "/".into(),
            })
        };
        let result = check(&probe(value), &container, Ipv4Addr::LOCALHOST, shell).await;
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn verdicts_need_a_streak() {
        let thresholds = json!({"failureThreshold": 2, "successThreshold": 2});
        let mut streak = Streak::new(Schedule::of(&probe(thresholds)));
        let verdicts: Vec<_> = [true, true, true, false, true, false, false]
            .map(|result| streak.add(result))
            .into();
        let yes = Some(true);
        assert_eq!(verdicts, [None, yes, yes, None, None, None, Some(false)]);
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let schedule = Schedule::of(&Probe::default());
        assert_eq!(schedule.period.as_secs(), 10);
        assert_eq!(schedule.timeout.as_secs(), 1);
        assert_eq!((schedule.success, schedule.failure), (1, 3));
    }

    #[tokio::test]
    async fn exec() {
        let sh = |script: &str| json!({"exec": {"command": ["/bin/sh", "-c", script]}});
        assert_eq!(checked(sh("exit 0"), json!([])).await, Ok(()));
        let failed = checked(sh("echo no; exit 7"), json!([])).await.unwrap_err();
        assert_eq!(failed, "command exited with code 7: no");
        let timeout = checked(sh("sleep 100 & sleep 100"), json!([]))
            .await
            .unwrap_err();
        assert_eq!(timeout, "timed out after 1s");
    }

    #[tokio::test]
    async fn tcp_by_number_and_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ports = json!([{"name": "kafka", "containerPort": port}]);
        let by = |port: serde_json::Value| json!({"tcpSocket": {"port": port}});
        assert_eq!(checked(by(port.into()), json!([])).await, Ok(()));
        assert_eq!(checked(by("kafka".into()), ports.clone()).await, Ok(()));
        assert!(checked(by("other".into()), ports).await.is_err());
        drop(listener);
        assert!(checked(by(port.into()), json!([])).await.is_err());
    }

    #[tokio::test]
    async fn http_status_decides() {
        for (status, healthy) in [("200 OK", true), ("302 Found", true), ("503 Busy", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                String::from_utf8_lossy(&request[..read]).into_owned()
            };
            let headers = json!([{"name": "x-probe", "value": "1"}]);
            let get = json!({"path": "live", "port": port, "httpHeaders": headers});
            let probe = checked(json!({"httpGet": get}), json!([]));
            let (request, result) = tokio::join!(serve, probe);
            assert!(request.starts_with("GET /live HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("x-probe: 1"), "{request}");
            assert_eq!(result.is_ok(), healthy, "{status}: {result:?}");
        }
    }
}

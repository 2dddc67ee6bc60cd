//! A real Kubernetes control plane for tests: etcd, kube-apiserver and
//! kube-controller-manager on loopback, with nothing that runs pods.
//!
//! What a test sees is what any cluster does: RBAC, Pod Security admission, the
//! garbage collector, namespaces that end, tokens of service accounts. The
//! programs are those that `scripts/setup-kubernetes` has built.

mod pki;
mod ports;
mod process;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;
use tokio::process::Command;

use pki::Pki;
use ports::Reserved;
use process::Process;

/// Variable that names another folder for the programs than `target/tools/kubernetes`.
pub const FOLDER_VARIABLE: &str = "TUBEWAY_KUBERNETES";
/// Longest time until each program is ready; two seconds is usual.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks at a program that is not ready yet.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Addresses of services; nothing routes them.
const SERVICES: &str = "10.96.0.0/16";
/// Issuer of service-account tokens, and their audience.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A running control plane with its data in a temporary folder. Dropping it
/// kills it; it also ends when this process does, however that ends. If the
/// thread is panicking at the drop, the ends of its logs go to standard error.
#[derive(Debug)]
pub struct ControlPlane {
    // The order is that of ending: nobody should miss what it writes to.
    controllers: Option<Process>,
    api_server: Process,
    etcd: Process,
    programs: Programs,
    url: String,
    kubeconfig: String,
    folder: TempDir,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

/// Why a control plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// A program has not been built.
    #[error("{program} is not in {folder}; build it with scripts/setup-kubernetes")]
    Missing {
        /// The program.
        program: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file, a port or a process could not be had.
    #[error("could not {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A key or a certificate could not be made.
    #[error("could not make keys and certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The administrator's kubeconfig cannot be used.
    #[error("could not make a client of the administrator's kubeconfig: {0}")]
    Client(String),
    /// A program ended before it was ready.
    #[error("{program} ended with {status}; its log ends:\n{log}")]
    Ended {
        /// Which.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        log: String,
    },
    /// A program is not ready in time.
    #[error("{program} was not ready within {START_TIMEOUT:?} ({last}); its log ends:\n{log}")]
    Silent {
        /// Which.
        program: &'static str,
        /// What the last look found.
        last: String,
        /// The last lines it wrote.
        log: String,
    },
}

// === impl Programs ===

impl Programs {
    /// Those that were built, or which one was not. Looks into the folder that
    /// [`FOLDER_VARIABLE`] names, else into the workspace's `target/tools/kubernetes`.
    pub fn find() -> Result<Self, ControlPlaneError> {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/kubernetes");
        let folder = std::env::var_os(FOLDER_VARIABLE).map_or(built, PathBuf::from);
        Self::in_folder(&folder)
    }

    /// Those of `folder`.
    pub fn in_folder(folder: &Path) -> Result<Self, ControlPlaneError> {
        let all = [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kubectl",
        ];
        match all.into_iter().find(|name| !folder.join(name).is_file()) {
            None => Ok(Self {
                folder: folder.into(),
            }),
            Some(program) => Err(ControlPlaneError::Missing {
                program,
                folder: fs::canonicalize(folder).unwrap_or_else(|_| folder.into()),
            }),
        }
    }

    /// The file of one of them.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts one. When this returns, the API is ready and the controllers work:
    /// the namespace `default` has its service account.
    pub async fn start() -> Result<Self, ControlPlaneError> {
        let programs = Programs::find()?;
        let folder = tempfile::Builder::new()
            .prefix("tubeway-kubernetes-")
            .tempdir()
            .map_err(failed("make a temporary folder"))?;
        let reserve = || Reserved::new().map_err(failed("reserve a port"));
        let (store, peers, secure) = (reserve()?, reserve()?, reserve()?);
        let pki = Pki::write(folder.path())?;
        let url = format!("https://127.0.0.1:{}", secure.port());
        let kubeconfig = pki.kubeconfig(&url, "kubernetes-admin", Some("system:masters"))?;
        fs::write(folder.path().join("admin.kubeconfig"), &kubeconfig)
            .map_err(failed("write the administrator's kubeconfig"))?;
        let etcd = etcd(&programs, folder.path(), store.port(), peers.port())?;
        let api_server = api_server(&programs, folder.path(), store.port(), secure.port())?;
        let mut plane = Self {
            controllers: None,
            api_server,
            etcd,
            programs,
            url,
            kubeconfig,
            folder,
        };
        plane.wait_until_ready(&pki).await?;
        Ok(plane)
    }

    /// `https://127.0.0.1:port`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A kubeconfig whose user may do everything, by client certificate.
    pub fn admin_kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// A client of the administrator.
    pub async fn admin(&self) -> Result<Client, ControlPlaneError> {
        client(&self.kubeconfig).await
    }

    /// Its folder: `admin.kubeconfig`, `ca.crt`, and each program's log, as in `etcd.log`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A kubectl of the same release for the administrator, killed when it is dropped.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.programs.path("kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.folder.path().join("admin.kubeconfig"))
            .kill_on_drop(true);
        command
    }

    /// The ends of all logs, each under its program's name.
    pub fn log_ends(&self) -> String {
        let all = [
            Some(&self.etcd),
            Some(&self.api_server),
            self.controllers.as_ref(),
        ];
        let ends = all.into_iter().flatten();
        let ends: Vec<String> = ends
            .map(|process| format!("--- {}:\n{}", process.name(), process.log_end()))
            .collect();
        ends.join("\n")
    }

    async fn wait_until_ready(&mut self, pki: &Pki) -> Result<(), ControlPlaneError> {
        let admin = self.admin().await?;
        wait_for(&mut [&mut self.etcd, &mut self.api_server], || {
            get(&admin, "/readyz")
        })
        .await?;
        let controllers = controllers(&self.programs, self.folder.path(), pki, &self.url)?;
        let controllers = self.controllers.insert(controllers);
        wait_for(&mut [&mut self.api_server, controllers], || {
            get(&admin, "/api/v1/namespaces/default/serviceaccounts/default")
        })
        .await
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the control plane's logs end:\n{}", self.log_ends());
        }
    }
}

/// Waits until `look` succeeds, which the last of `processes` should make it.
async fn wait_for<F: Future<Output = Result<(), String>>>(
    processes: &mut [&mut Process],
    mut look: impl FnMut() -> F,
) -> Result<(), ControlPlaneError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let Err(last) = look().await else {
            return Ok(());
        };
        for process in &mut *processes {
            let ended = process.ended().map_err(failed("wait for a program"))?;
            if let Some(status) = ended {
                return Err(ControlPlaneError::Ended {
                    program: process.name(),
                    status,
                    log: process.log_end(),
                });
            }
        }
        if let Some(process) = processes.last().filter(|_| Instant::now() > deadline) {
            return Err(ControlPlaneError::Silent {
                program: process.name(),
                last,
                log: process.log_end(),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn get(client: &Client, path: &str) -> Result<(), String> {
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    let answer = client.request_text(request).await;
    answer.map(drop).map_err(|error| error.to_string())
}

/// A client of whoever `kubeconfig` is for. It asks once: a refusal is an answer.
async fn client(kubeconfig: &str) -> Result<Client, ControlPlaneError> {
    let broken = |error: &dyn std::error::Error| ControlPlaneError::Client(error.to_string());
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).map_err(|error| broken(&error))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| broken(&error))?;
    config.default_retry = false;
    Client::try_from(config).map_err(|error| broken(&error))
}

fn etcd(
    programs: &Programs,
    folder: &Path,
    port: u16,
    peer_port: u16,
) -> Result<Process, ControlPlaneError> {
    let url = format!("http://127.0.0.1:{port}");
    let peers = format!("http://127.0.0.1:{peer_port}");
    let options = [
        ("name", "test".into()),
        ("data-dir", folder.join("etcd").display().to_string()),
        ("listen-client-urls", url.clone()),
        ("advertise-client-urls", url),
        ("listen-peer-urls", peers.clone()),
        ("initial-advertise-peer-urls", peers.clone()),
        ("initial-cluster", format!("test={peers}")),
        ("socket-reuse-port", "true".into()),
        // It need not outlive a power cut.
        ("unsafe-no-fsync", "true".into()),
        ("log-level", "warn".into()),
    ];
    start(programs, folder, "etcd", &options)
}

fn api_server(
    programs: &Programs,
    folder: &Path,
    store_port: u16,
    port: u16,
) -> Result<Process, ControlPlaneError> {
    let file = |name: &str| folder.join(name).display().to_string();
    let options = [
        ("etcd-servers", format!("http://127.0.0.1:{store_port}")),
        ("bind-address", "127.0.0.1".into()),
        ("secure-port", port.to_string()),
        ("permit-port-sharing", "true".into()),
        // Without pods nobody looks for the API behind its service.
        ("advertise-address", "127.0.0.1".into()),
        ("endpoint-reconciler-type", "none".into()),
        ("tls-cert-file", file("apiserver.crt")),
        ("tls-private-key-file", file("apiserver.key")),
        ("client-ca-file", file("ca.crt")),
        ("service-account-issuer", ISSUER.into()),
        ("service-account-key-file", file("accounts.pub")),
        ("service-account-signing-key-file", file("accounts.key")),
        ("service-cluster-ip-range", SERVICES.into()),
        ("authorization-mode", "Node,RBAC".into()),
        (
            "enable-admission-plugins",
            "NodeRestriction,PodSecurity".into(),
        ),
        ("allow-privileged", "true".into()),
        ("profiling", "false".into()),
    ];
    start(programs, folder, "kube-apiserver", &options)
}

fn controllers(
    programs: &Programs,
    folder: &Path,
    pki: &Pki,
    url: &str,
) -> Result<Process, ControlPlaneError> {
    let name = "kube-controller-manager";
    let kubeconfig = folder.join("controllers.kubeconfig");
    fs::write(
        &kubeconfig,
        pki.kubeconfig(url, &format!("system:{name}"), None)?,
    )
    .map_err(failed("write the controllers' kubeconfig"))?;
    let file = |name: &str| folder.join(name).display().to_string();
    let options = [
        ("kubeconfig", kubeconfig.display().to_string()),
        // It serves nothing that a test asks for.
        ("secure-port", "0".into()),
        ("leader-elect", "false".into()),
        ("use-service-account-credentials", "true".into()),
        ("kube-api-qps", "500".into()),
        ("kube-api-burst", "1000".into()),
        ("service-account-private-key-file", file("accounts.key")),
        ("root-ca-file", file("ca.crt")),
    ];
    start(programs, folder, name, &options)
}

fn start(
    programs: &Programs,
    folder: &Path,
    program: &'static str,
    options: &[(&str, String)],
) -> Result<Process, ControlPlaneError> {
    let arguments = options
        .iter()
        .map(|(name, value)| format!("--{name}={value}"));
    let log = folder.join(format!("{program}.log"));
    Process::start(program, &programs.path(program), arguments, log)
        .map_err(failed("start a program of the control plane"))
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ControlPlaneError {
    move |source| ControlPlaneError::Io { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_script_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("etcd"), "").unwrap();
        let error = Programs::in_folder(folder.path()).unwrap_err().to_string();
        let expected = "kube-apiserver is not in ";
        assert!(error.starts_with(expected), "{error}");
        assert!(
            error.ends_with("build it with scripts/setup-kubernetes"),
            "{error}"
        );
    }
}

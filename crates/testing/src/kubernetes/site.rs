//! Where the programs of a control plane run, how each is started, and how to
//! see that it works.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::process::Command;

use super::pki::Pki;
use super::process::Process;
use super::{ControlPlaneError, Programs, START_TIMEOUT, failed};

/// Between two looks at a program that is not ready yet.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Addresses of services; without a node nothing routes them.
const SERVICES: &str = "10.96.0.0/16";
/// Issuer of service-account tokens, and their audience.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Certificate and key with which the API server asks a kubelet.
pub(super) const KUBELET_CLIENT: &str = "apiserver-kubelet";

/// Where the programs run.
#[derive(Debug)]
pub(super) struct Site {
    programs: Programs,
    folder: PathBuf,
    address: Ipv4Addr,
    ports: Ports,
    url: String,
    /// The process in whose namespaces they run, if not in this one's.
    inside: Option<u32>,
}

/// Their ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    /// etcd's for clients.
    pub store: u16,
    /// etcd's for its peers.
    pub peers: u16,
    /// The API server's.
    pub secure: u16,
}

// === impl Site ===

impl Site {
    /// In this process's namespaces, with the API server at `address`.
    pub(super) fn new(programs: Programs, folder: &Path, address: Ipv4Addr, ports: Ports) -> Self {
        Self {
            programs,
            folder: folder.to_owned(),
            address,
            ports,
            url: format!("https://{address}:{}", ports.secure),
            inside: None,
        }
    }

    /// From now on in the namespaces of this process.
    pub(super) fn move_into(&mut self, process: u32) {
        self.inside = Some(process);
    }

    /// Where the API is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A file of this name in the folder.
    pub(super) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// One of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.path(name)
    }

    /// Writes the administrator's kubeconfig and returns it.
    pub(super) fn write_admin(&self, pki: &Pki) -> Result<String, ControlPlaneError> {
        let group = Some("system:masters");
        self.write_kubeconfig(pki, "admin", "kubernetes-admin", group)
    }

    /// Writes `<name>.kubeconfig` for a user and returns it.
    pub(super) fn write_kubeconfig(
        &self,
        pki: &Pki,
        name: &str,
        user: &str,
        group: Option<&str>,
    ) -> Result<String, ControlPlaneError> {
        let text = pki.kubeconfig(&self.url, user, group)?;
        fs::write(self.file(&format!("{name}.kubeconfig")), &text)
            .map_err(failed("write a kubeconfig"))?;
        Ok(text)
    }

    /// A kubectl for the administrator, killed when it is dropped.
    pub(super) fn kubectl(&self) -> Command {
        let mut command = Command::new(self.program("kubectl"));
        command
            .args(["--kubeconfig", &self.file("admin.kubeconfig")])
            .kill_on_drop(true);
        command
    }

    /// Starts etcd.
    pub(super) fn etcd(&self) -> Result<Process, ControlPlaneError> {
        let url = format!("http://127.0.0.1:{}", self.ports.store);
        let peers = format!("http://127.0.0.1:{}", self.ports.peers);
        let options = [
            ("name", "test".into()),
            ("data-dir", self.file("etcd")),
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
        self.start("etcd", &options)
    }

    /// Starts the API server.
    pub(super) fn api_server(&self) -> Result<Process, ControlPlaneError> {
        let store = format!("http://127.0.0.1:{}", self.ports.store);
        let mut options = vec![
            ("etcd-servers", store),
            ("bind-address", self.address.to_string()),
            ("secure-port", self.ports.secure.to_string()),
            ("permit-port-sharing", "true".into()),
            ("advertise-address", self.address.to_string()),
            ("tls-cert-file", self.file("apiserver.crt")),
            ("tls-private-key-file", self.file("apiserver.key")),
            ("client-ca-file", self.file("ca.crt")),
            ("service-account-issuer", ISSUER.into()),
            ("service-account-key-file", self.file("accounts.pub")),
            (
                "service-account-signing-key-file",
                self.file("accounts.key"),
            ),
            ("service-cluster-ip-range", SERVICES.into()),
            ("authorization-mode", "Node,RBAC".into()),
            (
                "enable-admission-plugins",
                "NodeRestriction,PodSecurity".into(),
            ),
            ("allow-privileged", "true".into()),
            ("profiling", "false".into()),
        ];
        if self.inside.is_some() {
            let file = |extension: &str| self.file(&format!("{KUBELET_CLIENT}.{extension}"));
            options.extend([
                ("kubelet-client-certificate", file("crt")),
                ("kubelet-client-key", file("key")),
                ("kubelet-preferred-address-types", "InternalIP".into()),
            ]);
        } else {
            // Without pods nobody looks for the API behind its service.
            options.push(("endpoint-reconciler-type", "none".into()));
        }
        self.start("kube-apiserver", &options)
    }

    /// Starts the controllers.
    pub(super) fn controllers(&self, pki: &Pki) -> Result<Process, ControlPlaneError> {
        let name = "kube-controller-manager";
        self.write_kubeconfig(pki, "controllers", &format!("system:{name}"), None)?;
        let options = [
            ("kubeconfig", self.file("controllers.kubeconfig")),
            // It serves nothing that a test asks for.
            ("secure-port", "0".into()),
            ("leader-elect", "false".into()),
            ("use-service-account-credentials", "true".into()),
            ("kube-api-qps", "500".into()),
            ("kube-api-burst", "1000".into()),
            (
                "service-account-private-key-file",
                self.file("accounts.key"),
            ),
            ("root-ca-file", self.file("ca.crt")),
        ];
        self.start(name, &options)
    }

    /// Starts one of the programs with these options; its log is `<program>.log`.
    pub(super) fn start(
        &self,
        program: &'static str,
        options: &[(&str, String)],
    ) -> Result<Process, ControlPlaneError> {
        let path = self.program(program);
        let options = options.iter();
        let options = options.map(|(name, value)| format!("--{name}={value}"));
        self.start_path(program, &path, options.collect())
    }

    /// Starts the program at `path`.
    pub(super) fn start_path(
        &self,
        name: &'static str,
        path: &Path,
        arguments: Vec<String>,
    ) -> Result<Process, ControlPlaneError> {
        let log = self.folder.join(format!("{name}.log"));
        let started = match self.inside {
            None => Process::start(name, path, arguments.into_iter(), log),
            Some(process) => {
                let before = enter(process)
                    .into_iter()
                    .chain([path.display().to_string()]);
                let all = before.chain(arguments);
                Process::start(name, Path::new("nsenter"), all, log)
            }
        };
        started.map_err(failed("start a program of the cluster"))
    }

    /// A command in the namespaces where the programs run.
    pub(super) fn command(&self, program: &str) -> Command {
        let Some(process) = self.inside else {
            return Command::new(program);
        };
        let mut command = Command::new("nsenter");
        command.args(enter(process)).arg(program);
        command
    }
}

/// The arguments by which nsenter goes into the namespaces of a process.
fn enter(process: u32) -> Vec<String> {
    let target = process.to_string();
    let all = ["--target", &target, "--mount", "--net", "--pid", "--"];
    all.map(str::to_owned).to_vec()
}

/// Waits until the API answers.
pub(super) async fn wait_for_api(
    admin: &Client,
    etcd: &mut Process,
    api_server: &mut Process,
) -> Result<(), ControlPlaneError> {
    wait_for(&mut [etcd, api_server], || get(admin, "/readyz")).await
}

/// Waits until the controllers have made the first service account.
pub(super) async fn wait_for_controllers(
    admin: &Client,
    api_server: &mut Process,
    controllers: &mut Process,
) -> Result<(), ControlPlaneError> {
    wait_for(&mut [api_server, controllers], || {
        get(admin, "/api/v1/namespaces/default/serviceaccounts/default")
    })
    .await
}

/// Waits until `look` succeeds, which the last of `processes` should make it.
pub(super) async fn wait_for<F: Future<Output = Result<(), String>>>(
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
pub(super) async fn client(kubeconfig: &str) -> Result<Client, ControlPlaneError> {
    let broken = |error: &dyn std::error::Error| ControlPlaneError::Client(error.to_string());
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).map_err(|error| broken(&error))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| broken(&error))?;
    config.default_retry = false;
    Client::try_from(config).map_err(|error| broken(&error))
}

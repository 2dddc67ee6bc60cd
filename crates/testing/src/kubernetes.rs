//! A real Kubernetes for tests: a control plane, or a whole node.
//!
//! A [`ControlPlane`] is etcd, kube-apiserver and kube-controller-manager on
//! loopback, with nothing that runs pods. What a test sees is what any cluster
//! does: RBAC, Pod Security admission, the garbage collector, namespaces that
//! end, tokens of service accounts. A [`Node`] runs pods too, and needs root.
//!
//! The programs are those that `scripts/setup-kubernetes` has built.

pub mod istio;
mod node;
mod pki;
mod ports;
mod process;
mod site;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use kube::Client;
use tempfile::TempDir;
use tokio::process::Command;

pub use node::Node;
use pki::Pki;
use ports::Reserved;
use process::Process;
use site::{Ports, Site};

/// Variable that names another folder for the programs than `target/tools/kubernetes`.
pub const FOLDER_VARIABLE: &str = "TUBEWAY_KUBERNETES";
/// Longest time until each program is ready; two seconds is usual.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// What a control plane consists of, and how to talk to it.
const OF_CONTROL_PLANE: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kubectl",
];
/// What a node needs besides, that is built.
const OF_NODE: [&str; 5] = [
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns.tar",
    "pause.tar",
];

/// A running control plane with its data in a temporary folder. Dropping it
/// kills it; it also ends when this process does, however that ends. If the
/// thread is panicking at the drop, the ends of its logs go to standard error.
#[derive(Debug)]
pub struct ControlPlane {
    // The order is that of ending: nobody should miss what it writes to.
    controllers: Option<Process>,
    api_server: Process,
    etcd: Process,
    site: Site,
    kubeconfig: String,
    folder: TempDir,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

/// Why a control plane or a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// A program has not been built.
    #[error("{program} is not in {folder}; build it with scripts/setup-kubernetes --node")]
    Missing {
        /// The program.
        program: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Istio has not been built.
    #[error("istiod is not in {folder}; build it with scripts/setup-istio")]
    MissingIstio {
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
    /// A node needs root.
    #[error(
        "a node needs root, for namespaces, mounts and containers of its own: \
         run the tests as root, as in: sudo --preserve-env make e2e"
    )]
    NotRoot,
    /// A command that sets something up failed.
    #[error("{command} ended with {status}: {said}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
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
    /// Those of a control plane, or which one was not built. Looks into the folder that
    /// [`FOLDER_VARIABLE`] names, else into the workspace's `target/tools/kubernetes`.
    pub fn find() -> Result<Self, ControlPlaneError> {
        Self::in_folder(&Self::folder(), &OF_CONTROL_PLANE)
    }

    /// Those of a node, too.
    pub(crate) fn find_with_node() -> Result<Self, ControlPlaneError> {
        let all = [&OF_CONTROL_PLANE[..], &OF_NODE].concat();
        Self::in_folder(&Self::folder(), &all)
    }

    fn folder() -> PathBuf {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/kubernetes");
        std::env::var_os(FOLDER_VARIABLE).map_or(built, PathBuf::from)
    }

    /// Those of `folder`, which has to have `all`.
    fn in_folder(folder: &Path, all: &[&'static str]) -> Result<Self, ControlPlaneError> {
        let missing = all.iter().find(|name| !folder.join(name).is_file());
        match missing {
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
        let address = Ipv4Addr::LOCALHOST;
        let pki = Pki::write(folder.path(), address)?;
        let ports = Ports {
            store: store.port(),
            peers: peers.port(),
            secure: secure.port(),
        };
        let site = Site::new(programs, folder.path(), address, ports);
        let kubeconfig = site.write_admin(&pki)?;
        let mut plane = Self {
            controllers: None,
            etcd: site.etcd()?,
            api_server: site.api_server()?,
            site,
            kubeconfig,
            folder,
        };
        plane.wait_until_ready(&pki).await?;
        Ok(plane)
    }

    /// `https://127.0.0.1:port`
    pub fn url(&self) -> &str {
        self.site.url()
    }

    /// A kubeconfig whose user may do everything, by client certificate.
    pub fn admin_kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// A client of the administrator.
    pub async fn admin(&self) -> Result<Client, ControlPlaneError> {
        site::client(&self.kubeconfig).await
    }

    /// Its folder: `admin.kubeconfig`, `ca.crt`, and each program's log, as in `etcd.log`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A kubectl of the same release for the administrator, killed when it is dropped.
    pub fn kubectl(&self) -> Command {
        self.site.kubectl()
    }

    /// The ends of all logs, each under its program's name.
    pub fn log_ends(&self) -> String {
        let all = [
            Some(&self.etcd),
            Some(&self.api_server),
            self.controllers.as_ref(),
        ];
        process::log_ends(all.into_iter().flatten())
    }

    async fn wait_until_ready(&mut self, pki: &Pki) -> Result<(), ControlPlaneError> {
        let admin = self.admin().await?;
        site::wait_for_api(&admin, &mut self.etcd, &mut self.api_server).await?;
        let controllers = self.controllers.insert(self.site.controllers(pki)?);
        site::wait_for_controllers(&admin, &mut self.api_server, controllers).await
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the control plane's logs end:\n{}", self.log_ends());
        }
    }
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
        let error = Programs::in_folder(folder.path(), &OF_CONTROL_PLANE);
        let error = error.unwrap_err().to_string();
        let expected = "kube-apiserver is not in ";
        assert!(error.starts_with(expected), "{error}");
        assert!(
            error.ends_with("build it with scripts/setup-kubernetes --node"),
            "{error}"
        );
    }
}

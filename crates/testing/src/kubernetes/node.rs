//! A whole Kubernetes on this machine: a control plane, and a node that runs pods.
//!
//! It lives in network, mount and process namespaces of its own, which all end
//! with their first process, and that ends with its owner: kubelet, runtime, pods,
//! mounts and addresses with it. What the kernel does not take away, a folder and
//! some cgroups, goes at the drop; if that did not come, at the next start.
//!
//! From this machine the API can be reached and nothing else; from the pods only
//! each other, services, and the node. There is one at a time on a machine.

mod files;
mod inside;
mod look;

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kube::Client;
use rcgen::ExtendedKeyUsagePurpose;
use tokio::process::Command;

use super::pki::Pki;
use super::process::{self, Process};
use super::site::{self, KUBELET_CLIENT, Ports, Site};
use super::{ControlPlaneError, Programs, failed};
use inside::Inside;

/// The node's name.
pub const NODE: &str = "node";
/// The node's address, and the API server's.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Nobody else has ports there.
const PORTS: Ports = Ports {
    store: 2379,
    peers: 2380,
    secure: 6443,
};
/// Where Debian has the CNI plugins.
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// How long pods of the cluster itself may take to be ready.
const OWN_PODS_WITHIN: &str = "90s";

/// A running Kubernetes with one node. Dropping it ends everything in it. If the
/// thread is panicking at the drop, the ends of its logs go to standard error.
#[derive(Debug)]
pub struct Node {
    processes: Vec<Process>,
    site: Site,
    kubeconfig: String,
    // Dropped in this order: first all that runs, then what it leaves, then the lock.
    inside: Inside,
    folder: PathBuf,
    _lock: File,
}

// === impl Node ===

impl Node {
    /// Starts one; waits for another one of this machine to end. When this returns,
    /// the node is ready and names of services resolve.
    ///
    /// # Errors
    /// A program that is missing, ended or is silent; no root.
    pub async fn start() -> Result<Self, ControlPlaneError> {
        if !rustix::process::geteuid().is_root() {
            return Err(ControlPlaneError::NotRoot);
        }
        let programs = Programs::find_with_node()?;
        let folder = std::env::temp_dir().join("tubeway-node");
        let lock = lock(&folder.with_extension("lock")).map_err(failed("lock the node"))?;
        inside::clear(&folder)?;
        fs::create_dir_all(&folder).map_err(failed("make the node's folder"))?;
        let mut site = Site::new(programs, &folder, ADDRESS, PORTS);
        let pki = Pki::write(&folder, ADDRESS)?;
        let kubeconfig = site.write_admin(&pki)?;
        files::write(&site, &pki)?;
        let inside = Inside::start(&folder).await?;
        site.move_into(inside.process());
        let mut node = Self {
            processes: Vec::new(),
            site,
            kubeconfig,
            inside,
            folder,
            _lock: lock,
        };
        node.start_all(&pki).await?;
        Ok(node)
    }

    /// A kubeconfig whose user may do everything, by client certificate.
    pub fn admin_kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// A client of the administrator.
    pub async fn admin(&self) -> Result<Client, ControlPlaneError> {
        site::client(&self.kubeconfig).await
    }

    /// Its folder: `admin.kubeconfig`, `ca.crt`, and each program's log, as in `kubelet.log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A kubectl of the same release for the administrator, killed when it is dropped.
    pub fn kubectl(&self) -> Command {
        self.site.kubectl()
    }

    /// Makes the images of an archive known to the node, as if they had been pulled.
    pub async fn import(&self, archive: &Path) -> Result<(), ControlPlaneError> {
        let archive = fs::canonicalize(archive).map_err(failed("find an image"))?;
        let mut command = self.ctr();
        run(command.args(["images", "import"]).arg(archive)).await
    }

    /// Sends a signal, as in `TERM`, to the first process of a container, as its pod's
    /// status names it: `containerd://…`.
    pub async fn signal(&self, container: &str, signal: &str) -> Result<(), ControlPlaneError> {
        let id = container.trim_start_matches("containerd://");
        let mut command = self.ctr();
        run(command.args(["tasks", "kill", "--signal", signal, id])).await
    }

    /// The ends of all logs, each under its program's name.
    pub fn log_ends(&self) -> String {
        process::log_ends(self.processes.iter())
    }

    async fn start_all(&mut self, pki: &Pki) -> Result<(), ControlPlaneError> {
        let admin = self.admin().await?;
        let mut etcd = self.site.etcd()?;
        let mut api_server = self.site.api_server()?;
        let runtime = files::containerd(&self.site)?;
        site::wait_for_api(&admin, &mut etcd, &mut api_server).await?;
        let mut controllers = self.site.controllers(pki)?;
        let scheduler = files::scheduler(&self.site, pki)?;
        site::wait_for_controllers(&admin, &mut api_server, &mut controllers).await?;
        self.processes = vec![etcd, api_server, controllers, scheduler, runtime];
        self.wait_for_runtime().await?;
        for image in ["pause.tar", "coredns.tar"] {
            self.import(&self.site.program(image)).await?;
        }
        self.processes.push(files::kubelet(&self.site, pki)?);
        self.processes.push(files::kube_proxy(&self.site, pki)?);
        self.wait_for_kubelet().await?;
        let objects = files::write_objects(&self.site)?;
        run(self.kubectl().args(["apply", "--filename"]).arg(objects)).await?;
        let coredns = [
            "rollout",
            "status",
            "--namespace=kube-system",
            "deployment/coredns",
        ];
        let within = format!("--timeout={OWN_PODS_WITHIN}");
        run(self.kubectl().args(coredns).arg(within)).await
    }

    async fn wait_for_runtime(&mut self) -> Result<(), ControlPlaneError> {
        let Self {
            processes, site, ..
        } = self;
        let look = || async {
            let found = run(ctr(site).arg("version")).await;
            found.map_err(|error| error.to_string())
        };
        let mut last: Vec<_> = processes.iter_mut().rev().take(1).collect();
        site::wait_for(&mut last, look).await
    }

    async fn wait_for_kubelet(&mut self) -> Result<(), ControlPlaneError> {
        let Self {
            processes, site, ..
        } = self;
        let look = || async {
            let node = format!("node/{NODE}");
            let ready = ["wait", "--for=condition=Ready", "--timeout=1s", &node];
            let found = run(site.kubectl().args(ready)).await;
            found.map_err(|error| error.to_string())
        };
        // The proxy and the kubelet.
        let mut last: Vec<_> = processes.iter_mut().rev().take(2).collect();
        site::wait_for(&mut last, look).await
    }

    fn ctr(&self) -> Command {
        ctr(&self.site)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the node's logs end:\n{}", self.log_ends());
        }
        self.inside.end();
        self.processes.clear();
        if let Err(error) = inside::clear(&self.folder) {
            eprintln!("something is left of the node: {error}");
        }
    }
}

/// containerd's own command, for the images and containers of Kubernetes.
fn ctr(site: &Site) -> Command {
    let mut command = site.command("ctr");
    command.args(["--address", files::RUNTIME, "--namespace", "k8s.io"]);
    command
}

/// Runs a command to its end, which has to be a good one.
async fn run(command: &mut Command) -> Result<(), ControlPlaneError> {
    let output = command.kill_on_drop(true).stdin(Stdio::null()).output();
    let output = output.await.map_err(failed("run a command"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(ControlPlaneError::Failed {
        command: format!("{:?}", command.as_std()),
        status: output.status,
        said: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// A server's or a client's certificate and key, as `<name>.crt` and `.key`.
fn write_certificate(
    site: &Site,
    pki: &Pki,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(), ControlPlaneError> {
    let (subject, group, names) = if name == KUBELET_CLIENT {
        (name, Some("system:masters"), Vec::new())
    } else {
        (NODE, None, vec![ADDRESS.to_string(), NODE.to_owned()])
    };
    let (certificate, key) = pki.sign(subject, group, names, usage)?;
    for (extension, text) in [("crt", certificate), ("key", key)] {
        fs::write(site.file(&format!("{name}.{extension}")), text)
            .map_err(failed("write keys and certificates"))?;
    }
    Ok(())
}

/// Waits until nobody else on this machine has it.
fn lock(path: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    if file.try_lock().is_err() {
        eprintln!("waiting for another node on this machine to end");
        file.lock()?;
    }
    Ok(file)
}

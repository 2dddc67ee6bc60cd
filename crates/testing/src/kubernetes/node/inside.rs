//! The namespaces in which a node lives, and what is left when they have gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::run;
use crate::kubernetes::process::Process;
use crate::kubernetes::{ControlPlaneError, failed, site};

/// What the first process in the namespaces does.
const INIT: &str = include_str!("init.sh");
/// The cgroup below which all pods are, in every hierarchy.
pub(super) const CGROUP: &str = "tubeway-node";
/// This machine's end of the cable to the node.
const CABLE: &str = "tubeway-node";
/// The node's end.
const UPLINK: &str = "uplink";
/// How long what was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The namespaces, held by their first process.
#[derive(Debug)]
pub(super) struct Inside {
    // `None` once it was ended.
    init: Option<Process>,
    process: u32,
}

// === impl Inside ===

impl Inside {
    /// Makes them, and lays the cable.
    pub(super) async fn start(folder: &Path) -> Result<Self, ControlPlaneError> {
        for part in ["var/upper", "var/work"] {
            fs::create_dir_all(folder.join(part)).map_err(failed("make the node's folder"))?;
        }
        make_cgroups().map_err(failed("make the node's cgroups"))?;
        let options = [
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            INIT,
            "init",
        ];
        let options = options.map(str::to_owned).into_iter();
        let options = options.chain([folder.display().to_string()]);
        let log = folder.join("init.log");
        let mut init = Process::start("init", Path::new("unshare"), options, log.clone())
            .map_err(failed("make namespaces"))?;
        let ready = || async {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("ready") {
                Ok(())
            } else {
                Err(said)
            }
        };
        site::wait_for(&mut [&mut init], ready).await?;
        let process = child_of(init.id()).map_err(failed("find the first process"))?;
        let inside = Self {
            init: Some(init),
            process,
        };
        inside.lay_cable().await?;
        Ok(inside)
    }

    /// The first process, as this machine counts.
    pub(super) fn process(&self) -> u32 {
        self.process
    }

    /// Ends all that runs in them.
    pub(super) fn end(&mut self) {
        self.init = None;
    }

    async fn lay_cable(&self) -> Result<(), ControlPlaneError> {
        let process = self.process.to_string();
        let here = [
            &[
                "link", "add", CABLE, "type", "veth", "peer", "name", UPLINK, "netns", &process,
            ][..],
            &["address", "add", "198.18.0.1/30", "dev", CABLE],
            &["link", "set", CABLE, "up"],
        ];
        for arguments in here {
            run(Command::new("ip").args(arguments)).await?;
        }
        let there = [
            &["address", "add", "198.18.0.2/30", "dev", UPLINK][..],
            &["link", "set", "lo", "up"],
            &["link", "set", UPLINK, "up"],
            // What is sent to a service from the node itself needs a way, too.
            &["route", "add", "10.96.0.0/16", "dev", UPLINK],
        ];
        for arguments in there {
            let mut command = Command::new("nsenter");
            command.args(["--target", &process, "--net", "ip"]);
            run(command.args(arguments)).await?;
        }
        Ok(())
    }
}

/// Takes away what an earlier node has left, once nothing of it runs any more.
pub(super) fn clear(folder: &Path) -> Result<(), ControlPlaneError> {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let left = remove_cgroups()
            .and_then(|()| remove_cable())
            .and_then(|()| remove_folder(folder));
        match left {
            Ok(()) => return Ok(()),
            Err(_) if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
            Err(error) => return Err(failed("take away what is left of a node")(error)),
        }
    }
}

/// The kernel takes it away with the namespace, some time later.
fn remove_cable() -> io::Result<()> {
    if Path::new("/sys/class/net").join(CABLE).exists() {
        let mut command = std::process::Command::new("ip");
        let said = command.args(["link", "delete", CABLE]).output()?;
        let gone = said.status.success() || !Path::new("/sys/class/net").join(CABLE).exists();
        if !gone {
            let said = String::from_utf8_lossy(&said.stderr);
            return Err(io::Error::other(said.into_owned()));
        }
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The only child of a process.
fn child_of(process: u32) -> io::Result<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    text.trim().parse().map_err(io::Error::other)
}

/// Where the node's cgroups are: one in the only hierarchy, or one in each of
/// version 1.
fn cgroups() -> io::Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.join(CGROUP)]);
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            all.push(path.join(CGROUP));
        }
    }
    Ok(all)
}

fn make_cgroups() -> io::Result<()> {
    for path in cgroups()? {
        fs::create_dir_all(&path)?;
        // All pods together would get no more of a busy machine than any single
        // process outside.
        for (file, weight) in [("cpu.shares", "16384"), ("cpu.weight", "1600")] {
            if path.join(file).exists() {
                fs::write(path.join(file), weight)?;
            }
        }
        // A new one has neither processors nor memory, and its own would get none.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let inherited = path.with_file_name(file);
            if inherited.exists() && path.join(file).exists() {
                fs::write(path.join(file), fs::read_to_string(inherited)?)?;
            }
        }
    }
    Ok(())
}

fn remove_cgroups() -> io::Result<()> {
    cgroups()?.iter().try_for_each(|path| remove_cgroup(path))
}

fn remove_cgroup(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

//! The two processes between a client and the broker.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::authority::Authority;
use crate::broker::listens;
use crate::envoy;
use crate::process::Process;
use crate::relay::Half;
use crate::route::{Kind, Route};
use crate::sidecar;

/// Both halves of a pair, running.
#[derive(Debug)]
pub struct Pair {
    /// Beside the client.
    pub client: Process,
    /// In front of the broker.
    pub node: Process,
}

/// What pairs are started with.
pub struct Starter {
    /// Signs the certificates.
    pub authority: Authority,
    /// The sidecar's program.
    pub sidecar: PathBuf,
    /// Envoy's program, where it was fetched.
    pub envoy: Option<PathBuf>,
    /// Folder for what the processes keep and log.
    pub folder: PathBuf,
}

// === impl Starter ===

impl Starter {
    /// Starts the pair of a route, and waits until it serves. There is none
    /// on the plain one.
    pub async fn start(&self, route: Route) -> Result<Option<Pair>> {
        let folder = self.folder.join(route.kind.to_string());
        std::fs::create_dir_all(&folder)?;
        let (node, client) = match route.kind {
            Kind::Plain => return Ok(None),
            Kind::Tubeway => (
                sidecar::node(self, route, &folder).await?,
                sidecar::client(self, route, &folder).await?,
            ),
            Kind::Relay(_) | Kind::Envoy => {
                self.authority.write_certificates(&folder)?;
                (
                    self.opaque(route, Half::Node, &folder).await?,
                    self.opaque(route, Half::Client, &folder).await?,
                )
            }
        };
        Ok(Some(Pair { client, node }))
    }

    /// A half that does not look into what passes.
    async fn opaque(&self, route: Route, half: Half, folder: &Path) -> Result<Process> {
        let (name, listen, to) = match half {
            Half::Client => ("client", route.entry(), route.mesh()),
            Half::Node => ("node", route.mesh(), route.broker()),
        };
        let mut command = match route.kind {
            Kind::Relay(kib) => {
                let mut command = Command::new(std::env::current_exe()?);
                command
                    .args(["relay", "--half", name])
                    .args(["--listen", &listen.to_string(), "--to", &to.to_string()])
                    .args(["--buffer", &(kib * 1024).to_string(), "--certificates"])
                    .arg(folder);
                command
            }
            Kind::Envoy => {
                let envoy = self.envoy.as_ref().context("Envoy was not fetched")?;
                envoy::command(envoy, half, listen, to, folder)?
            }
            other => bail!("{other} has no such half"),
        };
        let mut process = Process::start(name, &mut command, folder)?;
        process.until(async |_| listens(listen).await).await?;
        Ok(process)
    }
}

//! The broker and all pairs, running, and how rounds go through them.

use anyhow::{Context as _, Result};
use tubeway_testing::tools::Tools;

use crate::authority::Authority;
use crate::broker::{Broker, jwks};
use crate::envoy;
use crate::messages;
use crate::pair::{Pair, Starter};
use crate::route::{Kind, Route};

/// Everything that figures are taken from.
pub struct Field {
    /// Kafka and Java.
    pub tools: Tools,
    /// The broker.
    pub broker: Broker,
    /// What pairs are started with.
    pub starter: Starter,
    /// The ways that are compared, in the order of the tables.
    pub routes: Vec<Route>,
    _folder: tempfile::TempDir,
}

/// A way with its pair; plain has none.
pub struct Lane {
    /// The way.
    pub route: Route,
    /// What stands on it.
    pub pair: Option<Pair>,
}

// === impl Field ===

impl Field {
    /// Starts the broker and gets ready what pairs are started with.
    pub async fn start(kinds: &[Kind]) -> Result<Self> {
        let tools = tokio::task::spawn_blocking(Tools::ensure).await??;
        let folder = tempfile::Builder::new()
            .prefix("tubeway-bench-")
            .tempdir()?;
        let with_envoy = kinds.contains(&Kind::Envoy);
        let starter = Starter {
            authority: Authority::start().await?,
            sidecar: sidecar()?,
            envoy: with_envoy.then(envoy::ensure).transpose()?,
            folder: folder.path().to_owned(),
        };
        let broker = Broker::start(&tools, folder.path(), &jwks(folder.path())).await?;
        broker.create_topic(&tools, &messages::name(0)).await?;
        Ok(Self {
            tools,
            broker,
            starter,
            routes: kinds.iter().copied().map(Route::new).collect(),
            _folder: folder,
        })
    }

    /// Starts the pair of every way.
    pub async fn lanes(&self) -> Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        for &route in &self.routes {
            let pair = self.starter.start(route).await?;
            lanes.push(Lane { route, pair });
        }
        Ok(lanes)
    }
}

/// The order of `round`: each round begins with another one, so that none is
/// always the first after a pause or the last.
pub fn order(round: usize, number: usize) -> impl Iterator<Item = usize> {
    (0..number).map(move |i| (i + round) % number)
}

/// The sidecar's program, which cargo puts beside this one.
fn sidecar() -> Result<std::path::PathBuf> {
    let path = std::env::current_exe()?.with_file_name("tubeway-proxy");
    path.is_file().then_some(path).context(
        "tubeway-proxy is not beside this program: build it too, as `make bench-proxy` does",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_all_and_begins_with_another_one() {
        let all: Vec<Vec<usize>> = (0..4).map(|round| order(round, 3).collect()).collect();
        assert_eq!(all, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }
}

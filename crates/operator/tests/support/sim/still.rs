//! Worlds that stand still, of which any number can go on from the same point.

use std::path::Path;

use tempfile::TempDir;

use super::api::Namespace;
use super::host::{Host, folder};
use super::kafka::Kafka;
use super::wire::SimKafka;
use super::world::{Step, World};

/// What there is of a world beside its server's objects.
pub(crate) struct Halted {
    kafka: Kafka,
    name: String,
    neighbour: Option<String>,
    access: bool,
}

/// A world as it was at some time, without an operator.
pub(crate) struct Still {
    folder: TempDir,
    halted: Halted,
}

// === impl World ===

impl World<'_> {
    /// The operator ends, and nothing moves any more.
    ///
    /// # Panics
    /// If something happened before that never may.
    pub(crate) fn halt(self) -> Halted {
        assert_eq!(self.problems, [""; 0], "nothing has gone wrong yet");
        Halted {
            kafka: self.kafka.kafka(|kafka| kafka.clone()),
            name: self.api.name.clone(),
            neighbour: self.neighbour.as_ref().map(|n| n.name.clone()),
            access: self.access,
        }
    }
}

// === impl Still ===

impl Still {
    /// What these steps lead to.
    pub(crate) async fn after(steps: &[Step], access: bool) -> Self {
        let host = Host::start().await;
        let mut world = if access {
            World::with_access(&host).await
        } else {
            World::new(&host).await
        };
        for step in steps {
            world.take(step).await;
        }
        let halted = world.halt();
        Self::new(host, halted).await
    }

    /// The one world of this server.
    pub(crate) async fn new(host: Host, halted: Halted) -> Self {
        Self {
            folder: host.end().await,
            halted,
        }
    }

    /// A server with all objects.
    pub(crate) async fn host(&self) -> Host {
        let copy = folder();
        copy_files(self.folder.path(), copy.path());
        Host::over(copy).await
    }

    /// The world on that server, in which the operator starts.
    pub(crate) async fn go_on<'a>(&self, host: &'a Host) -> World<'a> {
        let kafka = SimKafka::like(self.halted.kafka.clone());
        let mut world = World::on(host, &self.halted.name, self.halted.access, kafka).await;
        if let Some(name) = &self.halted.neighbour {
            let client = host.client("neighbour").await;
            world.neighbour = Some(Namespace::make(client, name).await);
        }
        world
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_files(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

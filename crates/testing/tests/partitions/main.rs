//! What stock clients make of rules about some partitions of a topic
//! (`docs/partitions.md`): Kafka's Java clients of two releases, librdkafka in
//! confluent-kafka and in kcat, and kafka-python, behind the data path of the
//! sidecars and before a stock broker.

mod administering;
mod changes;
mod consuming;
mod driver;
mod mesh;
mod producing;
mod world;

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use driver::Kind;
use producing::By;
use world::World;

/// Cases at a time: most of them wait for timeouts.
const AT_ONCE: usize = 8;
/// The current release and the last one that could do with ZooKeeper.
const JAVA: Kind = Kind::Java("4.3.1");
const OLD_JAVA: Kind = Kind::Java("3.9.1");
const KINDS: [Kind; 4] = [JAVA, OLD_JAVA, Kind::Librdkafka, Kind::Python];

/// Runs cases next to each other.
struct Cases {
    world: Arc<World>,
    running: JoinSet<()>,
    names: std::collections::HashMap<tokio::task::Id, String>,
    room: Arc<Semaphore>,
    only: Option<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_clients_work_with_rules_about_partitions() {
    let mut cases = Cases::new(World::start().await);
    changing(&mut cases);
    consuming(&mut cases);
    producing(&mut cases);
    for kind in [JAVA, OLD_JAVA] {
        let name = format!("admin-{kind}");
        cases.add(&name, |world, name| {
            administering::some_partitions(world, kind, name)
        });
        let name = format!("deletes-{kind}");
        cases.add(&name, |world, name| {
            administering::deletion_only(world, kind, name)
        });
    }
    cases.finish().await;
}

fn changing(cases: &mut Cases) {
    for kind in KINDS {
        let name = format!("changes-writes-{kind}");
        cases.add(&name, |world, name| changes::producer(world, kind, name));
        for protocol in [None, Some("classic"), Some("consumer")] {
            if protocol == Some("consumer") && !has_new_protocol(kind) {
                continue;
            }
            let name = format!("changes-reads-{}-{kind}", protocol.unwrap_or("assigned"));
            cases.add(&name, |world, name| {
                changes::consumer(world, kind, protocol, name)
            });
        }
    }
}

fn consuming(cases: &mut Cases) {
    for kind in KINDS {
        for (how, partitions) in [
            ("allowed", &[0, 1, 2][..]),
            ("refused", &[3, 4]),
            ("both", &[0, 4]),
        ] {
            let name = format!("assigned-{how}-{kind}");
            cases.add(&name, |world, name| {
                consuming::assigned(world, kind, partitions, name)
            });
        }
        let name = format!("sought-{kind}");
        cases.add(&name, |world, name| consuming::sought(world, kind, name));
        let name = format!("offsets-{kind}");
        cases.add(&name, |world, name| consuming::offsets(world, kind, name));
        for protocol in ["classic", "consumer"] {
            if protocol == "consumer" && !has_new_protocol(kind) {
                continue;
            }
            let name = format!("subscribed-{protocol}-{kind}");
            cases.add(&name, |world, name| {
                consuming::subscribed(world, kind, protocol, name)
            });
        }
    }
    cases.add("shared", consuming::shared);
    cases.add("kcat", consuming::kcat);
}

fn producing(cases: &mut Cases) {
    for kind in KINDS {
        let name = format!("without-keys-{kind}");
        cases.add(&name, |world, name| {
            producing::without_keys(world, kind, name)
        });
        for (how, by) in [("keys", By::Key), ("partitions", By::Partition)] {
            let name = format!("with-{how}-{kind}");
            cases.add(&name, |world, name| {
                producing::to_a_place(world, kind, by, json!({}), name)
            });
        }
    }
    let plain = json!({"enable.idempotence": false});
    cases.add("with-keys-plain", |world, name| {
        producing::to_a_place(world, JAVA, By::Key, plain, name)
    });
    for kind in [JAVA, OLD_JAVA] {
        let name = format!("transactions-{kind}");
        cases.add(&name, |world, name| {
            producing::transactions(world, kind, name)
        });
    }
}

/// Whether it speaks the protocol of KIP-848, which 3.9 has as a preview.
fn has_new_protocol(kind: Kind) -> bool {
    matches!(kind, JAVA | Kind::Librdkafka)
}

// === impl Cases ===

impl Cases {
    fn new(world: Arc<World>) -> Self {
        Self {
            world,
            running: JoinSet::new(),
            names: std::collections::HashMap::new(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            only: std::env::var("PARTITIONS_ONLY").ok(),
        }
    }

    /// Starts a case as soon as there is room for it. Its name is its topic's.
    fn add<F>(&mut self, name: &str, case: impl FnOnce(Arc<World>, String) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.only.as_ref().is_some_and(|only| !name.contains(only)) {
            return;
        }
        let room = self.room.clone();
        let work = case(self.world.clone(), name.to_owned());
        let handle = self.running.spawn(async move {
            let _room = room.acquire().await;
            work.await;
        });
        self.names.insert(handle.id(), name.to_owned());
    }

    /// Waits for all of them; fails with the names of those that failed.
    async fn finish(mut self) {
        let mut failed = Vec::new();
        while let Some(done) = self.running.join_next_with_id().await {
            if let Err(error) = done {
                let name = self.names.remove(&error.id()).unwrap_or_default();
                failed.push(name);
            }
        }
        assert!(failed.is_empty(), "failed: {failed:#?}");
    }
}

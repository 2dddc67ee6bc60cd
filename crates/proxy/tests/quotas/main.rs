//! Quotas with real clients: stock Kafka behind a node's sidecar, which is given
//! `KafkaQuota`s as the operator sends them, and Java's and librdkafka's clients
//! with certificates of their own. Every trial prints what it measured. Needs
//! Java, its compiler and kcat; Kafka is fetched.

mod java;
mod kcat;
mod limits;
mod neighbours;
mod node;
mod quotas;
mod window;
mod world;

use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use world::World;

/// One broker for all trials; none where they are only listed.
type Shared = Arc<Mutex<Option<(Runtime, World)>>>;

fn main() {
    let mut arguments = Arguments::from_args();
    // Times are of the whole machine.
    arguments.test_threads = Some(1);
    let shared = Shared::default();
    if !arguments.list {
        let runtime = Runtime::new().expect("a runtime");
        let accounts: Vec<_> = limits::accounts().chain(neighbours::ACCOUNTS).collect();
        let world = runtime.block_on(World::start(&accounts));
        java::compile(&world);
        runtime.block_on(limits::prepare(&world));
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some((runtime, world));
    }
    let trials = vec![
        trial(
            &shared,
            "each_limit_holds_real_clients_within_five_per_cent",
            |world| Box::pin(limits::hold_real_clients(world)),
        ),
        trial(
            &shared,
            "a_noisy_client_leaves_a_quiet_one_its_p99",
            |world| Box::pin(neighbours::are_left_alone(world)),
        ),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Ends the broker, which `exit` would not.
    drop(shared.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit();
}

type Test<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

fn trial(shared: &Shared, name: &str, test: fn(&World) -> Test<'_>) -> Trial {
    let shared = shared.clone();
    Trial::test(name, move || {
        let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (runtime, world) = shared.as_ref().ok_or("not started")?;
        runtime.block_on(test(world));
        Ok(())
    })
}

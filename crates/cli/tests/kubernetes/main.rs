//! One installation on a real Kubernetes with a node that runs pods: everything
//! that has to hold there, while clients in pods of their own write and read.
//!
//! The trials run one after the other, in this order. `make e2e` runs them, as
//! root. `TUBEWAY_ROLLS` says how often all brokers are restarted in turn.

mod audit;
mod cluster;
mod copies;
mod disturb;
mod life;
mod load;
mod manifests;
mod members;
mod stage;
mod versions;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use stage::Stage;

type Shared = Arc<Mutex<Stage>>;
type Run = fn(&mut Stage) -> Result<()>;

/// The trials, and what each shows.
const TRIALS: &[(&str, Run)] = &[
    ("the_operator_is_installed", life::install),
    ("a_cluster_becomes_ready", life::cluster),
    ("clients_get_sidecars_and_write_and_read", life::clients),
    ("a_client_without_rights_is_refused", life::outsider),
    (
        "kafka_goes_up_and_back_and_up_for_good",
        versions::up_back_and_up,
    ),
    ("an_option_is_taken_without_a_restart", versions::options),
    (
        "a_deleted_pod_comes_back_and_nothing_is_lost",
        disturb::deleted_pod,
    ),
    ("a_drain_takes_one_node_at_a_time", disturb::drained),
    ("rolls_lose_nothing", disturb::rolls),
    (
        "an_operator_killed_in_a_roll_goes_on_with_it",
        disturb::killed_operator,
    ),
    ("a_paused_cluster_is_left_alone", disturb::paused),
    ("a_cluster_grows_and_nothing_is_lost", members::scale_up),
    (
        "a_topic_gets_another_number_of_replicas",
        members::other_replicas,
    ),
    ("a_cluster_shrinks_and_nothing_is_lost", members::scale_down),
    ("controllers_come_and_go", members::controllers),
    (
        "a_node_that_lost_its_volume_joins_again",
        members::lost_volume,
    ),
    ("disks_come_and_go", members::disks),
    ("volumes_grow_without_a_restart", members::storage_grows),
    (
        "every_record_has_arrived_once_and_in_order",
        life::reckoning,
    ),
    (
        "a_cluster_that_was_deleted_comes_back_on_its_volumes",
        life::comes_back,
    ),
    ("uninstalling_leaves_nothing", life::uninstall),
];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if arguments.list {
        libtest_mimic::run(&arguments, trials(None)).exit();
    }
    let stage = Stage::start().unwrap_or_else(|error| panic!("{error:#}"));
    let shared: Shared = Arc::new(Mutex::new(stage));
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&shared)));
    drop(shared);
    conclusion.exit();
}

fn trials(shared: Option<&Shared>) -> Vec<Trial> {
    let trial = |(name, run): &(&'static str, Run)| {
        let (name, run, shared) = (*name, *run, shared.cloned());
        Trial::test(name, move || {
            let shared = shared.ok_or("not started")?;
            let mut stage = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(before) = stage.failed {
                return Err(Failed::from(format!("not tried, because {before} failed")));
            }
            let begun = Instant::now();
            let result = run(&mut stage);
            println!("  {name} took {:.1} s", begun.elapsed().as_secs_f64());
            result.map_err(|error| {
                stage.failed = Some(name);
                Failed::from(format!("{error:#}\n{}", stage.report()))
            })
        })
    };
    TRIALS.iter().map(trial).collect()
}

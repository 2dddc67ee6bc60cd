use super::*;
use crate::health::{Partition, Quorum};

use NodeState::{Missing, NotReady, Ready, Recovering, Terminating};

fn node(id: u32, state: NodeState, current: bool) -> Node {
    Node {
        id,
        pool: "all".to_owned(),
        roles: [NodeRole::Broker, NodeRole::Controller].into(),
        zone: None,
        state,
        current,
        fresh: false,
    }
}

fn broker(id: u32, zone: Option<&str>, current: bool) -> Node {
    Node {
        roles: [NodeRole::Broker].into(),
        zone: zone.map(str::to_owned),
        ..node(id, Ready, current)
    }
}

fn nodes(states: [(NodeState, bool); 3]) -> Vec<Node> {
    let numbered = states.into_iter().enumerate();
    numbered
        .map(|(id, (state, current))| node(id as u32, state, current))
        .collect()
}

fn healthy(leader: u32) -> Health {
    Health {
        partitions: Vec::new(),
        quorum: Quorum {
            leader: Some(leader),
            voters: (0..3).collect(),
            caught_up: (0..3).collect(),
        },
    }
}

fn partition(index: i32, replicas: &[u32], in_sync: &[u32], min_in_sync: usize) -> Partition {
    Partition {
        id: PartitionId::new("orders", index),
        replicas: replicas.to_vec(),
        in_sync: in_sync.iter().copied().collect(),
        leader: in_sync.first().copied(),
        min_in_sync,
    }
}

fn next(nodes: &[Node], health: Option<&Health>) -> Plan {
    plan(nodes, health, Limits::default())
}

fn words(plan: &Plan) -> Vec<String> {
    plan.waits.iter().map(ToString::to_string).collect()
}

const FOUR: Limits = Limits { max_unavailable: 4 };

#[test]
fn nothing_to_do_is_an_empty_plan() {
    let all = nodes([(Ready, true); 3]);
    assert_eq!(next(&all, Some(&healthy(0))), Plan::default());
    assert_eq!(next(&all, None), Plan::default());
}

/// koperator_533: the roll waited for what only its next line would have made.
#[test]
fn koperator_533_a_missing_pod_is_made_even_in_the_middle_of_a_roll() {
    let all = nodes([(Missing, true), (NotReady, true), (Ready, false)]);
    let plan = next(&all, None);
    assert_eq!(plan.create, [0].into());
    assert!(plan.replace.is_empty());
}

#[test]
fn pods_that_serve_are_replaced_one_by_one_and_the_active_controller_last() {
    let mut all = nodes([(Ready, false); 3]);
    let mut order = Vec::new();
    while let Some(id) = plan(&all, Some(&healthy(0)), FOUR).replace.pop_first() {
        order.push(id);
        for (state, current) in [(Terminating, false), (NotReady, true), (Ready, true)] {
            all[id as usize].state = state;
            all[id as usize].current = current;
            if state != Ready {
                let plan = plan(&all, Some(&healthy(0)), FOUR);
                assert!(plan.replace.is_empty() && !plan.waits.is_empty());
            }
        }
    }
    assert_eq!(order, [1, 2, 0]);
}

#[test]
fn without_an_answer_from_kafka_no_pod_that_serves_is_touched() {
    let plan = next(&nodes([(Ready, false); 3]), None);
    assert!(plan.replace.is_empty());
    assert_eq!(plan.waits, [Wait::HealthUnknown]);
}

#[test]
fn without_an_active_controller_no_pod_that_serves_is_touched() {
    let mut health = healthy(0);
    health.quorum.leader = None;
    let plan = next(&[broker(7, None, false)], Some(&health));
    assert!(plan.replace.is_empty());
    assert_eq!(plan.waits, [Wait::NoActiveController]);
}

/// A change that one pod cannot live with, for whatever reason its pod is not
/// ready (strimzi testKafkaPodCrashLooping, testKafkaPodImagePullBackOff,
/// testKafkaPodPendingDueToRack, testRecoveryDuringKRaftRollingUpdate): one pod
/// is down, the others stay, and taking the change back mends it.
fn a_bad_change_takes_down_one_pod_and_is_taken_back(mut all: Vec<Node>, health: &Health) {
    let first = plan(&all, Some(health), FOUR).replace;
    assert_eq!(first.len(), 1, "the first of a pool goes alone");
    let bad = *first.first().unwrap();
    let of_bad = all.iter().position(|node| node.id == bad).unwrap();
    all[of_bad].state = NotReady;
    all[of_bad].current = true;
    for health in [Some(health), None] {
        let waiting = plan(&all, health, FOUR);
        assert!(waiting.replace.is_empty() && waiting.create.is_empty());
        assert_eq!(words(&waiting), [format!("node {bad} is not ready")]);
    }
    for node in &mut all {
        node.current = node.id != bad;
    }
    for health in [Some(health), None] {
        assert_eq!(plan(&all, health, FOUR).replace, [bad].into());
    }
    all[of_bad].state = Ready;
    all[of_bad].current = true;
    assert_eq!(plan(&all, Some(health), FOUR), Plan::default());
}

#[test]
fn crash_loop_of_a_combined_node_is_taken_back() {
    a_bad_change_takes_down_one_pod_and_is_taken_back(nodes([(Ready, false); 3]), &healthy(1));
}

#[test]
fn image_pull_back_off_of_a_broker_is_taken_back() {
    let brokers = (10..18).map(|id| broker(id, None, false)).collect();
    a_bad_change_takes_down_one_pod_and_is_taken_back(brokers, &healthy(1));
}

#[test]
fn pending_for_a_zone_that_is_not_there_is_taken_back() {
    let zones = ["a", "b", "c"];
    let brokers = (0..9).map(|id| broker(10 + id, Some(zones[id as usize % 3]), false));
    a_bad_change_takes_down_one_pod_and_is_taken_back(brokers.collect(), &healthy(1));
}

#[test]
fn impossible_resources_of_the_active_controller_are_taken_back() {
    let mut all = nodes([(Ready, true), (Ready, true), (Ready, false)]);
    all[2].roles = [NodeRole::Controller].into();
    a_bad_change_takes_down_one_pod_and_is_taken_back(all, &healthy(2));
}

#[test]
fn strimzi_9426_pods_that_are_all_pending_are_replaced_without_waiting_for_each_other() {
    let mut all = nodes([(NotReady, false); 3]);
    for expected in 0..3 {
        assert_eq!(next(&all, None).replace, [expected].into());
        all[expected as usize].current = true;
    }
    assert!(next(&all, None).replace.is_empty());
}

#[test]
fn broken_pods_do_not_wait_for_partitions_that_only_they_could_mend() {
    let all = nodes([(Ready, false), (NotReady, false), (NotReady, false)]);
    let mut health = healthy(0);
    health.partitions = vec![partition(0, &[0, 1, 2], &[0], 2)];
    health.quorum.caught_up = [0].into();
    assert_eq!(next(&all, Some(&health)).replace, [1].into());
}

#[test]
fn a_broken_pod_is_replaced_though_it_is_the_last_in_sync_by_name() {
    let all = nodes([(Ready, true), (NotReady, false), (Ready, true)]);
    let mut health = healthy(0);
    health.partitions = vec![partition(0, &[0, 1, 2], &[1], 2)];
    assert!(next(&all, Some(&health)).replace.is_empty(), "it leads");
    health.partitions[0].leader = None;
    assert_eq!(next(&all, Some(&health)).replace, [1].into());
}

#[test]
fn a_broken_pod_that_kafka_counts_on_is_spared() {
    let all = nodes([(Ready, false), (NotReady, false), (Ready, true)]);
    let mut health = healthy(0);
    health.partitions = vec![partition(0, &[0, 1, 2], &[0, 1], 2)];
    assert!(next(&all, Some(&health)).replace.is_empty());
}

#[test]
fn strimzi_3749_log_recovery_is_waited_for_and_never_cut_short() {
    let all = nodes([(Ready, false), (Ready, false), (Recovering, false)]);
    for health in [Some(healthy(0)), None] {
        let plan = next(&all, health.as_ref());
        assert!(plan.replace.is_empty());
        assert_eq!(words(&plan), ["broker 2 is reading its log after a start"]);
    }
}

#[test]
fn strimzi_2964_a_topic_with_fewer_replicas_than_its_minimum_blocks_no_roll() {
    let mut health = healthy(2);
    health.partitions = (0..3)
        .map(|id| partition(id, &[id as u32], &[id as u32], 2))
        .collect();
    let all = nodes([(Ready, false); 3]);
    assert_eq!(next(&all, Some(&health)).replace, [0].into());
}

#[test]
fn a_wait_names_the_partition_and_the_node() {
    let mut health = healthy(2);
    health.partitions = (0..3)
        .map(|id| partition(id, &[0, 1, 2], &[id as u32], 2))
        .collect();
    let plan = next(&nodes([(Ready, false); 3]), Some(&health));
    assert!(plan.replace.is_empty());
    assert_eq!(
        plan.waits[0].to_string(),
        "partition orders-0 cannot spare node 0: 1 replicas in sync, min.insync.replicas is 2"
    );
}

/// Brokers 10 to 17 beside one that is done, so that batches may be had.
fn proven(zone: impl Fn(u32) -> Option<&'static str>) -> Vec<Node> {
    (10..19).map(|id| broker(id, zone(id), id == 18)).collect()
}

#[test]
fn brokers_that_share_no_partition_go_together() {
    let mut health = healthy(0);
    let pairs = [[10, 11], [12, 13], [14, 15], [16, 17]].into_iter();
    health.partitions = pairs
        .enumerate()
        .map(|(i, pair)| partition(i as i32, &pair, &pair, 1))
        .collect();
    let all = proven(|_| None);
    let batch = plan(&all, Some(&health), FOUR).replace;
    assert_eq!(batch, [10, 12, 14, 16].into());
    let two = Limits { max_unavailable: 2 };
    assert_eq!(plan(&all, Some(&health), two).replace, [10, 12].into());
    assert_eq!(next(&all, Some(&health)).replace, [10].into());
}

#[test]
fn a_larger_batch_is_waited_for_while_those_of_the_last_catch_up() {
    let mut health = healthy(0);
    health.partitions = vec![partition(0, &[17, 18], &[17], 1)];
    let mut all = proven(|_| None);
    let eight = Limits { max_unavailable: 8 };
    all[8].fresh = true;
    let waiting = plan(&all, Some(&health), eight);
    assert!(waiting.replace.is_empty());
    assert_eq!(
        words(&waiting),
        ["partition orders-0 cannot spare node 17: 1 replicas in sync, min.insync.replicas is 1"]
    );
    let seven = Limits { max_unavailable: 7 };
    assert_eq!(plan(&all, Some(&health), seven).replace, (10..17).collect());
    all[8].fresh = false;
    assert_eq!(plan(&all, Some(&health), eight).replace, (10..17).collect());
}

#[test]
fn a_batch_stays_in_one_zone_and_takes_the_one_that_gives_most() {
    let zone = |id| Some(if id < 12 { "a" } else { "b" });
    let batch = plan(&proven(zone), Some(&healthy(0)), FOUR).replace;
    assert_eq!(batch, [12, 13, 14, 15].into());
}

#[test]
fn who_has_no_zone_goes_with_nobody_who_has() {
    let zone = |id| (id < 16).then_some("a");
    let limits = Limits { max_unavailable: 9 };
    let batch = plan(&proven(zone), Some(&healthy(0)), limits).replace;
    assert_eq!(batch, (10..16).collect());
}

#[test]
fn a_preferred_leader_that_is_back_is_to_be_elected() {
    let mut health = healthy(0);
    let led_by = |leader, mut partition: Partition| {
        partition.leader = Some(leader);
        partition
    };
    health.partitions = vec![
        led_by(1, partition(0, &[0, 1, 2], &[0, 1, 2], 2)),
        led_by(1, partition(1, &[1, 0, 2], &[0, 1, 2], 2)),
        led_by(1, partition(2, &[0, 1, 2], &[1, 2], 2)),
        led_by(1, partition(3, &[2, 1, 0], &[0, 1, 2], 2)),
    ];
    let all = nodes([(Ready, true), (Ready, true), (Ready, false)]);
    let plan = next(&all, Some(&health));
    assert_eq!(
        plan.elect,
        [PartitionId::new("orders", 0)],
        "1 leads as preferred, 2's preferred is not in sync, 3's is yet to be replaced"
    );
}

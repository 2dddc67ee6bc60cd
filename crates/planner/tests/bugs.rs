//! Bugs that other operators had, each as a test of the plan that would show it.
//!
//! Named after the report; what went wrong there stands above each test.

use std::collections::{BTreeMap, BTreeSet};

use tubeway_api::NodeRole;
use tubeway_planner::reassign::{
    BrokerPlace, Goal, Layout, MoveLimits, Placed, Throttled, next_moves, throttle,
};
use tubeway_planner::{
    Cordon, Directory, Health, Limits, Member, Node, NodeState, Partition, PartitionId, Plan,
    PoolIds, Quorum, Registry, VoterChange, VoterSet, Wait, assign_ids, membership, plan,
};

use NodeState::{Missing, NotReady, Ready, Terminating};

const BOTH: [NodeRole; 2] = [NodeRole::Broker, NodeRole::Controller];

fn node(id: u32, state: NodeState, current: bool) -> Node {
    Node {
        id,
        pool: "all".to_owned(),
        roles: BOTH.into(),
        zone: None,
        state,
        current,
        fresh: false,
    }
}

fn three(states: [(NodeState, bool); 3]) -> Vec<Node> {
    let numbered = (0..).zip(states);
    numbered
        .map(|(id, (state, current))| node(id, state, current))
        .collect()
}

/// Three voters that follow, and these partitions.
fn health(partitions: Vec<Partition>) -> Health {
    Health {
        partitions,
        quorum: Quorum {
            leader: Some(0),
            voters: (0..3).collect(),
            caught_up: (0..3).collect(),
        },
    }
}

fn partition(replicas: &[u32], in_sync: &[u32], min_in_sync: usize) -> Partition {
    Partition {
        id: PartitionId::new("orders", 0),
        replicas: replicas.to_vec(),
        in_sync: in_sync.iter().copied().collect(),
        leader: in_sync.first().copied(),
        min_in_sync,
    }
}

fn next(nodes: &[Node], health: Option<&Health>) -> Plan {
    plan(nodes, health, Limits::default())
}

fn member(id: u32, leaves: bool) -> Member {
    Member {
        id,
        wanted: if leaves { BTreeSet::new() } else { BOTH.into() },
        has: BOTH.into(),
        ready: true,
        cordon: if leaves {
            Cordon::Cordoned
        } else {
            Cordon::Open
        },
        replicas: Some(0),
    }
}

fn registry(voters: &[u32]) -> Registry {
    let directory = |id: &u32| (*id, Directory(u128::from(*id)));
    Registry {
        voters: Some(VoterSet {
            leader: voters.first().copied(),
            voters: voters.iter().map(directory).collect(),
            caught_up: voters.iter().copied().collect(),
            observers: BTreeMap::new(),
        }),
        assigned: Some(BTreeMap::new()),
        fenced: voters.iter().copied().collect(),
    }
}

fn ids(replicas: usize, in_use: &[u32], volumes: &[u32]) -> PoolIds {
    PoolIds {
        replicas,
        in_use: in_use.iter().copied().collect(),
        volumes: volumes.iter().copied().collect(),
    }
}

fn assigned(pool: PoolIds) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let mut ids = assign_ids(&[("all".to_owned(), pool)].into());
    let nodes = ids.nodes.remove("all").unwrap_or_default();
    (nodes, ids.surplus.remove("all").unwrap_or_default())
}

/// The operator crashed in the middle of a roll, and the roll never went on.
#[test]
fn strimzi_363_a_roll_goes_on_from_what_is_there() {
    let all = three([(Ready, false), (Ready, true), (Ready, false)]);
    let plan = next(&all, Some(&health(vec![])));
    assert_eq!(plan.outdated, [0, 2].into());
    assert_eq!(
        plan.replace,
        [2].into(),
        "not the one that is done, and the leader last"
    );
}

/// After a back-off the roll took the active controller without a look at its
/// partitions.
#[test]
fn strimzi_3534_the_active_controller_is_a_broker_too() {
    let all = three([(Ready, false), (Ready, true), (Ready, true)]);
    let short = health(vec![partition(&[0, 1, 2], &[0, 1], 2)]);
    let plan = next(&all, Some(&short));
    assert!(plan.replace.is_empty());
    assert!(matches!(&plan.waits[..], [Wait::Partition { node: 0, .. }]));
}

/// A roll that was started while pods were not ready never ended.
#[test]
fn strimzi_3710_a_pod_that_never_becomes_ready_is_the_first_to_be_replaced() {
    let all = three([(Ready, false), (NotReady, false), (Ready, false)]);
    let plan = next(&all, Some(&health(vec![])));
    assert_eq!(plan.replace, [1].into());
}

/// The roller gave up after ten tries, began anew, and gave up again.
#[test]
fn strimzi_12649_a_roll_waits_as_long_as_it_takes_and_says_for_what() {
    let all = three([(Ready, false), (Ready, true), (Ready, true)]);
    let mut seen = health(vec![partition(&[0, 1, 2], &[0, 1], 2)]);
    let first = next(&all, Some(&seen));
    for _ in 0..1000 {
        assert_eq!(next(&all, Some(&seen)), first);
    }
    assert_eq!(
        first.waits[0].to_string(),
        "partition orders-0 cannot spare node 0: 2 replicas in sync, min.insync.replicas is 2"
    );
    seen.partitions[0].in_sync.insert(2);
    assert_eq!(next(&all, Some(&seen)).replace, [0].into());
}

/// Users asked for a margin above the minimum. Down to it, and no further.
#[test]
fn strimzi_13031_a_partition_may_go_down_to_its_minimum_and_not_below() {
    let all = three([(Ready, true), (Ready, false), (Ready, true)]);
    let whole = health(vec![partition(&[0, 1, 2], &[0, 1, 2], 2)]);
    assert_eq!(next(&all, Some(&whole)).replace, [1].into());
    let at_minimum = health(vec![partition(&[0, 1, 2], &[0, 1], 2)]);
    assert!(next(&all, Some(&at_minimum)).replace.is_empty());
}

/// A rebalance was under way while the roll went on: the old replicas were
/// counted, though the new ones were not in sync.
#[test]
fn strimzi_proposal_103_replicas_that_are_only_arriving_do_not_count() {
    let mut all = three([(Ready, false), (Ready, true), (Ready, true)]);
    all.push(node(3, Ready, true));
    let moving = health(vec![partition(&[0, 1, 2, 3], &[0, 1], 2)]);
    assert!(next(&all, Some(&moving)).replace.is_empty());
}

/// Two of three brokers were missing, and the roll went on with the third.
#[test]
fn koperator_245_what_is_missing_is_made_and_the_last_one_stays() {
    let all = three([(Ready, false), (Missing, true), (Missing, true)]);
    let plan = next(&all, Some(&health(vec![])));
    assert_eq!(plan.create, [1, 2].into());
    assert!(plan.replace.is_empty());
}

/// Claims came in another order each time, which was taken for a change.
#[test]
fn koperator_320_the_order_in_which_things_are_listed_changes_nothing() {
    let mut all = three([(Ready, false), (Ready, false), (Ready, false)]);
    let two = |index| Partition {
        id: PartitionId::new("orders", index),
        ..partition(&[0, 1, 2], &[0, 1, 2], 1)
    };
    let mut seen = health((0..4).map(two).collect());
    let before = next(&all, Some(&seen));
    all.reverse();
    seen.partitions.reverse();
    assert_eq!(next(&all, Some(&seen)).replace, before.replace);
}

/// No broker was healthy, and so none was started.
#[test]
fn koperator_8f589ca6_nodes_start_though_nobody_can_be_asked() {
    let all = three([(Missing, true); 3]);
    assert_eq!(next(&all, None).create, [0, 1, 2].into());
}

/// The next pod was taken though the last one had not ended yet.
#[test]
fn koperator_2d1a4201_a_pod_that_ends_slowly_is_waited_for() {
    let all = three([(Ready, false), (Terminating, false), (Ready, false)]);
    let plan = next(&all, Some(&health(vec![])));
    assert!(plan.replace.is_empty() && plan.create.is_empty());
    assert_eq!(plan.waits, [Wait::Terminating([1].into())]);
}

/// Rolling never ended: a node that was done was taken again.
#[test]
fn koperator_916_each_node_is_taken_once() {
    let mut all = three([(Ready, false); 3]);
    let mut taken = Vec::new();
    while let Some(id) = next(&all, Some(&health(vec![]))).replace.pop_first() {
        taken.push(id);
        all[id as usize].current = true;
        assert!(taken.len() <= 3, "{taken:?}");
    }
    assert_eq!(taken, [1, 2, 0]);
}

/// Several brokers were to leave, and their ids were not the last ones.
#[test]
fn koperator_263_brokers_with_any_ids_leave_together() {
    let mut members = [
        member(0, false),
        member(4, true),
        member(7, false),
        member(9, true),
    ];
    for leaves in [1, 3] {
        members[leaves].has = [NodeRole::Broker].into();
    }
    let plan = membership(&members, &registry(&[0, 7]));
    assert_eq!(plan.remove, [4, 9].into());
    assert_eq!(plan.release, [4, 9].into());
}

/// The removal of a broker that was gone already was asked for again and again.
#[test]
fn koperator_685_a_broker_that_is_gone_is_not_drained_again() {
    let members = [member(0, false), member(1, false), member(2, false)];
    let mut seen = registry(&[0, 1, 2]);
    let plan = membership(&members, &seen);
    assert!(plan.drain.is_empty() && plan.unregister.is_empty());
    seen.fenced.insert(6);
    let plan = membership(&members, &seen);
    assert_eq!((plan.drain, plan.unregister), ([].into(), [6].into()));
}

/// A broker that was killed while it drained was never started again.
#[test]
fn koperator_776_a_broker_that_dies_while_it_drains_is_started_again() {
    let all = three([(Ready, true), (Ready, true), (Missing, true)]);
    assert_eq!(next(&all, None).create, [2].into());
    let mut dead = member(2, true);
    dead.ready = false;
    dead.replicas = None;
    let mut seen = registry(&[0, 1]);
    seen.assigned = Some([(2, 5)].into());
    let plan = membership(&[member(0, false), member(1, false), dead], &seen);
    assert!(plan.remove.is_empty() && plan.release.is_empty());
    assert_eq!(plan.drain, [2].into());
}

/// The volume of a node that had left was given to another one.
#[test]
fn zookeeper_513_a_volume_belongs_to_the_node_that_filled_it() {
    let (nodes, _) = assigned(ids(2, &[0], &[0, 5]));
    assert_eq!(
        nodes,
        [0, 5].into(),
        "the id of the volume, not another with its data"
    );
    let other = assign_ids(
        &[
            ("all".to_owned(), ids(0, &[], &[5])),
            ("more".to_owned(), ids(7, &[], &[])),
        ]
        .into(),
    );
    assert!(!other.nodes["more"].contains(&5), "{:?}", other.nodes);
}

/// After 1, 3, 1, 3 replicas a node's id was not in the list of peers.
#[test]
fn zookeeper_94_a_pool_that_shrinks_and_grows_has_the_same_ids() {
    let (nodes, surplus) = assigned(ids(1, &[0, 1, 2], &[0, 1, 2]));
    assert_eq!((&nodes, &surplus), (&[0, 1, 2].into(), &[1, 2].into()));
    let (nodes, surplus) = assigned(ids(3, &[0, 1, 2], &[0, 1, 2]));
    assert_eq!((nodes, surplus), ([0, 1, 2].into(), [].into()));
    let (nodes, _) = assigned(ids(3, &[0], &[0, 1, 2]));
    assert_eq!(nodes, [0, 1, 2].into());
}

/// By an old spec the pool was shrunk again after it had been grown.
#[test]
fn zookeeper_314_a_node_that_is_wanted_again_is_opened_again() {
    let mut back = member(2, false);
    back.cordon = Cordon::Cordoned;
    let plan = membership(
        &[member(0, false), member(1, false), back],
        &registry(&[0, 1, 2]),
    );
    assert_eq!(plan.uncordon, [2].into());
    assert!(plan.remove.is_empty() && plan.drain.is_empty() && plan.change.is_none());
}

/// Scaling down took the majority away before the rest had caught up.
#[test]
fn zookeeper_448_voters_leave_one_at_a_time() {
    let members: Vec<_> = (0..7).map(|id| member(id, id > 2)).collect();
    let mut seen = registry(&[0, 1, 2, 3, 4, 5, 6]);
    let mut left = Vec::new();
    while let Some(VoterChange::Remove { id, .. }) = membership(&members, &seen).change {
        let voters = seen.voters.as_mut().unwrap();
        assert!(voters.voters.len() > 3, "{left:?}");
        voters.voters.remove(&id);
        voters.caught_up.remove(&id);
        left.push(id);
    }
    assert_eq!(left, [3, 4, 5, 6]);
}

/// A broker's pod went while partitions were still assigned to it.
#[test]
fn koperator_1693cd48_a_broker_that_leads_partitions_is_not_removed() {
    let mut leaves = member(2, true);
    leaves.has = [NodeRole::Broker].into();
    let mut seen = registry(&[0, 1]);
    seen.assigned = Some([(2, 1)].into());
    let members = [member(0, false), member(1, false), leaves];
    assert!(membership(&members, &seen).remove.is_empty());
}

/// Two draining brokers were balanced onto each other, and onto brokers that
/// were full.
#[test]
fn koperator_257_brokers_that_leave_together_do_not_fill_each_other() {
    let placed = |index, replicas: [u32; 2]| Placed {
        id: PartitionId::new("orders", index),
        replicas: replicas.to_vec(),
        in_sync: replicas.into(),
        bytes: 10,
        min_in_sync: 1,
        ..Placed::default()
    };
    let draining = |draining| BrokerPlace {
        draining,
        open: !draining,
        zone: None,
    };
    let layout = Layout {
        brokers: [
            (0, draining(false)),
            (1, draining(false)),
            (4, draining(true)),
            (7, draining(true)),
        ]
        .into(),
        partitions: vec![placed(0, [4, 0]), placed(1, [7, 1]), placed(2, [4, 7])],
    };
    let limits = MoveLimits {
        partitions: 10,
        bytes: u64::MAX,
    };
    let moves = next_moves(&layout, &Goal::default(), limits);
    assert_eq!(moves.start.len(), 3);
    for change in &moves.start {
        assert!(
            change.target.iter().all(|id| *id < 2),
            "{} goes to {:?}",
            change.id,
            change.target
        );
    }
}

/// A rebalance was lost, and its throttle stayed on the topics for ever.
#[test]
fn strimzi_10224_a_throttle_goes_when_nothing_moves() {
    let seen = Throttled {
        brokers: [0, 1].into(),
        topics: ["orders".to_owned()].into(),
    };
    let plan = throttle(&Layout::default(), &[], Some(1000), &seen);
    assert_eq!(plan.clear, seen);
    assert!(plan.set.brokers.is_empty() && plan.set.topics.is_empty());
}

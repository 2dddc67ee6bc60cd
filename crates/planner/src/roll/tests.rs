use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::health::{Partition, Quorum};

fn node(id: u32, state: NodeState, current: bool) -> Node {
    Node {
        id,
        roles: [NodeRole::Broker, NodeRole::Controller].into(),
        state,
        current,
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

use NodeState::{Missing, NotReady, Ready, Terminating};

#[test]
fn nothing_to_do_is_an_empty_plan() {
    let all = nodes([(Ready, true); 3]);
    assert_eq!(plan(&all, Some(&healthy(0))), Plan::default());
    assert_eq!(plan(&all, None), Plan::default());
}

#[test]
fn a_missing_pod_is_made_even_in_the_middle_of_a_roll() {
    let all = nodes([(Missing, true), (NotReady, true), (Ready, false)]);
    let plan = plan(&all, None);
    assert_eq!(plan.create, [0].into());
    assert_eq!(plan.replace, None);
}

#[test]
fn pods_that_serve_are_replaced_one_by_one_and_the_active_controller_last() {
    let mut all = nodes([(Ready, false); 3]);
    let mut order = Vec::new();
    while let Some(id) = plan(&all, Some(&healthy(0))).replace {
        order.push(id);
        all[id as usize].state = Terminating;
        assert_eq!(plan(&all, Some(&healthy(0))).replace, None);
        all[id as usize].state = NotReady;
        all[id as usize].current = true;
        assert_eq!(plan(&all, Some(&healthy(0))).replace, None);
        all[id as usize].state = Ready;
    }
    assert_eq!(order, [1, 2, 0]);
}

#[test]
fn without_an_answer_from_kafka_no_pod_that_serves_is_touched() {
    let plan = plan(&nodes([(Ready, false); 3]), None);
    assert_eq!(plan.replace, None);
    assert_eq!(plan.waits, [Wait::HealthUnknown]);
}

#[test]
fn a_bad_change_to_all_nodes_can_be_taken_back_without_kafka() {
    let mut all = nodes([(NotReady, false); 3]);
    for expected in 0..3 {
        assert_eq!(plan(&all, None).replace, Some(expected));
        all[expected as usize].current = true;
    }
    assert_eq!(plan(&all, None).replace, None);
}

#[test]
fn a_wait_names_the_partition_and_the_node() {
    let mut health = healthy(2);
    for id in 0..3 {
        health.partitions.push(Partition {
            name: format!("orders-{id}"),
            replicas: (0..3).collect(),
            in_sync: [id].into(),
            min_in_sync: 2,
        });
    }
    let plan = plan(&nodes([(Ready, false); 3]), Some(&health));
    assert_eq!(plan.replace, None);
    assert_eq!(
        plan.waits[0].to_string(),
        "partition orders-0 cannot spare node 0: 1 replicas in sync, min.insync.replicas is 2"
    );
}

fn any_nodes() -> impl Strategy<Value = Vec<Node>> {
    let state = prop_oneof![
        1 => Just(Missing),
        1 => Just(Terminating),
        2 => Just(NotReady),
        6 => Just(Ready),
    ];
    let roles = btree_set(
        prop_oneof![Just(NodeRole::Broker), Just(NodeRole::Controller)],
        1..=2,
    );
    vec((state, any::<bool>(), roles), 1..8).prop_map(|nodes| {
        let numbered = nodes.into_iter().enumerate();
        numbered
            .map(|(id, (state, current, roles))| Node {
                id: id as u32,
                roles,
                state,
                current,
            })
            .collect()
    })
}

fn any_health() -> impl Strategy<Value = Health> {
    let ids = || btree_set(0u32..8, 0..6);
    let partition = (ids(), ids(), 1usize..4).prop_map(|(replicas, sync, min_in_sync)| Partition {
        name: "t-0".to_owned(),
        in_sync: sync.intersection(&replicas).copied().collect(),
        replicas,
        min_in_sync,
    });
    let quorum =
        (proptest::option::of(0u32..8), ids(), ids()).prop_map(|(leader, voters, caught_up)| {
            Quorum {
                leader,
                caught_up: caught_up.intersection(&voters).copied().collect(),
                voters,
            }
        });
    (vec(partition, 0..4), quorum).prop_map(|(partitions, quorum)| Health { partitions, quorum })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_plan_takes_out_a_second_node(all in any_nodes(), health in proptest::option::of(any_health())) {
        let plan = plan(&all, health.as_ref());
        if let Some(id) = plan.replace {
            let chosen = all.iter().find(|n| n.id == id).unwrap();
            prop_assert!(!chosen.current);
            prop_assert!(all.iter().all(|n| !matches!(n.state, Missing | Terminating)));
            if chosen.state == Ready {
                prop_assert!(all.iter().all(|n| n.state == Ready));
                prop_assert!(health.is_some());
            }
        }
    }

    #[test]
    fn no_plan_takes_a_partition_below_its_minimum_or_the_quorum_below_a_majority(
        all in any_nodes(),
        health in any_health(),
    ) {
        if let Some(id) = plan(&all, Some(&health)).replace {
            let roles = &all.iter().find(|n| n.id == id).unwrap().roles;
            for p in health.partitions.iter().filter(|_| roles.contains(&NodeRole::Broker)) {
                let left = p.in_sync.iter().filter(|b| **b != id).count();
                let concerns = p.replicas.contains(&id) && p.replicas.len() > p.min_in_sync;
                prop_assert!(!concerns || left >= p.min_in_sync);
            }
            let q = &health.quorum;
            if q.voters.contains(&id) && q.voters.len() > 2 {
                let left = q.caught_up.iter().filter(|v| **v != id).count();
                prop_assert!(left * 2 > q.voters.len());
            }
        }
    }

    #[test]
    fn every_missing_pod_is_made(all in any_nodes(), health in proptest::option::of(any_health())) {
        let missing: BTreeSet<u32> =
            all.iter().filter(|n| n.state == Missing).map(|n| n.id).collect();
        prop_assert_eq!(plan(&all, health.as_ref()).create, missing);
    }

    #[test]
    fn a_plan_that_does_nothing_says_why_or_has_nothing_to_do(
        all in any_nodes(),
        health in proptest::option::of(any_health()),
    ) {
        let plan = plan(&all, health.as_ref());
        let idle = plan.create.is_empty() && plan.replace.is_none() && plan.waits.is_empty();
        prop_assert!(!idle || all.iter().all(|n| n.current && n.state == Ready));
    }
}

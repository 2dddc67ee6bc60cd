use super::*;

fn brokers(zones: &[(u32, &str)]) -> BTreeMap<u32, BrokerPlace> {
    let place = |zone: &str| BrokerPlace {
        zone: (!zone.is_empty()).then(|| zone.to_owned()),
        draining: false,
        open: true,
    };
    zones.iter().map(|(id, zone)| (*id, place(zone))).collect()
}

fn placed(index: i32, replicas: &[u32], bytes: u64) -> Placed {
    Placed {
        id: PartitionId::new("t", index),
        replicas: replicas.to_vec(),
        in_sync: replicas.iter().copied().collect(),
        bytes,
        min_in_sync: 1,
        ..Placed::default()
    }
}

fn layout(zones: &[(u32, &str)], partitions: Vec<Placed>) -> Layout {
    Layout {
        brokers: brokers(zones),
        partitions,
    }
}

fn replicas(count: usize) -> Goal {
    Goal {
        replication: [("t".to_owned(), count)].into(),
        ..Goal::default()
    }
}

fn targets(layout: &Layout, goal: &Goal) -> Vec<Vec<u32>> {
    let all = reassign(layout, goal);
    assert_eq!(all.impossible, []);
    all.changes
        .into_iter()
        .map(|change| change.target)
        .collect()
}

const THREE: &[(u32, &str)] = &[(0, "a"), (1, "b"), (2, "c"), (3, "a"), (4, "b"), (5, "c")];

#[test]
fn a_drained_replica_stays_in_its_zone_and_in_its_place() {
    let mut layout = layout(THREE, vec![placed(0, &[0, 1, 2], 10)]);
    layout.brokers.get_mut(&1).unwrap().draining = true;
    assert_eq!(targets(&layout, &Goal::default()), [[0, 4, 2]]);
}

#[test]
fn what_moves_off_the_preferred_leader_is_led_by_whom_few_prefer() {
    let partitions = vec![
        placed(0, &[0, 1, 2], 10),
        placed(1, &[1, 2, 3], 10),
        placed(2, &[3, 1, 2], 10),
    ];
    let mut layout = layout(THREE, partitions);
    layout.brokers.get_mut(&0).unwrap().draining = true;
    assert_eq!(targets(&layout, &Goal::default()), [[2, 3, 1]]);
}

#[test]
fn more_replicas_go_to_zones_that_have_none() {
    let layout = layout(THREE, vec![placed(0, &[0], 10)]);
    let all = reassign(&layout, &replicas(3));
    assert_eq!(all.changes[0].target, [0, 1, 2]);
    assert_eq!(all.changes[0].bytes, 20);
}

#[test]
fn fewer_replicas_keep_the_leader_the_zones_and_who_is_in_sync() {
    let mut lagging = placed(0, &[0, 1, 2, 4], 10);
    lagging.in_sync.remove(&1);
    let layout = layout(THREE, vec![lagging]);
    assert_eq!(targets(&layout, &replicas(3)), [[0, 2, 4]]);
    let all = reassign(&layout, &replicas(3));
    assert_eq!(all.changes[0].bytes, 0);
}

#[test]
fn a_drain_with_fewer_replicas_does_not_crowd_a_zone() {
    let mut layout = layout(THREE, vec![placed(0, &[0, 3, 1], 10)]);
    layout.brokers.get_mut(&1).unwrap().draining = true;
    assert_eq!(
        targets(&layout, &replicas(2)),
        [[0, 2]],
        "0 and 3 are in one zone"
    );
}

#[test]
fn a_replication_factor_below_the_minimum_is_refused() {
    let mut strict = placed(0, &[0, 1, 2], 10);
    strict.min_in_sync = 2;
    let all = reassign(&layout(THREE, vec![strict]), &replicas(1));
    assert_eq!(all.changes, []);
    assert_eq!(
        all.impossible[0].to_string(),
        "partition t-0 cannot have 1 replicas: min.insync.replicas is 2, which must be lowered \
         first"
    );
}

#[test]
fn a_drain_without_a_broker_to_go_to_leaves_the_replica_and_says_so() {
    let mut layout = layout(&THREE[..3], vec![placed(0, &[0, 1, 2], 10)]);
    layout.brokers.get_mut(&1).unwrap().draining = true;
    let moves = next_moves(&layout, &Goal::default(), MoveLimits::default());
    assert!(moves.is_done());
    assert_eq!(
        moves.impossible[0].to_string(),
        "partition t-0 needs 3 replicas, and only 2 brokers may have one: add brokers, or lower \
         the topic's replication factor"
    );
}

#[test]
fn a_broker_that_is_closed_keeps_what_it_has_and_gets_nothing() {
    let mut layout = layout(THREE, vec![placed(0, &[0, 1, 2], 10)]);
    layout.brokers.get_mut(&1).unwrap().draining = true;
    layout.brokers.get_mut(&4).unwrap().open = false;
    layout.brokers.get_mut(&0).unwrap().open = false;
    assert_eq!(targets(&layout, &Goal::default()), [[0, 3, 2]]);
}

#[test]
fn a_small_move_does_not_overtake_a_large_one() {
    let partitions = (0..6).map(|i| placed(i, &[0], if i == 2 { 100 } else { 1 }));
    let mut layout = layout(&[(0, ""), (1, "")], partitions.collect());
    layout.brokers.get_mut(&0).unwrap().draining = true;
    let limits = MoveLimits {
        partitions: 9,
        bytes: 50,
    };
    let order = reassign(&layout, &Goal::default()).changes;
    let large = order.iter().position(|change| change.bytes == 100).unwrap();
    let moves = next_moves(&layout, &Goal::default(), limits);
    assert!(large > 0, "else the test says nothing");
    assert_eq!(moves.start, order[..large]);
    assert_eq!(moves.left.partitions, 6 - large);
    let alone = Layout {
        partitions: layout
            .partitions
            .into_iter()
            .filter(|p| p.bytes == 100)
            .collect(),
        ..layout
    };
    assert_eq!(next_moves(&alone, &Goal::default(), limits).start.len(), 1);
}

#[test]
fn a_move_to_a_broker_that_is_to_drain_is_given_another_target() {
    let mut moving = placed(0, &[4, 0, 2, 1], 10);
    moving.adding = [4].into();
    moving.removing = [1].into();
    moving.in_sync = [0, 1, 2].into();
    let mut layout = layout(&[(0, ""), (1, ""), (2, ""), (4, ""), (5, "")], vec![moving]);
    assert_eq!(reassign(&layout, &Goal::default()), Reassignment::default());
    layout.brokers.get_mut(&4).unwrap().draining = true;
    layout.brokers.get_mut(&1).unwrap().draining = true;
    let all = reassign(&layout, &Goal::default());
    let change = &all.changes[0];
    assert_eq!(
        change.target.iter().copied().collect::<BTreeSet<_>>(),
        [0, 2, 5].into()
    );
    assert_eq!(change.adding, [5].into());
}

#[test]
fn a_new_broker_gets_from_those_that_have_more_until_it_has_its_share() {
    let heavy = (0..30).map(|i| placed(i, &[0], 10));
    let light = (30..36).map(|i| placed(i, &[1], 10));
    let layout = layout(&[(0, ""), (1, ""), (2, "")], heavy.chain(light).collect());
    let goal = Goal {
        fill: [2].into(),
        ..Goal::default()
    };
    let all = reassign(&layout, &goal);
    assert!(all.fills);
    assert_eq!(all.changes.len(), 12, "a third of 36");
    let was_on = |change: &Change| {
        let mut partitions = layout.partitions.iter();
        partitions.find(|p| p.id == change.id).unwrap().replicas[0]
    };
    for change in &all.changes {
        assert_eq!((was_on(change), &*change.target), (0, &[2][..]));
    }
}

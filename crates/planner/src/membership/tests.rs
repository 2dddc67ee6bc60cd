use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::*;

const BROKER: NodeRole = NodeRole::Broker;
const CONTROLLER: NodeRole = NodeRole::Controller;

fn member(id: u32, has: &[NodeRole], wanted: &[NodeRole]) -> Member {
    Member {
        id,
        wanted: wanted.iter().copied().collect(),
        has: has.iter().copied().collect(),
        ready: true,
        cordon: Cordon::Cordoned,
        replicas: Some(0),
    }
}

fn registry(voters: &[u32], caught_up: &[u32]) -> Registry {
    let directory = |id: &u32| (*id, Directory(u128::from(*id)));
    Registry {
        voters: Some(VoterSet {
            leader: caught_up.first().copied(),
            voters: voters.iter().map(directory).collect(),
            caught_up: caught_up.iter().copied().collect(),
            observers: BTreeMap::new(),
        }),
        assigned: Some(BTreeMap::new()),
        fenced: BTreeSet::new(),
    }
}

fn observe(registry: &mut Registry, id: u32, directory: u128) {
    let voters = registry.voters.as_mut().unwrap();
    voters.observers.insert(id, Directory(directory));
}

fn words(plan: &MembershipPlan) -> Vec<String> {
    plan.waits.iter().map(ToString::to_string).collect()
}

fn added(id: u32, directory: u128) -> VoterChange {
    let directory = Directory(directory);
    VoterChange::Add { id, directory }
}

fn removed(id: u32) -> VoterChange {
    let directory = Directory(u128::from(id));
    VoterChange::Remove { id, directory }
}

#[test]
fn koperator_829_a_broker_leaves_cordoned_then_drained_then_by_its_own_word() {
    let stays = member(0, &[BROKER, CONTROLLER], &[BROKER, CONTROLLER]);
    let mut leaves = member(5, &[BROKER], &[]);
    let mut seen = registry(&[0], &[0]);
    seen.fenced = [0, 5].into();
    let next =
        |leaves: &Member, seen: &Registry| membership(&[stays.clone(), leaves.clone()], seen);

    leaves.cordon = Cordon::Open;
    leaves.replicas = Some(3);
    seen.assigned = Some([(5, 3), (0, 9)].into());
    let plan = next(&leaves, &seen);
    assert_eq!((&plan.cordon, &plan.drain), (&[5].into(), &[5].into()));
    assert!(plan.remove.is_empty());

    leaves.cordon = Cordon::Cordoned;
    let plan = next(&leaves, &seen);
    assert!(plan.cordon.is_empty());
    assert_eq!(
        words(&plan),
        ["broker 5 leaves when its 3 replicas are moved away"]
    );

    seen.assigned = Some([(0, 12)].into());
    let plan = next(&leaves, &seen);
    assert!(plan.remove.is_empty() && plan.drain.is_empty());

    leaves.replicas = None;
    let plan = next(&leaves, &seen);
    assert_eq!(words(&plan), ["broker 5 cannot be asked what it holds"]);

    leaves.replicas = Some(0);
    let plan = next(&leaves, &seen);
    assert_eq!((&plan.remove, &plan.release), (&[5].into(), &[5].into()));
    assert!(plan.unregister.is_empty(), "it still runs");

    let plan = membership(std::slice::from_ref(&stays), &seen);
    assert_eq!(plan.unregister, [5].into());
    seen.assigned = Some([(5, 1)].into());
    assert!(
        membership(std::slice::from_ref(&stays), &seen)
            .unregister
            .is_empty()
    );
}

#[test]
fn a_dead_broker_that_is_drained_may_go_and_its_volume_stays() {
    let mut dead = member(5, &[BROKER], &[]);
    dead.ready = false;
    dead.replicas = None;
    let plan = membership(
        &[
            member(0, &[BROKER, CONTROLLER], &[BROKER, CONTROLLER]),
            dead,
        ],
        &registry(&[0], &[0]),
    );
    assert_eq!(plan.remove, [5].into());
    assert!(plan.release.is_empty());
}

#[test]
fn the_last_broker_stays() {
    let plan = membership(&[member(5, &[BROKER], &[])], &registry(&[1], &[1]));
    assert!(plan.remove.is_empty());
    assert!(words(&plan)[0].starts_with("broker 5 cannot leave"));
}

#[test]
fn scaling_down_is_taken_back() {
    let back = member(5, &[BROKER], &[BROKER]);
    let plan = membership(&[back], &registry(&[1], &[1]));
    assert_eq!(plan.uncordon, [5].into());
    assert!(plan.remove.is_empty() && plan.drain.is_empty());
}

#[test]
fn a_controller_votes_no_more_before_it_goes() {
    let controllers = |wanted: &[u32]| -> Vec<Member> {
        let roles = |id: u32| {
            if wanted.contains(&id) {
                &[CONTROLLER][..]
            } else {
                &[]
            }
        };
        (0..5)
            .map(|id| member(id, &[CONTROLLER], roles(id)))
            .collect()
    };
    let to_three = controllers(&[1, 2, 3]);
    let plan = membership(&to_three, &registry(&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]));
    assert_eq!(
        plan.change,
        Some(removed(4)),
        "the active controller is the last to go"
    );
    assert!(plan.remove.is_empty());
    let plan = membership(&to_three, &registry(&[0, 1, 2, 3], &[0, 1, 2, 3]));
    assert_eq!((plan.change, plan.remove), (Some(removed(0)), [4].into()));
    let plan = membership(&to_three, &registry(&[1, 2, 3], &[1, 2, 3]));
    assert_eq!((plan.change, plan.remove), (None, [0, 4].into()));
}

#[test]
fn a_majority_that_follows_is_left_or_nobody_leaves() {
    let to_two: Vec<_> = (0..3)
        .map(|id| member(id, &[CONTROLLER], if id < 2 { &[CONTROLLER] } else { &[] }))
        .collect();
    let plan = membership(&to_two, &registry(&[0, 1, 2], &[0, 2]));
    assert_eq!(plan.change, None);
    assert_eq!(
        words(&plan)[1],
        "controller 2 cannot leave the voters: 1 of then 2 would be caught up, and a majority \
         must be"
    );
    let mut rolled = to_two;
    rolled[1].ready = false;
    let plan = membership(&rolled, &registry(&[0, 1, 2], &[0, 1, 2]));
    assert_eq!(
        plan.change, None,
        "one of the others is just being replaced"
    );
}

#[test]
fn an_observer_joins_once_it_has_caught_up() {
    let members: Vec<_> = (0..3)
        .map(|id| member(id, &[CONTROLLER], &[CONTROLLER]))
        .collect();
    let mut seen = registry(&[0], &[0]);
    let plan = membership(&members, &seen);
    assert_eq!(plan.change, None);
    assert_eq!(
        words(&plan),
        ["controllers 1, 2 are not caught up, to vote"]
    );
    observe(&mut seen, 2, 77);
    assert_eq!(membership(&members, &seen).change, Some(added(2, 77)));
}

#[test]
fn who_replaces_another_joins_before_that_one_leaves() {
    let members = [
        member(0, &[CONTROLLER], &[CONTROLLER]),
        member(1, &[CONTROLLER], &[]),
        member(2, &[CONTROLLER], &[CONTROLLER]),
        member(3, &[CONTROLLER], &[CONTROLLER]),
    ];
    let mut seen = registry(&[0, 1, 2], &[0, 1, 2]);
    assert_eq!(membership(&members, &seen).change, None);
    observe(&mut seen, 3, 3);
    assert_eq!(membership(&members, &seen).change, Some(added(3, 3)));
    let seen = registry(&[0, 1, 2, 3], &[0, 1, 2, 3]);
    assert_eq!(membership(&members, &seen).change, Some(removed(1)));
}

#[test]
fn a_voter_that_lost_its_volume_votes_again_with_its_new_one() {
    let members: Vec<_> = (0..3)
        .map(|id| member(id, &[CONTROLLER], &[CONTROLLER]))
        .collect();
    let mut seen = registry(&[0, 1, 2], &[0, 1]);
    assert_eq!(
        membership(&members, &seen).change,
        None,
        "it may only be slow"
    );
    observe(&mut seen, 2, 99);
    assert_eq!(membership(&members, &seen).change, Some(removed(2)));
    let mut seen = registry(&[0, 1], &[0, 1]);
    observe(&mut seen, 2, 99);
    assert_eq!(membership(&members, &seen).change, Some(added(2, 99)));
}

#[test]
fn a_combined_node_may_lose_a_role_and_keep_the_other() {
    let node = member(1, &[BROKER, CONTROLLER], &[CONTROLLER]);
    let stays = member(0, &[BROKER, CONTROLLER], &[BROKER, CONTROLLER]);
    let plan = membership(&[stays, node], &registry(&[0, 1], &[0, 1]));
    assert_eq!(plan.reduce, [1].into());
    assert!(plan.remove.is_empty() && plan.change.is_none());
}

fn any_members() -> impl Strategy<Value = BTreeMap<u32, Member>> {
    let role = || prop_oneof![Just(BROKER), Just(CONTROLLER)];
    let cordon = prop_oneof![
        Just(Cordon::Unsupported),
        Just(Cordon::Open),
        Just(Cordon::Cordoned)
    ];
    let replicas = proptest::option::of(0usize..3);
    let node = (
        btree_set(role(), 0..=2),
        btree_set(role(), 1..=2),
        any::<bool>(),
    );
    let member =
        (node, cordon, replicas).prop_map(|((wanted, has, ready), cordon, replicas)| Member {
            id: 0,
            wanted,
            has,
            ready,
            cordon,
            replicas,
        });
    btree_map(0u32..9, member, 1..9).prop_map(|mut members| {
        for (id, member) in &mut members {
            member.id = *id;
        }
        members
    })
}

fn any_registry() -> impl Strategy<Value = Registry> {
    let ids = || btree_map(0u32..9, (0u128..3).prop_map(Directory), 0..8);
    let voters = (ids(), ids(), btree_set(0u32..9, 0..9), any::<bool>());
    let voters = voters.prop_map(|(voters, observers, caught_up, led)| {
        let mut caught_up = caught_up;
        caught_up.retain(|id| voters.contains_key(id));
        VoterSet {
            leader: caught_up.first().copied().filter(|_| led),
            voters,
            caught_up,
            observers,
        }
    });
    let assigned = proptest::option::of(btree_map(0u32..9, 0usize..3, 0..9));
    let fenced = btree_set(0u32..9, 0..9);
    (proptest::option::of(voters), assigned, fenced).prop_map(|(voters, assigned, fenced)| {
        Registry {
            voters,
            assigned,
            fenced,
        }
    })
}

/// Takes the steps until there are none, while everybody catches up.
fn carry_out(mut members: BTreeMap<u32, Member>, mut registry: Registry) -> Result<(), String> {
    for _ in 0..200 {
        let assigned = registry.assigned.as_ref().unwrap();
        for member in members.values_mut().filter(|member| member.leaves(BROKER)) {
            if assigned.get(&member.id).is_none_or(|count| *count == 0) {
                member.replicas = Some(0);
            }
        }
        let list: Vec<_> = members.values().cloned().collect();
        let plan = membership(&list, &registry);
        let idle = MembershipPlan {
            waits: Vec::new(),
            ..plan.clone()
        } == MembershipPlan::default();
        if idle && plan.waits.is_empty() {
            return Ok(());
        }
        if idle {
            return Err(plan.waits[0].to_string());
        }
        let voters = registry.voters.as_mut().unwrap();
        match plan.change {
            Some(VoterChange::Add { id, directory }) => {
                voters.voters.insert(id, directory);
                voters.observers.remove(&id);
            }
            Some(VoterChange::Remove { id, .. }) => {
                voters.voters.remove(&id);
                voters.caught_up.remove(&id);
                voters.leader = voters.caught_up.first().copied();
            }
            None => {}
        }
        for id in &plan.drain {
            registry.assigned.as_mut().unwrap().remove(id);
        }
        for id in &plan.unregister {
            registry.fenced.remove(id);
        }
        for member in members.values_mut() {
            if plan.cordon.contains(&member.id) {
                member.cordon = Cordon::Cordoned;
            }
            if plan.uncordon.contains(&member.id) {
                member.cordon = Cordon::Open;
            }
            if plan.reduce.contains(&member.id) {
                member.has.clone_from(&member.wanted);
            }
        }
        members.retain(|id, _| !plan.remove.contains(id));
        voters.caught_up = voters.voters.keys().copied().collect();
    }
    Err("no end".to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_node_goes_with_data_or_a_vote(members in any_members(), registry in any_registry()) {
        let list: Vec<_> = members.values().cloned().collect();
        let plan = membership(&list, &registry);
        for id in plan.remove.iter().chain(&plan.reduce) {
            let member = &members[id];
            if member.leaves(CONTROLLER) {
                prop_assert!(!registry.voters.as_ref().unwrap().voters.contains_key(id));
            }
            if member.leaves(BROKER) {
                let assigned = registry.assigned.as_ref().unwrap();
                prop_assert_eq!(assigned.get(id).copied().unwrap_or(0), 0);
                prop_assert_ne!(member.cordon, Cordon::Open);
                prop_assert!(member.replicas.is_none_or(|count| count == 0));
            }
        }
        for id in &plan.release {
            prop_assert!(!members[id].is_broker() || members[id].replicas == Some(0));
        }
    }

    #[test]
    fn no_change_of_the_voters_leaves_less_than_a_majority(
        members in any_members(),
        registry in any_registry(),
    ) {
        let list: Vec<_> = members.values().cloned().collect();
        let Some(change) = membership(&list, &registry).change else { return Ok(()) };
        let set = registry.voters.unwrap();
        let mut voters: BTreeSet<u32> = set.voters.keys().copied().collect();
        let mut caught_up = set.caught_up;
        match change {
            VoterChange::Add { id, directory } => {
                prop_assert_eq!(set.observers.get(&id), Some(&directory));
                prop_assert!(voters.insert(id), "a node votes once");
                caught_up.insert(id);
            }
            VoterChange::Remove { id, directory } => {
                prop_assert_eq!(set.voters[&id], directory);
                voters.remove(&id);
            }
        }
        let ready = |id: &&u32| members.get(id).is_none_or(|member| member.ready);
        let steady = caught_up.intersection(&voters).filter(ready).count();
        prop_assert!(!voters.is_empty() && steady * 2 > voters.len());
    }

    #[test]
    fn what_is_wanted_is_reached_when_everybody_is_well(
        members in any_members(),
        registry in any_registry(),
    ) {
        let mut members = members;
        // One node that stays, so that there is somebody to stay with.
        let mut zero = member(0, &[BROKER, CONTROLLER], &[BROKER, CONTROLLER]);
        zero.cordon = Cordon::Open;
        members.insert(0, zero);
        let mut registry = registry;
        let set = registry.voters.get_or_insert_default();
        set.voters.entry(0).or_insert(Directory(0));
        set.caught_up = set.voters.keys().copied().collect();
        set.leader = Some(0);
        set.voters.retain(|id, _| members.contains_key(id));
        set.caught_up.retain(|id| members.contains_key(id));
        set.observers = members.keys().map(|id| (*id, Directory(9))).collect();
        set.observers.retain(|id, _| !set.voters.contains_key(id));
        registry.assigned.get_or_insert_default().retain(|id, _| members.contains_key(id));
        for member in members.values_mut() {
            member.ready = true;
            member.replicas = member.replicas.or(Some(0));
        }
        let wanted = members.clone();
        prop_assert_eq!(carry_out(members, registry), Ok(()), "{:?}", wanted);
    }
}

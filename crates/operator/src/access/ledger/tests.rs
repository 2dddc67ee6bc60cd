use proptest::prelude::*;
use tubeway_policy::acl::{Operation, ResourceType};

use super::*;

const ALICE: &str = "User:CN=alice";
const OWN: &str = "User:spiffe://td/ns/shop/sa/a";
const OPERATOR: &str = "User:spiffe://td/ns/tubeway/sa/operator";

fn acl(principal: &str, topic: &str) -> AclBinding {
    AclBinding::allow(principal, Operation::Read, ResourceType::Topic, topic)
}

fn ownership() -> Ownership {
    Ownership::new("td", [OPERATOR.to_owned()])
}

fn plan(wanted: &[AclBinding], actual: &[AclBinding], ledger: &Ledger, settled: bool) -> Plan {
    let wanted = wanted.iter().cloned().collect();
    ownership().plan(&wanted, actual, ledger, settled).unwrap()
}

fn ledger(acls: &[AclBinding]) -> Ledger {
    Ledger {
        entries: acls.iter().map(digest).collect(),
    }
}

#[test]
fn what_others_get_is_written_down_and_what_was_there_before_is_not() {
    let (new, old) = (acl(ALICE, "new"), acl("User:*", "old"));
    let wanted = [new.clone(), old.clone(), acl(OWN, "t")];
    let made = plan(
        &wanted,
        std::slice::from_ref(&old),
        &Ledger::default(),
        false,
    );
    assert_eq!(made.ledger, Some(ledger(std::slice::from_ref(&new))));
    assert_eq!(made.create, [acl(OWN, "t"), new.clone()]);

    let given_up = plan(&[], &[new.clone(), old], &made.ledger.unwrap(), true);
    assert_eq!(given_up.delete, [new]);
}

#[test]
fn the_operators_own_acls_and_those_of_people_are_left_alone() {
    let theirs = [acl(OPERATOR, "t"), acl(ALICE, "t"), acl("User:*", "t")];
    let idle = Plan::default();
    assert_eq!(plan(&[], &theirs, &Ledger::default(), true), idle);
    assert_eq!(
        plan(&[acl(OPERATOR, "u")], &[], &Ledger::default(), true),
        idle
    );
}

#[test]
fn an_entry_goes_when_its_acl_has_been_gone_for_a_while() {
    let gone = ledger(&[acl(ALICE, "t")]);
    assert_eq!(plan(&[], &[], &gone, false), Plan::default());
    let struck = plan(&[], &[], &gone, true);
    assert_eq!(struck.ledger, Some(Ledger::default()));
    assert_eq!((struck.create, struck.delete), (vec![], vec![]));
}

#[test]
fn denials_come_first_and_go_last() {
    let deny = AclBinding {
        permission: Permission::Deny,
        ..acl("User:*", "z")
    };
    let all = [acl(ALICE, "a"), deny.clone(), acl(OWN, "b")];
    let made = plan(&all, &[], &Ledger::default(), false);
    assert_eq!(made.create[0], deny);
    let given_up = plan(&[], &all, &made.ledger.unwrap(), false);
    assert_eq!(given_up.delete.last(), Some(&deny));
}

#[test]
fn it_reads_what_it_has_written_and_nothing_else() {
    let some = ledger(&[acl(ALICE, "t"), acl("User:*", "t")]);
    assert_eq!(Ledger::parse(&some.text()), Some(some));
    assert_eq!(Ledger::parse(""), Some(Ledger::default()));
    assert_eq!(Ledger::parse("User:CN=alice"), None);
}

#[test]
fn more_than_can_be_written_down_is_refused() {
    let many = (0..=MAX_ENTRIES).map(|i| acl(ALICE, &format!("t{i}")));
    let refused = ownership().plan(&many.collect(), &[], &Ledger::default(), false);
    assert_eq!(refused, Err(TooMany(MAX_ENTRIES + 1)));
}

#[test]
fn the_digest_of_an_acl_stays_the_same() {
    // Clusters have it written down.
    assert_eq!(digest(&acl(ALICE, "t")), "df7349c1661850fac2bf244ae0997c37");
}

/// A round that may end after any of its steps: 0 does nothing, 1 writes down,
/// 2 creates too, 3 deletes too.
fn round(
    wanted: &BTreeSet<AclBinding>,
    kafka: &mut BTreeSet<AclBinding>,
    ledger: &mut Ledger,
    (steps, settled): (u8, bool),
) {
    let actual: Vec<_> = kafka.iter().cloned().collect();
    let plan = ownership().plan(wanted, &actual, ledger, settled).unwrap();
    if steps > 0
        && let Some(next) = plan.ledger
    {
        *ledger = next;
    }
    if steps > 1 {
        kafka.extend(plan.create);
    }
    if steps > 2 {
        for acl in plan.delete {
            kafka.remove(&acl);
        }
    }
}

proptest! {
    #[test]
    fn however_rounds_end_the_wanted_come_theirs_stay_and_nothing_is_left(
        theirs in proptest::collection::btree_set("[abc]", 0..3),
        wishes in proptest::collection::vec(
            (proptest::collection::btree_set("[a-f]", 0..5), 0..4_u8, any::<bool>()),
            1..8,
        ),
    ) {
        let acls = |names: &BTreeSet<String>| -> BTreeSet<AclBinding> {
            names.iter().map(|name| acl(ALICE, name)).collect()
        };
        let theirs = acls(&theirs);
        let mut kafka = theirs.clone();
        let mut ledger = Ledger::default();
        let mut wanted = BTreeSet::new();
        for (names, steps, settled) in &wishes {
            wanted = acls(names);
            round(&wanted, &mut kafka, &mut ledger, (*steps, *settled));
            prop_assert!(kafka.is_superset(&theirs));
        }
        round(&wanted, &mut kafka, &mut ledger, (3, false));
        prop_assert_eq!(&kafka, &wanted.union(&theirs).cloned().collect());
        round(&BTreeSet::new(), &mut kafka, &mut ledger, (3, false));
        prop_assert_eq!(&kafka, &theirs);
        round(&BTreeSet::new(), &mut kafka, &mut ledger, (3, true));
        prop_assert_eq!(ledger, Ledger::default());
    }
}

//! FindCoordinator.

use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::listed::{Named, Place};
use super::refusals::{
    self, CLUSTER_DENIED, GROUP_DENIED, INVALID_REQUEST, TRANSACTIONAL_ID_DENIED,
};
use super::{Case, Verdict, gates, tree};

/// Kinds of coordinators.
const GROUP: i64 = 0;
const TRANSACTION: i64 = 1;
const SHARE: i64 = 2;

const NAMED: Named = Named {
    asked: "CoordinatorKeys",
    answered: "Coordinators",
    name: "Key",
    place: Place::AsAsked,
    code: GROUP_DENIED,
    once: false,
};

/// A version that asks for several (4 on, KIP-699) is answered key by key.
pub(super) fn decide(case: &Case<'_>) -> Verdict {
    let access = &case.access;
    match case.request.int("KeyType") {
        GROUP => by_key(case, GROUP_DENIED, |key| {
            access.group(Operation::Describe, key)
        }),
        TRANSACTION => by_key(case, TRANSACTIONAL_ID_DENIED, |key| {
            access.transactional_id(Operation::Describe, key)
        }),
        SHARE => share(case),
        // What other kinds there are, the broker says.
        _ => Verdict::Pass,
    }
}

fn by_key(case: &Case<'_>, code: i16, allowed: impl Fn(&[u8]) -> bool) -> Verdict {
    if case.version() >= 4 {
        let named = Named { code, ..NAMED };
        return case.cut_names(&named, allowed, nowhere, Vec::new());
    }
    if allowed(&tree::bytes(case.request, "Key")) {
        return Verdict::Pass;
    }
    let mut answer = gates::code_and_message(case, code);
    nowhere(&mut answer);
    Verdict::Answer(answer)
}

/// Only brokers look for the coordinators of share groups' states, in versions
/// that are new enough for it.
fn share(case: &Case<'_>) -> Verdict {
    if case.version() < 6 {
        return by_key(case, INVALID_REQUEST, |_| false);
    }
    let keys = tree::strings(case.request, "CoordinatorKeys");
    if keys.is_empty() || case.access.cluster(Operation::ClusterAction) {
        return Verdict::Pass;
    }
    let mut answer = case.blank();
    for key in keys {
        let mut entry = tree::element(&answer, "Coordinators");
        entry.set("Key", Value::String(key));
        refusals::say(&mut entry, CLUSTER_DENIED);
        nowhere(&mut entry);
        tree::push(&mut answer, "Coordinators", entry);
    }
    Verdict::Answer(answer)
}

/// Kafka's node that is none.
fn nowhere(of: &mut Struct) {
    of.set("NodeId", -1);
    of.set("Port", -1);
}

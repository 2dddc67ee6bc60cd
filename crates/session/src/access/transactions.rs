//! Transactions and producer ids.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};

use super::amend::{Amend, Change};
use super::gates::{self, What};
use super::listed::{Named, Place};
use super::merge;
use super::refusals::{CLUSTER_DENIED, NOT_ATTEMPTED, TRANSACTIONAL_ID_DENIED};
use super::topics::{COMMIT, Shape, is_internal};
use super::{Case, Verdict, shape, tree};

/// A topic that no client's transaction may have, whatever it may do.
const PROBE: &str = "__consumer_offsets";

/// AddPartitionsToTxn as clients send it.
const ADD: Shape = Shape {
    operation: Operation::Write,
    asked: ("V3AndBelowTopics", "Name"),
    answered: ("ResultsByTopicV3AndBelow", "Name"),
    partitions: ("Partitions", None),
    results: ("ResultsByPartition", "PartitionIndex", "PartitionErrorCode"),
    place: merge::Place::AsAsked,
    tells_apart: true,
    ..COMMIT
};

const DESCRIBED: Named = Named {
    asked: "TransactionalIds",
    answered: "TransactionStates",
    name: "TransactionalId",
    place: Place::AsAsked,
    code: TRANSACTIONAL_ID_DENIED,
    once: false,
};

/// InitProducerId: without a transactional id, who may write to any topic may
/// have a producer id (KIP-679).
pub(super) fn init_producer_id(case: &Case<'_>) -> Verdict {
    let access = &case.access;
    let (allowed, code) = if let Some(id) = tree::nullable_bytes(case.request, "TransactionalId") {
        let two_phase = case.request.int("Enable2Pc") != 0;
        let allowed = access.transactional_id(Operation::Write, &id)
            && (!two_phase || access.transactional_id(Operation::TwoPhaseCommit, &id));
        (allowed, TRANSACTIONAL_ID_DENIED)
    } else {
        let (rules, caller) = (access.rules, access.caller);
        let allowed = access.cluster(Operation::IdempotentWrite)
            || rules.authorize_any(caller, Operation::Write, ResourceType::Topic);
        (allowed, CLUSTER_DENIED)
    };
    if allowed {
        return Verdict::Pass;
    }
    let mut answer = gates::code(case, code);
    answer.set("ProducerEpoch", -1_i16);
    Verdict::Answer(answer)
}

/// WriteTxnMarkers.
pub(super) fn write_markers(case: &Case<'_>) -> Verdict {
    let access = &case.access;
    if access.cluster(Operation::Alter) || access.cluster(Operation::ClusterAction) {
        return Verdict::Pass;
    }
    Verdict::Answer(shape::write_txn_markers(case, CLUSTER_DENIED))
}

/// AddPartitionsToTxn: all or nothing.
///
/// Where some topics are refused, the others are not added either, and a broker
/// says of each whether it exists (3) or just was not attempted (55). So it is
/// asked about them beside a topic that it refuses to every client: it then
/// checks them, and adds none.
pub(super) fn add_partitions(case: &Case<'_>) -> Verdict {
    const BROKER: &[(What, Operation)] = &[(What::Cluster, Operation::ClusterAction)];
    const NEEDS: &[(What, Operation)] = &[(
        What::TransactionalId("V3AndBelowTransactionalId"),
        Operation::Write,
    )];
    if case.version() >= 4 {
        return match case.refusal(BROKER) {
            Some(code) => Verdict::Answer(gates::code(case, code)),
            None => Verdict::Pass,
        };
    }
    if let Some(code) = case.refusal(NEEDS) {
        return Verdict::Answer(ADD.refuse_all(case.request, case.blank(), code));
    }
    let internal = |topic: &Struct| is_internal(&tree::bytes(topic, "Name"));
    let split = ADD.split(&case.access, case.request, &case.blank(), internal);
    let Some(cut) = split.cut else {
        return Verdict::Pass;
    };
    if split.kept.is_empty() {
        let mut answer = case.blank();
        cut.apply(&mut answer);
        return Verdict::Answer(answer);
    }
    let mut request = case.request.clone();
    request.set(ADD.asked.0, Value::Array(split.kept));
    let mut changes = Vec::new();
    if !request.structs(ADD.asked.0).any(internal) {
        let mut probe = tree::element(&request, ADD.asked.0);
        probe.set("Name", PROBE);
        probe.set("Partitions", Value::ints([0]));
        tree::push(&mut request, ADD.asked.0, probe);
        changes.push(Change::Rule(|_, response| {
            tree::retain(response, ADD.answered.0, |topic| {
                tree::bytes(topic, "Name") != PROBE
            });
        }));
    }
    changes.push(Change::Rule(|_, response| none_added(response)));
    changes.push(Change::Merge(cut));
    Verdict::Cut(request, Amend::new(changes))
}

/// A broker that lets the probe through after all has added nothing that the
/// caller will use: to them it was not attempted.
fn none_added(response: &mut Struct) {
    for topic in tree::structs_mut(response, ADD.answered.0) {
        for partition in tree::structs_mut(topic, ADD.results.0) {
            if partition.int(ADD.results.2) == 0 {
                partition.set(ADD.results.2, NOT_ATTEMPTED);
            }
        }
    }
}

/// DescribeTransactions: topics that the caller may not see are left out.
pub(super) fn describe(case: &Case<'_>) -> Verdict {
    let access = &case.access;
    let visible = Change::Rule(|access, response| {
        for transaction in tree::structs_mut(response, "TransactionStates") {
            tree::retain(transaction, "Topics", |topic| {
                access.topic(Operation::Describe, &tree::bytes(topic, "Topic"))
            });
        }
    });
    let allowed = |id: &[u8]| access.transactional_id(Operation::Describe, id);
    case.cut_names(&DESCRIBED, allowed, |_| (), vec![visible])
}

/// ListTransactions.
pub(super) fn list(_: &Case<'_>) -> Verdict {
    Verdict::Amend(Amend::rule(|access, response| {
        tree::retain(response, "TransactionStates", |transaction| {
            let id = tree::bytes(transaction, "TransactionalId");
            access.transactional_id(Operation::Describe, &id)
        });
    }))
}

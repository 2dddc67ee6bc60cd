//! APIs that are allowed or refused as a whole.

use tubeway_policy::acl::Operation;
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::{Struct, Value};

use super::refusals::{
    self, CLUSTER_DENIED, GROUP_DENIED, INCONSISTENT_PROTOCOL, TRANSACTIONAL_ID_DENIED,
};
use super::{Case, Verdict, shape, tree};

use What::{Cluster, Group, TransactionalId};

/// An API, what it needs, and what a refusal looks like.
struct Gate {
    api: ApiKey,
    needs: &'static [(What, Operation)],
    refuse: fn(&Case<'_>, i16) -> Struct,
}

/// What a right is needed on, and in which field of the request its name is.
#[derive(Clone, Copy)]
pub(super) enum What {
    Cluster,
    Group(&'static str),
    TransactionalId(&'static str),
}

const fn gate(
    api: i16,
    needs: &'static [(What, Operation)],
    refuse: fn(&Case<'_>, i16) -> Struct,
) -> Gate {
    Gate {
        api: ApiKey(api),
        needs,
        refuse,
    }
}

const JOINS: &[(What, Operation)] = &[(Group("GroupId"), Operation::Read)];
const DESCRIBES: &[(What, Operation)] = &[(Cluster, Operation::Describe)];
const ALTERS: &[(What, Operation)] = &[(Cluster, Operation::Alter)];
const READS_CONFIGS: &[(What, Operation)] = &[(Cluster, Operation::DescribeConfigs)];
const CHANGES_CONFIGS: &[(What, Operation)] = &[(Cluster, Operation::AlterConfigs)];
const IS_BROKER: &[(What, Operation)] = &[(Cluster, Operation::ClusterAction)];
const TRANSACTS: &[(What, Operation)] = &[(TransactionalId("TransactionalId"), Operation::Write)];
const COMMITS: &[(What, Operation)] = &[
    (TransactionalId("TransactionalId"), Operation::Write),
    (Group("GroupId"), Operation::Read),
];

static GATES: &[Gate] = &[
    gate(11, JOINS, join_group),
    gate(12, JOINS, code),
    gate(13, JOINS, code),
    gate(14, JOINS, code),
    gate(25, COMMITS, code),
    gate(26, TRANSACTS, code),
    gate(29, DESCRIBES, code_and_message),
    gate(30, ALTERS, |case, code| {
        each(case, code, "Creations", "Results")
    }),
    gate(31, ALTERS, |case, code| {
        each(case, code, "Filters", "FilterResults")
    }),
    gate(34, ALTERS, shape::alter_replica_log_dirs),
    gate(35, DESCRIBES, code),
    gate(43, ALTERS, shape::elect_leaders),
    gate(45, ALTERS, shape::alter_partition_reassignments),
    gate(46, DESCRIBES, shape::list_partition_reassignments),
    gate(48, READS_CONFIGS, describe_client_quotas),
    gate(49, CHANGES_CONFIGS, alter_client_quotas),
    gate(50, DESCRIBES, describe_scram),
    gate(51, ALTERS, alter_scram),
    gate(55, DESCRIBES, code_and_message),
    gate(57, ALTERS, code_and_message),
    gate(64, ALTERS, code_and_message),
    gate(74, READS_CONFIGS, code),
    gate(80, ALTERS, code_and_message),
    gate(81, ALTERS, code_and_message),
    gate(83, IS_BROKER, shape::share_state),
    gate(84, IS_BROKER, shape::share_state),
    gate(85, IS_BROKER, shape::share_state),
    gate(86, IS_BROKER, shape::share_state),
    gate(87, IS_BROKER, shape::share_state),
];

/// The verdict on a request of an API in the table.
pub(super) fn decide(case: &Case<'_>) -> Verdict {
    let api = case.request.layout().api();
    let Some(gate) = GATES.iter().find(|gate| gate.api == api) else {
        return Verdict::Close("the API has no rule");
    };
    match case.refusal(gate.needs) {
        Some(code) => Verdict::Answer((gate.refuse)(case, code)),
        None => Verdict::Pass,
    }
}

/// SyncGroup: a request without its protocol is refused before access is
/// looked at (version 5 on, KIP-559).
pub(super) fn sync_group(case: &Case<'_>) -> Verdict {
    let incomplete = |field| tree::is_null(case.request, field);
    if incomplete("ProtocolType") || incomplete("ProtocolName") {
        return Verdict::Answer(code(case, INCONSISTENT_PROTOCOL));
    }
    decide(case)
}

// === impl Case ===

impl Case<'_> {
    /// The error of the first of `needs` that is not met.
    pub(super) fn refusal(&self, needs: &[(What, Operation)]) -> Option<i16> {
        let of = |field| tree::bytes(self.request, field);
        needs.iter().find_map(|(what, operation)| {
            let (allowed, code) = match what {
                Cluster => (self.access.cluster(*operation), CLUSTER_DENIED),
                Group(field) => (self.access.group(*operation, &of(field)), GROUP_DENIED),
                TransactionalId(field) => (
                    self.access.transactional_id(*operation, &of(field)),
                    TRANSACTIONAL_ID_DENIED,
                ),
            };
            (!allowed).then_some(code)
        })
    }
}

/// A response with nothing but an error code, in versions that have one.
pub(super) fn code(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    response.set("ErrorCode", code);
    response
}

/// The same, with Kafka's message.
pub(super) fn code_and_message(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    refusals::say(&mut response, code);
    response
}

fn join_group(case: &Case<'_>, error: i16) -> Struct {
    let mut response = code(case, error);
    if case.version() >= 7 {
        response.set("ProtocolName", Value::Null);
    }
    response
}

/// The error once for each entry of the request.
fn each(case: &Case<'_>, code: i16, asked: &str, answered: &str) -> Struct {
    let mut response = case.blank();
    let mut entry = tree::element(&response, answered);
    refusals::say(&mut entry, code);
    for _ in tree::values(case.request, asked) {
        tree::push(&mut response, answered, entry.clone());
    }
    response
}

fn describe_client_quotas(case: &Case<'_>, error: i16) -> Struct {
    let mut response = case.blank();
    refusals::quietly(&mut response, error);
    response.set("Entries", Value::Null);
    response
}

fn alter_client_quotas(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    for asked in case.request.structs("Entries") {
        let mut entry = tree::element(&response, "Entries");
        refusals::say(&mut entry, code);
        for asked in asked.structs("Entity") {
            let mut entity = tree::element(&entry, "Entity");
            entity.set("EntityType", tree::text(&tree::bytes(asked, "EntityType")));
            let name = tree::nullable_bytes(asked, "EntityName");
            entity.set("EntityName", tree::nullable(name));
            tree::push(&mut entry, "Entity", entity);
        }
        tree::push(&mut response, "Entries", entry);
    }
    response
}

/// A broker leaves the users' names out of its refusal.
fn describe_scram(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    refusals::quietly(&mut response, code);
    for _ in tree::values(case.request, "Users") {
        let mut entry = tree::element(&response, "Results");
        refusals::quietly(&mut entry, code);
        tree::push(&mut response, "Results", entry);
    }
    response
}

fn alter_scram(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    let name = |asked: &Struct| tree::bytes(asked, "Name");
    let deleted = case.request.structs("Deletions").map(name);
    let mut users: Vec<_> = deleted
        .chain(case.request.structs("Upsertions").map(name))
        .collect();
    users.sort_by_cached_key(|user| tree::utf16(user));
    users.dedup();
    for user in users {
        let mut entry = tree::element(&response, "Results");
        entry.set("User", tree::text(&user));
        refusals::say(&mut entry, code);
        tree::push(&mut response, "Results", entry);
    }
    response
}

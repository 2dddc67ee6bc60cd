//! Offsets of groups, coordinators, classic groups and their members.

use serde_json::{Value as Json, json};
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::Struct;

use super::super::run::Run;
use super::super::scenario::{EXISTING, ROLES};

/// Half an hour: no member is to expire while the suite runs.
const NEVER_MS: i32 = 1_800_000;

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        8 => commit(run).await,
        9 => fetch(run).await,
        10 => coordinators(run).await,
        15 => {
            let fields = json!({"Groups": run.all(), "IncludeAuthorizedOperations": true});
            run.ask("all groups", fields).await;
        }
        16 => list(run).await,
        42 => delete(run).await,
        _ => delete_offsets(run).await,
    }
}

/// Topics with partition 0, as [`commits`] wants them.
pub(super) fn committed(names: &[String]) -> Json {
    let partition = json!([{"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": "m"}]);
    names
        .iter()
        .map(|name| json!({"Name": name, "TopicId": name, "Partitions": partition}))
        .collect()
}

/// A commit from outside of a group, which makes it if need be.
pub(super) fn commits(group: &str, topics: &Json) -> Json {
    json!({"GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": topics})
}

/// All topics of the scenario.
fn topics(run: &Run<'_>) -> Vec<String> {
    ROLES.iter().map(|role| run.base(role)).collect()
}

/// Those that exist.
fn existing_topics(run: &Run<'_>) -> Vec<String> {
    EXISTING.iter().map(|role| run.base(role)).collect()
}

/// Makes the groups of the case, each with offsets.
async fn make_groups(run: &mut Run<'_>) {
    let topics = committed(&existing_topics(run));
    for group in run.existing() {
        run.must(ApiKey::OFFSET_COMMIT, commits(&group, &topics))
            .await;
    }
}

async fn commit(run: &mut Run<'_>) {
    let all = committed(&topics(run));
    for role in ROLES {
        let fields = commits(&run.of(role), &all);
        run.ask(&format!("to the group {role}"), fields).await;
    }
    let mut one = commits(&run.of("good"), &committed(&[run.base("good")]));
    one["GenerationIdOrMemberEpoch"] = json!(7);
    run.ask("in a generation that is not", one).await;
    let nothing = commits(&run.of("good"), &json!([]));
    run.ask("of nothing", nothing).await;
}

async fn fetch(run: &mut Run<'_>) {
    let named: Json = topics(run)
        .iter()
        .map(|name| json!({"Name": name, "TopicId": name, "PartitionIndexes": [0, 2]}))
        .collect();
    for role in ROLES {
        let group = run.of(role);
        let one = |topics: &Json| {
            let groups = json!([{"GroupId": group, "Topics": topics}]);
            json!({"GroupId": group, "Topics": topics, "Groups": groups})
        };
        run.ask(&format!("of the group {role}"), one(&named)).await;
        if run.version >= 2 {
            run.ask(
                &format!("of the group {role}, every topic"),
                one(&Json::Null),
            )
            .await;
        }
    }
    if run.version >= 8 {
        for (step, topics) in [("topics", named), ("every topic", Json::Null)] {
            let groups = run.each(|group| json!({"GroupId": group, "Topics": topics}));
            run.ask(&format!("of all groups, {step}"), json!({"Groups": groups}))
                .await;
        }
    }
}

async fn coordinators(run: &mut Run<'_>) {
    let kinds: &[i8] = match run.version {
        0 => &[0],
        1..=5 => &[0, 1],
        _ => &[0, 1, 2],
    };
    for kind in kinds {
        if run.version >= 4 {
            let fields = json!({"KeyType": kind, "CoordinatorKeys": run.all()});
            run.ask(&format!("of all, kind {kind}"), fields).await;
            continue;
        }
        for role in ROLES {
            let fields = json!({"KeyType": kind, "Key": run.of(role)});
            run.ask(&format!("of {role}, kind {kind}"), fields).await;
        }
    }
}

async fn list(run: &mut Run<'_>) {
    run.ask("all", json!({})).await;
    if run.version >= 4 {
        run.ask("empty ones", json!({"StatesFilter": ["Empty"]}))
            .await;
    }
    if run.version >= 5 {
        run.ask("consumers'", json!({"TypesFilter": ["consumer"]}))
            .await;
    }
}

async fn delete(run: &mut Run<'_>) {
    make_groups(run).await;
    let fields = json!({"GroupsNames": run.all()});
    run.ask("all groups", fields).await;
}

async fn delete_offsets(run: &mut Run<'_>) {
    make_groups(run).await;
    let named: Json = topics(run)
        .iter()
        .map(|name| json!({"Name": name, "Partitions": [{"PartitionIndex": 0}]}))
        .collect();
    for role in ROLES {
        let fields = json!({"GroupId": run.of(role), "Topics": named});
        run.ask(&format!("of the group {role}"), fields).await;
    }
}

/// What a member of a classic group says when it joins.
fn joins(group: &str, member: &str) -> Json {
    json!({
        "GroupId": group, "SessionTimeoutMs": NEVER_MS, "RebalanceTimeoutMs": NEVER_MS,
        "MemberId": member, "ProtocolType": "consumer",
        "Protocols": [{"Name": "range", "Metadata": [0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]}],
    })
}

fn member_id(answer: &Struct) -> Json {
    answer.str("MemberId").unwrap_or_default().into()
}

/// JoinGroup, Heartbeat, LeaveGroup, SyncGroup.
pub(super) async fn members(run: &mut Run<'_>) {
    if run.api == ApiKey::JOIN_GROUP {
        for role in ROLES {
            join(run, role).await;
        }
        return;
    }
    for role in ROLES {
        let group = run.of(role);
        if EXISTING.contains(&role) {
            join_as_super_user(run, &group).await;
        } else {
            for side in &mut run.sides {
                side.keep("member", "mine-nobody");
            }
        }
        let mut fields = json!({
            "GroupId": group, "GenerationId": 1, "MemberId": "$member",
            "Members": [{"MemberId": "$member"}], "ProtocolType": "consumer", "ProtocolName": "range",
            "Assignments": [{"MemberId": "$member", "Assignment": "all of it"}],
        });
        run.ask(&format!("in the group {role}"), fields.clone())
            .await;
        fields["MemberId"] = json!("mine-other");
        fields["Members"] = json!([{"MemberId": "mine-other"}]);
        run.ask(&format!("in the group {role} as nobody"), fields)
            .await;
    }
}

async fn join(run: &mut Run<'_>, role: &str) {
    let group = run.of(role);
    let first = run
        .ask(&format!("the group {role}"), joins(&group, ""))
        .await;
    // Since version 4 the coordinator gives an id first, and takes the member
    // that comes back with it (KIP-394).
    if let Some(first) = first
        && run.version >= 4
    {
        run.keep("member", &first, member_id);
        run.ask(&format!("the group {role} again"), joins(&group, "$member"))
            .await;
    }
}

async fn join_as_super_user(run: &mut Run<'_>, group: &str) {
    for side in &mut run.sides {
        let first = side.admin(ApiKey::JOIN_GROUP, &joins(group, "")).await;
        side.keep("member", member_id(&first.body));
        let again = joins(group, "$member");
        let second = side.must(ApiKey::JOIN_GROUP, &again).await;
        assert_eq!(second.int("GenerationId"), 1, "{group}");
    }
}

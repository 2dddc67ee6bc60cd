//! Streams groups (KIP-1071).

use serde_json::{Value as Json, json};

use super::super::run::Run;
use super::super::scenario::{EXISTING, ROLES};
use super::super::side::api;

pub(super) async fn perform(run: &mut Run<'_>) {
    if run.api == api("StreamsGroupDescribe") {
        return describe(run).await;
    }
    // First, since a group's topology may not change (4.3.1).
    for role in ["gone", "ghost"] {
        let fields = joins(
            &run.of(role),
            "mine-3",
            &[run.base("good")],
            &[run.of(role)],
        );
        run.ask(&format!("keeping state in {role}"), fields).await;
    }
    for role in ROLES {
        let fields = joins(&run.of(role), "mine-1", &[run.base("good")], &[]);
        run.ask(&format!("the group {role}"), fields).await;
        let leave = json!({"GroupId": run.of(role), "MemberId": "mine-1", "MemberEpoch": -1});
        run.ask(&format!("the group {role}, leaving"), leave).await;
    }
    for role in ROLES {
        // For the same reason each in a group of its own.
        let group = format!("{}.{role}", run.of("good"));
        let sources = [run.base("good"), run.base(role)];
        let fields = joins(&group, "mine-2", &sources, &[]);
        run.ask(&format!("reading good and {role}"), fields).await;
        let leave = json!({"GroupId": group, "MemberId": "mine-2", "MemberEpoch": -1});
        run.ask(&format!("reading good and {role}, leaving"), leave)
            .await;
    }
}

fn joins(group: &str, member: &str, sources: &[String], changelogs: &[String]) -> Json {
    let changelogs: Json = changelogs
        .iter()
        .map(|name| json!({"Name": name, "Partitions": 0, "ReplicationFactor": 1, "TopicConfigs": []}))
        .collect();
    json!({
        "GroupId": group, "MemberId": member, "MemberEpoch": 0, "EndpointInformationEpoch": 0,
        "RebalanceTimeoutMs": 60_000, "ProcessId": "process",
        "ActiveTasks": [], "StandbyTasks": [], "WarmupTasks": [], "ClientTags": [],
        "Topology": {"Epoch": 0, "Subtopologies": [{
            "SubtopologyId": "0", "SourceTopics": sources, "SourceTopicRegex": [],
            "StateChangelogTopics": changelogs, "RepartitionSinkTopics": [],
            "RepartitionSourceTopics": [], "CopartitionGroups": [],
        }]},
    })
}

async fn describe(run: &mut Run<'_>) {
    for role in EXISTING {
        let fields = joins(&run.of(role), "mine-1", &[run.base("good")], &[]);
        run.must(api("StreamsGroupHeartbeat"), fields).await;
    }
    let fields = json!({"GroupIds": run.all(), "IncludeAuthorizedOperations": true});
    run.ask("that read an allowed topic", fields).await;
    let fields = joins(
        &run.of("gone"),
        "mine-1",
        &[run.base("good"), run.base("bad")],
        &[],
    );
    run.must(api("StreamsGroupHeartbeat"), fields).await;
    let fields = json!({"GroupIds": [run.of("gone")], "IncludeAuthorizedOperations": true});
    run.ask("that reads a denied one too", fields).await;
}

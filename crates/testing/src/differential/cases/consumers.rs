//! Consumer groups of the new protocol (KIP-848).

use serde_json::{Value as Json, json};
use tubeway_protocol::ApiKey;

use super::super::run::Run;
use super::super::scenario::{EXISTING, ROLES};
use super::super::side::api;

pub(super) async fn perform(run: &mut Run<'_>) {
    if run.api == api("ConsumerGroupDescribe") {
        return describe(run).await;
    }
    for role in ROLES {
        let group = run.of(role);
        let good = [run.base("good")];
        let name = format!("the group {role}");
        run.ask(&name, joins(&group, "mine-1", &json!(good), 0))
            .await;
        // It owns what it was assigned, and says so.
        let owned = json!([{"TopicId": run.base("good"), "Partitions": [0, 1, 2]}]);
        let mut next = joins(&group, "mine-1", &Json::Null, 1);
        next["TopicPartitions"] = owned;
        run.ask(&format!("{name}, going on"), next).await;
        let leave = joins(&group, "mine-1", &Json::Null, -1);
        run.ask(&format!("{name}, leaving"), leave).await;
    }
    let group = run.of("good");
    for role in ROLES {
        let topics = json!([run.base("good"), run.base(role)]);
        let fields = joins(&group, &format!("mine-{role}"), &topics, 0);
        run.ask(&format!("subscribed to good and {role}"), fields)
            .await;
    }
    if run.version >= 1 {
        let mut fields = joins(&group, "mine-regex", &Json::Null, 0);
        fields["SubscribedTopicRegex"] = json!(format!("{}\\..*\\.base", run.scenario.name));
        run.ask("subscribed to a pattern", fields).await;
    }
    for role in EXISTING {
        leave(run, &format!("mine-{role}")).await;
    }
    leave(run, "mine-regex").await;
}

/// Ends a member's part, so that what the group assigns stays the same.
async fn leave(run: &mut Run<'_>, member: &str) {
    let fields = joins(&run.of("good"), member, &Json::Null, -1);
    run.ask(&format!("{member} leaves"), fields).await;
}

fn joins(group: &str, member: &str, topics: &Json, epoch: i32) -> Json {
    let joins = epoch == 0;
    json!({
        "GroupId": group, "MemberId": member, "MemberEpoch": epoch,
        "RebalanceTimeoutMs": if joins { 60_000 } else { -1 },
        "SubscribedTopicNames": topics,
        "TopicPartitions": if joins { json!([]) } else { Json::Null },
    })
}

/// Groups whose members read an allowed topic, and one more that reads a denied one.
async fn describe(run: &mut Run<'_>) {
    for role in EXISTING {
        let group = run.of(role);
        let topics = json!([run.base("good")]);
        run.must(ApiKey(68), joins(&group, "mine-1", &topics, 0))
            .await;
    }
    let fields = json!({"GroupIds": run.all(), "IncludeAuthorizedOperations": true});
    run.ask("that read an allowed topic", fields.clone()).await;
    for role in EXISTING {
        let group = run.of(role);
        let topics = json!([run.base("good"), run.base("bad")]);
        run.must(ApiKey(68), joins(&group, "mine-2", &topics, 0))
            .await;
    }
    run.ask("that read a denied one too", fields).await;
}

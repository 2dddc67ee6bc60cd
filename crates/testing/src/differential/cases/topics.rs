//! Metadata, CreateTopics, DeleteTopics, CreatePartitions, DescribeTopicPartitions.

use serde_json::{Value as Json, json};

use tubeway_protocol::ApiKey;
use tubeway_protocol::value::Struct;

use super::super::run::Run;
use super::super::scenario::ROLES;

/// An id that no topic has.
const NOBODYS: &str = "0123456789abcdef0123456789abcdef";

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        3 => metadata(run).await,
        19 => create(run).await,
        20 => delete(run).await,
        37 => create_partitions(run).await,
        _ => describe_partitions(run).await,
    }
}

async fn metadata(run: &mut Run<'_>) {
    let ask = |topics: Json, create: bool| {
        json!({
            "Topics": topics, "AllowAutoTopicCreation": create,
            "IncludeClusterAuthorizedOperations": true, "IncludeTopicAuthorizedOperations": true,
        })
    };
    let every = if run.version == 0 {
        json!([])
    } else {
        Json::Null
    };
    run.ask("every topic", ask(every, false)).await;
    if run.version > 0 {
        run.ask("no topic", ask(json!([]), false)).await;
    }
    let named = run.each(|name| json!({"Name": name}));
    if run.version >= 4 {
        run.ask("by name", ask(named.clone(), false)).await;
    }
    for role in ROLES {
        let one = json!([{"Name": run.of(role)}]);
        if run.version >= 4 || role != "gone" {
            run.ask(&format!("{role} alone"), ask(one, false)).await;
        }
    }
    if run.version >= 12 {
        let mut by_id: Vec<_> = run
            .existing()
            .iter()
            .map(|name| json!({"Name": null, "TopicId": name}))
            .collect();
        by_id.push(json!({"Name": null, "TopicId": NOBODYS}));
        run.ask("by id", ask(by_id.into(), false)).await;
    }
    let created = run
        .ask("by name, creating what is missing", ask(named, true))
        .await;
    if let Some(created) = created {
        wait_for_created(run, &created).await;
    }
}

/// A topic that is created by the way is there some time after the answer,
/// which says until then that there is none.
async fn wait_for_created(run: &mut Run<'_>, answers: &[Struct; 2]) {
    for (side, answer) in run.sides.iter_mut().zip(answers) {
        let names: Json = answer
            .structs("Topics")
            .filter(|topic| [3, 5].contains(&topic.int("ErrorCode")))
            .map(|topic| json!({"Name": topic.str("Name")}))
            .collect();
        let fields = json!({"Topics": names, "AllowAutoTopicCreation": false});
        side.must(ApiKey::METADATA, &fields).await;
    }
}

async fn create(run: &mut Run<'_>) {
    let topics = run.each(|name| {
        json!({
            "Name": name, "NumPartitions": 2, "ReplicationFactor": 1,
            "Configs": [{"Name": "retention.ms", "Value": "60000"}],
        })
    });
    for (step, validate) in [("to see whether they can be", true), ("really", false)] {
        let fields = json!({"Topics": topics, "timeoutMs": 5000, "validateOnly": validate});
        run.ask(step, fields).await;
    }
    let twice = json!({"Name": run.of("good"), "NumPartitions": 1, "ReplicationFactor": 1});
    let wrong = json!({"Name": "no topic's name!", "NumPartitions": 1, "ReplicationFactor": 1});
    let inner = json!({"Name": "__cluster_metadata", "NumPartitions": 1, "ReplicationFactor": 1});
    for (step, topics) in [
        ("one topic twice", json!([twice, twice])),
        ("an impossible name", json!([wrong])),
        ("the metadata log", json!([inner])),
    ] {
        run.ask(step, json!({"Topics": topics, "timeoutMs": 5000}))
            .await;
    }
}

async fn delete(run: &mut Run<'_>) {
    if run.version >= 6 {
        let mut by_id: Vec<_> = ["seen", "blind", "bad"]
            .map(|role| json!({"Name": null, "TopicId": run.of(role)}))
            .into();
        by_id.push(json!({"Name": null, "TopicId": NOBODYS}));
        run.ask("by id", json!({"Topics": by_id, "TimeoutMs": 5000}))
            .await;
        let both = json!([{"Name": run.of("good"), "TopicId": run.of("good")}]);
        run.ask("by id and name", json!({"Topics": both, "TimeoutMs": 5000}))
            .await;
    }
    let named = run.each(|name| json!({"Name": name}));
    let fields = json!({"Topics": named, "TopicNames": run.all(), "TimeoutMs": 5000});
    run.ask("by name", fields).await;
    let twice = json!({
        "Topics": [{"Name": run.of("bad")}, {"Name": run.of("bad")}],
        "TopicNames": [run.of("bad"), run.of("bad")], "TimeoutMs": 5000,
    });
    run.ask("one topic twice", twice).await;
}

async fn create_partitions(run: &mut Run<'_>) {
    let topics = run.each(|name| json!({"Name": name, "Count": 3, "Assignments": null}));
    for (step, validate) in [("to see whether they can be", true), ("really", false)] {
        let fields = json!({"Topics": topics, "TimeoutMs": 5000, "ValidateOnly": validate});
        run.ask(step, fields).await;
    }
    let one = json!({"Name": run.of("good"), "Count": 9, "Assignments": null});
    run.ask(
        "one topic twice",
        json!({"Topics": [one, one], "TimeoutMs": 5000}),
    )
    .await;
}

async fn describe_partitions(run: &mut Run<'_>) {
    let named = run.each(|name| json!({"Name": name}));
    run.ask("by name", json!({"Topics": named})).await;
    run.ask(
        "at most two partitions",
        json!({"Topics": named, "ResponsePartitionLimit": 2}),
    )
    .await;
    let cursor = json!({"TopicName": run.of("good"), "PartitionIndex": 1});
    run.ask(
        "from a place on",
        json!({"Topics": named, "Cursor": cursor}),
    )
    .await;
    let cursor = json!({"TopicName": run.of("bad"), "PartitionIndex": 1});
    run.ask(
        "from a denied place on",
        json!({"Topics": named, "Cursor": cursor}),
    )
    .await;
    run.ask("every topic", json!({"Topics": []})).await;
    run.ask(
        "every topic, at most three partitions",
        json!({"Topics": [], "ResponsePartitionLimit": 3}),
    )
    .await;
}

//! Share groups (KIP-932), and the state that brokers keep of them.

use serde_json::{Value as Json, json};
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::Struct;

use super::super::run::Run;
use super::super::scenario::{EXISTING, ROLES};
use super::super::side::{AGAIN, Side, api};

/// The member that every case has.
const MEMBER: &str = "mine-1";

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        76 => heartbeat(run).await,
        77 => describe(run).await,
        78 => fetch(run).await,
        79 => acknowledge(run).await,
        83..=87 => state(run).await,
        _ => offsets(run).await,
    }
}

fn joins(group: &str, member: &str, topics: &Json, epoch: i32) -> Json {
    json!({
        "GroupId": group, "MemberId": member, "MemberEpoch": epoch, "SubscribedTopicNames": topics,
    })
}

async fn heartbeat(run: &mut Run<'_>) {
    for role in ROLES {
        let group = run.of(role);
        let good = json!([run.base("good")]);
        run.ask(
            &format!("the group {role}"),
            joins(&group, MEMBER, &good, 0),
        )
        .await;
        run.ask(
            &format!("the group {role}, leaving"),
            joins(&group, MEMBER, &Json::Null, -1),
        )
        .await;
    }
    for role in ROLES {
        let topics = json!([run.base("good"), run.base(role)]);
        let fields = joins(&run.of("good"), &format!("mine-{role}"), &topics, 0);
        run.ask(&format!("subscribed to good and {role}"), fields)
            .await;
    }
}

async fn describe(run: &mut Run<'_>) {
    for role in EXISTING {
        let fields = joins(&run.of(role), MEMBER, &json!([run.base("good")]), 0);
        settle(run, fields).await;
    }
    let fields = json!({"GroupIds": run.all(), "IncludeAuthorizedOperations": true});
    run.ask("that read an allowed topic", fields.clone()).await;
    for role in EXISTING {
        let topics = json!([run.base("good"), run.base("bad")]);
        settle(run, joins(&run.of(role), MEMBER, &topics, 0)).await;
    }
    run.ask("that read a denied one too", fields).await;
}

/// Joins as the super user, again and again until the group has stopped
/// changing: partitions are assigned once their state is there.
async fn settle(run: &mut Run<'_>, fields: Json) {
    let topics = fields["SubscribedTopicNames"]
        .as_array()
        .map_or(0, Vec::len);
    let [a, b] = &mut run.sides;
    tokio::join!(settled(a, &fields, topics), settled(b, &fields, topics));
}

async fn settled(side: &mut Side, fields: &Json, topics: usize) {
    let assigned = |answer: &Struct| {
        let assignment = answer.get("Assignment");
        match assignment {
            Some(tubeway_protocol::value::Value::Struct(inner)) => {
                inner.structs("TopicPartitions").count()
            }
            _ => 0,
        }
    };
    for _ in 0..500 {
        let answer = side.must(api("ShareGroupHeartbeat"), fields).await;
        if assigned(&answer) == topics {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
    panic!("{}: {fields} is never assigned its topics", side.name);
}

/// A group that reads from the first record on, with a member that reads
/// every topic of the scenario.
async fn join_all(run: &mut Run<'_>, role: &str) {
    let group = run.of(role);
    let first =
        json!([{"Name": "share.auto.offset.reset", "ConfigOperation": 0, "Value": "earliest"}]);
    let resource = json!({"ResourceType": 32, "ResourceName": group, "Configs": first});
    run.must(
        api("IncrementalAlterConfigs"),
        json!({"Resources": [resource]}),
    )
    .await;
    let topics: Json = EXISTING.iter().map(|role| run.base(role)).collect();
    settle(run, joins(&group, MEMBER, &topics, 0)).await;
}

fn to_fetch(group: &str, epoch: i32, topics: &Json) -> Json {
    json!({
        "GroupId": group, "MemberId": MEMBER, "ShareSessionEpoch": epoch, "MaxWaitMs": 500,
        "MinBytes": 1, "MaxRecords": 100, "BatchSize": 100, "Topics": topics,
    })
}

/// One topic, for of several it is their random ids that say which is read
/// first. It is one that there is: asked for the id of one that is not, a broker
/// of 4.3.1 answers the whole request with UNKNOWN_SERVER_ERROR.
fn share_topics(run: &Run<'_>, role: &str, acknowledge: bool) -> Json {
    let batch = json!([{"FirstOffset": 0, "LastOffset": 0, "AcknowledgeTypes": [1]}]);
    let partitions: Json = [0, 9]
        .map(|index| {
            json!({
                "PartitionIndex": index,
                "AcknowledgementBatches": if acknowledge { batch.clone() } else { json!([]) },
            })
        })
        .into();
    json!([{"TopicId": run.base(role), "Partitions": partitions}])
}

async fn fetch(run: &mut Run<'_>) {
    for role in EXISTING {
        let topics = share_topics(run, role, false);
        join_all(run, role).await;
        let group = run.of(role);
        run.ask(
            &format!("in the group {role}"),
            to_fetch(&group, 0, &topics),
        )
        .await;
        let acknowledging = share_topics(run, role, true);
        run.ask(
            &format!("in the group {role}, acknowledging"),
            to_fetch(&group, 1, &acknowledging),
        )
        .await;
        run.ask(
            &format!("in the group {role}, at last"),
            to_fetch(&group, -1, &json!([])),
        )
        .await;
    }
    let topics = share_topics(run, "good", false);
    run.ask(
        "in a group that is not",
        to_fetch(&run.of("gone"), 0, &topics),
    )
    .await;
    run.hang_up();
}

async fn acknowledge(run: &mut Run<'_>) {
    let fetch = api("ShareFetch");
    for role in EXISTING {
        let topics = share_topics(run, role, false);
        join_all(run, role).await;
        let group = run.of(role);
        // A session belongs to the connection, so the client opens it itself.
        run.ask_as(
            fetch,
            run.version,
            &format!("in the group {role}, read first"),
            to_fetch(&group, 0, &topics),
        )
        .await;
        let topics = share_topics(run, role, true);
        for (step, epoch) in [("acknowledge", 1), ("at last", -1)] {
            let fields = to_fetch(&group, epoch, if epoch < 0 { &Json::Null } else { &topics });
            let fields = without_null(fields);
            run.ask(&format!("in the group {role}, {step}"), fields)
                .await;
        }
    }
    run.hang_up();
}

fn without_null(mut fields: Json) -> Json {
    if fields["Topics"].is_null() {
        fields["Topics"] = json!([]);
    }
    fields
}

async fn state(run: &mut Run<'_>) {
    let partition = json!({
        "Partition": 0, "StateEpoch": 1, "StartOffset": 0, "LeaderEpoch": 0, "StateBatches": [],
    });
    let topics = json!([{"TopicId": run.base("good"), "Partitions": [partition]}]);
    for role in ["good", "bad"] {
        let fields = json!({"GroupId": run.of(role), "Topics": topics});
        run.ask(&format!("of the group {role}"), fields).await;
    }
}

/// Groups with offsets and no members.
async fn make_groups(run: &mut Run<'_>) {
    for role in EXISTING {
        join_all(run, role).await;
        let fields = joins(&run.of(role), MEMBER, &Json::Null, -1);
        run.must(api("ShareGroupHeartbeat"), fields).await;
    }
}

async fn offsets(run: &mut Run<'_>) {
    // Only partitions that exist: about others Kafka 4.3.1 never answers.
    make_groups(run).await;
    let topics: Json = ROLES
        .iter()
        .map(|role| {
            json!({
                "TopicName": run.base(role),
                "Partitions": if run.api == ApiKey(90) {
                    json!([0, 1])
                } else {
                    json!([{"PartitionIndex": 0, "StartOffset": 1}])
                },
            })
        })
        .collect();
    if run.api == ApiKey(90) {
        for (step, topics) in [("named topics", topics), ("every topic", Json::Null)] {
            let groups = run.each(|group| json!({"GroupId": group, "Topics": topics}));
            run.ask(&format!("of all groups, {step}"), json!({"Groups": groups}))
                .await;
        }
        return;
    }
    for role in ROLES {
        let fields = json!({"GroupId": run.of(role), "Topics": topics});
        run.ask(&format!("of the group {role}"), fields).await;
    }
    let groups = run.each(|group| json!({"GroupId": group, "Topics": null}));
    run.state("offsets", ApiKey(90), json!({"Groups": groups}))
        .await;
}

//! The cluster itself, and what belongs to the connection.

use serde_json::json;
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::Struct;

use super::super::run::Run;
use super::super::side::api;

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        43 => elect_leaders(run).await,
        45 | 46 => reassignments(run).await,
        48 | 49 => quotas(run).await,
        50 | 51 => scram(run).await,
        _ => quorum(run).await,
    }
}

/// SaslHandshake, SaslAuthenticate, ApiVersions, DescribeCluster, telemetry:
/// what no rule is about.
pub(super) async fn connection(run: &mut Run<'_>) {
    match run.api.0 {
        17 => {
            run.hang_up();
            run.ask("a mechanism that is not", json!({"Mechanism": "NONE"}))
                .await;
            run.hang_up();
        }
        36 => {
            run.hang_up();
            run.ask("in the middle", json!({"AuthBytes": "n,,"})).await;
            run.hang_up();
        }
        18 => {
            let fields = json!({"ClientSoftwareName": "x", "ClientSoftwareVersion": "1"});
            run.ask("from a client", fields).await;
            let fields =
                json!({"ClientSoftwareName": "", "ClientSoftwareVersion": "not a version!"});
            run.ask("from an odd client", fields).await;
        }
        60 => {
            for (step, operations, kind) in [
                ("brokers", false, 1),
                ("operations", true, 1),
                ("controllers", false, 2),
            ] {
                let fields = json!({
                    "IncludeClusterAuthorizedOperations": operations, "EndpointType": kind,
                    "IncludeFencedBrokers": true,
                });
                run.ask(step, fields).await;
            }
        }
        _ => {
            let nobodys = "0123456789abcdef0123456789abcdef";
            run.ask("from a client", json!({"ClientInstanceId": nobodys}))
                .await;
        }
    }
}

async fn elect_leaders(run: &mut Run<'_>) {
    let topics = run.each(|name| json!({"Topic": name, "Partitions": [0, 9]}));
    for kind in [0, 1] {
        let fields = json!({"ElectionType": kind, "TopicPartitions": topics, "TimeoutMs": 2000});
        run.ask(&format!("kind {kind}"), fields).await;
    }
}

async fn reassignments(run: &mut Run<'_>) {
    if run.api == api("ListPartitionReassignments") {
        run.ask("all", json!({"Topics": null, "TimeoutMs": 2000}))
            .await;
        let topics = run.each(|name| json!({"Name": name, "PartitionIndexes": [0, 9]}));
        run.ask("some", json!({"Topics": topics, "TimeoutMs": 2000}))
            .await;
        return;
    }
    for (step, replicas) in [
        ("to where they are", json!([1])),
        ("to nowhere", json!([77])),
        ("taken back", json!(null)),
    ] {
        let partitions = [0, 9].map(|index| json!({"PartitionIndex": index, "Replicas": replicas}));
        let topics = run.each(|name| json!({"Name": name, "Partitions": partitions}));
        run.ask(step, json!({"Topics": topics, "TimeoutMs": 2000}))
            .await;
    }
}

async fn quotas(run: &mut Run<'_>) {
    let user = format!("of.{}.{}", run.scenario.name, run.name());
    if run.api == api("DescribeClientQuotas") {
        run.ask("all", json!({"Components": [], "Strict": false}))
            .await;
        let component = json!({"EntityType": "user", "MatchType": 0, "Match": user});
        run.ask(
            "of a user",
            json!({"Components": [component], "Strict": true}),
        )
        .await;
        return;
    }
    for (step, remove, validate) in [
        ("to see whether it can be", false, true),
        ("set", false, false),
        ("removed from another", true, false),
    ] {
        let entity =
            json!([{"EntityType": "user", "EntityName": if remove { "nobody" } else { &user }}]);
        let ops = json!([{"Key": "producer_byte_rate", "Value": 1e9, "Remove": remove}]);
        let fields = json!({"Entries": [{"Entity": entity, "Ops": ops}], "ValidateOnly": validate});
        run.ask(step, fields).await;
    }
    let entity = json!([{"EntityType": "planet", "EntityName": "mars"}]);
    let ops = json!([{"Key": "x", "Value": 1.0}]);
    run.ask(
        "of no kind",
        json!({"Entries": [{"Entity": entity, "Ops": ops}]}),
    )
    .await;
}

async fn scram(run: &mut Run<'_>) {
    let user = format!("of.{}.{}", run.scenario.name, run.name());
    if run.api == api("DescribeUserScramCredentials") {
        let some = json!({"Users": [{"Name": user}, {"Name": user}]});
        let answers = run.ask("some", some).await;
        // Asked about all by somebody who may not, Kafka 4.3.1 never answers:
        // it fails while it makes the answer.
        let allowed = |answers: [Struct; 2]| answers[0].int("ErrorCode") == 0;
        if answers.is_some_and(allowed) {
            run.ask("all", json!({"Users": null})).await;
        }
        return;
    }
    let set = |iterations: i32| {
        json!({
            "Name": user, "Mechanism": 1, "Iterations": iterations,
            "Salt": "salt", "SaltedPassword": "salted password",
        })
    };
    run.ask("set", json!({"Upsertions": [set(4096)]})).await;
    run.ask("set too weak", json!({"Upsertions": [set(1)]}))
        .await;
    let delete = json!([{"Name": "nobody", "Mechanism": 1}]);
    run.ask("deleted, which is not", json!({"Deletions": delete}))
        .await;
}

/// The quorum, features, and brokers that are not there.
async fn quorum(run: &mut Run<'_>) {
    let nobodys = "0123456789abcdef0123456789abcdef";
    let fields = match run.api.0 {
        55 => {
            json!({"Topics": [{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}]})
        }
        57 => json!({
            "timeoutMs": 2000, "ValidateOnly": true,
            "FeatureUpdates": [{"Feature": "no.such.feature", "MaxVersionLevel": 1}],
        }),
        64 => json!({"BrokerId": 99}),
        80 => json!({
            "ClusterId": null, "TimeoutMs": 1000, "VoterId": 1, "VoterDirectoryId": nobodys,
            "Listeners": [{"Name": "CONTROLLER", "Host": "127.0.0.1", "Port": 1}],
        }),
        81 => json!({"ClusterId": null, "VoterId": 77, "VoterDirectoryId": nobodys}),
        _ => panic!("no case for {:?}", ApiKey(run.api.0)),
    };
    run.ask("one that cannot be", fields).await;
}

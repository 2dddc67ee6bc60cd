//! Produce, Fetch, ListOffsets, DeleteRecords, OffsetForLeaderEpoch.

use serde_json::{Value as Json, json};
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::Struct;

use super::super::records::Producer;
use super::super::run::Run;
use super::super::scenario::EXISTING;
use super::super::side::api;
use super::super::world::write_to;
use super::transactions::{begin, ended};

/// A partition that no topic has.
const NO_PARTITION: i32 = 9;

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        0 => produce(run).await,
        1 => fetch(run).await,
        2 => list_offsets(run).await,
        21 => delete_records(run).await,
        _ => leader_epochs(run).await,
    }
}

/// The request's topics: by name and by id, whichever the version takes.
/// From this version on Fetch names topics by id (KIP-516).
const BY_ID: i16 = 13;

fn topic(name: &str, partitions: &Json) -> Json {
    json!({
        "Name": name, "Topic": name, "TopicId": name,
        "Partitions": partitions, "PartitionData": partitions,
    })
}

fn to_write(producer: Producer, partitions: &[i32]) -> Json {
    let write = |index: &i32| json!({"Index": index, "Records": producer.batch(2)});
    partitions.iter().map(write).collect()
}

async fn produce(run: &mut Run<'_>) {
    let plain = to_write(Producer::PLAIN, &[0, NO_PARTITION]);
    let all = run.each(|name| topic(name, &plain));
    let fields = json!({"Acks": -1, "TimeoutMs": 5000, "TopicData": all});
    run.ask("to all topics", fields).await;
    let one = to_write(Producer::PLAIN, &[1]);
    for role in EXISTING {
        let fields =
            json!({"Acks": 1, "TimeoutMs": 5000, "TopicData": [topic(&run.of(role), &one)]});
        run.ask(&format!("to {role} alone"), fields).await;
    }
    let fields = json!({"Acks": -1, "TimeoutMs": 5000, "TopicData": []});
    run.ask("to nothing", fields).await;
    for role in ["good", "bad"] {
        let fields =
            json!({"Acks": 0, "TimeoutMs": 5000, "TopicData": [topic(&run.of(role), &one)]});
        run.send(&format!("to {role} without an answer"), fields)
            .await;
        run.hang_up();
    }
    let all = EXISTING.map(|role| topic(&run.of(role), &one));
    let fields = json!({"Acks": 0, "TimeoutMs": 5000, "TopicData": all});
    run.send("to all without an answer", fields).await;
    run.hang_up();
    produce_in_transactions(run).await;
}

async fn produce_in_transactions(run: &mut Run<'_>) {
    for role in EXISTING {
        let id = run.of(role);
        let producer = begin(run, &id).await;
        let topics = [run.of("good"), run.of("bad")];
        let add = json!({"Transactions": [{
            "TransactionalId": id, "ProducerId": "$id", "ProducerEpoch": "$epoch",
            "Topics": topics.map(|name| json!({"Name": name, "Partitions": [0, 1]})),
        }]});
        run.must(api("AddPartitionsToTxn"), add).await;
        // Producer ids follow from what was done before; both sides did the same.
        let writes = producer.map(|producer| to_write(producer, &[0]));
        for (side, writes) in run.sides.iter_mut().zip(writes) {
            side.keep("writes", writes);
        }
        let topics = [("good"), ("bad")].map(|role| {
            let name = run.of(role);
            json!({"Name": name, "TopicId": name, "PartitionData": "$writes"})
        });
        let fields =
            json!({"TransactionalId": id, "Acks": -1, "TimeoutMs": 5000, "TopicData": topics});
        run.ask(&format!("in the transaction {role}"), fields).await;
        let end = json!({"TransactionalId": id, "ProducerId": "$id", "ProducerEpoch": "$epoch", "Committed": false});
        run.must(ApiKey(26), end).await;
        ended(run, &id).await;
    }
}

fn to_read(partitions: &[i32]) -> Json {
    let read =
        |index: &i32| json!({"Partition": index, "FetchOffset": 0, "PartitionMaxBytes": 1_000_000});
    partitions.iter().map(read).collect()
}

async fn fetch(run: &mut Run<'_>) {
    let with = |session: Json, epoch: i32, topics: &Json, forgotten: &Json| {
        json!({
            "MaxWaitMs": 50, "MinBytes": 1, "SessionId": session, "SessionEpoch": epoch,
            "Topics": topics, "ForgottenTopicsData": forgotten,
        })
    };
    let none = json!([]);
    let partitions = to_read(&[0, 1, NO_PARTITION]);
    let mut all = run.each(|name| topic(name, &partitions));
    if run.version >= BY_ID {
        // Ids that no topic has are a case of their own: a sidecar keeps them
        // out of sessions, because it could not tell whose they will be.
        all = EXISTING
            .map(|role| topic(&run.of(role), &partitions))
            .into();
        let unknown = json!([topic(&run.of("ghost"), &partitions)]);
        run.ask("an unknown id", with(json!(0), -1, &unknown, &none))
            .await;
    }
    run.ask("all topics", with(json!(0), -1, &all, &none)).await;
    for role in EXISTING {
        let one = json!([topic(&run.of(role), &to_read(&[0]))]);
        run.ask(&format!("{role} alone"), with(json!(0), -1, &one, &none))
            .await;
    }
    if run.version >= 7 {
        let opened = run
            .ask(
                "all topics, opening a session",
                with(json!(0), 0, &all, &none),
            )
            .await;
        if let Some(opened) = opened {
            run.keep("session", &opened, |answer: &Struct| {
                json!(answer.int("SessionId"))
            });
            go_on(run, &all).await;
        }
    }
    let mut replica = with(json!(0), -1, &all, &none);
    replica["ReplicaId"] = json!(1);
    replica["ReplicaState"] = json!({"ReplicaId": 1, "ReplicaEpoch": -1});
    run.ask("as a replica", replica).await;
}

/// What an open session answers to requests that name only what changes.
async fn go_on(run: &mut Run<'_>, all: &Json) {
    let session = |epoch: i32, topics: Json, forgotten: Json| {
        json!({
            "MaxWaitMs": 50, "MinBytes": 1, "SessionId": "$session", "SessionEpoch": epoch,
            "Topics": topics, "ForgottenTopicsData": forgotten,
        })
    };
    run.ask("the session, nothing new", session(1, json!([]), json!([])))
        .await;
    let forgotten: Vec<_> = ["good", "bad"]
        .map(|role| {
            let name = run.of(role);
            json!({"Topic": name, "TopicId": name, "Partitions": [1, NO_PARTITION]})
        })
        .into();
    run.ask(
        "the session, forgetting",
        session(2, json!([]), forgotten.into()),
    )
    .await;
    run.ask("the session, all again", session(3, all.clone(), json!([])))
        .await;
    run.ask(
        "the session in a wrong epoch",
        session(9, json!([]), json!([])),
    )
    .await;
    run.ask("the session's end", session(-1, all.clone(), json!([])))
        .await;
}

async fn list_offsets(run: &mut Run<'_>) {
    for (step, timestamp) in [("latest", -1), ("earliest", -2), ("by time", 1)] {
        let partitions: Json = [0, NO_PARTITION]
            .map(|index| json!({"PartitionIndex": index, "Timestamp": timestamp}))
            .into();
        let topics = run.each(|name| topic(name, &partitions));
        let fields = json!({"ReplicaId": -1, "IsolationLevel": 0, "Topics": topics});
        run.ask(step, fields).await;
    }
    let partition = json!([{"PartitionIndex": 0, "Timestamp": -1}]);
    for role in EXISTING {
        let fields = json!({"ReplicaId": -1, "Topics": [topic(&run.of(role), &partition)]});
        run.ask(&format!("{role} alone"), fields).await;
    }
}

async fn delete_records(run: &mut Run<'_>) {
    for name in run.existing() {
        for side in &mut run.sides {
            write_to(side, &name, 0, &Producer::PLAIN.batch(2)).await;
        }
    }
    let partitions: Json = [0, NO_PARTITION]
        .map(|index| json!({"PartitionIndex": index, "Offset": 1}))
        .into();
    let topics = run.each(|name| topic(name, &partitions));
    run.ask("all topics", json!({"Topics": topics, "TimeoutMs": 5000}))
        .await;
}

async fn leader_epochs(run: &mut Run<'_>) {
    let partitions: Json = [0, NO_PARTITION]
        .map(|index| json!({"Partition": index, "LeaderEpoch": 0}))
        .into();
    let topics = run.each(|name| topic(name, &partitions));
    run.ask("all topics", json!({"ReplicaId": -1, "Topics": topics}))
        .await;
}

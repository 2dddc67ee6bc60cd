//! Producer ids and transactions.

use serde_json::{Value as Json, json};
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::Struct;

use super::super::records::Producer;
use super::super::run::Run;
use super::super::scenario::{EXISTING, ROLES};
use super::super::side::api;
use super::groups::committed;

/// A quarter of an hour, the most a broker takes: no transaction is to time
/// out while the suite runs.
const TIMEOUT_MS: i32 = 900_000;

/// Begins the producer of a transactional id on both sides and keeps its `id`
/// and `epoch`.
pub(super) async fn begin(run: &mut Run<'_>, transactional_id: &str) -> [Producer; 2] {
    let fields = json!({"TransactionalId": transactional_id, "TransactionTimeoutMs": TIMEOUT_MS});
    let answers = run.must(ApiKey::INIT_PRODUCER_ID, fields).await;
    run.keep("id", &answers, |answer: &Struct| {
        json!(answer.int("ProducerId"))
    });
    run.keep("epoch", &answers, |answer: &Struct| {
        json!(answer.int("ProducerEpoch"))
    });
    answers.map(|answer| Producer {
        id: answer.int("ProducerId"),
        epoch: answer.int("ProducerEpoch") as i16,
        sequence: 0,
        transactional: true,
    })
}

/// Waits until a transaction that was ended is over: its markers are written
/// after the answer.
pub(super) async fn ended(run: &mut Run<'_>, transactional_id: &str) {
    let ids = json!({"TransactionalIds": [transactional_id]});
    run.until(api("DescribeTransactions"), ids, |answer| {
        let mut states = answer.structs("TransactionStates");
        states.all(|state| {
            let state = state.str("TransactionState").unwrap_or_default();
            !state.starts_with("Prepare")
        })
    })
    .await;
}

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        22 => producer_ids(run).await,
        24 => add_partitions(run).await,
        25 => add_offsets(run).await,
        26 => end(run).await,
        27 => markers(run).await,
        28 => commit_offsets(run).await,
        61 => {
            let topics = run.each(|name| json!({"Name": name, "PartitionIndexes": [0, 1, 9]}));
            run.ask("of all topics", json!({"Topics": topics})).await;
        }
        65 => {
            let fields = json!({"TransactionalIds": run.all()});
            run.ask("all", fields).await;
        }
        _ => list(run).await,
    }
}

async fn producer_ids(run: &mut Run<'_>) {
    let ask = |id: Json| json!({"TransactionalId": id, "TransactionTimeoutMs": TIMEOUT_MS});
    run.ask("without a transactional id", ask(Json::Null)).await;
    for role in ROLES {
        run.ask(role, ask(run.of(role).into())).await;
        run.ask(&format!("{role} again"), ask(run.of(role).into()))
            .await;
    }
    if run.version >= 3 {
        let mut fields = ask(run.of("good").into());
        fields["ProducerId"] = json!(123_456);
        fields["ProducerEpoch"] = json!(3);
        run.ask("with an id that is another's", fields).await;
    }
}

/// The fields of AddPartitionsToTxn, old and new.
fn adds(id: &str, topics: &[String], verify_only: bool) -> Json {
    let topics: Json = topics
        .iter()
        .map(|name| json!({"Name": name, "Partitions": [0]}))
        .collect();
    json!({
        "V3AndBelowTransactionalId": id, "V3AndBelowProducerId": "$id",
        "V3AndBelowProducerEpoch": "$epoch", "V3AndBelowTopics": topics,
        "Transactions": [{
            "TransactionalId": id, "ProducerId": "$id", "ProducerEpoch": "$epoch",
            "VerifyOnly": verify_only, "Topics": topics,
        }],
    })
}

async fn add_partitions(run: &mut Run<'_>) {
    for role in EXISTING {
        let id = run.of(role);
        begin(run, &id).await;
        let good = run.of("good");
        for (step, topics) in [
            ("all topics", run.all()),
            (
                "an allowed and a denied one",
                vec![good.clone(), run.of("bad")],
            ),
            (
                "an internal one",
                vec![good.clone(), "__consumer_offsets".to_owned()],
            ),
            ("good alone", vec![good]),
        ] {
            run.ask(&format!("to {role}: {step}"), adds(&id, &topics, false))
                .await;
        }
        if run.version >= 4 {
            let topics = [run.of("good"), run.of("bad")];
            run.ask(&format!("to {role}: is it there"), adds(&id, &topics, true))
                .await;
        }
    }
}

async fn add_offsets(run: &mut Run<'_>) {
    for role in EXISTING {
        let id = run.of(role);
        begin(run, &id).await;
        for group in ROLES {
            let fields = json!({
                "TransactionalId": id, "ProducerId": "$id", "ProducerEpoch": "$epoch",
                "GroupId": run.of(group),
            });
            run.ask(&format!("to {role}: of the group {group}"), fields)
                .await;
        }
    }
}

async fn end(run: &mut Run<'_>) {
    for role in EXISTING {
        for committed in [true, false] {
            let id = run.of(role);
            begin(run, &id).await;
            let topics = [run.of("good")];
            run.must(api("AddPartitionsToTxn"), adds(&id, &topics, false))
                .await;
            let fields = json!({
                "TransactionalId": id, "ProducerId": "$id", "ProducerEpoch": "$epoch",
                "Committed": committed,
            });
            run.ask(&format!("{role}, committed: {committed}"), fields)
                .await;
            ended(run, &id).await;
        }
    }
    let fields = json!({
        "TransactionalId": run.of("gone"), "ProducerId": 5, "ProducerEpoch": 0, "Committed": true,
    });
    run.ask("one that was never begun", fields).await;
}

async fn markers(run: &mut Run<'_>) {
    let topics = run.each(|name| json!({"Name": name, "PartitionIndexes": [0]}));
    let marker = json!({
        "ProducerId": 900_000, "ProducerEpoch": 0, "TransactionResult": false,
        "Topics": topics, "CoordinatorEpoch": 0,
    });
    run.ask("to all topics", json!({"Markers": [marker]})).await;
}

async fn commit_offsets(run: &mut Run<'_>) {
    let topics: Vec<String> = ROLES.iter().map(|role| run.base(role)).collect();
    let topics = committed(&topics);
    for role in EXISTING {
        let id = run.of(role);
        begin(run, &id).await;
        for group in ROLES {
            // As a producer does it; the group's coordinator wants it so.
            let group_id = run.of(group);
            let offsets = json!({
                "TransactionalId": id, "ProducerId": "$id", "ProducerEpoch": "$epoch",
                "GroupId": group_id,
            });
            run.must(ApiKey(25), offsets).await;
            let fields = json!({
                "TransactionalId": id, "ProducerId": "$id", "ProducerEpoch": "$epoch",
                "GroupId": group_id, "Topics": topics,
            });
            run.ask(&format!("in {role}: of the group {group}"), fields)
                .await;
        }
        let end = json!({"TransactionalId": id, "ProducerId": "$id", "ProducerEpoch": "$epoch", "Committed": true});
        run.must(ApiKey(26), end).await;
    }
}

async fn list(run: &mut Run<'_>) {
    run.ask("all", json!({})).await;
    run.ask(
        "in a state",
        json!({"StateFilters": ["Empty", "NoSuchState"]}),
    )
    .await;
    if run.version >= 2 {
        let pattern = format!("{}.*", run.scenario.name);
        run.ask("by a pattern", json!({"TransactionalIdPattern": pattern}))
            .await;
    }
}

//! What is written to Kubernetes, and what is not, in each situation.

use std::sync::Mutex;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use super::verdict::MOVING;
use super::*;
use crate::kafka_admin::{Admin, AdminDirectory, PlainConnect};

/// One write: what it went to, and what it said.
type Writes = Arc<Mutex<Vec<(String, Value)>>>;

/// An API server that takes every write and answers with a KafkaTopic.
fn client() -> (Client, Writes) {
    let writes = Writes::default();
    let seen = Arc::clone(&writes);
    let service = tower::service_fn(move |request: Request<Body>| {
        let seen = Arc::clone(&seen);
        async move {
            let to = format!("{} {}", request.method(), request.uri().path());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let said = serde_json::from_slice(&body).unwrap();
            seen.lock().unwrap().push((to, said));
            let answer = serde_json::to_vec(&topic("shop", 1)).unwrap();
            let answer = Response::builder()
                .status(StatusCode::OK)
                .body(Body::from(answer));
            Ok::<_, std::convert::Infallible>(answer.unwrap())
        }
    });
    (Client::new(service, "default"), writes)
}

fn topic(namespace: &str, created: i64) -> KafkaTopic {
    serde_json::from_value(json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": {
            "namespace": namespace, "name": "orders", "uid": "u", "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": Timestamp::from_second(created).unwrap().to_string(),
        },
        "spec": {"cluster": {"name": "main", "namespace": "kafka"}},
    }))
    .unwrap()
}

fn deleting(mut topic: KafkaTopic) -> KafkaTopic {
    topic.spec.deletion_policy = DeletionPolicy::Delete;
    topic.metadata.deletion_timestamp = topic.metadata.creation_timestamp.clone();
    topic.metadata.finalizers = Some(vec!["other".to_owned(), TOPIC_FINALIZER.to_owned()]);
    topic.status = Some(tubeway_api::KafkaTopicStatus {
        topic_id: Some(Uuid::from_u128(7).to_string()),
        ..tubeway_api::KafkaTopicStatus::default()
    });
    topic
}

fn cluster(from: &str) -> KafkaCluster {
    serde_json::from_value(json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": {"namespace": "kafka", "name": "main"},
        "spec": {"version": "4.3.1", "allowedNamespaces": {"from": from}},
    }))
    .unwrap()
}

fn context(topics: Vec<KafkaTopic>, clusters: Vec<KafkaCluster>) -> (Context, Writes) {
    let (client, writes) = client();
    let context = Context::new(
        client,
        Stores::fixed(topics, clusters, Vec::new()),
        AdminDirectory::with(|_| Some(Admin::new(PlainConnect, Vec::new()))),
        Replication::default(),
    );
    (context, writes)
}

/// Reason and message of the one status that was written.
fn said(writes: &Writes) -> (String, String) {
    let writes = writes.lock().unwrap();
    let [(to, body)] = writes.as_slice() else {
        panic!("{writes:?}");
    };
    assert!(
        to.starts_with("PATCH ") && to.ends_with("/kafkatopics/orders/status"),
        "{to}"
    );
    let ready = &body["status"]["conditions"][0];
    assert_eq!(
        (&ready["type"], &ready["status"]),
        (&json!("Ready"), &json!("False"))
    );
    let text = |field: &str| ready[field].as_str().unwrap().to_owned();
    (text("reason"), text("message"))
}

#[tokio::test]
async fn what_stands_in_a_topics_way_is_said() {
    let mut internal = topic("shop", 5);
    internal.spec.topic_name = Some("__consumer_offsets".to_owned());
    let older = topic("aaa", 1);
    for (topic, others, clusters, reason, words) in [
        (
            topic("shop", 5),
            vec![],
            vec![],
            "NotFound",
            "no KafkaCluster kafka/main",
        ),
        (
            topic("shop", 5),
            vec![],
            vec![cluster("Same")],
            "NotAllowed",
            "allowedNamespaces",
        ),
        (
            topic("shop", 5),
            vec![older],
            vec![cluster("All")],
            "Conflict",
            "KafkaTopic aaa/orders",
        ),
        (
            internal,
            vec![],
            vec![cluster("All")],
            "InvalidSpec",
            "Kafka's own",
        ),
        (
            topic("shop", 5),
            vec![],
            vec![cluster("All")],
            "WaitingForNodes",
            "no broker",
        ),
    ] {
        let (context, writes) = context(others, clusters);
        reconcile(&topic, &context).await.unwrap();
        let (said_reason, message) = said(&writes);
        assert_eq!(said_reason, reason);
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn the_same_verdict_is_written_once() {
    let mut topic = topic("shop", 5);
    let verdict = Verdict::not(
        reasons::NOT_FOUND,
        "there is no KafkaCluster kafka/main".to_owned(),
    );
    topic.status = Some(verdict.status(&topic, Timestamp::from_second(9).unwrap()));
    let (context, writes) = context(vec![topic.clone()], vec![]);
    reconcile(&topic, &context).await.unwrap();
    assert!(writes.lock().unwrap().is_empty(), "{writes:?}");
}

#[tokio::test]
async fn a_paused_cluster_is_left_alone() {
    let mut paused = cluster("All");
    paused.spec.pause = true;
    let (context, writes) = context(vec![], vec![paused]);
    reconcile(&topic("shop", 5), &context).await.unwrap();
    assert!(writes.lock().unwrap().is_empty(), "{writes:?}");
}

#[tokio::test]
async fn the_finalizer_comes_and_goes_with_the_policy() {
    let mut guarded = topic("shop", 5);
    guarded.spec.deletion_policy = DeletionPolicy::Delete;
    let mut freed = topic("shop", 5);
    freed.metadata.finalizers = Some(vec!["other".to_owned(), TOPIC_FINALIZER.to_owned()]);
    for (topic, finalizers) in [
        (guarded, json!([TOPIC_FINALIZER])),
        (freed, json!(["other"])),
    ] {
        let (context, writes) = context(vec![], vec![cluster("All")]);
        reconcile(&topic, &context).await.unwrap();
        let writes = writes.lock().unwrap();
        let [(to, body)] = writes.as_slice() else {
            panic!("one write a step: {writes:?}");
        };
        assert!(to.ends_with("/kafkatopics/orders"), "{to}");
        assert_eq!(body["metadata"]["finalizers"], finalizers);
        assert_eq!(body["metadata"]["resourceVersion"], "7");
    }
}

#[tokio::test]
async fn an_object_goes_when_there_is_nothing_that_it_may_delete() {
    let mut going = cluster("All");
    going.metadata.deletion_timestamp = topic("x", 1).metadata.creation_timestamp;
    let mut paused = cluster("All");
    paused.spec.pause = true;
    let mut retained = deleting(topic("shop", 5));
    retained.spec.deletion_policy = DeletionPolicy::Retain;
    let mut never_made = deleting(topic("shop", 5));
    never_made.status = None;
    let ours = || deleting(topic("shop", 5));
    for (what, topic, others, clusters) in [
        ("the cluster is gone", ours(), vec![], vec![]),
        ("the cluster goes too", ours(), vec![], vec![going]),
        ("the cluster is paused", ours(), vec![], vec![paused]),
        ("not admitted", ours(), vec![], vec![cluster("Same")]),
        (
            "someone else's topic",
            ours(),
            vec![topic("aaa", 1)],
            vec![cluster("All")],
        ),
        ("to be retained", retained, vec![], vec![cluster("All")]),
        ("never made", never_made, vec![], vec![cluster("All")]),
    ] {
        let (context, writes) = context(others, clusters);
        reconcile(&topic, &context).await.unwrap();
        let writes = writes.lock().unwrap();
        assert_eq!(writes.len(), 1, "{what}: {writes:?}");
        assert_eq!(
            writes[0].1["metadata"]["finalizers"],
            json!(["other"]),
            "{what}"
        );
    }
}

#[tokio::test]
async fn an_object_stays_while_its_topic_cannot_be_deleted() {
    let (context, writes) = context(vec![], vec![cluster("All")]);
    let error = reconcile(&deleting(topic("shop", 5)), &context)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    assert!(writes.lock().unwrap().is_empty(), "{writes:?}");
}

fn ensured(moves: Option<usize>) -> Ensured {
    Ensured {
        observed: Observed {
            id: Uuid::from_u128(7),
            partitions: 1,
            replicas: 2,
        },
        done: Vec::new(),
        unsupported: Vec::new(),
        moves,
    }
}

#[tokio::test]
async fn a_topic_is_ready_when_its_replicas_have_moved_and_nothing_of_it_is_left() {
    let (context, _) = context(Vec::new(), Vec::new());
    let main = "kafka/main".parse().unwrap();
    let mut orders = topic("shop", 1);
    orders.spec.replicas = Some(3);
    let verdict = context.verdict(&orders, &ensured(Some(3)));
    assert_eq!((verdict.ready, verdict.reason), (false, MOVING));
    assert!(
        verdict.message.contains("from 2 to 3 replicas"),
        "{}",
        verdict.message
    );
    let wanted = context.replication.wanted(&main);
    assert_eq!(wanted, [("orders".to_owned(), 3)].into());

    let why = "partition orders-0 needs 3 replicas".to_owned();
    let answer = |done, why| context.replication.answer(&main, ("orders", 3), done, why);
    answer(false, Some(why.clone()));
    let verdict = context.verdict(&orders, &ensured(Some(3)));
    assert!(verdict.message.contains(&why), "{}", verdict.message);

    // They are there; a limit that was set for them is not gone yet.
    answer(false, None);
    orders.status = Some(verdict.status(&orders, Timestamp::now()));
    assert!(!context.verdict(&orders, &ensured(None)).ready);
    answer(true, None);
    assert!(context.verdict(&orders, &ensured(None)).ready);
}

#[tokio::test]
async fn a_move_that_an_operator_left_behind_is_seen_to_its_end() {
    let (context, _) = context(Vec::new(), Vec::new());
    let main = "kafka/main".parse().unwrap();
    let mut orders = topic("shop", 1);
    orders.spec.replicas = Some(3);
    let verdict = Verdict::not(MOVING, "moving".to_owned());
    orders.status = Some(verdict.status(&orders, Timestamp::now()));
    assert!(!context.verdict(&orders, &ensured(None)).ready);
    let wanted = context.replication.wanted(&main);
    assert_eq!(wanted, [("orders".to_owned(), 3)].into());
}

#[test]
fn all_topics_are_looked_at_in_one_round() {
    for (since, until) in [
        (0, 60_000),
        (1, 59_999),
        (59_999, 1),
        (60_000, 60_000),
        (150_000, 30_000),
    ] {
        let since = Duration::from_millis(since);
        assert_eq!(
            until_round(since),
            Duration::from_millis(until),
            "{since:?}"
        );
    }
}

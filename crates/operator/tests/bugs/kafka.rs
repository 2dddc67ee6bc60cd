//! Topics, ACLs and quotas.

use serde_json::{Value, json};

use crate::common::*;
use crate::sim::{Host, Step};

fn topic(name: &'static str, of: &str, more: &Value) -> Step {
    let mut spec = json!({ "cluster": { "name": "demo" }, "topicName": of, "replicas": 3 });
    json_patch::merge(&mut spec, more);
    let object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": { "name": name }, "spec": spec,
    });
    Step::Put("kafkatopics", object)
}

fn acl() -> Step {
    let object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaAcl",
        "metadata": { "name": "readers" },
        "spec": { "cluster": { "name": "demo" }, "rules": [{
            "principals": [{ "user": "User:CN=outside" }],
            "resource": { "type": "Topic", "name": "orders" }, "operations": ["Read"],
        }]},
    });
    Step::Put("kafkaacls", object)
}

/// The topic operator took `__consumer_offsets` for a topic without an object,
/// and deleted it every three minutes.
#[tokio::test(start_paused = true)]
async fn strimzi_3586_kafka_s_own_topics_are_left_alone() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    take(
        &mut world,
        &[Step::Topic("__consumer_offsets", 5, 3), Step::Settle],
    )
    .await;
    world.restart().await;
    world.settle().await;
    world.kafka.kafka(|kafka| {
        assert!(kafka.topics.contains_key("__consumer_offsets"));
        assert!(
            !kafka
                .effects
                .keys()
                .any(|effect| effect.starts_with("delete"))
        );
    });
}

/// After the objects were gone with the old installation, the operator deleted
/// all topics.
#[tokio::test(start_paused = true)]
async fn strimzi_3080_topics_outlive_the_objects_of_an_installation() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    take(
        &mut world,
        &[topic("payments", "payments", &json!({})), Step::Settle],
    )
    .await;
    take(
        &mut world,
        &[Step::Delete("kafkatopics/payments"), Step::Settle],
    )
    .await;
    world.restart().await;
    world.settle().await;
    assert!(
        world
            .kafka
            .kafka(|kafka| kafka.topics.contains_key("payments"))
    );
}

/// Topics that nobody managed led to one event after the other.
#[tokio::test(start_paused = true)]
async fn strimzi_10451_a_topic_without_an_object_causes_no_write() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    take(&mut world, &[Step::Topic("nobodys", 3, 3), Step::Settle]).await;
    forget(&world);
    world.settle().await;
    assert_eq!(writes(&world), [""; 0]);
    let calls = world.kafka.calls();
    let changes = [
        "CreateTopics",
        "DeleteTopics",
        "IncrementalAlterConfigs",
        "CreatePartitions",
    ];
    assert!(
        !calls.iter().any(|call| changes.contains(call)),
        "{calls:?}"
    );
}

/// A topic that had been deleted was there again.
#[tokio::test(start_paused = true)]
async fn strimzi_1157_a_deleted_topic_stays_deleted() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    let goes = json!({ "deletionPolicy": "Delete" });
    take(
        &mut world,
        &[topic("payments", "payments", &goes), Step::Settle],
    )
    .await;
    take(
        &mut world,
        &[Step::Delete("kafkatopics/payments"), Step::Settle],
    )
    .await;
    world.restart().await;
    world.settle().await;
    assert!(world.api.get("kafkatopics/payments").await.is_none());
    world.kafka.kafka(|kafka| {
        assert!(!kafka.topics.contains_key("payments"));
        assert_eq!(kafka.effects["create topic payments"], 1);
    });
}

/// Two objects for one topic changed it back and forth.
#[tokio::test(start_paused = true)]
async fn koperator_717_one_of_two_objects_speaks_for_a_topic() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    let of = |value| json!({ "config": { "retention.ms": value } });
    take(
        &mut world,
        &[
            topic("first", "shared", &of(1)),
            Step::Settle,
            topic("second", "shared", &of(2)),
            Step::Settle,
        ],
    )
    .await;
    let option = |kafka: &mut crate::sim::kafka::Kafka| {
        kafka.topics["shared"].config["retention.ms"].clone()
    };
    let value = world.kafka.kafka(option);
    let owner = if value == "1" { "first" } else { "second" };
    let other = if value == "1" { "second" } else { "first" };
    let ready = |name: &str| format!("kafkatopics/{name}");
    assert_eq!(
        condition(&world, &ready(owner), "Ready").await["status"],
        "True"
    );
    let refused = condition(&world, &ready(other), "Ready").await;
    assert_eq!(refused["reason"], "Conflict", "{refused}");
    forget(&world);
    world.settle().await;
    assert_eq!(writes(&world), [""; 0]);
    assert_eq!(world.kafka.kafka(option), value);
}

/// Of several changes of a topic only some were made.
#[tokio::test(start_paused = true)]
async fn koperator_6b1cc052_all_of_a_topic_is_changed() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    let before = json!({ "partitions": 2, "config": { "retention.ms": 1, "segment.ms": 1 } });
    take(
        &mut world,
        &[topic("payments", "payments", &before), Step::Settle],
    )
    .await;
    let after = json!({ "spec": {
        "partitions": 4,
        "config": { "retention.ms": 2, "segment.ms": null, "max.message.bytes": 3 },
    } });
    take(
        &mut world,
        &[Step::Edit("kafkatopics/payments", after), Step::Settle],
    )
    .await;
    world.kafka.kafka(|kafka| {
        let topic = &kafka.topics["payments"];
        assert_eq!(topic.partitions.len(), 4);
        let config: Vec<_> = topic
            .config
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(config, ["max.message.bytes=3", "retention.ms=2"]);
    });
    let topic = world.api.get("kafkatopics/payments").await.unwrap();
    assert_eq!(topic["status"]["partitions"], 4);
}

/// Two ways of writing one value were compared as text, and written for ever.
#[tokio::test(start_paused = true)]
async fn strimzi_12377_one_value_written_in_two_ways_is_no_change() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    let config =
        json!({ "config": { "min.cleanable.dirty.ratio": "0.50", "preallocate": "TRUE" } });
    take(
        &mut world,
        &[topic("payments", "payments", &config), Step::Settle],
    )
    .await;
    // As a broker writes it back.
    world.kafka.kafka(|kafka| {
        let config = &mut kafka.topics.get_mut("payments").unwrap().config;
        config.insert("min.cleanable.dirty.ratio".to_owned(), "0.5".to_owned());
        config.insert("preallocate".to_owned(), "true".to_owned());
    });
    forget(&world);
    world.restart().await;
    world.settle().await;
    let calls = world.kafka.calls();
    assert!(!calls.contains(&"IncrementalAlterConfigs"), "{calls:?}");
}

/// ACLs stayed in force when the object was gone.
#[tokio::test(start_paused = true)]
async fn koperator_115f3806_acls_go_with_their_object() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    take(&mut world, &[acl(), Step::Settle]).await;
    assert_eq!(world.kafka.kafka(|kafka| kafka.acls.len()), 1);
    take(
        &mut world,
        &[Step::Delete("kafkaacls/readers"), Step::Settle],
    )
    .await;
    assert_eq!(world.kafka.kafka(|kafka| kafka.acls.len()), 0);
}

/// A finalizer that nobody took away kept a namespace for ever.
#[tokio::test(start_paused = true)]
async fn koperator_2b8583cb_a_topic_does_not_hold_back_a_namespace_that_goes() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    let goes = json!({ "deletionPolicy": "Delete" });
    take(
        &mut world,
        &[topic("payments", "payments", &goes), Step::Settle],
    )
    .await;
    // The cluster goes first, and no broker answers any more.
    take(&mut world, &[Step::Delete("kafkaclusters/demo")]).await;
    for pod in ["pods/demo-all-0", "pods/demo-all-1", "pods/demo-all-2"] {
        let _ = world.api.kill(pod).await;
    }
    let _ = world.api.delete("kafkatopics/payments").await;
    world.settle().await;
    assert!(world.api.get("kafkatopics/payments").await.is_none());
}

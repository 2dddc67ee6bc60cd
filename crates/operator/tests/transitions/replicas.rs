//! A topic's number of replicas, from its object to Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sim::{Host, Step, World, cluster, pool};

fn topic(replicas: u32) -> Step {
    let object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": { "name": "orders" },
        "spec": { "cluster": { "name": "demo" }, "partitions": 4, "replicas": replicas },
    });
    Step::Put("kafkatopics", object)
}

fn set(replicas: u32) -> Step {
    Step::Edit(
        "kafkatopics/orders",
        json!({ "spec": { "replicas": replicas } }),
    )
}

fn counts(world: &World<'_>) -> Vec<usize> {
    world.kafka.kafka(|kafka| {
        let partitions = &kafka.topics["orders"].partitions;
        let moving = partitions.iter().any(|p| p.target.is_some());
        assert!(!moving, "nothing is on the move");
        partitions.iter().map(|p| p.replicas.len()).collect()
    })
}

async fn ready(world: &World<'_>) -> Value {
    let topic = world.api.get("kafkatopics/orders").await.unwrap();
    topic["status"]["conditions"][0].clone()
}

/// Replicas have all arrived, and time has passed for who looks once a minute.
async fn settle(world: &mut World<'_>) {
    for _ in 0..3 {
        world.settle().await;
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_gets_the_replicas_that_its_object_says() {
    let host = Host::start().await;
    let mut world = World::with_access(&host).await;
    let slow = json!({ "version": "4.3.1", "reassignment": {
        "bytesPerSecond": "1Mi", "partitionsAtOnce": 1,
    } });
    let both = ["broker", "controller"];
    let begin = [
        cluster(&slow),
        pool("all", 4, &both, &json!({})),
        Step::Settle,
        topic(2),
    ];
    for step in &begin {
        world.take(step).await;
    }
    settle(&mut world).await;
    assert_eq!(counts(&world), [2; 4]);

    for wanted in [3, 4, 2] {
        world.take(&set(wanted)).await;
        settle(&mut world).await;
        assert_eq!(
            counts(&world),
            [wanted as usize; 4],
            "{}",
            ready(&world).await
        );
        assert_eq!(ready(&world).await["status"], "True");
    }
    let limits = world.kafka.kafka(|kafka| {
        let topic = kafka.topics["orders"].config.clone();
        let brokers = kafka.options.iter().filter(|(of, _)| of.is_some());
        let brokers: BTreeMap<_, _> = brokers.flat_map(|(_, set)| set.clone()).collect();
        (topic, brokers)
    });
    assert_eq!(
        limits,
        (BTreeMap::new(), BTreeMap::new()),
        "no limit is left behind"
    );

    // Somebody takes a replica away.
    world
        .kafka
        .kafka(|kafka| kafka.reassign("orders", 0, vec![1]));
    settle(&mut world).await;
    assert_eq!(counts(&world), [2; 4]);

    for (wanted, words) in [(5, "the cluster has 4 brokers"), (1, "of the topic is 2")] {
        world.take(&set(wanted)).await;
        settle(&mut world).await;
        let ready = ready(&world).await;
        assert_eq!(ready["reason"], "NotSupported");
        assert!(
            ready["message"].as_str().unwrap().contains(words),
            "{ready}"
        );
        assert_eq!(counts(&world), [2; 4]);
    }
    let (_, problems) = world.outcome().await;
    assert_eq!(problems, [""; 0]);
}

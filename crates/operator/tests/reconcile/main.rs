//! One cluster under the controller's hands, call by call.

mod disks;
mod members;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tubeway_operator::cluster::Again;
use tubeway_planner::{Partition, PartitionId};
use world::{CLAIMS, CLUSTER, MAPS, PODS, POOL, World};

#[tokio::test]
async fn a_cluster_is_made_and_then_left_alone() {
    let world = World::new();
    world.look().await.unwrap();
    assert_eq!(world.pods(), ["demo-all-0", "demo-all-1", "demo-all-2"]);
    let ready = world.condition("Ready");
    assert_eq!(ready["reason"], "WaitingForNodes");
    assert_eq!(
        ready["message"],
        "0 of 3 nodes are ready: demo-all-0 is being made; demo-all-1 is being made; \
         demo-all-2 is being made"
    );
    world.make_ready();
    world.settle().await;
    assert_eq!(world.condition("Ready")["status"], "True");
    assert_eq!(world.condition("Progressing")["status"], "False");
    let cluster = world.api.get(CLUSTER).unwrap();
    assert_eq!(cluster["status"]["readyNodes"], "3/3");
    assert_eq!(cluster["status"]["kafkaVersion"], "4.3.1");
    assert_eq!(
        cluster["status"]["bootstrap"],
        "demo-bootstrap.kafka.svc:9092"
    );
    let pool = world.api.get(POOL).unwrap();
    assert_eq!(pool["status"]["nodeIds"], json!([0, 1, 2]));
    let topology = world.ctx.topologies.current(&world.key).unwrap();
    assert_eq!(topology.document.nodes.len(), 3);

    world.look().await.unwrap();
    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_pod_comes_back_with_its_id_name_and_volume() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    let claim = world.api.get(&format!("{CLAIMS}data-demo-all-1")).unwrap();
    world.api.remove(&format!("{PODS}demo-all-1"));
    world.look().await.unwrap();
    assert_eq!(world.pods(), ["demo-all-0", "demo-all-1", "demo-all-2"]);
    assert_eq!(
        world.api.get(&format!("{CLAIMS}data-demo-all-1")).unwrap(),
        claim
    );
}

#[tokio::test]
async fn deleted_services_and_drift_are_put_right() {
    let world = World::new();
    world.settle().await;
    let service = "/api/v1/namespaces/kafka/services/demo-bootstrap";
    world.api.remove(service);
    world.settle().await;
    world
        .api
        .edit(service, |s| s["spec"]["ports"][0]["port"] = json!(1));
    world.settle().await;
    let service = world.api.get(service).unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 9092);
}

#[tokio::test]
async fn an_invalid_spec_touches_nothing_but_the_status() {
    let world = World::new();
    world
        .api
        .edit(CLUSTER, |c| c["spec"]["config"]["listeners"] = json!("x"));
    world.look().await.unwrap();
    assert_eq!(world.api.take_writes(), [format!("PATCH {CLUSTER}/status")]);
    let ready = world.condition("Ready");
    assert_eq!(ready["reason"], "InvalidSpec");
    assert!(
        ready["message"]
            .as_str()
            .unwrap()
            .contains("spec.config[\"listeners\"]")
    );
    world.settle().await;
    assert!(world.pods().is_empty());
}

#[tokio::test]
async fn without_istio_s_roots_no_pod_is_made_that_would_wait_for_them() {
    let world = World::new();
    let istio = json!({ "provider": "istio" });
    world
        .api
        .edit(CLUSTER, |cluster| cluster["spec"]["mesh"] = istio.clone());
    assert_eq!(world.look().await.unwrap(), Again::Soon);
    assert!(world.pods().is_empty());
    let ready = world.condition("Ready");
    assert_eq!(ready["reason"], "NotFound");
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("kafka/istio-ca-root-cert"), "{message}");

    let roots = format!("{MAPS}istio-ca-root-cert");
    let map = json!({ "metadata": { "name": "istio-ca-root-cert", "namespace": "kafka" } });
    world.api.put(&roots, map);
    world.settle().await;
    assert_eq!(world.pods().len(), 3);
    // Pods that are there have had them, and are looked after.
    world.api.remove(&roots);
    world.make_ready();
    world.settle().await;
    assert_eq!(world.condition("Ready")["status"], "True");
}

#[tokio::test]
async fn an_answer_lost_at_any_write_changes_nothing_in_the_end() {
    let expected = finished(None).await;
    for write in 0.. {
        let (found, writes) = finished(Some(write)).await;
        assert_eq!(
            found, expected.0,
            "after losing the answer of write {write}"
        );
        if write >= writes {
            assert!(write > 10, "only {write} writes were tried");
            break;
        }
    }
}

/// The specs of everything in the end, and how many writes the first look took.
async fn finished(lose: Option<usize>) -> (BTreeMap<String, Value>, usize) {
    let world = World::new();
    world.api.lose_answer_of(lose);
    let _ = world.look().await;
    let writes = world.api.take_writes().len();
    world.api.lose_answer_of(None);
    world.settle().await;
    world.make_ready();
    world.settle().await;
    let objects = world.api.paths("/");
    let specs = objects.into_iter().map(|path| {
        let mut object = world.api.get(&path).unwrap();
        for field in ["uid", "resourceVersion"] {
            object["metadata"].as_object_mut().unwrap().remove(field);
        }
        if let Some(status) = object["status"].as_object_mut() {
            status.remove("conditions");
        }
        (path, object)
    });
    (specs.collect(), writes)
}

#[tokio::test]
async fn a_change_rolls_one_node_at_a_time_and_only_when_kafka_can_spare_it() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    world.api.edit(CLUSTER, |c| {
        c["spec"]["config"]["num.partitions"] = json!(9);
    });

    world.settle().await;
    assert_eq!(world.pods().len(), 3, "Kafka cannot be asked");
    let progress = world.condition("Progressing");
    assert_eq!(progress["reason"], "Rolling");
    assert!(
        progress["message"]
            .as_str()
            .unwrap()
            .contains("cannot be asked")
    );

    world.healthy();
    for expected in ["demo-all-1", "demo-all-2", "demo-all-0"] {
        let others: Vec<_> = world.pods().into_iter().filter(|p| p != expected).collect();
        let configs = |pods: &[String]| -> Vec<Value> {
            let maps = pods.iter().map(|pod| format!("{MAPS}{pod}-config"));
            maps.map(|path| world.api.get(&path).unwrap()["data"].clone())
                .collect()
        };
        let before = configs(&others);
        world.look().await.unwrap();
        assert_eq!(world.pods(), others, "exactly {expected} goes");
        world.settle().await;
        assert_eq!(
            world.pods().len(),
            3,
            "the same node comes back, and nothing else happens"
        );
        assert_eq!(
            configs(&others),
            before,
            "what other pods were made with stays"
        );
        world.make_ready();
    }
    world.settle().await;
    assert_eq!(world.condition("Progressing")["status"], "False");
    let cluster = world.api.get(CLUSTER).unwrap();
    assert_eq!(cluster["status"]["quorum"]["voters"], json!([0, 1, 2]));
}

#[tokio::test]
async fn leaders_come_back_to_nodes_that_are_in_sync_unless_the_user_says_no() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    world.healthy();
    let partition = Partition {
        id: PartitionId::new("orders", 4),
        replicas: vec![0, 1, 2],
        in_sync: (0..3).collect(),
        leader: Some(1),
        min_in_sync: 2,
    };
    let mut report = world.health.report.lock().unwrap().clone().unwrap();
    report.health.partitions = vec![partition];
    *world.health.report.lock().unwrap() = Some(report);
    world.look().await.unwrap();
    let elected = || std::mem::take(&mut *world.health.elected.lock().unwrap());
    assert_eq!(elected(), ["orders-4"]);

    world.api.edit(CLUSTER, |c| {
        c["spec"]["config"]["auto.leader.rebalance.enable"] = json!(false);
    });
    world.look().await.unwrap();
    assert_eq!(elected(), [""; 0]);
}

#[tokio::test]
async fn an_evicted_pod_is_replaced() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    let path = format!("{PODS}demo-all-2");
    let old = world.api.get(&path).unwrap()["metadata"]["uid"].clone();
    world.api.edit(&path, |pod| {
        pod["status"] = json!({ "phase": "Failed", "reason": "Evicted" });
    });
    world.settle().await;
    assert_ne!(world.api.get(&path).unwrap()["metadata"]["uid"], old);
}

#[tokio::test]
async fn pods_of_an_earlier_cluster_of_the_name_are_waited_out() {
    let world = World::new();
    world.settle().await;
    // The cluster was deleted and made again; its old pods are still there.
    world
        .api
        .edit(CLUSTER, |c| c["metadata"]["uid"] = json!("another"));
    world.look().await.unwrap();
    assert_eq!(world.api.take_writes(), [format!("PATCH {CLUSTER}/status")]);
    assert_eq!(world.condition("Ready")["reason"], "Conflict");
}

#[tokio::test]
async fn a_cluster_made_again_over_its_volumes_is_the_same_cluster() {
    let world = World::new();
    world.settle().await;
    let map = format!("{MAPS}demo-quorum");
    let founding = world.api.get(&map).unwrap()["data"].clone();
    for part in [
        PODS,
        MAPS,
        "/services/",
        "/serviceaccounts/",
        "/poddisruptionbudgets/",
    ] {
        for path in world.api.paths(part) {
            world.api.remove(&path);
        }
    }
    world
        .api
        .edit(CLUSTER, |c| c["metadata"]["uid"] = json!("another"));
    world.settle().await;
    assert_eq!(world.api.get(&map).unwrap()["data"], founding);
    assert_eq!(world.pods(), ["demo-all-0", "demo-all-1", "demo-all-2"]);
}

#[tokio::test]
async fn fewer_replicas_keep_every_node_and_say_why() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    world.api.edit(POOL, |p| p["spec"]["replicas"] = json!(1));
    world.settle().await;
    assert_eq!(world.pods().len(), 3);
    let pool = world.api.get(POOL).unwrap();
    let message = pool["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("nodes 1, 2 are no longer asked for"),
        "{message}"
    );
}

#[tokio::test]
async fn a_paused_cluster_and_one_that_is_deleted_are_left_alone() {
    let world = World::new();
    world.settle().await;
    world
        .api
        .edit(CLUSTER, |c| c["spec"]["pause"] = json!(true));
    world.settle().await;
    world.api.remove(&format!("{PODS}demo-all-0"));
    world.settle().await;
    assert_eq!(world.pods().len(), 2);
    assert_eq!(world.condition("Progressing")["reason"], "Paused");
    world.api.edit(CLUSTER, |c| {
        c["spec"]["pause"] = json!(false);
        c["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    assert_eq!(world.look().await.unwrap(), Again::Never);
    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

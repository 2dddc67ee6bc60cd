//! What users write, and what is made of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;
use tubeway_localkube::fault::{Fault, Plan, Rule, What};
use tubeway_operator::authority;
use tubeway_operator::cluster::names;

use crate::common::*;
use crate::sim::{Host, Step, cluster, pool};

/// A value that the schema allowed and the operator could not read led to the
/// same exception again and again.
#[tokio::test(start_paused = true)]
async fn acto_286_what_only_the_operator_can_see_is_said_in_the_status() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let pods = uids(&world, "pods").await;
    let flags = json!({ "jvm": { "options": ["-Xmx9g"] } });
    take(&mut world, &[pool_spec(&flags), Step::Settle]).await;
    let ready = condition(&world, "kafkaclusters/demo", "Ready").await;
    assert_eq!(ready["reason"], "InvalidSpec", "{ready}");
    let message = text(&ready["message"]);
    for part in ["KafkaNodePool/all", "jvm.options", "-Xmx9g", "allowed:"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(uids(&world, "pods").await, pods);
}

/// What users had written as super users was replaced by the operator's own.
#[tokio::test(start_paused = true)]
async fn koperator_5a64fb02_options_that_are_the_operator_s_are_refused_not_replaced() {
    let host = Host::start().await;
    let made = [
        cluster(&json!({ "version": "4.3.1", "config": { "super.users": "User:me" } })),
        pool("all", 1, &BOTH, &json!({})),
        Step::Settle,
    ];
    let world = world(&host, &made).await;
    let ready = condition(&world, "kafkaclusters/demo", "Ready").await;
    assert_eq!(ready["reason"], "InvalidSpec");
    assert!(text(&ready["message"]).contains("super.users"), "{ready}");
}

/// The cluster's id was not written as Kafka writes ids, and newer brokers
/// refused it.
#[tokio::test(start_paused = true)]
async fn koperator_11ede7ee_the_cluster_s_id_is_written_as_kafka_writes_ids() {
    let host = Host::start().await;
    let world = world(&host, &three()).await;
    let cluster = world.api.get("kafkaclusters/demo").await.unwrap();
    let id = text(&cluster["status"]["clusterId"]);
    assert_eq!(id.len(), 22, "{id}");
    assert!(!id.contains('='), "{id}");
}

/// A claim that could not be resized as asked crashed the operator.
#[tokio::test(start_paused = true)]
async fn koperator_6871af2c_a_smaller_claim_is_no_crash_and_changes_nothing() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let claims = uids(&world, "persistentvolumeclaims").await;
    let smaller = pool_spec(&json!({ "storage": { "size": "1Mi" } }));
    take(&mut world, &[smaller, Step::Settle]).await;
    assert_eq!(uids(&world, "persistentvolumeclaims").await, claims);
    let claim = world
        .api
        .get("persistentvolumeclaims/data-demo-all-0")
        .await
        .unwrap();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
}

/// A crash kept a certificate from being made, and traffic went on in plain text.
#[tokio::test(start_paused = true)]
async fn percona_578_no_broker_listens_in_plain_text_beyond_its_pod() {
    let host = Host::start().await;
    let world = world(&host, &three()).await;
    for pod in world.api.list("pods").await {
        let name = text(&pod["metadata"]["name"]);
        let map = world
            .api
            .get(&format!("configmaps/{name}-config"))
            .await
            .unwrap();
        let options = text(&map["data"]["server.properties"]);
        let listeners = options
            .lines()
            .find_map(|line| line.strip_prefix("listeners="))
            .unwrap();
        for listener in listeners.split(',') {
            let (_, address) = listener.split_once("://").unwrap();
            // The launcher fills in a loopback address.
            let inside = address.starts_with("$(TUBEWAY_LOOPBACK):");
            assert!(inside, "{name} listens on {listener}");
        }
        assert!(
            !options.contains(":PLAINTEXT"),
            "somebody could talk to {name} without a login: {options}"
        );
        let sidecars = pod["spec"]["initContainers"].as_array().unwrap();
        assert!(sidecars.iter().any(|c| c["name"] == "sidecar"), "{name}");
    }
}

/// The key of the authority was made anew after a crash, and nobody's
/// certificates were good any more.
#[tokio::test(start_paused = true)]
async fn strimzi_8401_an_authority_is_made_once_whatever_crashes() {
    let host = Host::start().await;
    for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::LostAnswer] {
        let world = crate::sim::World::new(&host).await;
        let namespace = world.api.name.clone();
        let plan = Plan::new([Rule::nth(What::Write, 0, fault)]);
        world.plan(plan, None);
        let client = world.life.ctx.client.clone();
        tokio::select! {
            () = host.server().faults().crashed(&world.agent) => {}
            _ = authority::load(&client, &namespace, "cluster.local") => {}
        }
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let made = authority::load(&client, &namespace, "cluster.local").await;
            seen.insert(made.unwrap().certificate_pem().to_owned());
        }
        assert_eq!(seen.len(), 1);
    }
}

/// Someone cut the Secret of the authority short; with it the operator could
/// not reach a single pod.
#[tokio::test(start_paused = true)]
async fn strimzi_8402_half_an_authority_is_damage_and_not_none() {
    let host = Host::start().await;
    let world = crate::sim::World::new(&host).await;
    let namespace = world.api.name.clone();
    let client = world.life.ctx.client.clone();
    let load = || authority::load(&client, &namespace, "cluster.local");
    load().await.unwrap();
    let secret = world.api.get("secrets/tubeway-ca").await.unwrap();
    let keys: Vec<String> = secret["data"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let half = json!({ "data": { (keys[0].as_str()): null } });
    world.api.edit("secrets/tubeway-ca", &half).await.unwrap();
    assert!(load().await.is_err());
    let after = world.api.get("secrets/tubeway-ca").await.unwrap();
    assert_eq!(after["data"].as_object().unwrap().len(), keys.len() - 1);
}

/// Names were built with a cluster domain that was not that of the cluster.
#[test]
fn strimzi_12414_names_of_nodes_do_not_depend_on_the_cluster_domain() {
    let cluster = "kafka/demo".parse().unwrap();
    let host = names::host(&cluster, "demo-all-0");
    assert_eq!(host, "demo-all-0.demo-nodes.kafka.svc");
    assert_eq!(names::bootstrap_host(&cluster), "demo-bootstrap.kafka.svc");
}

/// The operator was allowed to do more than it does.
#[test]
fn kroxylicious_3803_no_rule_names_everything() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rbac.yaml");
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("kafkatopics"), "the file is read");
    assert!(!text.contains("\"*\"") && !text.contains("'*'") && !text.contains("[*]"));
}

/// Kafka could not be reached, and looking at what it had not said was a crash.
#[tokio::test(start_paused = true)]
async fn koperator_3b9864e1_a_kafka_that_does_not_answer_is_waited_for() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    world.kafka.kafka(|kafka| {
        for id in 0..3 {
            kafka.stop(id);
        }
    });
    world
        .take(&spec(&json!({ "config": { "log.roll.hours": 3 } })))
        .await;
    assert!(world.look().await);
    assert_eq!(deletions(&world), [""; 0]);
    let progress = condition(&world, "kafkaclusters/demo", "Progressing").await;
    assert!(
        text(&progress["message"]).contains("cannot be asked"),
        "{progress}"
    );
}

use kube::api::ObjectMeta;
use serde_json::json;
use tubeway_api::{KafkaClusterSpec, KafkaNodePoolSpec};

use super::*;

fn cluster(spec: serde_json::Value) -> KafkaCluster {
    let spec: KafkaClusterSpec = serde_json::from_value(spec).unwrap();
    KafkaCluster {
        metadata: ObjectMeta {
            name: Some("demo".into()),
            namespace: Some("kafka".into()),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

fn pool(change: &serde_json::Value) -> KafkaNodePool {
    let mut spec = json!({
        "cluster": "demo", "replicas": 3, "roles": ["broker", "controller"],
        "storage": { "size": "1Gi" },
    });
    for (key, value) in change.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let spec: KafkaNodePoolSpec = serde_json::from_value(spec).unwrap();
    KafkaNodePool::new("a", spec)
}

fn validate(
    cluster: &KafkaCluster,
    pool: KafkaNodePool,
) -> Result<ValidatedCluster, InvalidCluster> {
    let ids = Assignment {
        nodes: [("a".to_owned(), (0..3).collect())].into(),
        surplus: BTreeMap::new(),
    };
    ValidatedCluster::new(&Config::default(), cluster, &[pool], &ids)
}

fn fields(result: Result<ValidatedCluster, InvalidCluster>) -> Vec<String> {
    match result {
        Err(InvalidCluster::Spec(problems)) => problems.into_iter().map(|p| p.field).collect(),
        other => panic!("accepted: {other:?}"),
    }
}

#[test]
fn values_of_every_kind_of_yaml_become_text() {
    let cluster = cluster(json!({
        "version": "4.3.1",
        "config": { "num.partitions": 6, "auto.leader.rebalance.enable": false, "log.retention.hours": "1" },
    }));
    let options = validate(&cluster, pool(&json!({}))).unwrap().options;
    assert_eq!(options["num.partitions"], "6");
    assert_eq!(options["auto.leader.rebalance.enable"], "false");
    assert_eq!(options["log.retention.hours"], "1");
}

#[test]
fn options_that_make_up_the_mesh_are_refused_by_name() {
    for option in [
        "listeners",
        "listener.name.client.sasl.enabled.mechanisms",
        "sasl.mechanism.inter.broker.protocol",
        "super.users",
        "node.id",
        "log.dirs",
        "config.providers",
        "config.providers.file.class",
        "authorizer.class.name",
    ] {
        let cluster = cluster(json!({ "version": "4.3.1", "config": { option: "x" } }));
        let found = fields(validate(&cluster, pool(&json!({}))));
        assert_eq!(found, [format!("spec.config[{option:?}]")]);
    }
    assert!(
        !is_owned("log.dirs.max"),
        "only whole names and marked beginnings are owned"
    );
    assert!(!is_owned("log.retention.ms"));
}

#[test]
fn values_that_would_say_more_than_one_option_are_refused() {
    for value in [
        json!("1\nsuper.users=User:me"),
        json!("$(POD_IP)"),
        json!(["a"]),
        json!(null),
    ] {
        let cluster = cluster(json!({ "version": "4.3.1", "config": { "num.partitions": value } }));
        assert_eq!(
            fields(validate(&cluster, pool(&json!({})))),
            ["spec.config[\"num.partitions\"]"]
        );
    }
}

#[test]
fn every_problem_is_named_at_once() {
    let cluster = cluster(json!({ "version": "3.4.0", "config": { "listeners": "x" } }));
    let pool = pool(&json!({
        "storage": { "size": "10GB" },
        "jvm": { "heap": "lots", "options": ["-Xmx9g", "-Da=b c", "-XX:+UseZGC"] },
        "roles": [],
        "loggers": { "kafka.authorizer.logger": "DEBUG", "a=b,c": "INFO" },
    }));
    assert_eq!(
        fields(validate(&cluster, pool)),
        [
            "spec.version",
            "spec.config[\"listeners\"]",
            "KafkaNodePool/a spec.roles",
            "KafkaNodePool/a spec.storage.size",
            "KafkaNodePool/a spec.jvm.heap",
            "KafkaNodePool/a spec.jvm.options[0]",
            "KafkaNodePool/a spec.jvm.options[1]",
            "KafkaNodePool/a spec.loggers[\"a=b,c\"]",
        ]
    );
}

#[test]
fn disks_have_numbers_of_their_own_and_brokers() {
    let cluster = cluster(json!({ "version": "4.3.1" }));
    let found = |volumes: serde_json::Value, roles: serde_json::Value| {
        let storage = json!({ "size": "1Gi", "volumes": volumes });
        fields(validate(
            &cluster,
            pool(&json!({ "storage": storage, "roles": roles })),
        ))
    };
    let both = json!(["broker", "controller"]);
    let at = |field: &str| format!("KafkaNodePool/a spec.storage.{field}");
    for volumes in [
        json!([{ "id": 0, "size": "1Gi" }]),
        json!([{ "id": 100, "size": "1Gi" }]),
        json!([{ "id": 1, "size": "1Gi" }, { "id": 1, "size": "2Gi" }]),
    ] {
        assert_eq!(found(volumes, both.clone()), [at("volumes[].id")]);
    }
    let zero = json!([{ "id": 7, "size": "0" }]);
    assert_eq!(found(zero, both), [at("volumes[7].size")]);
    let one = json!([{ "id": 1, "size": "1Gi" }]);
    assert_eq!(found(one, json!(["controller"])), [at("volumes")]);
}

#[test]
fn a_problem_says_field_value_and_what_is_allowed() {
    let cluster = cluster(json!({ "version": "latest" }));
    let error = validate(&cluster, pool(&json!({}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "spec.version: \"latest\" is not allowed; allowed: a Kafka version from 3.9.0 on"
    );
}

#[test]
fn a_cluster_without_controllers_has_no_nodes_yet() {
    let cluster = cluster(json!({ "version": "4.3.1" }));
    let error = validate(&cluster, pool(&json!({ "roles": ["broker"] }))).unwrap_err();
    assert_eq!(error, InvalidCluster::NoNodes("controller"));
}

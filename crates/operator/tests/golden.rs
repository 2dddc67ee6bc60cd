//! What build makes of each case in `testdata/cases`, and injection of those in
//! `testdata/inject`: `in-*.yaml` to
//! `out-*.yaml`. `TUBEWAY_UPDATE_GOLDEN=1` writes what it makes now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::Value;
use tubeway_api::{KafkaCluster, KafkaNodePool, MeshProvider};
use tubeway_operator::cluster::build::{
    Inputs, Objects, SidecarSettings, build, quorum_config_map,
};
use tubeway_operator::cluster::founding::Founding;
use tubeway_operator::cluster::validate::ValidatedCluster;
use tubeway_operator::config::Config;
use tubeway_operator::inject::{InjectConfig, client_sidecar};
use tubeway_planner::{PoolIds, assign_ids};

type Outputs = BTreeMap<String, String>;

#[test]
fn every_case_builds_what_it_built_before() {
    let cases = fs::read_dir(root()).unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let case = case.unwrap().path();
        failures.extend(compare(&case, &outputs_of(&case)));
    }
    assert!(
        failures.is_empty(),
        "{}\nrun again with TUBEWAY_UPDATE_GOLDEN=1 if this is meant",
        failures.join("\n")
    );
}

fn outputs_of(case: &Path) -> Outputs {
    let (cluster, pools) = read(case);
    let ids = pools.iter().map(|pool| {
        let wanted = PoolIds {
            replicas: pool.spec.replicas as usize,
            ..PoolIds::default()
        };
        (pool.name_any(), wanted)
    });
    let ids = assign_ids(&ids.collect());
    let config = Config::default();
    match ValidatedCluster::new(&config, &cluster, &pools, &ids) {
        Ok(cluster) => {
            let founding = Founding::new(&cluster, None);
            let sizes = BTreeMap::new();
            let quorum = quorum_config_map(&cluster, &founding, false);
            let controllers = founding.initial_controllers.iter();
            let objects = build(Inputs {
                config: &config,
                cluster: &cluster,
                founding: &founding,
                founders: &controllers.map(|controller| controller.id).collect(),
                claim_sizes: &sizes,
                disks: &BTreeMap::new(),
            });
            written(&objects, &quorum)
        }
        Err(error) => [("out-error.yaml".to_owned(), format!("{error}\n"))].into(),
    }
}

fn written(objects: &Objects, quorum: &ConfigMap) -> Outputs {
    let mut outputs = Outputs::new();
    let mut add = |kind: &str, object: Value| {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let text = serde_saphyr::to_string(&object).unwrap();
        outputs.insert(format!("out-{kind}-{name}.yaml"), text);
    };
    let json = |object: &dyn erased::Json| object.json();
    add("serviceaccount", json(&objects.service_account));
    add("configmap", json(quorum));
    add("poddisruptionbudget", json(&objects.budget));
    for service in &objects.services {
        add("service", json(service));
    }
    for node in objects.nodes.values() {
        add("configmap", json(&node.config));
        add("claim", json(&node.claim));
        add("pod", json(&node.pod));
    }
    outputs
}

mod erased {
    pub(crate) trait Json {
        fn json(&self) -> serde_json::Value;
    }
    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}

fn compare(case: &Path, outputs: &Outputs) -> Vec<String> {
    let update = std::env::var_os("TUBEWAY_UPDATE_GOLDEN").is_some();
    let old: BTreeSet<String> = files(case, "out-").into_keys().collect();
    let mut failures = Vec::new();
    for (name, text) in outputs {
        let path = case.join(name);
        if update {
            fs::write(&path, text).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != *text {
            failures.push(format!("{} differs; now:\n{text}", path.display()));
        }
    }
    for name in old.iter().filter(|name| !outputs.contains_key(*name)) {
        if update {
            fs::remove_file(case.join(name)).unwrap();
        } else {
            failures.push(format!("{name} of {} is not made any more", case.display()));
        }
    }
    failures
}

fn read(case: &Path) -> (KafkaCluster, Vec<KafkaNodePool>) {
    let mut cluster = None;
    let mut pools = Vec::new();
    for path in files(case, "in-").into_values() {
        let text = fs::read_to_string(&path).unwrap();
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        match object["kind"].as_str().unwrap() {
            "KafkaCluster" => cluster = Some(serde_json::from_value(object).unwrap()),
            "KafkaNodePool" => pools.push(serde_json::from_value(object).unwrap()),
            kind => panic!("{kind} in {}", path.display()),
        }
    }
    (cluster.unwrap(), pools)
}

fn files(case: &Path, prefix: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(case)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/cases")
}

#[test]
fn every_injected_pod_is_what_it_was_before() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/inject");
    let mut failures = Vec::new();
    for case in fs::read_dir(root).unwrap() {
        let case = case.unwrap().path();
        let text = fs::read_to_string(case.join("in-pod.yaml")).unwrap();
        let mut pod = serde_saphyr::from_str(&text).unwrap();
        let operator = Config::default().operator_id().unwrap();
        let cluster = "kafka/demo".parse().unwrap();
        let mesh = if case.ends_with("istio") {
            MeshProvider::Istio
        } else {
            MeshProvider::Builtin
        };
        let sidecar = SidecarSettings::new(&Config::default(), operator.as_str(), &cluster, mesh);
        client_sidecar(&mut pod, &InjectConfig { sidecar }).unwrap();
        let text = serde_saphyr::to_string(&serde_json::to_value(pod).unwrap()).unwrap();
        let outputs = [("out-pod.yaml".to_owned(), text)].into();
        failures.extend(compare(&case, &outputs));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

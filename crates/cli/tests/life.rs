//! A cluster's life: brokers and controllers come and go, volumes are lost,
//! options change, while records flow. The trials run one after the other, in
//! this order.

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use support::load::{under_load, under_transactions};
use support::mesh::{Connection, apply, topic};
use support::{Installation, eventually};
use tubeway_testing::tools::Tools;

type Shared = Arc<Mutex<Installation>>;
type Run = fn(&Installation) -> Result<()>;

/// Nodes may take so long to come, to be emptied and to go.
const WITHIN: Duration = Duration::from_secs(240);

const TRIALS: [(&str, Run); 9] = [
    ("transactions_go_on_in_a_roll", transactions),
    ("a_new_broker_gets_its_share", new_broker),
    ("a_broker_leaves_when_it_is_empty", broker_leaves),
    ("a_broker_comes_back_on_its_volume", broker_comes_back),
    ("the_nodes_of_a_deleted_pool_leave", pool_deleted),
    ("controllers_come_and_go", controllers),
    ("a_node_that_lost_its_volume_joins_again", lost_volume),
    ("a_disk_is_added_and_removed", disk_comes_and_goes),
    ("a_topic_gets_another_number_of_replicas", other_replicas),
];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if arguments.list {
        libtest_mimic::run(&arguments, trials(None)).exit();
    }
    let mut installation = Installation::new(&[]).expect("a folder");
    installation.up().unwrap_or_else(|e| panic!("{e:#}"));
    let shared: Shared = Arc::new(Mutex::new(installation));
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&shared)));
    drop(shared);
    conclusion.exit();
}

fn trials(shared: Option<&Shared>) -> Vec<Trial> {
    let trials = TRIALS.into_iter().map(|(name, run)| {
        let shared = shared.cloned();
        Trial::test(name, move || {
            let shared = shared.ok_or("not started")?;
            let installation = shared.lock().unwrap_or_else(PoisonError::into_inner);
            run(&installation).map_err(|e| {
                // At once: the others may take minutes.
                eprintln!("{name}: {e:#}");
                Failed::from(format!("{e:#}"))
            })
        })
    });
    trials.collect()
}

/// Ids of the brokers that hold replicas of the topic, as Kafka says.
fn holders(on: &Installation, name: &str) -> Result<BTreeSet<u32>> {
    let tools = Tools::ensure()?;
    let connection = Connection::start(on, "checkout")?;
    let mut command = std::process::Command::new(tools.kcat()?);
    command.args(["-b", &connection.bootstrap(), "-L", "-J", "-t", name]);
    let out = support::run(&mut command)?;
    let metadata: serde_json::Value = serde_json::from_str(&out)?;
    let partitions = metadata["topics"][0]["partitions"].as_array();
    let partitions = partitions.with_context(|| out.clone())?;
    let replicas = partitions.iter().filter_map(|p| p["replicas"].as_array());
    let ids = replicas
        .flatten()
        .filter_map(|replica| replica["id"].as_u64());
    let ids: BTreeSet<u32> = ids.filter_map(|id| u32::try_from(id).ok()).collect();
    ensure!(!ids.is_empty(), "{out}");
    Ok(ids)
}

fn transactions(on: &Installation) -> Result<()> {
    under_transactions(on, 100_000, |on| {
        on.kubectl(&[
            "annotate",
            "-n",
            "kafka",
            "kafkacluster/demo",
            "kafka.tubeway.dev/restart=transactions",
        ])?;
        eventually(WITHIN, "the roll begins", || {
            let cluster = on.get("kafka", "kafkacluster/demo")?;
            let conditions = cluster["status"]["conditions"].as_array();
            let is_busy = conditions.into_iter().flatten().any(|condition| {
                condition["type"] == "Progressing" && condition["status"] == "True"
            });
            ensure!(is_busy, "{}", on.condition());
            Ok(())
        })?;
        on.settled(WITHIN)
    })
}

fn pool(on: &Installation, name: &str, role: &str, replicas: u32) -> Result<()> {
    let manifest = format!(
        "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaNodePool
metadata: {{name: {name}, namespace: kafka}}
spec:
  cluster: demo
  replicas: {replicas}
  roles: [{role}]
  storage: {{size: 1Gi}}
"
    );
    apply(on, &manifest).map(drop)
}

fn gone(on: &Installation, pod: &str) -> Result<()> {
    eventually(WITHIN, &format!("pod {pod} goes"), || {
        let pods = on.kubectl(&["get", "pods", "-n", "kafka", "-o", "name"])?;
        ensure!(!pods.contains(&format!("pod/{pod}\n")), "{pods}");
        Ok(())
    })
    .with_context(|| on.condition())
}

fn ready(on: &Installation, pod: &str) -> Result<()> {
    eventually(WITHIN, &format!("pod {pod} is ready"), || {
        let pod = on.get("kafka", &format!("pod/{pod}"))?;
        let conditions = pod["status"]["conditions"].to_string();
        let ready = pod["status"]["conditions"].as_array().is_some_and(|all| {
            all.iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
        });
        ensure!(ready, "{conditions}");
        Ok(())
    })
    .with_context(|| on.condition())
}

fn voters(on: &Installation, expected: &[u32]) -> Result<()> {
    eventually(WITHIN, &format!("voters {expected:?}"), || {
        let cluster = on.get("kafka", "kafkacluster/demo")?;
        let voters = &cluster["status"]["quorum"]["voters"];
        ensure!(*voters == serde_json::json!(expected), "{voters}");
        Ok(())
    })
    .with_context(|| on.condition())
}

fn new_broker(on: &Installation) -> Result<()> {
    for name in ["share-0", "share-1", "share-2"] {
        topic(on, name)?;
    }
    under_load(on, "grow", Duration::from_secs(45), |on| {
        pool(on, "extra", "broker", 1)?;
        ready(on, "demo-extra-3")?;
        on.settled(WITHIN)
    })?;
    let mut shares = BTreeSet::new();
    for name in ["share-0", "share-1", "share-2", "grow"] {
        shares.extend(holders(on, name)?);
    }
    ensure!(shares.contains(&3), "broker 3 got nothing of {shares:?}");
    Ok(())
}

fn broker_leaves(on: &Installation) -> Result<()> {
    under_load(on, "shrink", Duration::from_secs(45), |on| {
        on.kubectl(&["scale", "-n", "kafka", "knp/extra", "--replicas=0"])?;
        gone(on, "demo-extra-3")?;
        on.settled(WITHIN)
    })?;
    for name in ["share-0", "share-1", "share-2", "grow", "shrink"] {
        let holders = holders(on, name)?;
        ensure!(!holders.contains(&3), "{name}: {holders:?}");
    }
    let pool = on.get("kafka", "knp/extra")?;
    ensure!(pool["status"]["nodeIds"] == serde_json::json!([]), "{pool}");
    let claim = on.get("kafka", "pvc/data-demo-extra-3")?;
    let standing = &claim["metadata"]["annotations"]["kafka.tubeway.dev/standing"];
    ensure!(*standing == "left-empty", "{claim}");
    Ok(())
}

fn broker_comes_back(on: &Installation) -> Result<()> {
    on.kubectl(&["scale", "-n", "kafka", "knp/extra", "--replicas=1"])?;
    ready(on, "demo-extra-3")?;
    on.settled(WITHIN)?;
    // The cordon of its leaving is gone: it gets its share again.
    let mut shares = BTreeSet::new();
    for name in ["share-0", "share-1", "share-2", "grow", "shrink"] {
        shares.extend(holders(on, name)?);
    }
    ensure!(shares.contains(&3), "broker 3 got nothing of {shares:?}");
    Ok(())
}

fn pool_deleted(on: &Installation) -> Result<()> {
    on.kubectl(&["delete", "-n", "kafka", "knp/extra", "--timeout=30s"])?;
    gone(on, "demo-extra-3")?;
    on.settled(WITHIN)
}

fn controllers(on: &Installation) -> Result<()> {
    under_load(on, "vote", Duration::from_secs(60), |on| {
        pool(on, "voters", "controller", 2)?;
        let new = eventually(Duration::from_secs(30), "ids for the new nodes", || {
            let ids = on.get("kafka", "knp/voters")?["status"]["nodeIds"].clone();
            let ids: Vec<u32> = serde_json::from_value(ids)?;
            ensure!(ids.len() == 2, "{ids:?}");
            Ok(ids)
        })?;
        voters(on, &[[0, 1, 2].as_slice(), &new].concat())?;
        on.settled(WITHIN)?;
        on.kubectl(&["delete", "-n", "kafka", "knp/voters", "--timeout=30s"])?;
        voters(on, &[0, 1, 2])?;
        for id in new {
            gone(on, &format!("demo-voters-{id}"))?;
        }
        on.settled(WITHIN)
    })
}

fn lost_volume(on: &Installation) -> Result<()> {
    let before = on.get("kafka", "pvc/data-demo-combined-1")?["metadata"]["uid"].clone();
    under_load(on, "lost", Duration::from_secs(60), |on| {
        on.kubectl(&[
            "delete",
            "-n",
            "kafka",
            "pvc/data-demo-combined-1",
            "--wait=false",
        ])?;
        on.kubectl(&[
            "delete",
            "-n",
            "kafka",
            "pod/demo-combined-1",
            "--timeout=90s",
        ])?;
        eventually(WITHIN, "another volume", || {
            let claim = on.get("kafka", "pvc/data-demo-combined-1")?;
            ensure!(claim["metadata"]["uid"] != before, "{claim}");
            Ok(())
        })?;
        ready(on, "demo-combined-1")?;
        voters(on, &[0, 1, 2])?;
        on.settled(WITHIN)
    })
}

/// Sets the disks beside the first of the pool that the installation comes with.
fn set_disks(on: &Installation, disks: &[u32]) -> Result<()> {
    let volumes: Vec<_> = disks
        .iter()
        .map(|id| serde_json::json!({ "id": id, "size": "1Gi" }))
        .collect();
    let storage = serde_json::json!({ "volumes": volumes, "deleteClaim": true });
    let patch = serde_json::json!({ "spec": { "storage": storage } }).to_string();
    let pool = "knp/combined";
    on.kubectl(&["patch", "-n", "kafka", pool, "--type=merge", "-p", &patch])
        .map(drop)
}

/// Whether all pods of that pool have a second disk, or none has; and all are
/// ready.
fn have_disk(on: &Installation, wanted: bool) -> Result<()> {
    eventually(2 * WITHIN, "the pods' disks", || {
        for id in 0..3 {
            let pod = on.get("kafka", &format!("pod/demo-combined-{id}"))?;
            let volumes = pod["spec"]["volumes"].to_string();
            let claim = format!("data-1-demo-combined-{id}");
            ensure!(volumes.contains(&claim) == wanted, "{volumes}");
        }
        Ok(())
    })
    .with_context(|| on.condition())
}

fn disk_comes_and_goes(on: &Installation) -> Result<()> {
    under_load(on, "disks", Duration::from_secs(150), |on| {
        set_disks(on, &[1])?;
        have_disk(on, true)?;
        on.settled(WITHIN)?;
        // New replicas go where least is.
        for name in ["disks-0", "disks-1", "disks-2"] {
            topic(on, name)?;
        }
        set_disks(on, &[])?;
        let mut words = std::collections::BTreeSet::new();
        eventually(WITHIN, "replicas are moved off the disks", || {
            let cluster = on.get("kafka", "kafkacluster/demo")?;
            words.insert(cluster["status"]["conditions"].to_string());
            let seen = words.iter().any(|words| {
                words.contains("replicas are on others") || words.contains("is empty and goes")
            });
            ensure!(seen, "{words:?}");
            Ok(())
        })?;
        have_disk(on, false)?;
        on.settled(WITHIN)
    })?;
    eventually(WITHIN, "the claims go", || {
        let claims = on.kubectl(&["get", "pvc", "-n", "kafka", "-o", "name"])?;
        ensure!(!claims.contains("data-1-demo"), "{claims}");
        Ok(())
    })
    .with_context(|| on.condition())?;
    for name in ["disks", "disks-0", "disks-1", "disks-2"] {
        let holders = holders(on, name)?;
        ensure!(holders.len() == 3, "{name}: {holders:?}");
    }
    Ok(())
}

fn other_replicas(on: &Installation) -> Result<()> {
    under_load(on, "replicas", Duration::from_secs(45), |on| {
        for (replicas, least) in [("2", 2), ("3", 3)] {
            let patch = format!("{{\"spec\":{{\"replicas\":{replicas}}}}}");
            let topic = "kafkatopic/replicas";
            on.kubectl(&["patch", "-n", "shop", topic, "--type=merge", "-p", &patch])?;
            eventually(WITHIN, &format!("{replicas} replicas"), || {
                let topic = on.get("shop", topic)?;
                let status = &topic["status"];
                let ready = status["conditions"].as_array().is_some_and(|all| {
                    all.iter()
                        .any(|c| c["type"] == "Ready" && c["status"] == "True")
                });
                ensure!(ready && status["replicas"] == least, "{status}");
                Ok(())
            })
            .with_context(|| on.condition())?;
        }
        on.settled(WITHIN)
    })
}

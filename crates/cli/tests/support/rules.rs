//! What KafkaAcl and KafkaQuota do to real clients.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, Until};
use tubeway_testing::records::Workload;
use tubeway_testing::tools::Tools;

use super::mesh::{Connection, apply, check};
use super::{Installation, run};

/// Records a second that the quota allows.
const RATE: u32 = 400;
/// Seconds in which the burst is used up, and those that are measured.
const SETTLE: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(15);

/// A producer without a rate of its own is held to its quota, loses nothing,
/// and the quota's end is the end of its slowness.
pub async fn a_quota_holds_a_producer_to_its_rate(on: &Installation) -> Result<()> {
    apply(on, &topic("limited", 1, "checkout"))?;
    ready(on, "kafkatopic/limited")?;
    apply(on, &QUOTA.replace("RATE", &RATE.to_string()))?;
    ready(on, "kafkaquota/limited")?;
    let tools = Tools::ensure()?;
    let producer = Connection::start(on, "checkout")?;
    let seconds = (SETTLE + MEASURED).as_secs() as u32 + 3;
    let workload = Workload::new(1, u64::from(RATE * seconds));
    // Small batches, so that a rate can be seen at all; and not so small that
    // a batch takes longer on its way than the quota makes it wait.
    let target = producer
        .target("limited")
        .with_property("batch.size", "1000");
    let load = Client::JavaVerifiable.produce(&tools, &target, &workload);
    let measure = async {
        let metrics = metrics(on)?;
        // From when records flow.
        while produced(&metrics, "limited")? == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(SETTLE).await;
        let (first, begun) = (produced(&metrics, "limited")?, Instant::now());
        tokio::time::sleep(MEASURED).await;
        let more = produced(&metrics, "limited")? - first;
        Ok::<_, anyhow::Error>(more as f64 / begun.elapsed().as_secs_f64())
    };
    let (load, rate) = tokio::join!(load, measure);
    let (load, rate) = (load?, rate?);
    println!("quota of {RATE} records a second: {rate:.1} measured");
    let off = (rate / f64::from(RATE) - 1.0).abs();
    ensure!(off <= 0.05, "{rate:.1} records a second instead of {RATE}");
    ensure!(load.errors.is_empty(), "it saw {:?}", load.errors);
    let consumer = Connection::start(on, "checkout")?;
    let until = Until::Records(workload.count);
    let sessions = Client::JavaVerifiable
        .consume(&tools, &consumer.target("limited"), until)
        .await?;
    on.kubectl(&["delete", "-n", "shop", "kafkaquota/limited"])?;
    check(&History {
        sent: load.sent,
        sessions,
    })
}

/// A producer without keys leaves out the partition that it may not write; a
/// denial stops it, and its end lets it go on.
pub async fn an_acl_goes_down_to_the_partition(on: &Installation) -> Result<()> {
    apply(on, &topic("parted", 3, "billing"))?;
    ready(on, "kafkatopic/parted")?;
    apply(on, ACL)?;
    ready(on, "kafkaacl/parted")?;
    let tools = Tools::ensure()?;
    let producer = Connection::start(on, "checkout")?;
    let workload = Workload::new(1, 3_000);
    let target = producer.target("parted").with_property("batch.size", "200");
    let done = Client::JavaVerifiable
        .produce(&tools, &target, &workload)
        .await?;
    ensure!(done.errors.is_empty(), "it saw {:?}", done.errors);
    let consumer = Connection::start(on, "billing")?;
    let sessions = Client::JavaVerifiable
        .consume(
            &tools,
            &consumer.target("parted"),
            Until::Records(workload.count),
        )
        .await?;
    let partitions: BTreeSet<i32> = sessions
        .iter()
        .flat_map(|session| session.iter().map(|read| read.at.partition))
        .collect();
    ensure!(partitions == [0, 2].into(), "written: {partitions:?}");
    check(&History {
        sent: done.sent,
        sessions,
    })?;
    // librdkafka, told to write where it may not.
    let refused = kcat(&producer, "1")?;
    ensure!(!refused.status.success(), "partition 1 was written");
    let allowed = kcat(&producer, "2")?;
    ensure!(allowed.status.success(), "partition 2: {allowed:?}");
    apply(on, FROZEN)?;
    ready(on, "kafkaacl/frozen")?;
    ensure!(!kcat(&producer, "2")?.status.success(), "it is not frozen");
    on.kubectl(&["delete", "-n", "shop", "kafkaacl/frozen"])?;
    super::eventually(Duration::from_secs(10), "the end of the denial", || {
        let again = kcat(&producer, "2")?;
        ensure!(again.status.success(), "{again:?}");
        Ok(())
    })
}

fn kcat(through: &Connection, partition: &str) -> Result<std::process::Output> {
    let bootstrap = through.bootstrap();
    let script = format!(
        "echo record | kcat -b {bootstrap} -P -t parted -p {partition} -X message.timeout.ms=3000"
    );
    Command::new("sh")
        .args(["-c", &script])
        .output()
        .context("kcat; scripts/setup-test-tools installs it")
}

/// Where the brokers' sidecars show what they count.
fn metrics(on: &Installation) -> Result<Vec<String>> {
    let url = |i| {
        let [a, b, c, _] = on.pod_ip("kafka", &format!("demo-combined-{i}"))?.octets();
        Ok(format!("http://{a}.{b}.{c}.2:15020/metrics"))
    };
    (0..3).map(url).collect()
}

/// Records of the topic that the brokers' sidecars have counted as produced.
fn produced(metrics: &[String], topic: &str) -> Result<u64> {
    let mut sum = 0;
    let text = run(Command::new("curl").arg("-sS").args(metrics))?;
    let of = format!("topic=\"{topic}\"");
    let lines = text
        .lines()
        .filter(|line| line.starts_with("tubeway_produced_records_total{") && line.contains(&of));
    for line in lines {
        let value = line.rsplit(' ').next().context("no value")?;
        sum += value.parse::<f64>()? as u64;
    }
    Ok(sum)
}

/// Waits until an object of namespace `shop` is ready.
pub fn ready(on: &Installation, what: &str) -> Result<()> {
    let args = [
        "wait",
        "-n",
        "shop",
        what,
        "--for=condition=Ready",
        "--timeout=60s",
    ];
    on.kubectl(&args).map(drop)
}

/// A topic that `account` may produce to and consume.
pub fn topic(name: &str, partitions: u32, account: &str) -> String {
    TOPIC
        .replace("NAME", name)
        .replace("PARTITIONS", &partitions.to_string())
        .replace("ACCOUNT", account)
}

const TOPIC: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: NAME, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  partitions: PARTITIONS
  replicas: 3
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: NAME-both, namespace: shop}
rules:
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatopics], resourceNames: [NAME], verbs: [produce, consume]}
- {apiGroups: [kafka.tubeway.dev], resources: [kafkagroups], verbs: [join]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: NAME-both, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: NAME-both}
subjects:
- {kind: ServiceAccount, name: ACCOUNT, namespace: shop}
";

const QUOTA: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaQuota
metadata: {name: limited, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  topics: {names: [limited]}
  limits: {producedRecordsPerSecond: RATE}
  burstSeconds: 1
";

const ACL: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaAcl
metadata: {name: parted, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  rules:
  - principals: [{serviceAccount: {name: checkout}}]
    resource: {type: Topic, name: parted, partitions: '0,2'}
    operations: [Write]
";

const FROZEN: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaAcl
metadata: {name: frozen, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  rules:
  - effect: Deny
    principals: [{any: true}]
    resource: {type: Topic, name: parted}
    operations: [Write]
";

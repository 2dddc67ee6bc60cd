//! One installation with the demonstration, and everything that has to hold
//! while it runs. The trials run one after the other, in this order.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use rustls::pki_types::UnixTime;
use support::load::{block_on, under_load};
use support::mesh::{Connection, apply, check, round_trip, topic};
use support::{Installation, eventually, looks, net, rules, shares, zones};
use tubeway_identity::ca::{AuthorityPem, CertificateAuthority};
use tubeway_launcher::kafka_dist::KafkaDist;
use tubeway_testing::capture::{Capture, Verdict};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, Until};
use tubeway_testing::records::Workload;
use tubeway_testing::tools::Tools;

type Shared = Arc<Mutex<Installation>>;

const BROKERS: [&str; 3] = ["demo-combined-0", "demo-combined-1", "demo-combined-2"];
const MESH_PORTS: [u16; 3] = [9092, 9093, 9094];
/// How long records are produced around something that goes wrong.
const LOAD: Duration = Duration::from_secs(15);

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if arguments.list {
        libtest_mimic::run(&arguments, trials(None)).exit();
    }
    let mut installation =
        Installation::new(&["--kafka-log", "kafka.authorizer.logger=DEBUG"]).expect("a folder");
    let took = installation.up().unwrap_or_else(|e| panic!("{e:#}"));
    println!("tubeway up took {:.1} s", took.as_secs_f64());
    let shared: Shared = Arc::new(Mutex::new(installation));
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&shared)));
    drop(shared);
    conclusion.exit();
}

fn trials(shared: Option<&Shared>) -> Vec<Trial> {
    let trial = |name: &str, run: fn(&mut Installation) -> Result<()>| {
        let shared = shared.cloned();
        Trial::test(name, move || {
            let shared = shared.ok_or("not started")?;
            let mut installation = shared
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            run(&mut installation).map_err(|e| Failed::from(format!("{e:#}")))
        })
    };
    vec![
        trial("the_brokers_are_stock", the_brokers_are_stock),
        trial(
            "the_authorizer_knows_clients_by_their_spiffe_ids",
            authorizer_log,
        ),
        trial("the_intruder_is_refused_and_can_i_says_so", intruder),
        trial("every_client_s_records_arrive_once_and_in_order", clients),
        trial("a_quota_holds_a_producer_to_its_rate", |on| {
            block_on(rules::a_quota_holds_a_producer_to_its_rate(on))
        }),
        trial("a_limit_of_the_cluster_follows_its_use", |on| {
            block_on(shares::a_limit_of_the_cluster_follows_its_use(on))
        }),
        trial("an_acl_goes_down_to_the_partition", |on| {
            block_on(rules::an_acl_goes_down_to_the_partition(on))
        }),
        trial("a_client_may_write_in_its_zone_only", |on| {
            zones::a_client_may_write_in_its_zone_only(on)
        }),
        trial("nothing_readable_crosses_between_pods", capture),
        trial("strangers_are_refused_on_every_port", strangers),
        trial(
            "a_broker_s_own_listeners_give_nothing_without_the_sidecar",
            own_listeners,
        ),
        trial("ordinary_kubectl_works", kubectl),
        trial("tubeway_check_says_what_is_wrong", |on| {
            looks::check_says_what_is_wrong(on)
        }),
        trial("a_second_up_says_who_was_first", second_up),
        trial("a_killed_broker_loses_nothing", |on| {
            killed(on, "kill-broker", "demo-combined-1", "kafka")
        }),
        trial("a_killed_sidecar_loses_nothing", |on| {
            killed(on, "kill-sidecar", "demo-combined-2", "sidecar")
        }),
        trial("a_killed_operator_loses_nothing", killed_operator),
        trial("a_deleted_pod_comes_back", deleted_pod),
        trial("records_are_there_after_down_and_up", down_and_up),
    ]
}

fn the_brokers_are_stock(on: &mut Installation) -> Result<()> {
    for pod in BROKERS {
        let pid = on.container_pid("kafka", pod, "kafka")?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline"))?;
        let words: Vec<String> = command
            .split(|b| *b == 0)
            .map(|w| String::from_utf8_lossy(w).into_owned())
            .collect();
        let at = words
            .iter()
            .position(|w| w == "-cp")
            .context("no class path")?;
        let libs = words[at + 1]
            .strip_suffix("/*")
            .context("a class path of more than one folder")?;
        ensure!(
            !words
                .iter()
                .any(|w| w.starts_with("-javaagent") || w.starts_with("-Xbootclasspath")),
            "{words:?}"
        );
        ensure!(words.iter().any(|w| w == "kafka.Kafka"), "{words:?}");
        let dist = KafkaDist {
            libs: libs.into(),
            version: "4.3.1".to_owned(),
        };
        dist.verify()?;
    }
    Ok(())
}

fn authorizer_log(on: &mut Installation) -> Result<()> {
    eventually(Duration::from_secs(30), "the authorizer's log", || {
        let mut log = String::new();
        for pod in BROKERS {
            log += &on.kubectl(&["logs", "-n", "kafka", pod, "-c", "kafka"])?;
        }
        let says = |principal: &str, what: &str| {
            let principal =
                format!("Principal = User:spiffe://cluster.local/ns/shop/sa/{principal} is {what}");
            ensure!(
                log.contains(&principal),
                "the log does not say {principal:?}"
            );
            Ok(())
        };
        says("checkout", "Allowed operation = WRITE")?;
        says("billing", "Allowed operation = READ")?;
        // The sidecar is the first to refuse; `crates/proxy/tests/mesh.rs` shows
        // that the broker would.
        let mut refusals = String::new();
        for pod in BROKERS {
            refusals += &on.kubectl(&["logs", "-n", "kafka", pod, "-c", "sidecar"])?;
        }
        let refused = |line: &str| line.contains("access denied") && line.contains("sa/intruder");
        ensure!(
            refusals.lines().any(refused),
            "no sidecar tells of the intruder"
        );
        ensure!(!log.contains("ANONYMOUS"), "somebody was ANONYMOUS");
        Ok(())
    })
}

fn intruder(on: &mut Installation) -> Result<()> {
    eventually(Duration::from_secs(30), "the intruder's refusal", || {
        let log = on.kubectl(&[
            "logs", "-n", "shop", "intruder", "-c", "app", "--tail", "20",
        ])?;
        ensure!(log.contains("TopicAuthorizationException"), "{log}");
        ensure!(!log.contains("producer_send_success"), "{log}");
        Ok(())
    })?;
    for (account, verb, expected) in [
        ("checkout", "produce", true),
        ("checkout", "consume", false),
        ("billing", "consume", true),
        ("billing", "produce", false),
        ("intruder", "produce", false),
        ("intruder", "consume", false),
    ] {
        let user = format!("system:serviceaccount:shop:{account}");
        let output = on
            .kubectl_command()
            .args([
                "auth",
                "can-i",
                verb,
                "kafkatopics.kafka.tubeway.dev/orders",
                "-n",
                "shop",
                "--as",
                &user,
            ])
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            said.trim() == if expected { "yes" } else { "no" },
            "{account} {verb}: {said}"
        );
    }
    Ok(())
}

/// 200,000 records in all.
fn clients(on: &mut Installation) -> Result<()> {
    topic(on, "java")?;
    topic(on, "kcat")?;
    topic(on, "python")?;
    let tools = Tools::ensure()?;
    let producer = Connection::start(on, "checkout")?;
    let consumer = Connection::start(on, "billing")?;
    block_on(async {
        for (client, topic, number, count) in [
            (Client::JavaVerifiable, "java", 1, 100_000),
            (Client::Kcat, "kcat", 2, 60_000),
            (Client::KafkaPython, "python", 3, 40_000),
        ] {
            let begun = std::time::Instant::now();
            let workload = Workload::new(number, count);
            round_trip(client, &tools, &producer, &consumer, topic, workload)
                .await
                .with_context(|| format!("{client:?}"))?;
            println!(
                "{client:?}: {count} records in {:.1} s",
                begun.elapsed().as_secs_f64()
            );
        }
        Ok(())
    })
}

fn capture(on: &mut Installation) -> Result<()> {
    const MARKER: &str = "tubeway-marker-in-plain-sight";
    let tools = Tools::ensure()?;
    let mut listeners = Vec::new();
    for pod in BROKERS {
        let ip = IpAddr::from(on.pod_ip("kafka", pod)?);
        listeners.extend(MESH_PORTS.map(|port| SocketAddr::new(ip, port)));
    }
    topic(on, "marked")?;
    block_on(async {
        let capture = Capture::start(&tools, &listeners).await?;
        let connection = Connection::start(on, "checkout")?;
        let script = format!(
            "for i in $(seq 200); do echo {MARKER}; done | kcat -b {} -P -t marked -X acks=all",
            connection.bootstrap()
        );
        support::run(std::process::Command::new("sh").args(["-c", &script]))?;
        drop(connection);
        let mut evidence = capture.stop(&[MARKER, "spiffe://", "marked"]).await?;
        // Connections that were there before cannot be told; that nothing on
        // them was readable still counts.
        evidence
            .connections
            .retain(|one| one.verdict != Verdict::Incomplete || !one.readable.is_empty());
        // A connection to the bootstrap, and one to each partition's leader.
        evidence.assert_encrypted(2);
        Ok(())
    })
}

fn strangers(on: &mut Installation) -> Result<()> {
    let secret = on.get("tubeway-system", "secret/tubeway-ca")?;
    let pem = |key: &str| -> Result<String> {
        use base64::Engine as _;
        let text = secret["data"][key]
            .as_str()
            .with_context(|| format!("no {key}: {}", secret["data"]))?;
        Ok(String::from_utf8(
            base64::engine::general_purpose::STANDARD.decode(text)?,
        )?)
    };
    let keys: Vec<String> = secret["data"]
        .as_object()
        .context("no data")?
        .keys()
        .cloned()
        .collect();
    let named = |part: &str| {
        keys.iter()
            .find(|k| k.contains(part))
            .cloned()
            .context("no such key")
    };
    let own = AuthorityPem {
        certificate: pem(&named("crt").or_else(|_| named("cert"))?)?,
        key: pem(&named("key")?)?,
    };
    let ca = CertificateAuthority::from_pem(&own)?;
    let now = UnixTime::now();
    let day = Duration::from_secs(86_400);
    let hour = Duration::from_secs(3600);
    let other_ca = CertificateAuthority::generate("cluster.local", day, now)?;
    let other_domain = CertificateAuthority::generate("other.domain", day, now)?;
    let past = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() - 7200));
    let node = "spiffe://cluster.local/ns/kafka/sa/demo-node";
    let client = "spiffe://cluster.local/ns/shop/sa/checkout";
    let shown = [
        ("no certificate", None),
        (
            "a certificate of another authority",
            Some(net::certificate(&other_ca, node, hour, now)?),
        ),
        (
            "a certificate of another trust domain",
            Some(net::certificate(
                &other_domain,
                "spiffe://other.domain/ns/kafka/sa/demo-node",
                hour,
                now,
            )?),
        ),
        (
            "an expired certificate",
            Some(net::certificate(&ca, node, Duration::from_secs(60), past)?),
        ),
    ];
    let good_client = net::certificate(&ca, client, hour, now)?;
    let good_node = net::certificate(&ca, node, hour, now)?;
    for pod in BROKERS {
        let ip = IpAddr::from(on.pod_ip("kafka", pod)?);
        for port in MESH_PORTS {
            let address = SocketAddr::new(ip, port);
            net::must_be_refused(
                &net::plaintext(address)?,
                &format!("plain text to {address}"),
            )?;
            for (what, shown) in &shown {
                let answer = net::over_tls(address, shown.as_ref())?;
                net::must_be_refused(&answer, &format!("{what} at {address}"))?;
            }
            let answer = net::over_tls(address, Some(&good_client))?;
            if port == 9092 {
                ensure!(
                    net::must_be_refused(&answer, "").is_err(),
                    "a good client was refused at {address}"
                );
            } else {
                net::must_be_refused(&answer, &format!("a client at {address}"))?;
                let answer = net::over_tls(address, Some(&good_node))?;
                ensure!(
                    net::must_be_refused(&answer, "").is_err(),
                    "a node was refused at {address}"
                );
            }
        }
    }
    Ok(())
}

fn own_listeners(on: &mut Installation) -> Result<()> {
    // Metadata v0 for all topics, which any logged-in client may ask.
    const METADATA: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];
    for pod in BROKERS {
        let [a, b, c, _] = on.pod_ip("kafka", pod)?.octets();
        for port in MESH_PORTS {
            let address = SocketAddr::from(([a, b, c, 2], port));
            let answer = net::exchange(address, &METADATA)?;
            net::must_be_refused(&answer, &format!("a request without a login at {address}"))?;
        }
        // The way out to a peer: nothing goes through without the pod's secret.
        for port in [9093, 9094] {
            let address = SocketAddr::from(([a, b, c, 10], port));
            let answer = net::exchange(address, &METADATA)?;
            net::must_be_refused(
                &answer,
                &format!("a request without the secret at {address}"),
            )?;
        }
    }
    Ok(())
}

fn kubectl(on: &mut Installation) -> Result<()> {
    let table = on.kubectl(&["get", "kafkaclusters,kafkanodepools,kafkatopics,pods", "-A"])?;
    for part in [
        "demo", "4.3.1", "3/3", "combined", "orders", "Running", "2/2",
    ] {
        ensure!(table.contains(part), "{part} is not in:\n{table}");
    }
    topic(on, "edited")?;
    let partitions = |expected: i64| {
        eventually(Duration::from_secs(30), "partitions", || {
            let topic = on.get("shop", "kafkatopic/edited")?;
            ensure!(
                topic["status"]["partitions"] == expected,
                "{}",
                topic["status"]
            );
            Ok(())
        })
    };
    partitions(3)?;
    let mut edit = on.kubectl_command();
    edit.args(["edit", "-n", "shop", "kafkatopic/edited"])
        .env("EDITOR", "sed -i s/partitions:.3/partitions:\\ 5/");
    support::run(&mut edit)?;
    partitions(5)?;
    let refused = apply(
        on,
        "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: broken, namespace: shop}
spec: {cluster: {name: demo, namespace: kafka}, partitions: none}
",
    );
    let message = format!(
        "{:#}",
        refused.err().context("a broken topic was accepted")?
    );
    ensure!(message.contains("spec.partitions"), "{message}");
    on.kubectl(&[
        "delete",
        "kafkatopic",
        "-n",
        "shop",
        "edited",
        "--timeout=30s",
    ])?;
    let explained = on.kubectl(&["explain", "kafkatopics.spec"])?;
    ensure!(explained.contains("partitions"), "{explained}");
    Ok(())
}

fn second_up(on: &mut Installation) -> Result<()> {
    let output = support::tubeway()
        .args(["up", "--quiet"])
        .env("TUBEWAY_STATE", on.state())
        .output()?;
    ensure!(
        output.status.code() == Some(1),
        "it ended with {}",
        output.status
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let pid = on.pid().context("not running")?.to_string();
    for part in [pid.as_str(), "tubeway status", "--state-dir"] {
        ensure!(said.contains(part), "{part:?} is not in: {said}");
    }
    on.tubeway(&["status"]).map(drop)
}

/// Kills a container of a broker in the middle of a produce.
fn killed(on: &mut Installation, name: &str, pod: &str, container: &str) -> Result<()> {
    under_load(on, name, LOAD, |on| {
        let pid = on.container_pid("kafka", pod, container)?;
        support::run(std::process::Command::new("kill").args(["-9", &pid.to_string()]))?;
        Ok(())
    })?;
    on.wait_ready("kafka", Duration::from_secs(120))
}

fn killed_operator(on: &mut Installation) -> Result<()> {
    under_load(on, "kill-operator", LOAD, |on| {
        let pid = on.container_pid("tubeway-system", "tubeway-operator", "operator")?;
        support::run(std::process::Command::new("kill").args(["-9", &pid.to_string()]))?;
        Ok(())
    })?;
    on.wait_ready("tubeway-system", Duration::from_secs(60))?;
    // It works again, not only runs again.
    topic(on, "after-the-operator")
}

fn deleted_pod(on: &mut Installation) -> Result<()> {
    let before = on.get("kafka", "pod/demo-combined-0")?["metadata"]["uid"].clone();
    under_load(on, "delete-pod", LOAD, |on| {
        on.kubectl(&[
            "delete",
            "pod",
            "-n",
            "kafka",
            "demo-combined-0",
            "--timeout=90s",
        ])
        .map(drop)
    })?;
    eventually(Duration::from_secs(60), "another pod", || {
        let now = on.get("kafka", "pod/demo-combined-0")?["metadata"]["uid"].clone();
        ensure!(now != before, "it is the same pod");
        Ok(())
    })?;
    on.wait_ready("kafka", Duration::from_secs(120))
}

fn down_and_up(on: &mut Installation) -> Result<()> {
    let tools = Tools::ensure()?;
    topic(on, "kept")?;
    let workload = Workload::new(9, 5_000);
    let produced = block_on(async {
        let producer = Connection::start(on, "checkout")?;
        Ok::<_, anyhow::Error>(
            Client::JavaVerifiable
                .produce(&tools, &producer.target("kept"), &workload)
                .await?,
        )
    })?;
    on.down()?;
    on.up()?;
    block_on(async {
        let consumer = Connection::start(on, "billing")?;
        let until = Until::Records(workload.count);
        let sessions = Client::JavaVerifiable
            .consume(&tools, &consumer.target("kept"), until)
            .await?;
        check(&History {
            sent: produced.sent,
            sessions,
        })
    })?;
    if on.said().contains("panicked") {
        bail!("{}", on.said());
    }
    Ok(())
}

//! Every real client against a real broker.

use std::collections::HashSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tubeway_testing::broker::{BrokerOptions, TestBroker};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, ClientError, Target, Until};
use tubeway_testing::records::{Outcome, Sent, Workload};
use tubeway_testing::tools::Tools;

async fn create_topic(tools: &Tools, broker: &TestBroker, topic: &str) {
    run(
        tools,
        broker,
        "TopicCommand",
        &["--create", "--partitions", "3", "--topic", topic],
    )
    .await;
}

async fn run(tools: &Tools, broker: &TestBroker, tool: &str, args: &[&str]) {
    let output = tools
        .kafka(&format!("org.apache.kafka.tools.{tool}"))
        .args(["--bootstrap-server", &broker.bootstrap().to_string()])
        .args(args)
        .output()
        .await
        .expect("the tool runs");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_sends_and_reads_each_record_once_and_in_order() {
    let tools = Tools::ensure().expect("tools");
    let broker = TestBroker::start(&tools, &BrokerOptions::default())
        .await
        .expect("a broker");
    create_topic(&tools, &broker, "orders").await;
    let target = Target::new(broker.bootstrap(), "orders");

    let mut history = History::default();
    for (producer, client) in (1..).zip(Client::ALL) {
        let workload = Workload::new(producer, 5_000);
        let produced = client.produce(&tools, &target, &workload).await;
        let produced = produced.expect("the producer ends");
        assert!(
            produced.errors.is_empty(),
            "{client:?}: {:?}",
            produced.errors
        );
        history.sent.extend(produced.sent);
    }
    for client in Client::ALL {
        for target in [
            target.clone(),
            target.clone().in_group(&format!("{client:?}")),
        ] {
            let consumed = client.consume(&tools, &target, Until::End).await;
            let mut one = history.clone();
            one.sessions = consumed.expect("the consumer reads to the end");
            one.check().assert_clean(20_000);
            history.sessions.extend(one.sessions);
        }
    }
    let report = history.check();
    report.assert_clean(20_000);
    assert_eq!(report.read_again, 140_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_rights_is_refused_and_writes_nothing() {
    let tools = Tools::ensure().expect("tools");
    let options = BrokerOptions::default()
        .with_acls()
        .with_user("checkout")
        .with_user("intruder");
    let broker = TestBroker::start(&tools, &options).await.expect("a broker");
    create_topic(&tools, &broker, "orders").await;
    let allow = [
        "--add",
        "--topic",
        "orders",
        "--producer",
        "--allow-principal",
        "User:checkout",
    ];
    run(&tools, &broker, "AclCommand", &allow).await;

    let as_user = |name| Target::new(broker.sasl_bootstrap(), "orders").as_user(name, name);
    let mut history = History::default();
    for (producer, client) in (1..).zip(Client::ALL) {
        let workload = Workload::new(producer, 10);
        let produced = client
            .produce(&tools, &as_user("checkout"), &workload)
            .await;
        history
            .sent
            .extend(produced.expect("the producer ends").sent);

        let workload = Workload::new(producer + 100, 10);
        let refused = client
            .produce(&tools, &as_user("intruder"), &workload)
            .await;
        let refused = refused.expect("the producer ends");
        let said = refused.errors.join("\n").to_lowercase();
        assert!(said.contains("authoriz"), "{client:?}: {said}");
        let acked = |sent: &&Sent| matches!(sent.outcome, Outcome::Acked(_));
        assert_eq!(refused.sent.iter().filter(acked).count(), 0, "{client:?}");
        // Refused or not known: none of them may be in the topic.
        history
            .sent
            .extend(refused.sent.into_iter().map(|mut sent| {
                sent.outcome = Outcome::Refused;
                sent
            }));
    }
    let everything = Target::new(broker.bootstrap(), "orders");
    let consumed = Client::Kcat.consume(&tools, &everything, Until::End).await;
    history.sessions = consumed.expect("the consumer reads to the end");
    history.check().assert_clean(40);
    assert!(broker.log().contains("Principal = User:intruder is Denied"));
}

#[tokio::test]
async fn a_reader_without_rights_is_told_so() {
    let tools = Tools::ensure().expect("tools");
    let options = BrokerOptions::default().with_acls().with_user("intruder");
    let broker = TestBroker::start(&tools, &options).await.expect("a broker");
    create_topic(&tools, &broker, "orders").await;
    let target = Target::new(broker.sasl_bootstrap(), "orders").as_user("intruder", "intruder");
    let error = Client::JavaVerifiable
        .consume(&tools, &target, Until::Records(1))
        .await;
    let error = error.expect_err("it may not read");
    assert!(
        matches!(&error, ClientError::Ended { said, .. } if said.contains("AuthorizationException")),
        "{error}"
    );
}

/// Reads more and more of the topic until so many producers have written to it.
async fn wait_for_producers(tools: &Tools, target: &Target, producers: usize) {
    for count in (100..).step_by(500) {
        let read = Client::Kcat
            .consume(tools, target, Until::Records(count))
            .await;
        let read = read.expect("records");
        let ids = read.iter().flatten().filter_map(|read| read.id);
        let seen: HashSet<u32> = ids.map(|id| id.producer).collect();
        if seen.len() == producers {
            return;
        }
    }
}

/// Kafka's own system tests call this a hard bounce.
#[tokio::test(flavor = "multi_thread")]
async fn every_client_outlives_a_killed_broker_and_loses_nothing() {
    let tools = Tools::ensure().expect("tools");
    let mut broker = TestBroker::start(&tools, &BrokerOptions::default())
        .await
        .expect("a broker");
    create_topic(&tools, &broker, "orders").await;
    let target = Target::new(broker.bootstrap(), "orders");

    let mut producers = JoinSet::new();
    for (producer, client) in (1..).zip(Client::ALL) {
        let (tools, target) = (tools.clone(), target.clone());
        producers.spawn(async move {
            let workload = Workload::new(producer, 6_000).at_rate(500);
            (client, client.produce(&tools, &target, &workload).await)
        });
    }
    wait_for_producers(&tools, &target, Client::ALL.len()).await;
    broker.bounce(&tools).await.expect("the broker is back");

    let mut history = History::default();
    while let Some(done) = producers.join_next().await {
        let (client, produced) = done.expect("no panic");
        let produced = produced.expect("the producer ends");
        assert!(
            produced.errors.is_empty(),
            "{client:?}: {:?}",
            produced.errors
        );
        history.sent.extend(produced.sent);
    }
    let consumed = Client::Kcat.consume(&tools, &target, Until::End).await;
    history.sessions = consumed.expect("the consumer reads to the end");
    history.check().assert_clean(24_000);
}

#[tokio::test]
async fn a_broker_that_cannot_start_says_why() {
    let tools = Tools::ensure().expect("tools");
    let options = BrokerOptions::default().with_property("log.segment.bytes", "-7");
    let error = TestBroker::start(&tools, &options)
        .await
        .expect_err("no broker");
    assert!(error.to_string().contains("log.segment.bytes"), "{error}");
}

#[tokio::test]
async fn a_client_that_is_not_done_in_time_is_killed() {
    let tools = Tools::ensure().expect("tools");
    let mut target = Target::new("127.0.0.1:1", "orders");
    target.timeout = Duration::from_secs(2);
    let error = Client::Kcat
        .consume(&tools, &target, Until::Records(1))
        .await;
    let error = error.expect_err("nobody listens there");
    assert!(
        matches!(error, ClientError::Timeout { records: 0, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

//! The admin client against a real broker.

mod single_node;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use single_node::SingleNode;
use tubeway_operator::kafka_admin::{
    Admin, AdminError, BrokerAddress, ConfigChange, ConfigResource, ConfigSource, Fault, Limits,
    NewTopic, PlainConnect, TopicDescription,
};
use tubeway_policy::acl::{
    AclBinding, AclDiff, Managed, Operation, PatternType, Permission, ResourceType,
};

fn new_topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: Some(3),
        replicas: Some(1),
        config: BTreeMap::from([("retention.ms".to_owned(), "60000".to_owned())]),
    }
}

/// A broker learns of a change a moment after the controller has made it, and
/// nothing tells the client when: asks until it `shows`.
async fn topic_once(
    admin: &Admin,
    name: &str,
    shows: impl Fn(&TopicDescription) -> bool,
) -> TopicDescription {
    let names = [name.to_owned()];
    let ask = async {
        loop {
            let described = admin.describe_topics(Some(&names)).await.unwrap();
            match described.into_values().next() {
                Some(Ok(topic)) if shows(&topic) => return topic,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let within = Duration::from_secs(10);
    tokio::time::timeout(within, ask).await.unwrap()
}

#[tokio::test]
async fn the_cluster_and_its_quorum() {
    let node = SingleNode::shared();
    let admin = node.admin();
    let cluster = admin.describe_cluster().await.unwrap();
    assert_eq!(cluster.id, "MkU3OEVBNTcwNTJENDM2Qk");
    let [broker] = cluster.brokers.as_slice() else {
        panic!("{cluster:?}");
    };
    assert_eq!((broker.id, &broker.address), (1, &node.address()));
    assert!(!broker.fenced);
    let quorum = admin.describe_quorum().await.unwrap();
    assert_eq!((quorum.leader, quorum.voters.len()), (1, 1));
    assert!(!quorum.voters[0].directory.is_nil());
    assert!(quorum.high_watermark > 0);
}

#[tokio::test]
async fn a_topics_life() {
    let node = SingleNode::shared();
    let admin = node.admin();
    let name = "life".to_owned();
    let names = [name.clone()];

    let tried = admin
        .create_topics(&[new_topic(&name)], true)
        .await
        .unwrap();
    assert!(tried[&name].is_ok(), "{tried:?}");
    let missing = admin.describe_topics(Some(&names)).await.unwrap();
    let missing = missing[&name].as_ref().unwrap_err();
    assert_eq!(missing.error, ResponseError::UnknownTopicOrPartition);

    let created = admin
        .create_topics(&[new_topic(&name)], false)
        .await
        .unwrap();
    let created = created[&name].as_ref().unwrap();
    assert_eq!((created.partitions, created.replicas), (3, 1));
    let again = admin
        .create_topics(&[new_topic(&name)], false)
        .await
        .unwrap();
    let again = again[&name].as_ref().unwrap_err();
    assert_eq!(again.error, ResponseError::TopicAlreadyExists);

    let more = BTreeMap::from([(name.clone(), 5)]);
    admin.create_partitions(&more).await.unwrap()[&name]
        .as_ref()
        .unwrap();
    let fewer = BTreeMap::from([(name.clone(), 4)]);
    let fewer = admin.create_partitions(&fewer).await.unwrap();
    let fewer = fewer[&name].as_ref().unwrap_err();
    assert_eq!(fewer.error, ResponseError::InvalidPartitions);
    assert!(fewer.message.is_some());

    let described = topic_once(&admin, &name, |t| t.partitions.len() == 5).await;
    assert_eq!(described.id, created.id);
    let indexes: Vec<_> = described.partitions.iter().map(|p| p.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4]);
    assert_eq!(described.partitions[0].replicas, [1]);
    assert!(
        admin
            .describe_topics(None)
            .await
            .unwrap()
            .contains_key(&name)
    );

    let deleted = admin.delete_topics(&[created.id]).await.unwrap();
    assert_eq!(deleted[&created.id], Ok(()));
    let twice = admin.delete_topics(&[created.id]).await.unwrap();
    let twice = twice[&created.id].as_ref().unwrap_err();
    assert_eq!(twice.error, ResponseError::UnknownTopicId);
}

#[tokio::test]
async fn options_of_topics_and_brokers() {
    let node = SingleNode::shared();
    let admin = node.admin();
    let name = "options".to_owned();
    admin
        .create_topics(&[new_topic(&name)], false)
        .await
        .unwrap()[&name]
        .as_ref()
        .unwrap();
    topic_once(&admin, &name, |_| true).await;
    let topic = ConfigResource::Topic(name);
    let asked = [topic.clone()];

    let before = admin.describe_configs(&asked, None).await.unwrap();
    let before = before[&topic].as_ref().unwrap();
    assert_eq!(before["retention.ms"].value.as_deref(), Some("60000"));
    assert_eq!(before["retention.ms"].source, ConfigSource::Topic);
    assert_eq!(before["cleanup.policy"].source, ConfigSource::Default);

    let changes = BTreeMap::from([
        ("retention.ms".to_owned(), ConfigChange::Delete),
        (
            "cleanup.policy".to_owned(),
            ConfigChange::Set("compact".to_owned()),
        ),
    ]);
    let changes = BTreeMap::from([(topic.clone(), changes)]);
    assert_eq!(admin.alter_configs(&changes).await.unwrap()[&topic], Ok(()));
    let after = admin.describe_configs(&asked, None).await.unwrap();
    let after = after[&topic].as_ref().unwrap();
    assert_eq!(after["cleanup.policy"].value.as_deref(), Some("compact"));
    assert_ne!(after["retention.ms"].source, ConfigSource::Topic);

    let wrong = BTreeMap::from([(
        "cleanup.policy".to_owned(),
        ConfigChange::Set("x".to_owned()),
    )]);
    let wrong = BTreeMap::from([(topic.clone(), wrong)]);
    let wrong = admin.alter_configs(&wrong).await.unwrap();
    let wrong = wrong[&topic].as_ref().unwrap_err();
    assert_eq!(wrong.error, ResponseError::InvalidConfig);

    let broker = ConfigResource::Broker(1);
    let own = admin
        .describe_configs(std::slice::from_ref(&broker), Some(&node.address()))
        .await
        .unwrap();
    let own = own[&broker].as_ref().unwrap();
    assert_eq!(own["num.partitions"].value.as_deref(), Some("2"));
    assert_eq!(own["num.partitions"].source, ConfigSource::Static);
    assert!(own["process.roles"].read_only);
}

#[tokio::test]
async fn acls_are_what_was_asked_for_and_others_stay() {
    let node = SingleNode::shared();
    let admin = node.admin();
    let foreign = AclBinding {
        pattern: PatternType::Prefixed,
        host: "10.0.0.1".to_owned(),
        permission: Permission::Deny,
        ..AclBinding::allow("User:alice", Operation::All, ResourceType::Topic, "x-")
    };
    admin
        .create_acls(std::slice::from_ref(&foreign))
        .await
        .unwrap();

    // More than one batch of them, with all kinds of resources and operations.
    let principal = |i: usize| format!("User:spiffe://td/ns/shop/sa/a{i}");
    let mut wanted: Vec<_> = (0..1200)
        .map(|i| {
            AclBinding::allow(
                principal(i),
                Operation::Write,
                ResourceType::Topic,
                "orders",
            )
        })
        .collect();
    wanted.extend(
        ResourceType::ALL
            .map(|kind| AclBinding::allow(principal(0), Operation::All, kind, kind.every())),
    );
    let managed = Managed::trust_domain("td");
    let actual = admin.describe_acls().await.unwrap();
    let diff = AclDiff::between(&managed, &wanted, &actual);
    assert_eq!((diff.create.len(), diff.delete.len()), (1206, 0));
    admin.create_acls(&diff.create).await.unwrap();
    admin.create_acls(&diff.create[..1]).await.unwrap();

    let actual = admin.describe_acls().await.unwrap();
    assert!(AclDiff::between(&managed, &wanted, &actual).is_empty());
    assert!(actual.contains(&foreign));

    let diff = AclDiff::between(&managed, &wanted[..3], &actual);
    assert_eq!((diff.create.len(), diff.delete.len()), (0, 1203));
    admin.delete_acls(&diff.delete).await.unwrap();
    admin.delete_acls(&diff.delete[..1]).await.unwrap();
    let left = admin.describe_acls().await.unwrap();
    assert!(AclDiff::between(&managed, &wanted[..3], &left).is_empty());
    assert!(left.contains(&foreign));
}

#[tokio::test]
async fn an_acl_that_kafka_cannot_have_is_said() {
    let node = SingleNode::shared();
    let wrong = AclBinding::allow(
        "User:x",
        Operation::Read,
        ResourceType::Cluster,
        "no-such-name",
    );
    let error = node.admin().create_acls(&[wrong]).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Broker);
    assert!(!error.may_pass());
    assert!(
        error
            .chain()
            .starts_with("CreateAcls was refused: kafka says"),
        "{}",
        error.chain()
    );
}

#[tokio::test]
async fn a_broker_that_is_away_is_passed_over() {
    let node = SingleNode::shared();
    let away = BrokerAddress::new("127.0.0.1", 1);
    let admin = Admin::new(PlainConnect, vec![away.clone(), node.address()]);
    admin.describe_cluster().await.unwrap();

    let limits = Limits {
        total: Duration::from_millis(200),
        ..Limits::default()
    };
    let admin = Admin::with_limits(PlainConnect, vec![away], limits);
    let error = admin.describe_cluster().await.unwrap_err();
    assert!(matches!(error, AdminError::Connect { .. }), "{error:?}");
    assert_eq!(error.fault(), Fault::Network);
}

#[tokio::test]
async fn calls_side_by_side_and_dropped_ones_do_not_mix() {
    let node = SingleNode::shared();
    let admin = node.admin();
    admin.describe_cluster().await.unwrap();
    for _ in 0..20 {
        // Polled once, which sends the request, and then dropped with the answer
        // outstanding.
        let _ = futures::poll!(Box::pin(admin.describe_acls()));
        let (cluster, quorum) = tokio::join!(admin.describe_cluster(), admin.describe_quorum());
        assert_eq!(cluster.unwrap().brokers.len(), 1);
        assert_eq!(quorum.unwrap().leader, 1);
    }
}

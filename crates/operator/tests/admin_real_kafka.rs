//! The admin client against a real broker.

mod single_node;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use single_node::SingleNode;
use tubeway_operator::access::{Ledger, Ownership, Plan};
use tubeway_operator::kafka_admin::{
    Admin, AdminError, BrokerAddress, ConfigChange, ConfigResource, ConfigSource, Fault, Limits,
    NewTopic, PlainConnect, TopicDescription,
};
use tubeway_operator::topics::Calls;
use tubeway_operator::{access, topics};
use tubeway_policy::acl::{
    AclBinding, AclDiff, Managed, Operation, PatternType, Permission, ResourceType,
};
use tubeway_policy::rbac::{
    AllowedNamespaces, Binding, Cluster, Inputs, ObjectRef, Role, RoleRef, Rule, Subject, compile,
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
/// nothing tells the client when: asks until the answer is `good`.
async fn once<T, F: Future<Output = T>>(ask: impl Fn() -> F, good: impl Fn(&T) -> bool) -> T {
    let asking = async {
        loop {
            let answer = ask().await;
            if good(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let within = Duration::from_secs(10);
    tokio::time::timeout(within, asking).await.unwrap()
}

async fn topic(admin: &Admin, name: &str) -> Option<TopicDescription> {
    let names = [name.to_owned()];
    let described = admin.describe_topics(Some(&names)).await.unwrap();
    described.into_values().next().unwrap().ok()
}

/// The topic's own options.
async fn own_options(admin: &Admin, name: &str) -> BTreeMap<String, String> {
    let resource = ConfigResource::Topic(name.to_owned());
    let asked = [resource.clone()];
    let mut described = admin.describe_configs(&asked, None).await.unwrap();
    let options = described.remove(&resource).unwrap().unwrap();
    let own = options
        .into_iter()
        .filter(|(_, o)| o.source == ConfigSource::Topic);
    own.map(|(name, option)| (name, option.value.unwrap()))
        .collect()
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

    let grown = |t: &Option<TopicDescription>| t.as_ref().is_some_and(|t| t.partitions.len() == 5);
    let described = once(|| topic(&admin, &name), grown).await.unwrap();
    assert_eq!(described.id, created.id);
    let indexes: Vec<_> = described.partitions.iter().map(|p| p.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4]);
    assert_eq!(described.partitions[0].replicas, [1]);
    let all = admin.describe_topics(None).await.unwrap();
    assert!(all.contains_key(&name));

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
    once(|| topic(&admin, &name), Option::is_some).await;
    let topic = ConfigResource::Topic(name.clone());
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
    assert_eq!(
        admin.alter_configs(&changes, None).await.unwrap()[&topic],
        Ok(())
    );
    let compact = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    once(|| own_options(&admin, &name), |own| *own == compact).await;

    let wrong = BTreeMap::from([(
        "cleanup.policy".to_owned(),
        ConfigChange::Set("x".to_owned()),
    )]);
    let wrong = BTreeMap::from([(topic.clone(), wrong)]);
    let wrong = admin.alter_configs(&wrong, None).await.unwrap();
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

    let acls = || async { admin.describe_acls().await.unwrap() };
    let as_wanted = |is: &Vec<_>| AclDiff::between(&managed, &wanted, is).is_empty();
    let actual = once(acls, as_wanted).await;
    assert!(actual.contains(&foreign));

    let diff = AclDiff::between(&managed, &wanted[..3], &actual);
    assert_eq!((diff.create.len(), diff.delete.len()), (0, 1203));
    admin.delete_acls(&diff.delete).await.unwrap();
    admin.delete_acls(&diff.delete[..1]).await.unwrap();
    let three = |is: &Vec<_>| AclDiff::between(&managed, &wanted[..3], is).is_empty();
    let left = once(acls, three).await;
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

#[tokio::test]
async fn a_topic_is_made_kept_and_deleted_as_its_object_says() {
    let node = SingleNode::shared();
    let admin = node.admin();
    let calls = Calls::new(admin.clone());
    let mut wanted = topics::WantedTopic {
        name: "kept".to_owned(),
        partitions: Some(2),
        replicas: None,
        config: BTreeMap::from([("cleanup.policy".to_owned(), "compact, delete".to_owned())]),
    };
    let made = topics::ensure(&calls, &wanted).await.unwrap();
    assert_eq!(made.done, ["created"]);
    assert_eq!((made.observed.partitions, made.observed.replicas), (2, 1));
    once(|| topic(&admin, "kept"), Option::is_some).await;

    // Kafka writes the list without spaces, which is no reason to write it again.
    let again = topics::ensure(&calls, &wanted).await.unwrap();
    assert_eq!((again.done, again.observed), (vec![], made.observed));

    // Someone else's change is put back, and the spec's own is made.
    let drift = BTreeMap::from([
        (
            "cleanup.policy".to_owned(),
            ConfigChange::Set("compact".to_owned()),
        ),
        ("retention.ms".to_owned(), ConfigChange::Set("7".to_owned())),
    ]);
    let drift = BTreeMap::from([(ConfigResource::Topic("kept".to_owned()), drift)]);
    admin.alter_configs(&drift, None).await.unwrap();
    once(|| own_options(&admin, "kept"), |own| own.len() == 2).await;
    wanted.partitions = Some(4);
    let back = topics::ensure(&calls, &wanted).await.unwrap();
    assert_eq!(back.done, ["configured", "partitions added"]);
    once(|| own_options(&admin, "kept"), |own| own.len() == 1).await;
    let grown = |t: &Option<TopicDescription>| t.as_ref().is_some_and(|t| t.partitions.len() == 4);
    once(|| topic(&admin, "kept"), grown).await;
    let quiet = topics::ensure(&calls, &wanted).await.unwrap();
    assert_eq!((quiet.done, quiet.observed.partitions), (vec![], 4));

    wanted.partitions = Some(1);
    wanted.replicas = Some(3);
    let cannot = topics::ensure(&calls, &wanted).await.unwrap();
    assert_eq!((cannot.done.len(), cannot.unsupported.len()), (0, 2));

    let id = made.observed.id;
    assert!(topics::delete(&admin, "kept", id).await.unwrap());
    assert!(!topics::delete(&admin, "kept", id).await.unwrap());
}

#[tokio::test]
async fn a_topic_that_kafka_refuses_says_why() {
    let node = SingleNode::shared();
    let mut wanted = topics::WantedTopic {
        name: "refused".to_owned(),
        replicas: Some(3),
        ..topics::WantedTopic::default()
    };
    let error = topics::ensure(&Calls::new(node.admin()), &wanted)
        .await
        .unwrap_err();
    assert!(!error.may_pass());
    let text = error.to_string();
    assert!(
        text.starts_with(
            "creation of topic \"refused\" failed: kafka says InvalidReplicationFactor"
        ),
        "{text}"
    );
    wanted.replicas = None;
    wanted
        .config
        .insert("no.such.option".to_owned(), "1".to_owned());
    let text = topics::ensure(&Calls::new(node.admin()), &wanted)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("InvalidConfig") && text.contains("no.such.option"),
        "{text}"
    );
}

#[tokio::test]
async fn rbac_is_in_force_and_taken_back() {
    let node = SingleNode::shared();
    let admin = node.admin();
    // A trust domain of its own, as other tests have ACLs in theirs.
    let operator = "User:spiffe://rbac.test/ns/o/sa/o".to_owned();
    let ownership = Ownership::new("rbac.test", [operator]);
    let foreign = [
        AclBinding::allow(
            "User:spiffe://rbac.test/ns/o/sa/o",
            Operation::Read,
            ResourceType::Group,
            "g",
        ),
        AclBinding::allow("User:bob", Operation::Read, ResourceType::Group, "g"),
    ];
    admin.create_acls(&foreign).await.unwrap();
    let cluster = ObjectRef::new("kafka", "main");
    let mut inputs = Inputs {
        trust_domain: "rbac.test".to_owned(),
        roles: vec![Role {
            object: ObjectRef::new("kafka", "writers"),
            rules: vec![Rule {
                api_groups: vec!["kafka.tubeway.dev".to_owned()],
                resources: vec!["kafkagroups".to_owned()],
                resource_names: Vec::new(),
                verbs: vec!["*".to_owned()],
            }],
        }],
        bindings: vec![Binding {
            namespace: Some("kafka".to_owned()),
            name: "writers".to_owned(),
            role: RoleRef::Role("writers".to_owned()),
            subjects: vec![Subject::ServiceAccount {
                namespace: None,
                name: "app".to_owned(),
            }],
        }],
        clusters: vec![Cluster {
            object: cluster.clone(),
            allowed: AllowedNamespaces::All,
        }],
        ..Inputs::default()
    };
    let rules = compile(&inputs).clusters.remove(&cluster).unwrap();
    let mut wanted: BTreeSet<_> = rules.acls().cloned().collect();
    // Of principals outside of the trust domain, as a KafkaAcl has them: one is
    // new, and bob's was there before.
    let carol = AclBinding::allow("User:carol", Operation::Read, ResourceType::Group, "g");
    wanted.extend([carol.clone(), foreign[1].clone()]);
    let mut ledger = Ledger::default();
    let made = round(&admin, &ownership, &wanted, &mut ledger).await;
    assert_eq!(made, (4, 0));
    let again = || async {
        let actual = admin.describe_acls().await.unwrap();
        ownership.plan(&wanted, &actual, &ledger, false).unwrap()
    };
    once(again, |plan| *plan == Plan::default()).await;

    inputs.bindings.clear();
    let nobody = compile(&inputs).clusters.remove(&cluster).unwrap();
    let wanted = nobody.acls().cloned().collect();
    let undone = round(&admin, &ownership, &wanted, &mut ledger).await;
    assert_eq!(undone, (0, 4));
    let left = || async { admin.describe_acls().await.unwrap() };
    let left = once(left, |left| !left.contains(&carol)).await;
    assert!(foreign.iter().all(|acl| left.contains(acl)));
}

/// Does what is to be done; how many ACLs that created and deleted.
async fn round(
    admin: &Admin,
    ownership: &Ownership,
    wanted: &BTreeSet<AclBinding>,
    ledger: &mut Ledger,
) -> (usize, usize) {
    let actual = admin.describe_acls().await.unwrap();
    let plan = ownership.plan(wanted, &actual, ledger, false).unwrap();
    if let Some(next) = plan.ledger.clone() {
        *ledger = next;
    }
    access::apply(admin, &plan).await.unwrap();
    (plan.create.len(), plan.delete.len())
}

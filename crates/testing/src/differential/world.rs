//! The brokers that are compared, and what is in them before the first case.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tubeway_identity::jwt::{AUDIENCE, ISSUER, LoginSigner};
use tubeway_policy::SpiffeId;
use tubeway_policy::acl::AclBinding;
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::Value;

use super::client::{ClientError, Login, RawClient, Target};
use super::records::Producer;
use super::scenario::{EXISTING, Scenario};
use super::side::{Side, api};
use crate::broker::{BrokerError, BrokerOptions, TestBroker};
use crate::tools::Tools;

/// ACLs that one request creates.
const ACLS_AT_ONCE: usize = 500;
/// How long a login lasts: longer than the suite runs.
const LIFE: Duration = Duration::from_secs(3600);
/// Who owns a delegation token that is not the scenario's.
const OTHER: &str = "spiffe://cluster.local/ns/differential/sa/other";

/// The key with which everybody's logins are signed, at both brokers.
pub struct Keys {
    signer: Arc<LoginSigner>,
    folder: TempDir,
}

// === impl Keys ===

impl Keys {
    /// A new key, and a file with its public half.
    pub fn new() -> std::io::Result<Self> {
        let signer = LoginSigner::generate().map_err(std::io::Error::other)?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("jwks.json"), signer.jwks())?;
        Ok(Self {
            signer: Arc::new(signer),
            folder,
        })
    }

    /// A login as this identity.
    pub fn token(&self, id: &SpiffeId) -> String {
        self.signer
            .token(id, ISSUER, AUDIENCE, UnixTime::now(), LIFE)
            .expect("the system has random numbers")
    }

    /// The same as a client's login.
    pub fn login(&self, id: &str) -> Login {
        Login::Token(self.token(&id.parse().expect("a SPIFFE id")))
    }

    /// What signs logins.
    pub fn signer(&self) -> Arc<LoginSigner> {
        self.signer.clone()
    }

    fn jwks(&self) -> std::path::PathBuf {
        self.folder.path().join("jwks.json")
    }
}

/// A broker with an authorizer, at which `super_users` may do everything.
pub async fn broker(
    tools: &Tools,
    keys: &Keys,
    super_users: &[String],
) -> Result<TestBroker, BrokerError> {
    let mut users = vec!["User:ANONYMOUS".to_owned()];
    users.extend_from_slice(super_users);
    let never = "3600000";
    let mut options = BrokerOptions::default()
        .with_acls()
        .with_warnings_only()
        .with_jwks(&keys.jwks())
        .with_property("super.users", &users.join(";"))
        .with_property("auto.create.topics.enable", "true")
        .with_property("num.partitions", "2")
        .with_property("delegation.token.secret.key", "a secret of this test")
        .with_property("log.cleaner.enable", "false")
        // The records are years old.
        .with_property("log.retention.ms", "-1");
    for kind in ["consumer", "share", "streams"] {
        for name in ["session.timeout.ms", "max.session.timeout.ms"] {
            options = options.with_property(&format!("group.{kind}.{name}"), never);
        }
        // Members get their parts at once.
        let name = format!("group.{kind}.assignment.interval.ms");
        options = options.with_property(&name, "0");
    }
    options = options.with_property("group.streams.initial.rebalance.delay.ms", "0");
    let retry = "group.share.initialize.retry.interval.ms";
    TestBroker::start(tools, &options.with_property(retry, "100")).await
}

/// What a report must not mind in texts: where the broker listens and lives.
pub fn forgive(side: &mut Side, broker: &TestBroker, super_users: &[String]) {
    let normal = &mut side.normal;
    normal.replace(broker.folder().display().to_string(), "<folder>");
    normal.replace(broker.bootstrap().port().to_string(), "<port>");
    normal.replace(broker.sasl_bootstrap().port().to_string(), "<sasl port>");
    normal.replace(broker.controller().port().to_string(), "<controller port>");
    normal.replace(directory_id(broker), "<directory id>");
    if !super_users.is_empty() {
        normal.replace(format!(";{}", super_users.join(";")), "");
    }
}

/// What the broker's voter directory is called, at random.
fn directory_id(broker: &TestBroker) -> String {
    let file = broker.folder().join("data/meta.properties");
    let text = fs::read_to_string(file).unwrap_or_default();
    let id = text
        .lines()
        .find_map(|line| line.strip_prefix("directory.id="));
    id.expect("a directory id").to_owned()
}

/// Creates ACLs, as the super user.
pub async fn install(side: &mut Side, rules: &[AclBinding]) {
    for rules in rules.chunks(ACLS_AT_ONCE) {
        let creations: Json = rules.iter().map(creation).collect();
        side.must(api("CreateAcls"), &json!({"Creations": creations}))
            .await;
    }
}

fn creation(rule: &AclBinding) -> Json {
    json!({
        "ResourceType": rule.resource_type.code(),
        "ResourceName": rule.name,
        "ResourcePatternType": rule.pattern.code(),
        "Principal": rule.principal,
        "Host": rule.host,
        "Operation": rule.operation.code(),
        "PermissionType": rule.permission.code(),
    })
}

/// What is there once, whatever the scenario: a SCRAM user, a quota, a
/// delegation token that is nobody's of the scenarios.
pub async fn furnish(side: &mut Side, keys: &Keys, broker: &TestBroker) -> Result<(), ClientError> {
    let user = json!({
        "Name": "scram", "Mechanism": 1, "Iterations": 4096,
        "Salt": "salt", "SaltedPassword": "salted password",
    });
    side.must(
        api("AlterUserScramCredentials"),
        &json!({"Upsertions": [user]}),
    )
    .await;
    let entity = json!([{"EntityType": "user", "EntityName": "quota"}]);
    let ops = json!([{"Key": "consumer_byte_rate", "Value": 1e9}]);
    let entries = json!([{"Entity": entity, "Ops": ops}]);
    side.must(api("AlterClientQuotas"), &json!({"Entries": entries}))
        .await;

    let target = Target::open(broker.sasl_bootstrap()).as_user(keys.login(OTHER));
    let mut owner = RawClient::connect(&target).await?;
    let create = json!({"Renewers": [], "MaxLifetimeMs": 86_400_000});
    let answer = owner
        .ask(&side.request(api("CreateDelegationToken"), 3, &create))
        .await?;
    let hmac = answer.body.get("Hmac").and_then(Value::as_bytes);
    let hmac: Json = hmac.map(|bytes| bytes.to_vec()).unwrap_or_default().into();
    side.keep_always("other token", hmac);
    // Coordinators come into being when the first client looks for one.
    for kind in [0, 1] {
        let keys = json!({"KeyType": kind, "CoordinatorKeys": ["warm"]});
        side.must(ApiKey::FIND_COORDINATOR, &keys).await;
    }
    for name in ["warm-1", "warm-2", "warm-3", "warm-4"] {
        let id = json!({"TransactionalId": name, "TransactionTimeoutMs": 60_000});
        side.must(ApiKey::INIT_PRODUCER_ID, &id).await;
    }
    Ok(())
}

/// Makes what the scenario's cases use. `names` are the topics beside the
/// shared ones, by what comes after the role.
pub async fn prepare(side: &mut Side, scenario: &Scenario, names: &[String]) {
    let name = |role: &str, of: &str| format!("{}.{role}.{of}", scenario.name);
    let mut topics = Vec::new();
    for role in EXISTING {
        topics.push((name(role, "base"), 3));
        topics.extend(names.iter().map(|of| (name(role, of), 2)));
    }
    create_topics(side, &topics).await;
    let base = EXISTING.map(|role| name(role, "base"));
    write(side, &base).await;
    for group in &base {
        let partition =
            json!([{"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": "m"}]);
        let topics: Json = base
            .iter()
            .map(|name| json!({"Name": name, "TopicId": name, "Partitions": partition}))
            .collect();
        let fields = json!({"GroupId": group, "GenerationIdOrMemberEpoch": -1, "Topics": topics});
        side.must(ApiKey::OFFSET_COMMIT, &fields).await;
    }
    for id in &base {
        open_transaction(side, id, &base).await;
    }
}

async fn create_topics(side: &mut Side, topics: &[(String, i32)]) {
    let wanted: Json = topics
        .iter()
        .map(|(name, count)| json!({"Name": name, "NumPartitions": count, "ReplicationFactor": 1}))
        .collect();
    side.must(ApiKey::CREATE_TOPICS, &json!({"Topics": wanted}))
        .await;
    // The answer comes before the broker itself knows the topics.
    let names: Json = topics
        .iter()
        .map(|(name, _)| json!({"Name": name}))
        .collect();
    let fields = json!({"Topics": names, "AllowAutoTopicCreation": false});
    let known = side.must(ApiKey::METADATA, &fields).await;
    for topic in known.structs("Topics") {
        if let (Some(name), Some(Value::Uuid(id))) = (topic.str("Name"), topic.get("TopicId")) {
            side.learn(name, *id);
        }
    }
    // Metadata names a leader before that has opened the partition's log.
    let latest = |(name, count): &(String, i32)| {
        let partitions: Json = (0..*count)
            .map(|index| json!({"PartitionIndex": index, "Timestamp": -1}))
            .collect();
        json!({"Name": name, "Partitions": partitions})
    };
    let topics: Json = topics.iter().map(latest).collect();
    let fields = json!({"ReplicaId": -1, "IsolationLevel": 0, "Topics": topics});
    side.must(ApiKey::LIST_OFFSETS, &fields).await;
}

async fn write(side: &mut Side, topics: &[String]) {
    let init = json!({"TransactionalId": null, "TransactionTimeoutMs": 60_000});
    let answer = side.must(ApiKey::INIT_PRODUCER_ID, &init).await;
    let idempotent = Producer {
        id: answer.int("ProducerId"),
        epoch: 0,
        sequence: 0,
        transactional: false,
    };
    for name in topics {
        for (index, records) in [(0, Producer::PLAIN.batch(3)), (1, idempotent.batch(3))] {
            write_to(side, name, index, &records).await;
        }
    }
}

/// Writes one batch. One partition at a time: a second attempt, should the
/// first come too early, must not write twice what has been taken.
pub async fn write_to(side: &mut Side, topic: &str, partition: i32, records: &Json) {
    let partitions = json!([{"Index": partition, "Records": records}]);
    let data = json!([{"Name": topic, "TopicId": topic, "PartitionData": partitions}]);
    let fields = json!({"Acks": -1, "TimeoutMs": 5000, "TopicData": data});
    side.must(ApiKey::PRODUCE, &fields).await;
}

/// A transaction on partition 2 of every topic that stays open.
async fn open_transaction(side: &mut Side, id: &str, topics: &[String]) {
    let init = json!({"TransactionalId": id, "TransactionTimeoutMs": 900_000});
    let answer = side.must(ApiKey::INIT_PRODUCER_ID, &init).await;
    let topics: Json = topics
        .iter()
        .map(|name| json!({"Name": name, "Partitions": [2]}))
        .collect();
    let add = json!({"Transactions": [{
        "TransactionalId": id, "ProducerId": answer.int("ProducerId"),
        "ProducerEpoch": answer.int("ProducerEpoch"), "Topics": topics,
    }]});
    side.must(api("AddPartitionsToTxn"), &add).await;
}

/// Deletes the scenario's topics.
pub async fn clear(side: &mut Side, scenario: &Scenario) {
    let all = json!({"Topics": null, "AllowAutoTopicCreation": false});
    let answer = side.admin(ApiKey::METADATA, &all).await;
    let prefix = format!("{}.", scenario.name);
    let names: Json = answer
        .body
        .structs("Topics")
        .filter_map(|topic| topic.str("Name"))
        .filter(|name| name.starts_with(&prefix))
        .map(|name| json!({"Name": name}))
        .collect();
    side.admin(
        ApiKey::DELETE_TOPICS,
        &json!({"Topics": names, "TimeoutMs": 30_000}),
    )
    .await;
}

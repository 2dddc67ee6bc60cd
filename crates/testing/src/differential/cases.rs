//! A case for every API that a broker serves: which requests show what it does.

mod acls;
mod cluster;
mod configs;
mod consumers;
mod groups;
mod records;
mod share;
mod streams;
mod tokens;
mod topics;
mod transactions;

use serde_json::json;
use tubeway_policy::acl::ResourceType;
use tubeway_protocol::ApiKey;

use super::run::Run;
use super::side::api;

/// What is looked at on both sides after a case that may have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The case's topics: partitions, options, first and last offsets.
    Topics,
    /// The case's groups: offsets, members, state.
    Groups,
    /// The case's transactions.
    Transactions,
    /// ACLs of the case, quotas, SCRAM users, the brokers' options, tokens.
    Cluster,
}

/// What a case needs and what it may change.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The API.
    pub api: i16,
    /// Whether its resources are its own, since it changes them; otherwise all
    /// cases of a scenario share them.
    pub own: bool,
    /// The kinds of its own resources; its topics are made before it.
    pub kinds: &'static [ResourceType],
    /// What to look at afterwards.
    pub after: &'static [After],
    /// Whether brokers alone have a use for the API, so that a sidecar may
    /// refuse it to every client.
    pub between_brokers: bool,
}

/// Every case, by API.
pub const CASES: &[Case] = &{
    use After::{Cluster, Groups, Topics, Transactions};
    [
        changes(0, TOPICS_IN_TRANSACTIONS, &[Topics, Transactions]),
        reads(1),
        reads(2),
        changes(3, TOPICS, &[Topics]),
        changes(8, GROUPS, &[Groups]),
        reads(9),
        reads(10),
        changes(11, GROUPS, &[Groups]),
        changes(12, GROUPS, &[Groups]),
        changes(13, GROUPS, &[Groups]),
        changes(14, GROUPS, &[Groups]),
        reads(15),
        reads(16),
        reads(17),
        reads(18),
        changes(19, TOPICS, &[Topics]),
        changes(20, TOPICS, &[Topics]),
        changes(21, TOPICS, &[Topics]),
        changes(22, TRANSACTIONS, &[Transactions]),
        reads(23),
        changes(24, TOPICS_IN_TRANSACTIONS, &[Transactions]),
        changes(25, GROUPS_IN_TRANSACTIONS, &[Transactions]),
        changes(26, TOPICS_IN_TRANSACTIONS, &[Transactions, Topics]),
        between_brokers(changes(27, TOPICS, &[Topics])),
        changes(28, GROUPS_IN_TRANSACTIONS, &[Groups, Transactions]),
        reads(29),
        changes(30, &[], &[Cluster]),
        changes(31, &[], &[Cluster]),
        reads(32),
        changes(33, TOPICS_AND_GROUPS, &[Topics, Cluster]),
        reads(34),
        reads(35),
        reads(36),
        changes(37, TOPICS, &[Topics]),
        changes(38, &[], &[Cluster]),
        changes(39, &[], &[Cluster]),
        changes(40, &[], &[Cluster]),
        reads(41),
        changes(42, GROUPS, &[Groups]),
        reads(43),
        changes(44, TOPICS_AND_GROUPS, &[Topics, Cluster]),
        reads(45),
        reads(46),
        changes(47, GROUPS, &[Groups]),
        reads(48),
        changes(49, &[], &[Cluster]),
        reads(50),
        changes(51, &[], &[Cluster]),
        reads(55),
        reads(57),
        reads(60),
        reads(61),
        reads(64),
        reads(65),
        reads(66),
        changes(68, GROUPS, &[Groups]),
        changes(69, GROUPS, &[]),
        reads(71),
        reads(72),
        reads(74),
        reads(75),
        changes(76, GROUPS, &[]),
        changes(77, GROUPS, &[]),
        changes(78, GROUPS, &[]),
        changes(79, GROUPS, &[]),
        reads(80),
        reads(81),
        between_brokers(changes(83, GROUPS, &[])),
        between_brokers(changes(84, GROUPS, &[])),
        between_brokers(changes(85, GROUPS, &[])),
        between_brokers(changes(86, GROUPS, &[])),
        between_brokers(changes(87, GROUPS, &[])),
        changes(88, TOPICS_AND_GROUPS, &[Topics]),
        changes(89, GROUPS, &[]),
        changes(90, GROUPS, &[]),
        changes(91, GROUPS, &[]),
        changes(92, GROUPS, &[]),
    ]
};

const TOPICS: &[ResourceType] = &[ResourceType::Topic];
const GROUPS: &[ResourceType] = &[ResourceType::Group];
const TRANSACTIONS: &[ResourceType] = &[ResourceType::TransactionalId];
const TOPICS_AND_GROUPS: &[ResourceType] = &[ResourceType::Topic, ResourceType::Group];
const TOPICS_IN_TRANSACTIONS: &[ResourceType] =
    &[ResourceType::Topic, ResourceType::TransactionalId];
const GROUPS_IN_TRANSACTIONS: &[ResourceType] =
    &[ResourceType::Group, ResourceType::TransactionalId];

const fn reads(api: i16) -> Case {
    Case {
        api,
        own: false,
        kinds: &[],
        after: &[],
        between_brokers: false,
    }
}

const fn changes(api: i16, kinds: &'static [ResourceType], after: &'static [After]) -> Case {
    Case {
        api,
        own: true,
        kinds,
        after,
        between_brokers: false,
    }
}

const fn between_brokers(case: Case) -> Case {
    Case {
        between_brokers: true,
        ..case
    }
}

// === impl Case ===

impl Case {
    /// Whether it has topics of its own.
    pub fn has_topics(&self) -> bool {
        self.kinds.contains(&ResourceType::Topic)
    }
}

/// The case of an API.
pub fn of(api: ApiKey) -> Option<&'static Case> {
    CASES.iter().find(|case| case.api == api.0)
}

/// Runs the case of the API that `run` is of.
pub async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        0 | 1 | 2 | 21 | 23 => records::perform(run).await,
        3 | 19 | 20 | 37 | 75 => topics::perform(run).await,
        8..=10 | 15 | 16 | 42 | 47 => groups::perform(run).await,
        11..=14 => groups::members(run).await,
        17 | 18 | 36 | 60 | 71 | 72 => cluster::connection(run).await,
        22 | 24..=28 | 61 | 65 | 66 => transactions::perform(run).await,
        29..=31 => acls::perform(run).await,
        32..=35 | 44 | 74 => configs::perform(run).await,
        38..=41 => tokens::perform(run).await,
        68 | 69 => consumers::perform(run).await,
        76..=79 | 83..=87 | 90..=92 => share::perform(run).await,
        88 | 89 => streams::perform(run).await,
        _ => cluster::perform(run).await,
    }
}

/// Compares what the case may have changed.
pub async fn look(run: &mut Run<'_>, after: After) {
    match after {
        After::Topics => look_at_topics(run).await,
        After::Groups => look_at_groups(run).await,
        After::Transactions => {
            let ids = json!({"TransactionalIds": run.all()});
            run.state("transactions", api("DescribeTransactions"), ids)
                .await;
        }
        After::Cluster => look_at_the_cluster(run).await,
    }
}

async fn look_at_topics(run: &mut Run<'_>) {
    let topics = run.each(|name| json!({"Name": name}));
    let fields = json!({"Topics": topics, "AllowAutoTopicCreation": false});
    run.state("topics", ApiKey::METADATA, fields).await;
    for timestamp in [-1, -2] {
        let partitions: Vec<_> = [0, 1]
            .map(|index| json!({"PartitionIndex": index, "Timestamp": timestamp}))
            .into();
        let topics = run.each(|name| json!({"Name": name, "Partitions": partitions}));
        let fields = json!({"ReplicaId": -1, "Topics": topics});
        run.state("offsets", ApiKey::LIST_OFFSETS, fields).await;
    }
    let resources = run.each(|name| json!({"ResourceType": 2, "ResourceName": name, "ConfigurationKeys": ["retention.ms", "max.message.bytes"]}));
    run.state(
        "options",
        api("DescribeConfigs"),
        json!({"Resources": resources}),
    )
    .await;
}

async fn look_at_groups(run: &mut Run<'_>) {
    let groups = run.each(|name| json!({"GroupId": name, "Topics": null}));
    run.state("offsets", ApiKey::OFFSET_FETCH, json!({"Groups": groups}))
        .await;
    let groups = json!({"Groups": run.all()});
    run.state("groups", api("DescribeGroups"), groups).await;
    let groups = json!({"GroupIds": run.all()});
    run.state("consumer groups", api("ConsumerGroupDescribe"), groups)
        .await;
}

async fn look_at_the_cluster(run: &mut Run<'_>) {
    let of = format!("User:of.{}.{}", run.scenario.name, run.name());
    let filter = json!({
        "ResourceTypeFilter": 1, "ResourceNameFilter": null, "PatternTypeFilter": 1,
        "PrincipalFilter": of, "HostFilter": null, "Operation": 1, "PermissionType": 1,
    });
    run.state("ACLs", api("DescribeAcls"), filter).await;
    let quotas = json!({"Components": [], "Strict": false});
    run.state("quotas", api("DescribeClientQuotas"), quotas)
        .await;
    run.state(
        "SCRAM users",
        api("DescribeUserScramCredentials"),
        json!({"Users": null}),
    )
    .await;
    let resource = json!({"ResourceType": 4, "ResourceName": "1", "ConfigurationKeys": ["message.max.bytes", "log.cleaner.threads"]});
    run.state(
        "the broker's options",
        api("DescribeConfigs"),
        json!({"Resources": [resource]}),
    )
    .await;
}

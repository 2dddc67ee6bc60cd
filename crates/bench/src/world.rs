//! Who calls, by which rules and within which quotas: the same for the pure
//! measures and for the running sidecars.

use tubeway_policy::acl::{AclBinding, Operation, PatternType, ResourceType};
use tubeway_policy::quota::{Burst, Dimension, Limit, Match, Quota, QuotaRules, Share};
use tubeway_policy::rules::{AccessRules, Rule};

/// The client's identity.
pub const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/checkout";
/// What the names of all topics here begin with.
pub const TOPICS: &str = "orders-";
/// Far more than a machine of today moves in a second.
const NEVER: f64 = 1e11;

/// So many rules: one that lets the client do everything with its topics, and
/// others, a quarter of them about the client too and half of them prefixes.
pub fn rules(number: usize) -> AccessRules {
    let principal = |i: usize| match i % 4 {
        0 => format!("User:{CLIENT}"),
        _ => format!("User:spiffe://cluster.local/ns/team-{}/sa/app-{i}", i % 100),
    };
    let rule = |i: usize| {
        let operation = match i % 3 {
            0 => Operation::Write,
            1 => Operation::Read,
            _ => Operation::Describe,
        };
        let name = format!("team-{}.topic-{i}", i % 100);
        let pattern = match i / 4 % 2 {
            0 => PatternType::Literal,
            _ => PatternType::Prefixed,
        };
        Rule::from(AclBinding {
            pattern,
            ..AclBinding::allow(principal(i), operation, ResourceType::Topic, name)
        })
    };
    let own = AclBinding {
        pattern: PatternType::Prefixed,
        ..AclBinding::allow(
            format!("User:{CLIENT}"),
            Operation::All,
            ResourceType::Topic,
            TOPICS,
        )
    };
    AccessRules {
        super_users: ["User:spiffe://cluster.local/ns/kafka/sa/demo-node".to_owned()].into(),
        rules: (1..number).map(rule).chain([Rule::from(own)]).collect(),
    }
}

/// Quotas on requests, bytes and records that count everything and never bite.
pub fn quotas() -> QuotaRules {
    let dimensions = [
        Dimension::Requests,
        Dimension::ProducedBytes,
        Dimension::ConsumedBytes,
        Dimension::ProducedRecords,
        Dimension::ConsumedRecords,
    ];
    let quota = |of: Dimension| Quota {
        name: of.as_str().into(),
        source: "KafkaQuota kafka/bench".to_owned(),
        tier: "kafka".to_owned(),
        scope: Match::default(),
        limit: Limit::Rate {
            of,
            per_second: NEVER,
            burst: Burst::default(),
            action: tubeway_policy::quota::Action::default(),
        },
        share: Share::PerSidecar,
    };
    QuotaRules {
        quotas: dimensions.map(quota).into(),
        ..QuotaRules::default()
    }
}

//! A KafkaQuota as the policy sees it.

use std::collections::BTreeMap;

use tubeway_api::{ExcessAttempts, KafkaQuota, QuotaCount, QuotaLimits, QuotaScope, QuotaSubjects};
use tubeway_policy::quota::compile::{self, Subject, Values};
use tubeway_policy::quota::{Action, Dimension, Held};
use tubeway_policy::rbac::ObjectRef;

use crate::access::key;

/// Fields that cannot be read, each with what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) Vec<String>);

/// Reads the object.
pub(super) fn kafka_quota(quota: &KafkaQuota) -> Result<compile::KafkaQuota, Unreadable> {
    let spec = &quota.spec;
    let (namespace, name) = quota.cluster_key();
    Ok(compile::KafkaQuota {
        object: key(quota),
        cluster: ObjectRef::new(namespace, name),
        subjects: spec.subjects.as_ref().map(subjects),
        client_ids: spec.client_ids.as_ref().map(|v| values(&v.names, v.count)),
        topics: spec.topics.as_ref().map(|v| values(&v.names, v.count)),
        apis: spec.apis.as_ref().map(|v| values(&v.names, v.count)),
        rates: rates(&spec.limits)?,
        held: held(&spec.limits)?,
        burst_seconds: spec.burst_seconds.map(f64::from),
        attempts: match spec.excess_connection_attempts {
            ExcessAttempts::Delay => Action::Throttle,
            ExcessAttempts::Refuse => Action::Refuse,
        },
        cluster_wide: spec.scope == QuotaScope::Cluster,
    })
}

fn values(names: &[String], count: QuotaCount) -> Values<String> {
    Values {
        names: names.to_vec(),
        together: count == QuotaCount::Together,
    }
}

fn subjects(subjects: &QuotaSubjects) -> Values<Subject> {
    let accounts = subjects.service_accounts.iter();
    let accounts = accounts.map(|account| Subject::ServiceAccount {
        namespace: account.namespace.clone(),
        name: account.name.clone(),
    });
    let ids = subjects.spiffe_ids.iter().cloned().map(Subject::SpiffeId);
    let users = subjects.users.iter().cloned().map(Subject::User);
    Values {
        names: accounts.chain(ids).chain(users).collect(),
        together: subjects.count == QuotaCount::Together,
    }
}

fn rates(limits: &QuotaLimits) -> Result<BTreeMap<Dimension, f64>, Unreadable> {
    let fields = [
        (Dimension::ProducedBytes, &limits.produced_bytes_per_second),
        (Dimension::ConsumedBytes, &limits.consumed_bytes_per_second),
        (
            Dimension::ProducedRecords,
            &limits.produced_records_per_second,
        ),
        (
            Dimension::ConsumedRecords,
            &limits.consumed_records_per_second,
        ),
        (Dimension::Requests, &limits.requests_per_second),
        (
            Dimension::ConnectionAttempts,
            &limits.connection_attempts_per_second,
        ),
        (Dimension::GroupJoins, &limits.group_joins_per_second),
        (Dimension::OffsetCommits, &limits.offset_commits_per_second),
        (
            Dimension::MetadataRequests,
            &limits.metadata_requests_per_second,
        ),
    ];
    let mut rates = BTreeMap::new();
    let mut wrong = Vec::new();
    for (of, rate) in fields {
        let Some(rate) = rate else { continue };
        match rate.per_second() {
            Some(per_second) => drop(rates.insert(of, per_second)),
            None => wrong.push(format!(
                "spec.limits.{}PerSecond: {} is no amount; write a whole number, or text such as 10Mi, 5k or 500m",
                of.as_str(),
                rate.0
            )),
        }
    }
    if wrong.is_empty() {
        Ok(rates)
    } else {
        Err(Unreadable(wrong))
    }
}

fn held(limits: &QuotaLimits) -> Result<BTreeMap<Held, u32>, Unreadable> {
    let fields = [
        (Held::Connections, limits.connections),
        (Held::RequestsInFlight, limits.requests_in_flight),
    ];
    let mut held = BTreeMap::new();
    for (of, count) in fields {
        let Some(count) = count else { continue };
        let count = u32::try_from(count).map_err(|_| {
            let path = of.as_str();
            Unreadable(vec![format!(
                "spec.limits.{path}: {count} is not at least 1"
            )])
        })?;
        held.insert(of, count);
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn quota(spec: &Value) -> KafkaQuota {
        let mut object = json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaQuota",
            "metadata": {"namespace": "shop", "name": "q"},
            "spec": spec,
        });
        object["spec"]["cluster"] = json!({"name": "main", "namespace": "kafka"});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_object_as_people_write_it_is_read_whole() {
        let read = kafka_quota(&quota(&json!({
            "subjects": {
                "serviceAccounts": [{"name": "a"}, {"name": "b", "namespace": "etl"}],
                "spiffeIds": ["spiffe://x/ns/a/sa/b"], "users": ["CN=c"], "count": "Together",
            },
            "clientIds": {},
            "topics": {"names": ["orders"]},
            "apis": {"names": ["Fetch"], "count": "Together"},
            "limits": {
                "producedBytesPerSecond": "10Mi", "consumedBytesPerSecond": 1,
                "producedRecordsPerSecond": 2, "consumedRecordsPerSecond": 3,
                "requestsPerSecond": 4, "connectionAttemptsPerSecond": 5,
                "groupJoinsPerSecond": 6, "offsetCommitsPerSecond": 7,
                "metadataRequestsPerSecond": "500m", "connections": 8, "requestsInFlight": 9,
            },
            "burstSeconds": 2, "excessConnectionAttempts": "Refuse", "scope": "Cluster",
        })));
        let read = read.unwrap();
        assert_eq!(read.object, ObjectRef::new("shop", "q"));
        assert_eq!(read.cluster, ObjectRef::new("kafka", "main"));
        let account = |namespace: Option<&str>, name: &str| Subject::ServiceAccount {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        let subjects = read.subjects.unwrap();
        assert!(subjects.together);
        assert_eq!(
            subjects.names,
            [
                account(None, "a"),
                account(Some("etl"), "b"),
                Subject::SpiffeId("spiffe://x/ns/a/sa/b".to_owned()),
                Subject::User("CN=c".to_owned()),
            ]
        );
        assert_eq!(read.client_ids, Some(Values::default()));
        assert_eq!(read.topics.unwrap().names, ["orders"]);
        assert!(read.apis.unwrap().together);
        let rates: Vec<_> = read.rates.into_values().collect();
        assert_eq!(
            rates,
            [10_485_760.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.5]
        );
        assert_eq!(read.held.into_values().collect::<Vec<_>>(), [8, 9]);
        assert_eq!((read.burst_seconds, read.cluster_wide), (Some(2.0), true));
        assert_eq!(read.attempts, Action::Refuse);
    }

    #[test]
    fn what_is_no_amount_is_named_with_what_is_allowed() {
        let limits = json!({"limits": {
            "producedBytesPerSecond": "much", "requestsPerSecond": -1, "groupJoinsPerSecond": 1,
        }});
        let Err(Unreadable(wrong)) = kafka_quota(&quota(&limits)) else {
            panic!("read what is no amount");
        };
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        let first = "spec.limits.producedBytesPerSecond: \"much\" is no amount";
        assert!(wrong[0].starts_with(first), "{}", wrong[0]);
        assert!(
            wrong[1].starts_with("spec.limits.requestsPerSecond: -1"),
            "{}",
            wrong[1]
        );
    }
}

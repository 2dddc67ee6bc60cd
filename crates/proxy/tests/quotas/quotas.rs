//! `KafkaQuota`s as the operator compiles and sends them.

use std::collections::{BTreeMap, BTreeSet};

use tubeway_config::Quotas;
use tubeway_policy::quota::compile::{Inputs, KafkaQuota, Subject, Values, compile};
use tubeway_policy::quota::{Action, Dimension};
use tubeway_policy::rbac::{AllowedNamespaces, Cluster, ObjectRef};

use crate::world::DOMAIN;

/// One KafkaQuota: `per_second` of one dimension for one service account of
/// namespace `shop`, and a burst of one second.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub account: &'static str,
    pub dimension: Dimension,
    pub per_second: f64,
}

/// The document for the sidecar.
pub fn document(limits: &[Limit]) -> Vec<u8> {
    let object = ObjectRef::new("kafka", "demo");
    let cluster = Cluster {
        object: object.clone(),
        allowed: AllowedNamespaces::All,
    };
    let quotas: Vec<_> = limits.iter().map(|limit| limit.object(&object)).collect();
    let compiled = compile(Inputs {
        cluster: &cluster,
        trust_domain: DOMAIN,
        quotas: &quotas,
        topics: &[],
        apis: &BTreeSet::new(),
    });
    assert_eq!(compiled.findings, [], "quotas that are right");
    assert_eq!(compiled.rules.quotas.len(), limits.len());
    let document = Quotas {
        cluster: "kafka/demo".parse().expect("a cluster's name"),
        quotas: compiled.rules,
    };
    document.to_json()
}

// === impl Limit ===

impl Limit {
    fn object(self, cluster: &ObjectRef) -> KafkaQuota {
        let subject = Subject::ServiceAccount {
            namespace: Some("shop".to_owned()),
            name: self.account.to_owned(),
        };
        KafkaQuota {
            object: ObjectRef::new("kafka", self.account),
            cluster: cluster.clone(),
            subjects: Some(Values {
                names: vec![subject],
                together: false,
            }),
            client_ids: None,
            topics: None,
            apis: None,
            rates: BTreeMap::from([(self.dimension, self.per_second)]),
            held: BTreeMap::new(),
            burst_seconds: Some(1.0),
            attempts: Action::Throttle,
            cluster_wide: false,
        }
    }
}

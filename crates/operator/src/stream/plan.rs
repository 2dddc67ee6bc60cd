//! The quotas of a cluster, with each sidecar's parts of cluster-wide limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use tubeway_config::stream::QUOTAS;
use tubeway_config::{ClusterRef, Quotas};
use tubeway_policy::quota::{PARTS, QuotaRules, Scope, ScopeShare, Share};

use super::hub::Document;

/// Parts of a pod that the plan does not know yet. For the moment until it
/// does, the cluster as a whole may use so much more.
pub const MIN_PARTS: u32 = PARTS / 100;

/// What is shared out: a bucket of a cluster-wide quota, or, without a scope,
/// every bucket of it that has no shares of its own.
pub type Bucket = (Arc<str>, Option<Scope>);

/// Each pod's parts of [`PARTS`].
pub type Shares = BTreeMap<Bucket, BTreeMap<String, u32>>;

/// The quotas of one cluster, for all of its sidecars.
///
/// They differ in their shares only, and each is sent its own.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaPlan {
    /// Which cluster this is.
    pub cluster: ClusterRef,
    /// The rules, without shares.
    pub rules: QuotaRules,
    /// The shares of the cluster-wide ones.
    pub shares: Shares,
}

// === impl QuotaPlan ===

impl QuotaPlan {
    /// The document of one pod.
    pub fn for_pod(&self, pod: &str) -> Quotas {
        let mut rules = self.rules.clone();
        for quota in &mut rules.quotas {
            if let Share::ClusterWide { parts, scopes } = &mut quota.share {
                *parts = self.parts(&(Arc::clone(&quota.name), None), pod);
                *scopes = self.scopes(&quota.name, pod);
            }
        }
        Quotas {
            cluster: self.cluster.clone(),
            quotas: rules,
        }
    }

    fn parts(&self, bucket: &Bucket, pod: &str) -> u32 {
        let pods = self.shares.get(bucket);
        pods.and_then(|pods| pods.get(pod))
            .copied()
            .unwrap_or(MIN_PARTS)
    }

    fn scopes(&self, quota: &Arc<str>, pod: &str) -> Vec<ScopeShare> {
        let from = (Arc::clone(quota), None);
        let own = self.shares.range(from..).map(|(bucket, _)| bucket);
        let own = own.take_while(|bucket| bucket.0 == *quota);
        own.filter_map(|bucket| {
            Some(ScopeShare {
                scope: bucket.1.clone()?,
                parts: self.parts(bucket, pod),
            })
        })
        .collect()
    }
}

impl Document for QuotaPlan {
    const CONCERN: &'static str = QUOTAS;

    fn cluster(&self) -> &ClusterRef {
        &self.cluster
    }

    fn to_json(&self, node: Option<&str>) -> Vec<u8> {
        self.for_pod(node.unwrap_or_default()).to_json()
    }
}

#[cfg(test)]
mod tests {
    use tubeway_policy::quota::{Burst, Dimension, Limit, Match, Quota};

    use super::*;

    fn quota(name: &str, share: Share) -> Quota {
        Quota {
            name: name.into(),
            source: String::new(),
            tier: String::new(),
            scope: Match::default(),
            limit: Limit::Rate {
                of: Dimension::Requests,
                per_second: 1.0,
                burst: Burst::default(),
                action: tubeway_policy::quota::Action::Throttle,
            },
            share,
        }
    }

    #[test]
    fn each_pod_is_sent_its_own_shares() {
        let wide = || Share::ClusterWide {
            parts: PARTS,
            scopes: Vec::new(),
        };
        let scope = Scope {
            client_id: Some("c".into()),
            ..Scope::default()
        };
        let pods = |a: u32, b: u32| BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let plan = QuotaPlan {
            cluster: "kafka/demo".parse().unwrap(),
            rules: QuotaRules {
                quotas: vec![
                    quota("own", Share::PerSidecar),
                    quota("wide", wide()),
                    quota("wider", wide()),
                ],
                ..QuotaRules::default()
            },
            shares: BTreeMap::from([
                (("wide".into(), None), pods(1, 2)),
                (("wide".into(), Some(scope.clone())), pods(3, 4)),
                (("wider".into(), None), pods(5, 6)),
            ]),
        };
        let shares = |pod: &str| -> Vec<Share> {
            let quotas = plan.for_pod(pod).quotas.quotas;
            quotas.into_iter().map(|quota| quota.share).collect()
        };
        let sent = |parts, of_scope, wider| {
            let scopes = vec![ScopeShare {
                scope: scope.clone(),
                parts: of_scope,
            }];
            let none = Vec::new();
            vec![
                Share::PerSidecar,
                Share::ClusterWide { parts, scopes },
                Share::ClusterWide {
                    parts: wider,
                    scopes: none,
                },
            ]
        };
        assert_eq!(shares("a"), sent(1, 3, 5));
        assert_eq!(shares("b"), sent(2, 4, 6));
        assert_eq!(shares("new"), sent(MIN_PARTS, MIN_PARTS, MIN_PARTS));
    }
}

//! What a status says about a quota.

use std::collections::BTreeMap;

use tubeway_api::condition::reasons;
use tubeway_policy::quota::compile::Finding;
use tubeway_policy::rbac::ObjectRef;

use super::inputs::Unreadable;
use crate::statuses::{Verdict, join, waiting};

pub(super) fn no_cluster(cluster: &ObjectRef) -> Verdict {
    let message = format!(
        "spec.cluster: there is no KafkaCluster {cluster}; name one that is there, and its namespace"
    );
    Verdict::not(reasons::NOT_FOUND, message)
}

pub(super) fn unreadable(error: &Unreadable) -> Verdict {
    Verdict::not(reasons::INVALID_SPEC, join(&error.0))
}

pub(super) fn found(finding: &Finding) -> Verdict {
    let (reason, path) = match finding {
        Finding::NotAdmitted(..) => (reasons::NOT_ALLOWED, "spec.cluster"),
        Finding::NotOwn(..) | Finding::Identity(..) => (reasons::INVALID_SPEC, "spec.subjects"),
        Finding::Api(_) => (reasons::INVALID_SPEC, "spec.apis.names"),
        Finding::NoLimit => (reasons::INVALID_SPEC, "spec.limits"),
        // Its own words name the limit.
        Finding::Invalid(_) => (reasons::INVALID_SPEC, "spec"),
    };
    Verdict::not(reason, format!("{path}: {finding}"))
}

/// Of one that nothing stands against: whether sidecars have taken it.
pub(super) fn at(connected: usize, behind: &BTreeMap<String, String>) -> Verdict {
    match connected {
        0 => Verdict::not(
            reasons::WAITING_FOR_NODES,
            "no sidecar of the cluster is connected to the operator",
        ),
        _ if !behind.is_empty() => Verdict::not(reasons::WAITING_FOR_NODES, waiting(behind)),
        1 => Verdict::ready("the one connected sidecar enforces it"),
        _ => Verdict::ready(format!("all {connected} connected sidecars enforce it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_says_where_and_what_to_do() {
        let own = || "kafka".to_owned();
        for (finding, reason, words) in [
            (
                Finding::NotAdmitted(ObjectRef::new("kafka", "main"), own()),
                "NotAllowed",
                "spec.cluster: cluster kafka/main does not admit",
            ),
            (
                Finding::NotOwn("User:x".into(), own()),
                "InvalidSpec",
                "spec.subjects: User:x is not of namespace",
            ),
            (
                Finding::Identity("x".into(), own()),
                "InvalidSpec",
                "spec.subjects: \"x\" is no identity",
            ),
            (
                Finding::Api("Prodce".into()),
                "InvalidSpec",
                "spec.apis.names: \"Prodce\" is no API",
            ),
            (
                Finding::NoLimit,
                "InvalidSpec",
                "spec.limits: limits nothing",
            ),
            (
                Finding::Invalid("requests: match".into()),
                "InvalidSpec",
                "spec: requests: match",
            ),
        ] {
            let verdict = found(&finding);
            assert_eq!((verdict.ready, verdict.reason), (false, reason));
            assert!(verdict.message.starts_with(words), "{}", verdict.message);
        }
    }

    #[test]
    fn a_quota_is_ready_when_every_connected_sidecar_has_it() {
        let none = BTreeMap::new();
        let behind = BTreeMap::from([
            ("demo-0".to_owned(), String::new()),
            ("demo-1".to_owned(), "no".to_owned()),
        ]);
        assert!(!at(0, &none).ready);
        assert!(at(1, &none).ready && at(3, &none).ready);
        let waiting = at(3, &behind);
        assert!(!waiting.ready);
        assert_eq!(
            waiting.message,
            "waiting for the sidecars of demo-0; demo-1, which says: no"
        );
    }
}

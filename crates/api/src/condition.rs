//! Conditions: what an object's status says, in words people can act on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Types of conditions.
pub mod types {
    /// What the spec asks for is there and works.
    pub const READY: &str = "Ready";
    /// The operator is on its way to what the spec asks for.
    pub const PROGRESSING: &str = "Progressing";
    /// Kafka has the options that brokers take while they run, and the features
    /// of the release that the cluster is to use.
    pub const CONFIG_APPLIED: &str = "ConfigApplied";
    /// The access rules in force are those that RBAC asks for.
    pub const ACCESS_APPLIED: &str = "AccessApplied";
    /// Every sidecar has taken the newest configuration.
    pub const SIDECARS_IN_SYNC: &str = "SidecarsInSync";
}

/// Reasons of conditions.
pub mod reasons {
    /// Nothing is left to do.
    pub const READY: &str = "Ready";
    /// Nothing is under way.
    pub const STABLE: &str = "Stable";
    /// The spec says something it may not say; nothing was touched.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Pods of the cluster are not there or not ready yet.
    pub const WAITING_FOR_NODES: &str = "WaitingForNodes";
    /// Objects are being made.
    pub const CREATING: &str = "Creating";
    /// Pods are being replaced, one after the other.
    pub const ROLLING: &str = "Rolling";
    /// Nodes are joining or leaving.
    pub const CHANGING_MEMBERS: &str = "ChangingMembers";
    /// Disks are being emptied, or taken into use again.
    pub const CHANGING_DISKS: &str = "ChangingDisks";
    /// The cluster has no pool of nodes that vote, or none that serves.
    pub const NO_NODES: &str = "NoNodes";
    /// The object named in the spec is not there.
    pub const NOT_FOUND: &str = "NotFound";
    /// `spec.pause` is set: nothing is changed until it is taken away.
    pub const PAUSED: &str = "Paused";
    /// The cluster's `allowedNamespaces` does not let this namespace in.
    pub const NOT_ALLOWED: &str = "NotAllowed";
    /// Another object names the same thing in Kafka, and it was there first.
    pub const CONFLICT: &str = "Conflict";
    /// Kafka refused, or could not be reached; it is tried again.
    pub const KAFKA_ERROR: &str = "KafkaError";
    /// Everything that should be in force is.
    pub const APPLIED: &str = "Applied";
    /// An answer from Kubernetes was an error; it is tried again.
    pub const KUBERNETES_ERROR: &str = "KubernetesError";
}

/// What a condition is to say from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// One of [`types`].
    pub type_: &'a str,
    /// `None` is `Unknown`.
    pub status: Option<bool>,
    /// One of [`reasons`].
    pub reason: &'a str,
    /// What is waited for, or what is wrong and what is allowed.
    pub message: String,
    /// `metadata.generation` of the spec this was found for.
    pub observed_generation: Option<i64>,
}

// === impl Wanted ===

impl Wanted<'_> {
    fn status_text(&self) -> &'static str {
        match self.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// Puts `wanted` into the list: replaces the condition of its type or adds one.
///
/// `lastTransitionTime` becomes `now` only where the status becomes another, so
/// that saying the same again changes no byte. Returns whether anything changed.
pub fn set_condition(conditions: &mut Vec<Condition>, wanted: Wanted<'_>, now: Timestamp) -> bool {
    let status = wanted.status_text();
    let old = conditions.iter_mut().find(|c| c.type_ == wanted.type_);
    let since = match &old {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        // Kubernetes keeps whole seconds; more would differ after a round trip.
        _ => Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    };
    let new = Condition {
        last_transition_time: since,
        message: wanted.message,
        observed_generation: wanted.observed_generation,
        reason: wanted.reason.to_owned(),
        status: status.to_owned(),
        type_: wanted.type_.to_owned(),
    };
    match old {
        Some(old) if *old == new => false,
        Some(old) => {
            *old = new;
            true
        }
        None => {
            conditions.push(new);
            true
        }
    }
}

/// The condition of this type, where the list has one.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of this type is there and `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(status: bool, message: &str) -> Wanted<'_> {
        Wanted {
            type_: types::READY,
            status: Some(status),
            reason: "R",
            message: message.to_owned(),
            observed_generation: Some(1),
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut list = Vec::new();
        assert!(set_condition(&mut list, ready(false, "a"), at(1)));
        assert!(set_condition(&mut list, ready(false, "b"), at(2)));
        assert_eq!(list[0].last_transition_time.0, at(1));
        assert_eq!(list[0].message, "b");
        assert!(!set_condition(&mut list, ready(false, "b"), at(3)));
        assert!(set_condition(&mut list, ready(true, "b"), at(4)));
        assert_eq!(list[0].last_transition_time.0, at(4));
        assert_eq!(list.len(), 1);
        assert!(is_true(&list, types::READY));
    }

    #[test]
    fn fractions_of_a_second_do_not_outlive_the_api_server() {
        let mut list = Vec::new();
        let now = Timestamp::from_millisecond(1500).unwrap();
        set_condition(&mut list, ready(true, ""), now);
        assert_eq!(list[0].last_transition_time.0, at(1));
    }
}

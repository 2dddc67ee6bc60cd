//! What rules may say.

use std::collections::BTreeSet;
use std::fmt;

use super::bucket::{MAX_BURST_SECONDS, MAX_PER_SECOND, MIN_PER_SECOND};
use super::{
    Action, Burst, Dimension, Held, Limit, Match, PARTS, Quota, QuotaRules, Selector, Share,
};

/// Rules that were refused whole; those before them stay in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} problem(s): {}", .0.len(), join(.0))]
pub struct InvalidQuotas(pub Vec<Problem>);

/// One wrong value: where it stands, and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, as in `quotas[2].limit.rate.perSecond`.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Problems as they are found, below a path.
struct Found<'a> {
    path: String,
    problems: &'a mut Vec<Problem>,
}

// === impl QuotaRules ===

impl QuotaRules {
    /// Checks everything that the types do not say; every problem is reported.
    pub fn check(&self) -> Result<(), InvalidQuotas> {
        let mut problems = Vec::new();
        let throttle = self.max_throttle_seconds;
        if !(0.1..=3_600.0).contains(&throttle) {
            problems.push(Problem {
                path: "maxThrottleSeconds".to_owned(),
                message: format!("{throttle} is not from 0.1 to 3600 seconds"),
            });
        }
        let mut names = BTreeSet::new();
        for (i, quota) in self.quotas.iter().enumerate() {
            let mut found = Found {
                path: format!("quotas[{i}]"),
                problems: &mut problems,
            };
            if quota.name.is_empty() {
                found.wrong("name", "is empty; a quota has a name");
            } else if !names.insert(&quota.name) {
                found.wrong(
                    "name",
                    format!("{:?} is another quota's too; names are unique", quota.name),
                );
            }
            quota.check(&mut found);
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(InvalidQuotas(problems))
        }
    }
}

// === impl Quota ===

impl Quota {
    fn check(&self, found: &mut Found<'_>) {
        match self.limit {
            Limit::Rate {
                of,
                per_second,
                burst,
                action,
            } => {
                check_rate(per_second, burst, found);
                if action == Action::Refuse && of != Dimension::ConnectionAttempts {
                    found.wrong(
                        "limit.rate.action",
                        format!(
                            "{} cannot be refused, only throttled; connectionAttempts can be refused",
                            of.as_str()
                        ),
                    );
                }
            }
            Limit::Held { count: 0, .. } => {
                found.wrong("limit.held.count", "0 is not at least 1");
            }
            Limit::Held { .. } => {}
        }
        self.scope.check(&self.limit, found);
        if let Share::ClusterWide { parts, scopes } = &self.share {
            let all = scopes.iter().map(|s| s.parts).chain([*parts]);
            if all.max() > Some(PARTS) {
                found.wrong("share", format!("has more than all {PARTS} parts"));
            }
        }
    }
}

fn check_rate(per_second: f64, burst: Burst, found: &mut Found<'_>) {
    if !(MIN_PER_SECOND..=MAX_PER_SECOND).contains(&per_second) {
        found.wrong(
            "limit.rate.perSecond",
            format!("{per_second} is not from {MIN_PER_SECOND} to {MAX_PER_SECOND:e}"),
        );
    } else if !(0.0..=MAX_BURST_SECONDS * per_second).contains(&burst.amount(per_second)) {
        found.wrong(
            "limit.rate.burst",
            format!("is not from nothing to what the rate comes to in {MAX_BURST_SECONDS} seconds"),
        );
    }
}

// === impl Match ===

impl Match {
    fn check(&self, limit: &Limit, found: &mut Found<'_>) {
        let (client_ids, topics, apis, what) = match limit {
            Limit::Rate { of, .. } => {
                let of_requests = *of != Dimension::ConnectionAttempts;
                let of_topics = of_requests && *of != Dimension::GroupJoins;
                (of_requests, of_topics, of_requests, of.as_str())
            }
            Limit::Held { of, .. } => {
                let of_requests = *of == Held::RequestsInFlight;
                (of_requests, false, of_requests, of.as_str())
            }
        };
        for (selector, field, allowed) in [
            (&self.principals, "principals", true),
            (&self.client_ids, "clientIds", client_ids),
            (&self.topics, "topics", topics),
            (&self.apis, "apis", apis),
        ] {
            let path = format!("match.{field}");
            if selector.is_scoped() && !allowed {
                found.wrong(&path, format!("{what} cannot be told apart by {field}"));
            }
            match selector {
                Selector::Named { names, .. } if names.is_empty() => {
                    found.wrong(&path, "names nothing; name a value, or say any or each");
                }
                Selector::Prefixed { prefix, .. } if prefix.is_empty() => {
                    found.wrong(&path, "the prefix is empty; say any or each");
                }
                _ => {}
            }
        }
    }
}

// === impl Found ===

impl Found<'_> {
    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            path: format!("{}.{field}", self.path),
            message: message.into(),
        });
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

fn join(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests;

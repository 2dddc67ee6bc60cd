//! How much of a Kafka cluster anyone may use, as one of its sidecars enforces it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tubeway_policy::quota::{self, QuotaRules, Scope};

use crate::error::{ConfigError, Problem};
use crate::stream::{Usage, UsageScope, Used};
use crate::topology::ClusterRef;

/// Most buckets that one [`Usage`] speaks of.
pub const MAX_USED: usize = 1_000;

/// The quotas of one cluster, for the sidecar that it is sent to: of limits of
/// the whole cluster it has this sidecar's own parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quotas {
    /// Which cluster this is.
    pub cluster: ClusterRef,
    /// The rules, all of them.
    pub quotas: QuotaRules,
}

/// Makes the reports of use: each speaks of what was used since the one before.
#[derive(Debug, Default)]
pub struct UsageReporter {
    /// When, and what had been charged in all.
    last: Option<(Duration, Charges)>,
}

type Charges = BTreeMap<(Arc<str>, Option<Scope>), u64>;

// === impl Quotas ===

impl Quotas {
    /// Reads and checks a document; every problem in it is reported at once.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let quotas: Self =
            serde_json::from_slice(bytes).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        quotas.quotas.check().map_err(|invalid| {
            let problems = invalid.0.into_iter();
            let problems = problems.map(|p| Problem::new(format!("quotas.{}", p.path), p.message));
            ConfigError::Invalid(problems.collect())
        })?;
        Ok(quotas)
    }

    /// The document's one written form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("quotas are always JSON"))
    }
}

// === impl UsageReporter ===

impl UsageReporter {
    /// The report for `used`, all that a [`quota::Meter`] says, at `now` by a
    /// clock that does not go back. None the first time, which only takes down
    /// where everything stands.
    ///
    /// Has the buckets that were charged since the last report; of more than
    /// [`MAX_USED`] those that were charged most, and the others with the next
    /// report, with all that they have been charged until then.
    pub fn report(&mut self, now: Duration, used: &[quota::Used]) -> Option<Usage> {
        let key = |used: &quota::Used| (Arc::clone(&used.quota), used.scope.clone());
        let Some((then, before)) = self.last.take() else {
            let all = used.iter().map(|used| (key(used), used.charged));
            self.last = Some((now, all.collect()));
            return None;
        };
        let mut news: Vec<(u64, &quota::Used)> = Vec::new();
        let mut charges = Charges::new();
        for used in used {
            let last = before.get(&key(used)).copied().unwrap_or_default();
            // A bucket that was made anew begins at nothing.
            let last = if last > used.charged { 0 } else { last };
            if used.charged > last {
                news.push((used.charged - last, used));
            }
            charges.insert(key(used), last);
        }
        news.sort_by_key(|(more, _)| std::cmp::Reverse(*more));
        news.truncate(MAX_USED);
        for (_, used) in &news {
            charges.insert(key(used), used.charged);
        }
        self.last = Some((now, charges));
        let over = now.saturating_sub(then).as_millis();
        Some(Usage {
            over_ms: u64::try_from(over).unwrap_or(u64::MAX),
            used: news.iter().map(|(more, u)| Used::new(u, *more)).collect(),
        })
    }
}

// === impl Used ===

impl Used {
    fn new(used: &quota::Used, amount: u64) -> Self {
        let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
        Self {
            quota: used.quota.to_string(),
            scope: used.scope.as_ref().map(|scope| UsageScope {
                principal: text(&scope.principal),
                client_id: text(&scope.client_id),
                topic: text(&scope.topic),
                api: text(&scope.api),
            }),
            amount,
        }
    }
}

impl From<UsageScope> for Scope {
    fn from(scope: UsageScope) -> Self {
        let text = |value: Option<String>| value.map(Arc::from);
        Self {
            principal: text(scope.principal),
            client_id: text(scope.client_id),
            topic: text(scope.topic),
            api: text(scope.api),
        }
    }
}

#[cfg(test)]
mod tests {
    use tubeway_policy::quota::{Burst, Dimension, Limit, Match, Quota, Share};

    use super::*;

    fn document() -> Quotas {
        let quota = Quota {
            name: "kafka/all/requests".into(),
            source: "KafkaQuota kafka/all".to_owned(),
            tier: "kafka".to_owned(),
            scope: Match::default(),
            limit: Limit::Rate {
                of: Dimension::Requests,
                per_second: 500.0,
                burst: Burst::default(),
                action: quota::Action::default(),
            },
            share: Share::ClusterWide {
                parts: 7,
                scopes: Vec::new(),
            },
        };
        Quotas {
            cluster: "kafka/demo".parse().unwrap(),
            quotas: QuotaRules {
                quotas: vec![quota],
                ..QuotaRules::default()
            },
        }
    }

    fn used(name: &str, charged: u64) -> quota::Used {
        quota::Used {
            quota: "q".into(),
            scope: Some(Scope {
                client_id: Some(name.into()),
                ..Scope::default()
            }),
            charged,
        }
    }

    /// Client id and amount of each bucket in a report.
    fn told(usage: &Usage) -> Vec<(String, u64)> {
        let told = usage.used.iter().map(|used| {
            let scope = used.scope.clone().unwrap();
            (scope.client_id.unwrap(), used.amount)
        });
        told.collect()
    }

    #[test]
    fn survives_its_own_json() {
        assert_eq!(Quotas::from_json(&document().to_json()), Ok(document()));
    }

    #[test]
    fn what_the_types_do_not_say_is_checked_and_named_by_its_path() {
        let mut bad = document();
        let again = bad.quotas.quotas[0].clone();
        bad.quotas.quotas.push(again);
        let Err(ConfigError::Invalid(problems)) = Quotas::from_json(&bad.to_json()) else {
            panic!("accepted two quotas of one name");
        };
        assert_eq!(problems[0].path, "quotas.quotas[1].name");
    }

    #[test]
    fn a_report_has_what_was_used_since_the_last_one() {
        let mut reporter = UsageReporter::default();
        let at = Duration::from_millis;
        assert_eq!(reporter.report(at(10), &[used("a", 3)]), None);
        let first = reporter.report(at(30), &[used("a", 4), used("b", 0), used("c", 9)]);
        let first = first.unwrap();
        assert_eq!(first.over_ms, 20);
        assert_eq!(told(&first), [("c".to_owned(), 9), ("a".to_owned(), 1)]);
        let none = reporter.report(at(40), &[used("a", 4), used("c", 9)]);
        assert_eq!(told(&none.unwrap()), []);
        // `a` was dropped and made anew.
        let anew = reporter.report(at(50), &[used("a", 2), used("c", 9)]);
        assert_eq!(told(&anew.unwrap()), [("a".to_owned(), 2)]);
    }

    #[test]
    fn of_too_many_buckets_the_others_come_next_with_all_of_it() {
        let mut reporter = UsageReporter::default();
        reporter.report(Duration::ZERO, &[]);
        let mut many: Vec<_> = (0..=MAX_USED as u64)
            .map(|i| used(&format!("c{i}"), i + 1))
            .collect();
        let first = reporter.report(Duration::ZERO, &many).unwrap();
        assert_eq!(first.used.len(), MAX_USED);
        many[0].charged += 4;
        let second = reporter.report(Duration::ZERO, &many).unwrap();
        assert_eq!(told(&second), [("c0".to_owned(), 5)]);
    }

    #[test]
    fn a_bucket_keeps_its_name_on_the_way() {
        let used = used("a", 3);
        let sent = Used::new(&used, 1);
        assert_eq!(sent.scope.map(Scope::from), used.scope);
        let shared = quota::Used {
            scope: None,
            ..used
        };
        assert_eq!(Used::new(&shared, 1).scope, None);
    }
}

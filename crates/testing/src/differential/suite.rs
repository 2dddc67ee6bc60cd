//! Runs every case in every scenario against two brokers.

use std::sync::Arc;

use tubeway_policy::rules::AccessRules;
use tubeway_protocol::schema::Versions;
use tubeway_protocol::{ApiKey, Schemas};
use tubeway_proxy::node::names::TopicNames;

use super::cases::{self, CASES, Case};
use super::client::{ClientError, Target};
use super::report::Report;
use super::run::{Run, own_name};
use super::scenario::{NAMED, Scenario, scenarios};
use super::side::Side;
use super::sidecar::{NODE, names as names_at, sidecar};
use super::world::{self, Keys};
use crate::broker::{BrokerError, TestBroker};
use crate::tools::{Tools, ToolsError};

/// What stands on the second side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// A broker with the same native ACLs.
    Native,
    /// A broker at which everybody is a super user.
    Open,
    /// Such a broker behind a node's sidecar that has the rules.
    Sidecar,
}

/// Which part of the suite runs.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these APIs.
    pub apis: Option<Vec<i16>>,
    /// Only scenarios of these names.
    pub scenarios: Option<Vec<String>>,
    /// Only the scenarios about single operations, or only the others.
    pub operations: Option<bool>,
    /// Only the newest version of each API.
    pub newest_only: bool,
    /// Whether every answer of the first side goes to standard error.
    pub show: bool,
}

/// Why the suite could not run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// Kafka or Java is not there.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// A broker does not run.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A broker cannot be talked to.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file or a socket cannot be had.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Two brokers, and what is asked of them.
struct Suite {
    keys: Arc<Keys>,
    brokers: [TestBroker; 2],
    second: Second,
    scenarios: Vec<Scenario>,
    rules: Arc<AccessRules>,
    /// What the sidecar asks its broker about topics.
    names: TopicNames,
    /// APIs with the versions that the brokers offer and we know.
    versions: Vec<(&'static Case, Versions)>,
    filter: Filter,
}

/// Starts two brokers with the same content, the first with native ACLs, and
/// compares every answer of one with that of the other.
pub async fn compare(second: Second, filter: &Filter) -> Result<Report, SuiteError> {
    let tools = Tools::ensure()?;
    let keys = Arc::new(Keys::new()?);
    // Who the principals are does not depend on what the brokers offer.
    let everybody: Vec<String> = scenarios(&[]).into_iter().map(|s| s.principal).collect();
    let super_users = match second {
        Second::Native => Vec::new(),
        Second::Open => everybody,
        Second::Sidecar => {
            let node = format!("User:{NODE}");
            everybody.into_iter().chain([node]).collect()
        }
    };
    let (a, b) = tokio::join!(
        world::broker(&tools, &keys, &[]),
        world::broker(&tools, &keys, &super_users)
    );
    let brokers = [a?, b?];
    let mut a = Side::new("the first", Target::open(brokers[0].bootstrap())).await?;
    let mut b = Side::new("the second", Target::open(brokers[1].bootstrap())).await?;
    world::forgive(&mut a, &brokers[0], &[]);
    world::forgive(&mut b, &brokers[1], &super_users);
    let mut report = Report::default();
    let suite = Suite::new(keys, brokers, second, filter, &a, &mut report);
    suite.run(&mut a, &mut b, &mut report).await?;
    Ok(report)
}

// === impl Filter ===

impl Filter {
    /// What `TUBEWAY_DIFFERENTIAL` says, to look at a part: words such as
    /// `api=3`, `scenario=partly` and `show`, or `operations` for the scenarios
    /// about single operations. All without it.
    pub fn from_env() -> Self {
        let mut filter = Self::default();
        let text = std::env::var("TUBEWAY_DIFFERENTIAL").unwrap_or_default();
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("api", key)) => {
                    filter
                        .apis
                        .get_or_insert_default()
                        .extend(key.parse::<i16>());
                }
                Some(("scenario", name)) => {
                    filter
                        .scenarios
                        .get_or_insert_default()
                        .push(name.to_owned());
                }
                None if word == "operations" => filter.operations = Some(true),
                _ => filter.show |= word == "show",
            }
        }
        filter
    }

    fn has_api(&self, case: &Case) -> bool {
        self.apis
            .as_ref()
            .is_none_or(|apis| apis.contains(&case.api))
    }

    fn has_scenario(&self, scenario: &Scenario) -> bool {
        // Those about single operations are run with the newest versions.
        self.operations
            .is_none_or(|wanted| wanted == scenario.newest_only)
            && self
                .scenarios
                .as_ref()
                .is_none_or(|names| names.contains(&scenario.name))
    }
}

// === impl Suite ===

impl Suite {
    fn new(
        keys: Arc<Keys>,
        brokers: [TestBroker; 2],
        second: Second,
        filter: &Filter,
        side: &Side,
        report: &mut Report,
    ) -> Self {
        let mut versions = Vec::new();
        for (api, offered) in &side.offered.0 {
            // A version that the schemas do not have is as missing as an API.
            let known = Schemas::get().api(*api).filter(|known| {
                let known = known
                    .message(tubeway_protocol::Direction::Request)
                    .versions();
                known.contains(offered.first) && known.contains(offered.last)
            });
            match (cases::of(*api), known) {
                (Some(case), Some(_)) => versions.push((case, *offered)),
                _ => {
                    report.missing.insert(*api);
                }
            }
        }
        let mut names: Vec<_> = NAMED.map(|kind| (kind, "base".to_owned())).into();
        for (case, versions) in &versions {
            for kind in case.kinds {
                names.extend(own_names(case, *versions).map(|name| (*kind, name)));
            }
        }
        let all = scenarios(&names);
        let rules = AccessRules {
            rules: all
                .iter()
                .flat_map(|scenario| scenario.rules.iter().cloned().map(Into::into))
                .collect(),
            ..AccessRules::default()
        };
        Self {
            names: names_at(&keys, brokers[1].sasl_bootstrap()),
            keys,
            brokers,
            second,
            scenarios: all,
            rules: Arc::new(rules),
            versions,
            filter: filter.clone(),
        }
    }

    async fn run(&self, a: &mut Side, b: &mut Side, report: &mut Report) -> Result<(), SuiteError> {
        let rules: Vec<_> = self
            .rules
            .rules
            .iter()
            .map(|rule| rule.acl.clone())
            .collect();
        tokio::join!(world::install(a, &rules), world::install(b, &rules));
        eprintln!("{} rules installed", rules.len());
        let (left, right) = tokio::join!(
            world::furnish(a, &self.keys, &self.brokers[0]),
            world::furnish(b, &self.keys, &self.brokers[1])
        );
        left.and(right)?;
        for scenario in &self.scenarios {
            if !self.filter.has_scenario(scenario) {
                continue;
            }
            let begun = std::time::Instant::now();
            let before = report.outcomes.len();
            self.scenario(scenario, a, b, report).await?;
            eprintln!(
                "{}: {} comparisons in {:.1?}",
                scenario.name,
                report.outcomes.len() - before,
                begun.elapsed()
            );
        }
        Ok(())
    }

    async fn scenario(
        &self,
        scenario: &Scenario,
        a: &mut Side,
        b: &mut Side,
        report: &mut Report,
    ) -> Result<(), SuiteError> {
        let mut topics = Vec::new();
        let mut versions = Vec::new();
        for (case, offered) in &self.versions {
            if !self.filter.has_api(case) {
                continue;
            }
            let first = if scenario.newest_only || self.filter.newest_only {
                offered.last
            } else {
                offered.first
            };
            let wanted = Versions { first, ..*offered };
            if case.has_topics() {
                topics.extend(own_names(case, wanted));
            }
            versions.extend((wanted.first..=wanted.last).map(|version| (*case, version)));
        }
        a.connect_to(self.target(0, scenario));
        b.connect_to(self.second(scenario).await?);
        tokio::join!(
            world::prepare(a, scenario, &topics),
            world::prepare(b, scenario, &topics)
        );
        for (case, version) in versions {
            a.begin();
            b.begin();
            let mut run = Run {
                sides: [&mut *a, &mut *b],
                api: ApiKey(case.api),
                version,
                scenario,
                own: case.own,
                report: &mut *report,
                show: self.filter.show,
            };
            cases::perform(&mut run).await;
            for after in case.after {
                cases::look(&mut run, *after).await;
            }
        }
        tokio::join!(world::clear(a, scenario), world::clear(b, scenario));
        Ok(())
    }

    /// A broker itself, with the login of the scenario's principal.
    fn target(&self, broker: usize, scenario: &Scenario) -> Target {
        Target::open(self.brokers[broker].sasl_bootstrap())
            .as_user(self.keys.login(scenario.spiffe_id()))
            .from(scenario.from)
    }

    async fn second(&self, scenario: &Scenario) -> std::io::Result<Target> {
        match self.second {
            Second::Native | Second::Open => Ok(self.target(1, scenario)),
            Second::Sidecar => {
                let id = scenario.spiffe_id().parse().expect("a SPIFFE id");
                let broker = self.brokers[1].sasl_bootstrap();
                let target = sidecar(
                    self.keys.clone(),
                    broker,
                    id,
                    self.rules.clone(),
                    self.names.clone(),
                )
                .await?;
                Ok(target.from(scenario.from))
            }
        }
    }
}

/// What the resources of the case's versions are called after the role.
fn own_names(case: &Case, versions: Versions) -> impl Iterator<Item = String> {
    let name = |version| own_name(ApiKey(case.api), version);
    let all = versions.first..=versions.last;
    all.filter(|_| case.own).map(name)
}

/// APIs that there are cases for and that a sidecar may refuse to clients.
pub fn between_brokers() -> impl Iterator<Item = ApiKey> {
    CASES
        .iter()
        .filter(|case| case.between_brokers)
        .map(|case| ApiKey(case.api))
}

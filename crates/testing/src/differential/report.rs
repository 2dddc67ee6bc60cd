//! What was compared, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use tubeway_protocol::ApiKey;

/// One comparison.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The API of the case.
    pub api: ApiKey,
    /// Its version.
    pub version: i16,
    /// The scenario.
    pub scenario: String,
    /// What was asked.
    pub step: String,
    /// Where the sides differ; empty if they do not.
    pub differences: Vec<String>,
}

/// All comparisons of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order in which they were made.
    pub outcomes: Vec<Outcome>,
    /// APIs that a broker offers and no case is for.
    pub missing: BTreeSet<ApiKey>,
}

// === impl Report ===

impl Report {
    /// Comparisons that found a difference.
    pub fn different(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|o| !o.differences.is_empty())
    }

    /// Names of APIs that were alike in all that was compared.
    pub fn apis_without_difference(&self) -> impl Iterator<Item = &'static str> {
        let different: BTreeSet<_> = self.different().map(|o| o.api).collect();
        let all: BTreeSet<_> = self.outcomes.iter().map(|o| o.api).collect();
        all.into_iter()
            .filter(move |api| !different.contains(api))
            .filter_map(ApiKey::name)
    }

    /// One line: how much was compared, and how much differs.
    pub fn summary(&self) -> String {
        let versions = self.coverage();
        let apis: BTreeSet<_> = versions.keys().map(|(api, _)| *api).collect();
        format!(
            "{} APIs, {} versions, {} triples with a scenario, {} comparisons, {} differ",
            apis.len(),
            versions.len(),
            self.triples(),
            self.outcomes.len(),
            self.different().count()
        )
    }

    /// What was covered: versions and scenarios of each API.
    pub fn coverage(&self) -> BTreeMap<(ApiKey, i16), BTreeSet<&str>> {
        let mut covered: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for outcome in &self.outcomes {
            covered
                .entry((outcome.api, outcome.version))
                .or_default()
                .insert(&outcome.scenario);
        }
        covered
    }

    /// How many triples of API, version and scenario were covered.
    pub fn triples(&self) -> usize {
        self.coverage().values().map(BTreeSet::len).sum()
    }

    /// Every triple covered, one line for each API and version.
    pub fn coverage_list(&self) -> String {
        let mut text = String::new();
        for ((api, version), scenarios) in self.coverage() {
            let scenarios: Vec<_> = scenarios.into_iter().collect();
            let _ = writeln!(text, "{} {api} v{version}: {}", api.0, scenarios.join(" "));
        }
        text
    }
}

/// A summary, and every difference.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary())?;
        for outcome in self.different() {
            writeln!(f, "{outcome}")?;
        }
        for api in &self.missing {
            writeln!(f, "no case for {api:?}, which the broker offers")?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} v{} [{}] {}",
            self.api, self.version, self.scenario, self.step
        )?;
        for difference in &self.differences {
            write!(f, "\n    {difference}")?;
        }
        Ok(())
    }
}

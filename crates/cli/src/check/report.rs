//! What the checks came to.

use std::fmt;

use serde_json::{Value, json};

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Well,
    /// It works, and is not as it should be.
    Doubtful {
        /// What was found.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// It does not work.
    Failed {
        /// What was found.
        found: String,
        /// What to do.
        remedy: String,
    },
}

/// All checks, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Report {
    checks: Vec<(&'static str, String, Outcome)>,
}

// === impl Outcome ===

impl Outcome {
    /// It does not work.
    pub fn failed(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failed {
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    /// It works, and is not as it should be.
    pub fn doubtful(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Doubtful {
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    fn parts(&self) -> (&'static str, &'static str, Option<(&str, &str)>) {
        match self {
            Self::Well => ("√", "ok", None),
            Self::Doubtful { found, remedy } => ("‼", "warning", Some((found, remedy))),
            Self::Failed { found, remedy } => ("×", "error", Some((found, remedy))),
        }
    }
}

// === impl Report ===

impl Report {
    /// Adds a check; `group` is a constant heading, `name` says what is well.
    pub fn add(&mut self, group: &'static str, name: impl Into<String>, outcome: Outcome) {
        self.checks.push((group, name.into(), outcome));
    }

    /// Whether nothing has failed so far.
    pub fn is_well(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed { .. })) == 0
    }

    /// How many came to this.
    pub fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        let outcomes = self.checks.iter().map(|(_, _, outcome)| outcome);
        outcomes.filter(|outcome| which(outcome)).count()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let check = |(group, name, outcome): &(&str, String, Outcome)| {
            let (_, result, said) = outcome.parts();
            let (found, remedy) = said.unzip();
            json!({"category": group, "check": name, "result": result, "found": found, "remedy": remedy})
        };
        self.checks.iter().map(check).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for (group, name, outcome) in &self.checks {
            if last != Some(group) {
                let gap = if last.is_some() { "\n" } else { "" };
                writeln!(f, "{gap}{group}\n{}", "-".repeat(group.len()))?;
                last = Some(group);
            }
            let (sign, _, said) = outcome.parts();
            writeln!(f, "{sign} {name}")?;
            if let Some((found, remedy)) = said {
                writeln!(f, "    {found}\n    → {remedy}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_below_what_should_be() {
        let mut report = Report::default();
        report.add("kubernetes", "can be reached", Outcome::Well);
        report.add(
            "kubernetes",
            "is new enough",
            Outcome::failed("it is v1.20", "upgrade it"),
        );
        report.add(
            "operator",
            "runs",
            Outcome::doubtful("slowly", "give it more"),
        );
        let text = report.to_string();
        assert_eq!(
            text,
            "kubernetes\n----------\n√ can be reached\n× is new enough\n    it is v1.20\n    → upgrade it\n\n\
             operator\n--------\n‼ runs\n    slowly\n    → give it more\n"
        );
        assert!(!report.is_well());
        assert_eq!(report.json()[1]["result"], "error");
        assert_eq!(report.json()[0]["found"], Value::Null);
    }
}

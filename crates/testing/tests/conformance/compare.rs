//! Where two transcripts differ.

use std::fmt;

use serde_json::Value;

use crate::trial::Step;

/// One place where localkube answers otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The step's label.
    pub step: String,
    /// Where in its answer, as in `.body.metadata.name`.
    pub path: String,
    /// What the real server has there, if anything.
    pub real: Option<Value>,
    /// What localkube has there, if anything.
    pub local: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| match value {
            Some(value) => value.to_string(),
            None => "nothing".into(),
        };
        let (real, local) = (show(&self.real), show(&self.local));
        write!(f, "{} {}: real {real}, local {local}", self.step, self.path)
    }
}

/// All places.
pub fn transcripts(real: &[Step], local: &[Step]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for at in 0..real.len().max(local.len()) {
        let (expected, found) = (real.get(at), local.get(at));
        let step = expected.or(found).map(|step| step.label.clone());
        let mut walk = Walk {
            step: step.unwrap_or_default(),
            differences: &mut differences,
        };
        let labels = [expected, found].map(|step| step.map(|step| Value::from(&*step.label)));
        let answers = [expected, found].map(|step| step.map(|step| &step.answer));
        walk.compare(".step", labels[0].as_ref(), labels[1].as_ref());
        // Who answers with another code answers something else: one difference says it all.
        let codes = answers.map(|answer| answer.and_then(|answer| answer.get("code")));
        if codes[0] == codes[1] {
            walk.compare("", answers[0], answers[1]);
        } else {
            let brief = answers.map(|answer| answer.map(brief));
            walk.compare(".code", brief[0].as_ref(), brief[1].as_ref());
        }
    }
    differences
}

struct Walk<'d> {
    step: String,
    differences: &'d mut Vec<Difference>,
}

// === impl Walk ===

impl Walk<'_> {
    fn compare(&mut self, path: &str, real: Option<&Value>, local: Option<&Value>) {
        match (real, local) {
            (Some(Value::Object(expected)), Some(Value::Object(found))) => {
                let more = found.keys().filter(|name| !expected.contains_key(*name));
                for name in expected.keys().chain(more) {
                    let path = format!("{path}.{name}");
                    self.compare(&path, expected.get(name), found.get(name));
                }
            }
            (Some(Value::Array(expected)), Some(Value::Array(found))) => {
                for at in 0..expected.len().max(found.len()) {
                    self.compare(&format!("{path}[{at}]"), expected.get(at), found.get(at));
                }
            }
            _ if real == local => {}
            _ => self.differences.push(Difference {
                step: self.step.clone(),
                path: path.into(),
                real: real.cloned(),
                local: local.cloned(),
            }),
        }
    }
}

/// The code, with the message of a refusal.
fn brief(answer: &Value) -> Value {
    match answer["body"]["message"].as_str() {
        Some(message) => format!("{} {message}", answer["code"]).into(),
        None => answer["code"].clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_says_where_it_is() {
        let step = |answer: Value| Step {
            label: "1 GET x".into(),
            answer,
        };
        let real = [step(json!({"code": 200, "body": {"a": [1, 2]}}))];
        let local = [step(json!({"code": 200, "body": {"a": [1], "b": null}}))];
        let found: Vec<String> = transcripts(&real, &local)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "1 GET x .body.a[1]: real 2, local nothing",
                "1 GET x .body.b: real nothing, local null",
            ]
        );
        assert_eq!(transcripts(&real, &real), []);
        assert!(!transcripts(&real, &[]).is_empty());
    }
}

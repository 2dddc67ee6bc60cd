//! Java properties with `$(NAME)` for variables of the environment.

use std::fmt::Write as _;

/// Options of a Kafka node, in the order they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

/// A properties file that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A line without `=`.
    #[error("server.properties line {line}: {text:?} is not option=value")]
    NotAnOption {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// `$(NAME)` names a variable that is not set.
    #[error("server.properties line {line}: the variable {name} is not set in this container")]
    Unset {
        /// Counted from 1.
        line: usize,
        /// The variable.
        name: String,
    },
}

// === impl Properties ===

impl Properties {
    /// Reads `text`, with each `$(NAME)` replaced by what `get` answers.
    pub fn expand(text: &str, get: impl Fn(&str) -> Option<String>) -> Result<Self, ExpandError> {
        let mut options = Vec::new();
        for (i, raw) in text.lines().enumerate() {
            let line = i + 1;
            let raw = raw.trim();
            if raw.is_empty() || raw.starts_with('#') {
                continue;
            }
            let (name, value) = raw
                .split_once('=')
                .ok_or_else(|| ExpandError::NotAnOption {
                    line,
                    text: raw.to_owned(),
                })?;
            let value =
                expand_value(value, &get).map_err(|name| ExpandError::Unset { line, name })?;
            options.push((name.trim().to_owned(), value));
        }
        Ok(Self(options))
    }

    /// Sets an option, in place of what it was.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(n, _)| n != name);
        self.0.push((name.to_owned(), value.into()));
    }

    /// An option's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The file as Kafka reads it.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.0 {
            // java.util.Properties takes a backslash as an escape.
            let _ = writeln!(out, "{name}={}", value.replace('\\', "\\\\"));
        }
        out
    }
}

fn expand_value(value: &str, get: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = value.trim();
    while let Some((before, after)) = rest.split_once("$(") {
        let Some((name, tail)) = after.split_once(')') else {
            break;
        };
        out.push_str(before);
        out.push_str(&get(name).ok_or_else(|| name.to_owned())?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(name: &str) -> Option<String> {
        (name == "POD_IP").then(|| "127.20.1.1".to_owned())
    }

    #[test]
    fn variables_are_replaced_and_nothing_else() {
        let text = "# comment\n\nlisteners=CLIENT://$(POD_IP):9092,X://$(POD_IP):1\n a = b$(c\n";
        let properties = Properties::expand(text, get).unwrap();
        assert_eq!(
            properties.get("listeners"),
            Some("CLIENT://127.20.1.1:9092,X://127.20.1.1:1")
        );
        assert_eq!(properties.get("a"), Some("b$(c"));
    }

    #[test]
    fn problems_name_the_line() {
        assert_eq!(
            Properties::expand("a=1\nb=$(NOPE)", get),
            Err(ExpandError::Unset {
                line: 2,
                name: "NOPE".to_owned()
            })
        );
        assert_eq!(
            Properties::expand("oops", get),
            Err(ExpandError::NotAnOption {
                line: 1,
                text: "oops".to_owned()
            })
        );
    }

    #[test]
    fn the_last_value_stands_once() {
        let mut properties = Properties::expand("a=1\nb=2\na=3", get).unwrap();
        assert_eq!(properties.get("a"), Some("3"));
        properties.set("a", "C:\\x");
        assert_eq!(properties.render(), "b=2\na=C:\\\\x\n");
    }
}

//! Label and field selectors, as `?labelSelector=` and `?fieldSelector=` carry them.

use serde_json::Value;

/// A parsed label selector. All its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

/// A parsed field selector. All its terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

/// A selector that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The text breaks the syntax.
    #[error("unable to parse requirement: found '{found}', expected: {expected}")]
    Syntax {
        /// What stands there; empty at the end.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A label's key is not a qualified name.
    #[error(
        "unable to parse requirement: <nil>: Invalid value: {0:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc'), with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    )]
    Key(String),
    /// A label's value is not one.
    #[error(
        "unable to parse requirement: values[0][{key}]: Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, and be at most 63 characters long"
    )]
    Value {
        /// The label's key.
        key: String,
        /// The value that is not one.
        value: String,
    },
    /// A field selector's term is none.
    #[error(
        "invalid selector: {0:?}; can't understand a term without one of the operators =, == and !="
    )]
    Term(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    GreaterThan(i64),
    LessThan(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    /// The path's steps, e.g. `metadata`, `name`.
    path: Vec<String>,
    value: String,
    equal: bool,
}

/// The tokens of a label selector.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Symbol(&'static str),
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];

// === impl LabelSelector ===

impl LabelSelector {
    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`. The empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser {
            tokens: tokens(text).into_iter().peekable(),
        };
        let mut requirements = Vec::new();
        if parser.tokens.peek().is_none() {
            return Ok(Self { requirements });
        }
        loop {
            requirements.push(parser.requirement()?);
            match parser.tokens.next() {
                None => return Ok(Self { requirements }),
                Some(Token::Symbol(",")) => {}
                other => return Err(unexpected(other, "',' or 'end of string'")),
            }
        }
    }

    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`). An empty one selects
    /// everything, an absent one (`null`) nothing, for which this returns `None`.
    pub fn from_object(selector: &Value) -> Option<Self> {
        let fields = selector.as_object()?;
        let mut requirements = Vec::new();
        let labels = fields.get("matchLabels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            requirements.push(Requirement {
                key: key.clone(),
                test: Test::In(vec![value.as_str()?.to_owned()]),
            });
        }
        let expressions = fields.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let values = expression.get("values").and_then(Value::as_array);
            let values: Vec<String> = values
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect();
            let test = match expression.get("operator")?.as_str()? {
                "In" => Test::In(values),
                "NotIn" => Test::NotIn(values),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                _ => return None,
            };
            let key = expression.get("key")?.as_str()?.to_owned();
            requirements.push(Requirement { key, test });
        }
        Some(Self { requirements })
    }

    /// Whether `object`'s labels satisfy every requirement.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.requirements.iter().all(|requirement| {
            let value = labels.and_then(|labels| labels.get(&requirement.key));
            requirement.test.holds(value.and_then(Value::as_str))
        })
    }
}

// === impl Test ===

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = |values: &[String]| value.is_some_and(|v| values.iter().any(|one| one == v));
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(values) => listed(values),
            Self::NotIn(values) => !listed(values),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::GreaterThan(bound) => number().is_some_and(|n| n > *bound),
            Self::LessThan(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

// === impl Parser ===

impl Parser {
    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.tokens.next_if_eq(&Token::Symbol("!")).is_some() {
            let key = self.key()?;
            return Ok(Requirement {
                key,
                test: Test::Absent,
            });
        }
        let key = self.key()?;
        let test = match self.tokens.peek() {
            None | Some(Token::Symbol(",")) => Test::Exists,
            _ => self.test(&key)?,
        };
        Ok(Requirement { key, test })
    }

    fn test(&mut self, key: &str) -> Result<Test, SelectorError> {
        let expected = "in, notin, =, ==, !=, >, <";
        match self.tokens.next() {
            Some(Token::Symbol("=" | "==")) => Ok(Test::In(vec![self.exact(key)?])),
            Some(Token::Symbol("!=")) => Ok(Test::NotIn(vec![self.exact(key)?])),
            Some(Token::Symbol(">")) => Ok(Test::GreaterThan(self.number()?)),
            Some(Token::Symbol("<")) => Ok(Test::LessThan(self.number()?)),
            Some(Token::Word(word)) if word == "in" => Ok(Test::In(self.values(key)?)),
            Some(Token::Word(word)) if word == "notin" => Ok(Test::NotIn(self.values(key)?)),
            other => Err(unexpected(other, expected)),
        }
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        match self.tokens.next() {
            Some(Token::Word(word)) if is_qualified_name(&word) => Ok(word),
            Some(Token::Word(word)) => Err(SelectorError::Key(word)),
            other => Err(unexpected(other, "!, identifier, or 'end of string'")),
        }
    }

    /// One value; an absent one is the empty value.
    fn exact(&mut self, key: &str) -> Result<String, SelectorError> {
        match self.tokens.peek() {
            None | Some(Token::Symbol(",")) => Ok(String::new()),
            _ => self.value(key),
        }
    }

    fn value(&mut self, key: &str) -> Result<String, SelectorError> {
        match self.tokens.next() {
            Some(Token::Word(word)) if is_label_value(&word) => Ok(word),
            Some(Token::Word(value)) => Err(SelectorError::Value {
                key: key.to_owned(),
                value,
            }),
            other => Err(unexpected(other, "identifier")),
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        match self.tokens.next() {
            Some(Token::Word(word)) if word.parse::<i64>().is_ok() => {
                Ok(word.parse().unwrap_or_default())
            }
            other => Err(unexpected(other, "an integer")),
        }
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, SelectorError> {
        match self.tokens.next() {
            Some(Token::Symbol("(")) => {}
            other => return Err(unexpected(other, "'('")),
        }
        let mut values = Vec::new();
        loop {
            match self.tokens.peek() {
                Some(Token::Symbol("," | ")")) => values.push(String::new()),
                _ => values.push(self.value(key)?),
            }
            match self.tokens.next() {
                Some(Token::Symbol(")")) => return Ok(values),
                Some(Token::Symbol(",")) => {}
                other => return Err(unexpected(other, "',' or ')'")),
            }
        }
    }
}

fn unexpected(token: Option<Token>, expected: &'static str) -> SelectorError {
    let found = match token {
        None => String::new(),
        Some(Token::Word(word)) => word,
        Some(Token::Symbol(symbol)) => symbol.to_owned(),
    };
    SelectorError::Syntax { found, expected }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(symbol) = SYMBOLS.into_iter().find(|one| rest.starts_with(one)) {
            out.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            let special = |c: char| c.is_whitespace() || "=!(),<>".contains(c);
            let end = rest.find(special).unwrap_or(rest.len());
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    out
}

fn is_qualified_name(key: &str) -> bool {
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            let label = |part: &str| {
                let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
                let bytes = part.as_bytes();
                bytes.first().is_some_and(edge)
                    && bytes.last().is_some_and(edge)
                    && bytes.iter().all(|b| edge(b) || *b == b'-')
            };
            if prefix.len() > 253 || !prefix.split('.').all(label) {
                return false;
            }
            name
        }
    };
    !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let edge = |b: &u8| b.is_ascii_alphanumeric();
    bytes.len() <= 63
        && bytes.first().is_none_or(edge)
        && bytes.last().is_none_or(edge)
        && bytes.iter().all(|b| edge(b) || b"-_.".contains(b))
}

// === impl FieldSelector ===

impl FieldSelector {
    /// Parses `metadata.name=a,status.phase!=Running`. A backslash escapes `,`, `=` and itself in
    /// values. Which fields a kind supports is the caller's to check, by [`Self::fields`].
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for term in split_terms(text) {
            if term.is_empty() {
                continue;
            }
            let (path, value, equal) =
                split_operator(&term).ok_or_else(|| SelectorError::Term(term.clone()))?;
            terms.push(Term {
                path: path.trim().split('.').map(str::to_owned).collect(),
                value: unescape(value).ok_or_else(|| SelectorError::Term(term.clone()))?,
                equal,
            });
        }
        Ok(Self { terms })
    }

    /// The fields that the selector looks at, e.g. `metadata.name`.
    pub fn fields(&self) -> impl Iterator<Item = String> {
        self.terms.iter().map(|term| term.path.join("."))
    }

    /// The one value that `field` must have, if the selector demands one: lets a list or watch
    /// of `metadata.name=x` be served as one object.
    pub fn required(&self, field: &str) -> Option<&str> {
        let wanted = |term: &&Term| term.equal && term.path.join(".") == field;
        self.terms
            .iter()
            .find(wanted)
            .map(|term| term.value.as_str())
    }

    /// Whether every term holds of `object`. An absent field is the empty value.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| {
            let found = term
                .path
                .iter()
                .try_fold(object, |at, step| at.get(step.as_str()));
            let text = match found {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            (text == term.value) == term.equal
        })
    }
}

fn split_terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut term = String::new();
    let mut escaped = false;
    for c in text.chars() {
        match c {
            ',' if !escaped => terms.push(std::mem::take(&mut term)),
            c => term.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(term);
    terms
}

fn split_operator(term: &str) -> Option<(&str, &str, bool)> {
    let at = term.find(['=', '!'])?;
    let (path, rest) = term.split_at(at);
    let operators = [("!=", false), ("==", true), ("=", true)];
    operators
        .into_iter()
        .find_map(|(sign, equal)| Some((path, rest.strip_prefix(sign)?, equal)))
}

fn unescape(value: &str) -> Option<String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(|c| "\\,=".contains(*c))?),
            ',' | '=' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;

//! Reads the compact schema text; its syntax is explained at the head of `schemas/kafka.txt`.

use std::sync::OnceLock;

use super::{Api, ApiKey, Definition, Kind, Message, Schemas, Served, Versions};

/// Why schema text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SchemaError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: SchemaProblem,
}

/// What is wrong with a line of schema text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaProblem {
    /// Something that must be there is not.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A word that means nothing here.
    #[error("{0:?} means nothing here")]
    Unknown(String),
    /// A field's indentation fits no struct above it.
    #[error("a field may be one space deeper than the struct that it belongs to")]
    Indentation,
    /// Keys must rise.
    #[error("APIs stand in the order of their keys, each once")]
    Order,
    /// A field is there in versions in which its parent is not.
    #[error("versions {0} are not all within {1}")]
    Outside(Versions, Versions),
    /// A tagged field in a version without tagged fields.
    #[error("a tag in a version that is not flexible")]
    TagTooEarly,
}

type Parsed<T> = Result<T, SchemaProblem>;

/// A line's words.
type Words = std::str::SplitAsciiWhitespace<'static>;

/// An API while its lines are read.
struct Draft {
    key: ApiKey,
    name: &'static str,
    listeners: Vec<&'static str>,
    served: Vec<Served>,
    request: Option<Message>,
    response: Option<Message>,
}

/// Reads the text from top to bottom.
#[derive(Default)]
struct Parser {
    releases: Vec<&'static str>,
    apis: Vec<Api>,
    draft: Option<Draft>,
}

// === impl Schemas ===

impl Schemas {
    /// Parses schema text.
    pub fn parse(text: &'static str) -> Result<Self, SchemaError> {
        let mut parser = Parser::default();
        let mut line = 0;
        for content in text.lines() {
            line += 1;
            parser
                .line(content)
                .map_err(|problem| SchemaError { line, problem })?;
        }
        parser
            .end_api()
            .map_err(|problem| SchemaError { line, problem })?;
        Ok(Self {
            releases: parser.releases,
            apis: parser.apis,
        })
    }
}

// === impl Parser ===

impl Parser {
    fn line(&mut self, line: &'static str) -> Parsed<()> {
        let content = line.split('#').next().unwrap_or_default();
        let depth = content.len() - content.trim_start().len();
        let mut words = content.split_ascii_whitespace();
        if depth > 0 && !content.trim().is_empty() {
            return self.field(depth, words);
        }
        match words.next() {
            None => Ok(()),
            Some("releases") => {
                self.releases = words.collect();
                Ok(())
            }
            Some("api") => {
                self.end_api()?;
                self.draft = Some(api(words)?);
                Ok(())
            }
            Some("request") => {
                self.draft()?.request = Some(message(words)?);
                Ok(())
            }
            Some("response") => {
                self.draft()?.response = Some(message(words)?);
                Ok(())
            }
            Some(other) => Err(SchemaProblem::Unknown(other.to_owned())),
        }
    }

    fn draft(&mut self) -> Parsed<&mut Draft> {
        self.draft
            .as_mut()
            .ok_or(SchemaProblem::Expected("an api line before this"))
    }

    /// Adds a field to the message that is being read.
    fn field(&mut self, depth: usize, words: Words) -> Parsed<()> {
        let draft = self.draft()?;
        let message =
            draft
                .response
                .as_mut()
                .or(draft.request.as_mut())
                .ok_or(SchemaProblem::Expected(
                    "a request or response line before a field",
                ))?;
        let mut within = message.versions;
        let mut fields = &mut message.fields;
        for _ in 1..depth {
            let parent = fields
                .last_mut()
                .filter(|parent| parent.primitive.is_none())
                .ok_or(SchemaProblem::Indentation)?;
            within = parent.versions;
            fields = &mut parent.fields;
        }
        let field = definition(words, message.versions, within)?;
        if let Some((_, tagged)) = field.tagged
            && message.flexible.is_none_or(|first| tagged.first < first)
        {
            return Err(SchemaProblem::TagTooEarly);
        }
        fields.push(field);
        Ok(())
    }

    fn end_api(&mut self) -> Parsed<()> {
        let Some(draft) = self.draft.take() else {
            return Ok(());
        };
        if self.apis.last().is_some_and(|last| last.key >= draft.key) {
            return Err(SchemaProblem::Order);
        }
        self.apis.push(Api {
            key: draft.key,
            name: draft.name,
            listeners: draft.listeners,
            served: draft.served,
            request: draft.request.ok_or(SchemaProblem::Expected("a request"))?,
            response: draft
                .response
                .ok_or(SchemaProblem::Expected("a response"))?,
        });
        Ok(())
    }
}

fn api(mut words: Words) -> Parsed<Draft> {
    let key = number(words.next().unwrap_or_default())?;
    let name = words
        .next()
        .ok_or(SchemaProblem::Expected("the API's name"))?;
    let mut draft = Draft {
        key: ApiKey(key),
        name,
        listeners: Vec::new(),
        served: Vec::new(),
        request: None,
        response: None,
    };
    while let Some(word) = words.next() {
        if word == "on" {
            let names = words
                .next()
                .ok_or(SchemaProblem::Expected("listeners after \"on\""))?;
            draft.listeners = names.split(',').collect();
        } else {
            draft.served.push(served(word)?);
        }
    }
    Ok(draft)
}

/// `4.3.1=0-6!`
fn served(word: &'static str) -> Parsed<Served> {
    let (release, range) = word
        .split_once('=')
        .ok_or_else(|| SchemaProblem::Unknown(word.to_owned()))?;
    let (range, newest_unstable) = match range.strip_suffix('!') {
        Some(range) => (range, true),
        None => (range, false),
    };
    let versions = versions(range, i16::MAX)?;
    Ok(Served {
        release,
        versions,
        newest_unstable,
    })
}

/// `0-13 flexible 9+`
fn message(mut words: Words) -> Parsed<Message> {
    let versions = versions(words.next().unwrap_or_default(), i16::MAX)?;
    let flexible = match words.next() {
        Some("flexible") => {
            Some(self::versions(words.next().unwrap_or_default(), versions.last)?.first)
        }
        Some(other) => return Err(SchemaProblem::Unknown(other.to_owned())),
        None => None,
    };
    let layouts = (versions.first..=versions.last)
        .map(|_| OnceLock::new())
        .collect();
    Ok(Message {
        versions,
        flexible,
        fields: Vec::new(),
        layouts,
    })
}

/// `Name []string 0+ null 3+ tag 0 3+ default null is topicName`
fn definition(mut words: Words, message: Versions, within: Versions) -> Parsed<Definition> {
    let name = words
        .next()
        .ok_or(SchemaProblem::Expected("the field's name"))?;
    let (array, primitive) = kind(words.next().unwrap_or_default())?;
    let own = versions(words.next().unwrap_or_default(), message.last)?;
    // A field's versions lie in its parent's, and its options' in its own.
    inside(own, within)?;
    let mut field = Definition {
        name,
        array,
        primitive,
        versions: own,
        nullable: None,
        tagged: None,
        default: None,
        entity: None,
        fields: Vec::new(),
    };
    while let Some(option) = words.next() {
        let value = words
            .next()
            .ok_or(SchemaProblem::Expected("a value after an option"))?;
        match option {
            "null" => field.nullable = Some(inside(versions(value, message.last)?, own)?),
            "tag" => {
                let tag = value
                    .parse()
                    .map_err(|_| SchemaProblem::Expected("a tag"))?;
                let range = versions(words.next().unwrap_or_default(), message.last)?;
                field.tagged = Some((tag, inside(range, own)?));
            }
            "default" => field.default = Some(value),
            "is" => field.entity = Some(value),
            other => return Err(SchemaProblem::Unknown(other.to_owned())),
        }
    }
    Ok(field)
}

fn kind(word: &str) -> Parsed<(bool, Option<Kind>)> {
    let (array, element) = match word.strip_prefix("[]") {
        Some(element) => (true, element),
        None => (false, word),
    };
    let primitive = match element {
        "{}" => None,
        "bool" => Some(Kind::Bool),
        "int8" => Some(Kind::Int8),
        "int16" => Some(Kind::Int16),
        "uint16" => Some(Kind::Uint16),
        "int32" => Some(Kind::Int32),
        "int64" => Some(Kind::Int64),
        "float64" => Some(Kind::Float64),
        "uuid" => Some(Kind::Uuid),
        "string" => Some(Kind::String),
        "bytes" => Some(Kind::Bytes),
        "records" => Some(Kind::Records),
        other => return Err(SchemaProblem::Unknown(other.to_owned())),
    };
    Ok((array, primitive))
}

/// `3-5`, or `3+` up to `last`.
fn versions(word: &str, last: i16) -> Parsed<Versions> {
    let range = if let Some(first) = word.strip_suffix('+') {
        Versions {
            first: number(first)?,
            last,
        }
    } else {
        let (first, last) = word
            .split_once('-')
            .ok_or(SchemaProblem::Expected("versions"))?;
        Versions {
            first: number(first)?,
            last: number(last)?,
        }
    };
    if range.first > range.last || range.first < 0 {
        return Err(SchemaProblem::Expected("versions that rise from 0"));
    }
    Ok(range)
}

fn inside(range: Versions, outer: Versions) -> Parsed<Versions> {
    if outer.contains(range.first) && outer.contains(range.last) {
        Ok(range)
    } else {
        Err(SchemaProblem::Outside(range, outer))
    }
}

fn number(word: &str) -> Parsed<i16> {
    word.parse()
        .map_err(|_| SchemaProblem::Expected("a number"))
}

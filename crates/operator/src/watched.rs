//! Which namespaces an operator looks after: all, or those that it is told.
//!
//! Of kinds that live in namespaces it reads and writes only there. Namespaces
//! themselves, nodes and cluster roles it reads in any case.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::str::FromStr;

use kube::core::NamespaceResourceScope;
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

mod events;
mod merge;

pub use events::slim;

/// The longest DNS label (RFC 1123).
const LONGEST: usize = 63;

/// The namespaces that are looked after. As text: names with commas between them,
/// and nothing at all for all namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Watched {
    /// All there are, and all that come.
    #[default]
    All,
    /// These, of which there is at least one.
    These(BTreeSet<String>),
}

/// Why a text names no namespaces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchedError {
    /// One of the names is none.
    #[error(
        "{0:?} is no name of a namespace: up to 63 lower-case letters, digits and -, with - at \
         neither end; several have a comma between them and nothing else, as in kafka,shop"
    )]
    Name(String),
    /// A name is there twice.
    #[error("{0:?} is named twice")]
    Twice(String),
}

/// Where one watch looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a>(Option<&'a str>);

// === impl Watched ===

impl Watched {
    /// Whether this namespace is looked after.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(namespace),
        }
    }

    /// The names, in order; none at all if all namespaces are looked after.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::All => None,
            Self::These(names) => Some(names),
        };
        names.into_iter().flatten().map(String::as_str)
    }

    /// Where watches look that together see everything that is looked after.
    pub fn scopes(&self) -> Vec<Scope<'_>> {
        match self {
            Self::All => vec![Scope(None)],
            Self::These(names) => names.iter().map(|name| Scope(Some(name))).collect(),
        }
    }
}

impl FromStr for Watched {
    type Err = WatchedError;

    fn from_str(text: &str) -> Result<Self, WatchedError> {
        if text.is_empty() {
            return Ok(Self::All);
        }
        let mut names = BTreeSet::new();
        for name in text.split(',') {
            if !is_name(name) {
                return Err(WatchedError::Name(name.to_owned()));
            }
            if !names.insert(name.to_owned()) {
                return Err(WatchedError::Twice(name.to_owned()));
            }
        }
        Ok(Self::These(names))
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

/// Whether Kubernetes would take it as the name of a namespace.
pub fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= LONGEST
        && text.chars().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// The one namespace; `None` for all.
    pub fn namespace(self) -> Option<&'a str> {
        self.0
    }

    /// The objects of a kind there.
    pub fn api<K>(self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self.0 {
            None => Api::all(client.clone()),
            Some(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }

    /// A controller of the objects of a kind there, which it keeps slim.
    pub fn controller<K>(self, client: &Client) -> Controller<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (reader, writer) = reflector::store();
        let events = watcher(self.api(client), watcher::Config::default());
        let objects = events.modify(slim).reflect(writer).applied_objects();
        Controller::for_stream(objects, reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_order_and_written_in_one() {
        for (text, written) in [
            ("", ""),
            ("kafka", "kafka"),
            ("shop,a-1,kafka", "a-1,kafka,shop"),
        ] {
            let watched: Watched = text.parse().unwrap();
            assert_eq!(watched.to_string(), written);
            assert_eq!(written.parse(), Ok(watched));
        }
    }

    #[test]
    fn what_is_no_namespace_is_refused_by_its_name() {
        let long = "a".repeat(64);
        for (text, part) in [
            (",", ""),
            ("a,", ""),
            ("a,,b", ""),
            ("a, b", " b"),
            ("Kafka", "Kafka"),
            ("-a", "-a"),
            ("a-", "a-"),
            ("a.b", "a.b"),
            ("*", "*"),
            (&long, &long),
        ] {
            let wanted = WatchedError::Name(part.to_owned());
            assert_eq!(text.parse::<Watched>(), Err(wanted), "{text}");
        }
        let twice = WatchedError::Twice("a".to_owned());
        assert_eq!("a,b,a".parse::<Watched>(), Err(twice));
    }

    #[test]
    fn all_are_seen_by_one_watch_and_some_by_one_each() {
        assert_eq!(Watched::All.scopes(), [Scope(None)]);
        assert!(Watched::All.contains("anything"));
        let some: Watched = "b,a".parse().unwrap();
        assert_eq!(some.scopes(), [Scope(Some("a")), Scope(Some("b"))]);
        assert!(some.contains("a") && !some.contains("c"));
    }
}

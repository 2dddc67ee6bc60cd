//! Every API of Kafka as tables: names, versions, and the wire form of each version.
//!
//! # A new release of Kafka
//! 1. `cargo run -p tubeway-xtask -- schemas --jar 3.9.1=… --jar NEW=…`, each the path of that
//!    release's `kafka-clients` jar, oldest first, writes `schemas/kafka.txt` anew. The diff is
//!    what the release changes; `Schemas::layouts` and [`Api::served_by`] let who knows only some
//!    of it say what else there is.
//! 2. The release's checksums in `crates/launcher/kafka`, and its name in the list of
//!    `crates/testing/tests/kafka_codec/helper.rs`: that test then asks its serializers about
//!    every form, and fails if it has a form that the tables have not.

mod layout;
mod parse;

use std::fmt;
use std::sync::{LazyLock, OnceLock};

pub use layout::{Field, FieldId, Kind, Layout, Struct, StructId};
pub use parse::{SchemaError, SchemaProblem};

/// The numeric key of an API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKey(pub i16);

/// Which half of an exchange a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From client to broker.
    Request,
    /// From broker to client.
    Response,
}

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Versions {
    /// The oldest version.
    pub first: i16,
    /// The newest version.
    pub last: i16,
}

/// All APIs.
#[derive(Debug)]
pub struct Schemas {
    releases: Vec<&'static str>,
    /// In the order of their keys.
    apis: Vec<Api>,
}

/// One API: a request and its response.
#[derive(Debug)]
pub struct Api {
    key: ApiKey,
    name: &'static str,
    listeners: Vec<&'static str>,
    served: Vec<Served>,
    request: Message,
    response: Message,
}

/// The versions of an API's request that one Kafka release knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The release, such as `4.3.1`.
    pub release: &'static str,
    /// All versions that it knows.
    pub versions: Versions,
    /// Whether the newest of them is not stable, and so not advertised unless asked to.
    pub newest_unstable: bool,
}

/// A request or a response over all its versions.
#[derive(Debug)]
pub struct Message {
    versions: Versions,
    flexible: Option<i16>,
    fields: Vec<Definition>,
    /// One per version, made when first used.
    layouts: Vec<OnceLock<Layout>>,
}

/// A field over all versions.
#[derive(Debug)]
struct Definition {
    name: &'static str,
    array: bool,
    /// `None` for a struct, whose fields are `fields`.
    primitive: Option<Kind>,
    versions: Versions,
    nullable: Option<Versions>,
    tagged: Option<(u32, Versions)>,
    default: Option<&'static str>,
    entity: Option<&'static str>,
    fields: Vec<Definition>,
}

/// An API or version that no known release has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownMessage {
    /// There is no API of this key.
    #[error("no Kafka release has an API with key {0}")]
    Api(ApiKey),
    /// The API exists, the version does not.
    #[error("{api} has versions {versions}, not {version}")]
    Version {
        /// The API.
        api: ApiKey,
        /// The version that was asked for.
        version: i16,
        /// What there is.
        versions: Versions,
    },
}

// === impl Schemas ===

impl Schemas {
    /// The schemas of all known releases.
    pub fn get() -> &'static Self {
        static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
            // The text is part of the program, and a test parses it.
            Schemas::parse(include_str!("../schemas/kafka.txt"))
                .unwrap_or_else(|error| panic!("schemas/kafka.txt: {error}"))
        });
        &SCHEMAS
    }

    /// The Kafka releases whose schemas these are, oldest first.
    pub fn releases(&self) -> &[&'static str] {
        &self.releases
    }

    /// All APIs in the order of their keys.
    pub fn apis(&self) -> &[Api] {
        &self.apis
    }

    /// Every wire form: each version of each message, by key, requests before responses.
    pub fn layouts(&'static self) -> impl Iterator<Item = &'static Layout> {
        self.apis.iter().flat_map(|api| {
            [Direction::Request, Direction::Response]
                .into_iter()
                .flat_map(move |direction| {
                    let message = api.message(direction);
                    let versions = message.versions.first..=message.versions.last;
                    versions.filter_map(move |version| message.layout_of(api, version, direction))
                })
        })
    }

    /// The API with this key.
    pub fn api(&self, key: ApiKey) -> Option<&Api> {
        // Keys are dense so far; the search is for when they are not.
        let guess = usize::try_from(key.0).ok().and_then(|at| self.apis.get(at));
        guess.filter(|api| api.key == key).or_else(|| {
            let at = self.apis.binary_search_by_key(&key, |api| api.key).ok()?;
            self.apis.get(at)
        })
    }

    /// The API with this name, such as `Produce`.
    pub fn api_named(&self, name: &str) -> Option<&Api> {
        self.apis.iter().find(|api| api.name == name)
    }

    /// The wire form of one version of a message.
    pub fn layout(
        &'static self,
        key: ApiKey,
        version: i16,
        direction: Direction,
    ) -> Result<&'static Layout, UnknownMessage> {
        let api = self.api(key).ok_or(UnknownMessage::Api(key))?;
        let message = api.message(direction);
        message
            .layout_of(api, version, direction)
            .ok_or(UnknownMessage::Version {
                api: key,
                version,
                versions: message.versions,
            })
    }
}

// === impl Api ===

impl Api {
    /// The API's key.
    pub fn key(&self) -> ApiKey {
        self.key
    }

    /// The API's name, such as `Produce`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the newest release that has the API serves it on broker listeners.
    pub fn on_brokers(&self) -> bool {
        self.listeners
            .iter()
            .any(|listener| *listener == "broker" || *listener == "zkBroker")
    }

    /// Whether the newest release that has the API serves it on controller listeners.
    pub fn on_controllers(&self) -> bool {
        self.listeners.contains(&"controller")
    }

    /// The versions that each release knows, oldest release first.
    pub fn served(&self) -> &[Served] {
        &self.served
    }

    /// The versions that `release` knows.
    pub fn served_by(&self, release: &str) -> Option<Served> {
        self.served
            .iter()
            .copied()
            .find(|served| served.release == release)
    }

    /// The request or the response.
    pub fn message(&self, direction: Direction) -> &Message {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }
}

// === impl Served ===

impl Served {
    /// The versions without the one that is not stable.
    pub fn stable(&self) -> Option<Versions> {
        let last = self.versions.last - i16::from(self.newest_unstable);
        (self.versions.first <= last).then_some(Versions {
            first: self.versions.first,
            last,
        })
    }
}

// === impl Message ===

impl Message {
    /// All versions of all releases.
    pub fn versions(&self) -> Versions {
        self.versions
    }

    /// Whether this version has compact lengths and tagged fields.
    pub fn is_flexible(&self, version: i16) -> bool {
        self.flexible.is_some_and(|first| version >= first)
    }

    /// Whether any version has a field at this path, such as `TopicData.Name`.
    pub fn has_field(&self, path: &str) -> bool {
        let mut fields = &self.fields;
        let mut found = false;
        for name in path.split('.') {
            let Some(field) = fields.iter().find(|field| field.name == name) else {
                return false;
            };
            fields = &field.fields;
            found = true;
        }
        found
    }

    /// Whether any version has a field of this name, at any depth.
    pub fn has_field_named(&self, name: &str) -> bool {
        fn any(fields: &[Definition], name: &str) -> bool {
            fields
                .iter()
                .any(|field| field.name == name || any(&field.fields, name))
        }
        any(&self.fields, name)
    }

    fn layout_of(&self, api: &Api, version: i16, direction: Direction) -> Option<&Layout> {
        let at = usize::try_from(version.checked_sub(self.versions.first)?).ok()?;
        let slot = self.layouts.get(at)?;
        Some(slot.get_or_init(|| Layout::build(api, self, version, direction)))
    }
}

// === impl Versions ===

impl Versions {
    /// Whether `version` is one of these.
    pub fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }

    /// The versions in both ranges.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

// === impl ApiKey ===

#[expect(missing_docs, reason = "the names are Kafka's")]
impl ApiKey {
    pub const PRODUCE: Self = Self(0);
    pub const FETCH: Self = Self(1);
    pub const LIST_OFFSETS: Self = Self(2);
    pub const METADATA: Self = Self(3);
    pub const CONTROLLED_SHUTDOWN: Self = Self(7);
    pub const OFFSET_COMMIT: Self = Self(8);
    pub const OFFSET_FETCH: Self = Self(9);
    pub const FIND_COORDINATOR: Self = Self(10);
    pub const JOIN_GROUP: Self = Self(11);
    pub const HEARTBEAT: Self = Self(12);
    pub const LEAVE_GROUP: Self = Self(13);
    pub const SYNC_GROUP: Self = Self(14);
    pub const SASL_HANDSHAKE: Self = Self(17);
    pub const API_VERSIONS: Self = Self(18);
    pub const CREATE_TOPICS: Self = Self(19);
    pub const DELETE_TOPICS: Self = Self(20);
    pub const INIT_PRODUCER_ID: Self = Self(22);
    pub const TXN_OFFSET_COMMIT: Self = Self(28);
    pub const SASL_AUTHENTICATE: Self = Self(36);
    pub const DESCRIBE_CLUSTER: Self = Self(60);
    pub const DESCRIBE_TOPIC_PARTITIONS: Self = Self(75);
    pub const SHARE_FETCH: Self = Self(78);
    pub const SHARE_ACKNOWLEDGE: Self = Self(79);
}

impl ApiKey {
    /// Kafka's name of the API, if it is known.
    pub fn name(self) -> Option<&'static str> {
        Schemas::get().api(self).map(Api::name)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "API {}", self.0),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({} {self})", self.0)
    }
}

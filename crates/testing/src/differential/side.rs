//! One of the two brokers that are compared, as the harness holds it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tubeway_protocol::exchange::ApiRanges;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Schemas};

use super::client::{Answer, ClientError, RawClient, Target};
use super::message::{Lookup, request};
use super::normal::{Normal, id_for};

/// Longest time until a step of a set-up succeeds: coordinators load, and
/// brokers learn of topics a moment after they were made.
pub const SETTLE: Duration = Duration::from_secs(60);
/// Between two attempts.
pub const AGAIN: Duration = Duration::from_millis(15);
/// Errors that pass: a coordinator or a topic that is not there yet, a
/// transaction that still ends.
const PASSING: [i64; 10] = [3, 5, 6, 14, 15, 16, 27, 51, 79, 100];

/// A broker and the connections to it.
pub struct Side {
    /// How reports call it.
    pub name: &'static str,
    /// The super user's connection, to the broker itself.
    admin: RawClient,
    /// What the broker offers, as it says itself.
    pub offered: ApiRanges,
    /// Where the client under test connects to.
    pub target: Target,
    client: Option<RawClient>,
    /// What may differ from the other side.
    pub normal: Normal,
    ids: HashMap<String, [u8; 16]>,
    kept: BTreeMap<String, Json>,
    always: BTreeMap<String, Json>,
}

// === impl Side ===

impl Side {
    /// Connects to `admin` as the super user and asks what the broker offers.
    pub async fn new(name: &'static str, admin: Target) -> Result<Self, ClientError> {
        let mut side = Self {
            name,
            admin: RawClient::connect(&admin).await?,
            offered: ApiRanges::default(),
            target: admin,
            client: None,
            normal: Normal::default(),
            ids: HashMap::new(),
            kept: BTreeMap::new(),
            always: BTreeMap::new(),
        };
        let ask = json!({"ClientSoftwareName": "differential", "ClientSoftwareVersion": "1"});
        let ask = side.request(ApiKey::API_VERSIONS, 3, &ask);
        side.offered = ApiRanges::read(&side.admin.ask(&ask).await?.body);
        Ok(side)
    }

    /// From now on the client under test is whoever logs in there.
    pub fn connect_to(&mut self, target: Target) {
        self.target = target;
        self.client = None;
    }

    /// Ends the client's connection; the next request makes a new one.
    pub fn hang_up(&mut self) {
        self.client = None;
    }

    /// Begins another case: nothing is kept, and made-up ids are counted anew.
    pub fn begin(&mut self) {
        self.kept.clear();
        self.normal.forget();
    }

    /// Keeps a value for `"$name"` in later requests.
    pub fn keep(&mut self, name: &str, value: impl Into<Json>) {
        self.kept.insert(name.to_owned(), value.into());
    }

    /// Keeps a value for every case.
    pub fn keep_always(&mut self, name: &str, value: impl Into<Json>) {
        self.always.insert(name.to_owned(), value.into());
    }

    /// Makes a request.
    pub fn request(&self, api: ApiKey, version: i16, fields: &Json) -> Struct {
        request(api, version, fields, self).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks as the client under test.
    pub async fn ask(&mut self, request: &Struct) -> Result<Answer, ClientError> {
        let answer = self.client().await?.ask(request).await;
        if answer.is_err() {
            self.client = None;
        }
        answer
    }

    /// Sends as the client under test, and waits for nothing.
    pub async fn send(&mut self, request: &Struct) -> Result<(), ClientError> {
        self.client().await?.send(request).await.map(drop)
    }

    async fn client(&mut self) -> Result<&mut RawClient, ClientError> {
        if self.client.is_none() {
            self.client = Some(RawClient::connect(&self.target).await?);
        }
        self.client.as_mut().ok_or(ClientError::Closed)
    }

    /// Asks as the super user, in the newest version offered.
    pub async fn admin(&mut self, api: ApiKey, fields: &Json) -> Answer {
        let version = self.newest(api);
        let ask = self.request(api, version, fields);
        let answer = self.admin.ask(&ask).await;
        answer.unwrap_or_else(|error| panic!("{}: {api} v{version}: {error}", self.name))
    }

    /// Asks as the super user until all of the answer is well.
    pub async fn must(&mut self, api: ApiKey, fields: &Json) -> Struct {
        let deadline = Instant::now() + SETTLE;
        loop {
            let body = self.admin(api, fields).await.body;
            let Some(error) = first_error(&body) else {
                return body;
            };
            let passes = PASSING.contains(&error) && Instant::now() < deadline;
            assert!(passes, "{}: {api} {fields}: {body:?}", self.name);
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The newest version that the broker offers.
    pub fn newest(&self, api: ApiKey) -> i16 {
        let offered = self.offered.get(api);
        offered
            .unwrap_or_else(|| panic!("{api} is not offered"))
            .last
    }

    /// Learns the ids of all topics.
    pub async fn learn_topics(&mut self) {
        let all = json!({"Topics": null, "AllowAutoTopicCreation": false});
        let answer = self.admin(ApiKey::METADATA, &all).await;
        for topic in answer.body.structs("Topics") {
            if let (Some(name), Some(Value::Uuid(id))) = (topic.str("Name"), topic.get("TopicId")) {
                self.learn(name, *id);
            }
        }
    }

    /// Learns a topic's id.
    pub fn learn(&mut self, name: &str, id: [u8; 16]) {
        self.ids.insert(name.to_owned(), id);
        self.normal.learn_topic(id, name);
    }

    /// Whether an answer names topics by ids that are not known yet.
    pub fn is_new_to(&self, body: &Struct) -> bool {
        let is_new = |value: &Value| match value {
            Value::Uuid(id) => !self.normal.knows(id),
            Value::Struct(inner) => self.is_new_to(inner),
            Value::Array(items) => items.iter().any(|item| match item {
                Value::Struct(inner) => self.is_new_to(inner),
                Value::Uuid(id) => !self.normal.knows(id),
                _ => false,
            }),
            _ => false,
        };
        body.fields().any(|(_, value)| is_new(value))
    }
}

impl Lookup for Side {
    fn topic_id(&self, name: &str) -> [u8; 16] {
        self.ids.get(name).copied().unwrap_or_else(|| id_for(name))
    }

    fn kept(&self, name: &str) -> Option<Json> {
        self.kept.get(name).or(self.always.get(name)).cloned()
    }
}

/// The first error code in a message that is not 0.
pub fn first_error(body: &Struct) -> Option<i64> {
    body.fields().find_map(|(field, value)| match value {
        Value::Struct(inner) => first_error(inner),
        Value::Array(items) => items.iter().find_map(|item| match item {
            Value::Struct(inner) => first_error(inner),
            _ => None,
        }),
        value if field.name() == "ErrorCode" => value.as_int().filter(|code| *code != 0),
        _ => None,
    })
}

/// Names of APIs, for those without a constant.
pub fn api(name: &str) -> ApiKey {
    let known = Schemas::get().api_named(name);
    known.unwrap_or_else(|| panic!("no API {name}")).key()
}

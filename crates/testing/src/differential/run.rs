//! One case: the same requests to both sides, and what became of them.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::{Struct, Value};

use super::client::{Answer, ClientError};
use super::compare::{differences, one_line};
use super::report::{Outcome, Report};
use super::scenario::{EXISTING, ROLES, Scenario};
use super::side::{AGAIN, Side};

/// Longest time until both sides have come to the same state: markers of
/// transactions are written after the answer.
const SETTLE: Duration = Duration::from_secs(15);
/// The same once so many differences have been found that another is no news.
const HURRY: Duration = Duration::from_millis(300);
/// So many.
const MANY: usize = 20;

/// A case as it runs.
pub struct Run<'a> {
    /// Both sides.
    pub sides: [&'a mut Side; 2],
    /// The API under test.
    pub api: ApiKey,
    /// Its version.
    pub version: i16,
    /// Who asks.
    pub scenario: &'a Scenario,
    /// Whether the case's resources are its own, and not the scenario's.
    pub own: bool,
    /// Where outcomes go.
    pub report: &'a mut Report,
    /// Whether every answer is written to standard error.
    pub show: bool,
}

type Asked = Result<Answer, ClientError>;

// === impl Run ===

impl Run<'_> {
    /// The part of names after the role.
    pub fn name(&self) -> String {
        if self.own {
            own_name(self.api, self.version)
        } else {
            "base".to_owned()
        }
    }

    /// The resource of this role.
    pub fn of(&self, role: &str) -> String {
        format!("{}.{role}.{}", self.scenario.name, self.name())
    }

    /// The resource of this role that all cases of the scenario share.
    pub fn base(&self, role: &str) -> String {
        format!("{}.{role}.base", self.scenario.name)
    }

    /// The resources of all roles.
    pub fn all(&self) -> Vec<String> {
        ROLES.iter().map(|role| self.of(role)).collect()
    }

    /// Those that exist.
    pub fn existing(&self) -> Vec<String> {
        EXISTING.iter().map(|role| self.of(role)).collect()
    }

    /// One element of JSON for each resource of all roles.
    pub fn each(&self, element: impl Fn(&str) -> Json) -> Json {
        self.all().iter().map(|name| element(name)).collect()
    }

    /// Does something as the super user on both sides, until it succeeds.
    pub async fn must(&mut self, api: ApiKey, fields: Json) -> [Struct; 2] {
        let [a, b] = &mut self.sides;
        let (a, b) = tokio::join!(a.must(api, &fields), b.must(api, &fields));
        [a, b]
    }

    /// Keeps a value of each side's answer.
    pub fn keep(&mut self, name: &str, answers: &[Struct; 2], take: impl Fn(&Struct) -> Json) {
        for (side, answer) in self.sides.iter_mut().zip(answers) {
            side.keep(name, take(answer));
        }
    }

    /// Asks the API under test of both sides and compares the answers. What
    /// was answered is returned if both did.
    pub async fn ask(&mut self, step: &str, fields: Json) -> Option<[Struct; 2]> {
        self.ask_as(self.api, self.version, step, fields).await
    }

    /// Asks another API, as the client under test.
    pub async fn ask_as(
        &mut self,
        api: ApiKey,
        version: i16,
        step: &str,
        fields: Json,
    ) -> Option<[Struct; 2]> {
        let [a, b] = &mut self.sides;
        let (ask_a, ask_b) = (
            a.request(api, version, &fields),
            b.request(api, version, &fields),
        );
        let answers = tokio::join!(a.ask(&ask_a), b.ask(&ask_b));
        self.compare(step, answers.into()).await
    }

    /// Sends a request that wants no answer; whether the connection is closed
    /// for it shows with the next request, which is this step's.
    pub async fn send(&mut self, step: &str, fields: Json) {
        for side in &mut self.sides {
            let request = side.request(self.api, self.version, &fields);
            let sent = side.send(&request).await;
            assert!(sent.is_ok(), "{}: {step}: {sent:?}", side.name);
        }
        let next = json!({"Topics": [], "AllowAutoTopicCreation": false});
        self.ask_as(ApiKey::METADATA, 9, step, next).await;
    }

    /// Both begin a connection of their own.
    pub fn hang_up(&mut self) {
        for side in &mut self.sides {
            side.hang_up();
        }
    }

    /// Asks as the super user on both sides until both are `good`: what an
    /// answer promises is sometimes done a moment later.
    pub async fn until(&mut self, api: ApiKey, fields: Json, good: impl Fn(&Struct) -> bool) {
        let deadline = Instant::now() + SETTLE;
        for side in &mut self.sides {
            while !good(&side.admin(api, &fields).await.body) {
                assert!(Instant::now() < deadline, "{}: {api} {fields}", side.name);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Compares what both hold, as the super user sees it. A difference counts
    /// only if it lasts.
    pub async fn state(&mut self, what: &str, api: ApiKey, fields: Json) {
        let many = self.report.different().nth(MANY).is_some();
        let deadline = Instant::now() + if many { HURRY } else { SETTLE };
        loop {
            let [a, b] = &mut self.sides;
            let answers = tokio::join!(a.admin(api, &fields), b.admin(api, &fields));
            let found = self.found((Ok(answers.0), Ok(answers.1)).into()).await;
            let differ = !found.0.is_empty();
            if !differ || Instant::now() > deadline {
                self.note(&format!("then, {what}"), found.0);
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn compare(&mut self, step: &str, answers: [Asked; 2]) -> Option<[Struct; 2]> {
        let (found, answers) = self.found(answers).await;
        if self.show {
            let [a, _] = &answers;
            let told = a.as_ref().map_or("closed".to_owned(), one_line);
            let (api, v, s) = (self.api, self.version, &self.scenario.name);
            eprintln!("{api} v{v} [{s}] {step}: {told}");
        }
        self.note(step, found);
        match answers {
            [Some(a), Some(b)] => Some([a, b]),
            _ => None,
        }
    }

    async fn found(&mut self, answers: [Asked; 2]) -> (Vec<String>, [Option<Struct>; 2]) {
        let [a, b] = answers;
        match (a, b) {
            (Ok(a), Ok(b)) => {
                let [left, right] = &mut self.sides;
                tokio::join!(learn(left, &a), learn(right, &b));
                let found = compared(left, &a, right, &b);
                (found, [Some(a.body), Some(b.body)])
            }
            (Err(a), Err(b)) => {
                let same = a.to_string() == b.to_string();
                let found = (!same).then(|| format!("{a} | {b}"));
                (found.into_iter().collect(), [None, None])
            }
            (Ok(a), Err(b)) => {
                let found = format!("{} | {b}", one_line(&a.body));
                (vec![found], [Some(a.body), None])
            }
            (Err(a), Ok(b)) => {
                let found = format!("{a} | {}", one_line(&b.body));
                (vec![found], [None, Some(b.body)])
            }
        }
    }

    fn note(&mut self, step: &str, differences: Vec<String>) {
        self.report.outcomes.push(Outcome {
            api: self.api,
            version: self.version,
            scenario: self.scenario.name.clone(),
            step: step.to_owned(),
            differences,
        });
    }
}

/// What the resources of a case that has its own are called after the role.
pub fn own_name(api: ApiKey, version: i16) -> String {
    format!("{}v{version}", api.0)
}

/// Learns the ids of topics that are new in an answer.
async fn learn(side: &mut Side, answer: &Answer) {
    if answer.body.layout().api() == ApiKey::CREATE_TOPICS {
        for topic in answer.body.structs("Topics") {
            if let (Some(name), Some(Value::Uuid(id))) = (topic.str("Name"), topic.get("TopicId"))
                && *id != [0; 16]
            {
                side.learn(name, *id);
            }
        }
    }
    if side.is_new_to(&answer.body) {
        side.learn_topics().await;
    }
}

/// Differences of the trees, or else of the bytes.
fn compared(left: &mut Side, a: &Answer, right: &mut Side, b: &Answer) -> Vec<String> {
    let header = |answer: &Answer| answer.frame.slice(4..answer.header);
    let mut found = Vec::new();
    if header(a) != header(b) {
        found.push(format!("header: {:02x?} | {:02x?}", header(a), header(b)));
    }
    for (side, answer) in [(&*left, a), (&*right, b)] {
        if encoded(&answer.body) != answer.frame[answer.header..] {
            found.push(format!("{} does not encode as Kafka does", side.name));
        }
    }
    let (a, b) = (
        left.normal.of(a.body.clone()),
        right.normal.of(b.body.clone()),
    );
    found.extend(differences(&a, &b));
    if found.is_empty() && encoded(&a) != encoded(&b) {
        found.push("the bytes differ, and the fields do not".to_owned());
    }
    found
}

fn encoded(message: &Struct) -> Vec<u8> {
    let mut bytes = Vec::new();
    match message.encode(&mut bytes) {
        Ok(()) => bytes,
        Err(error) => error.to_string().into_bytes(),
    }
}

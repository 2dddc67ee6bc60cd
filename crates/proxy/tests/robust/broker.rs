//! A broker that answers as the requests themselves say, and looks hard at
//! every frame that it gets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tubeway_protocol::header::RequestHeader;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::walk::{Interest, Trailing, Walker};
use tubeway_protocol::{ApiKey, Direction, Schemas};

use crate::wire::{CUT, Call, TOPIC_ID, records, response};

/// Kafka's own limit.
const MAX_FRAME: usize = 100 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;
/// Milliseconds that a login lasts.
const LIFE: i64 = 600_000;

/// Kafka's error code.
const UNKNOWN_TOPIC_ID: i16 = 100;

/// Any free port, for a broker of a node in this process.
pub fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// The scripted broker.
#[derive(Clone)]
pub struct Broker {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

/// What it has seen and done.
#[derive(Default)]
pub struct Seen {
    /// Connections that are open.
    pub open: AtomicI64,
    /// Frames other than logins.
    pub requests: AtomicU64,
    /// Bytes of answers that the sidecar's connection has taken.
    pub written: AtomicU64,
    /// What no broker should have got.
    malformed: Mutex<Vec<String>>,
    /// Answers written to the end, by client id.
    answered: Mutex<HashMap<String, u64>>,
}

/// A request that has been read.
struct Asked {
    call: Call,
    correlation_id: i32,
    client_id: String,
    body: Struct,
}

/// What is to be done about a request.
enum Reply {
    Answer(Struct),
    Nothing,
    Cut,
}

// === impl Broker ===

impl Broker {
    /// One that does as requests ask, see [`Wanted`](crate::wire::Wanted).
    pub async fn start(address: SocketAddr) -> Self {
        Self::listen(address, true).await
    }

    /// One that answers every request at once and with little.
    pub async fn start_plain(address: SocketAddr) -> Self {
        Self::listen(address, false).await
    }

    async fn listen(address: SocketAddr, obeys: bool) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let broker = Self {
            address: listener.local_addr().expect("an address"),
            seen: Arc::default(),
        };
        let seen = broker.seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    seen.open.fetch_add(1, Ordering::SeqCst);
                    // That a sidecar goes away is no news here.
                    let _ = seen.serve(stream, obeys).await;
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        broker
    }

    /// That nothing has come which no broker should have got.
    pub fn assert_unharmed(&self) {
        let malformed = self.seen.malformed();
        assert!(malformed.is_empty(), "{malformed:#?}");
    }

    /// Answers written to the end for this client id.
    pub fn answered(&self, client_id: &str) -> u64 {
        let answered = self.seen.answered.lock();
        let answered = answered.unwrap_or_else(PoisonError::into_inner);
        answered.get(client_id).copied().unwrap_or(0)
    }
}

// === impl Seen ===

impl Seen {
    fn malformed(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        let malformed = self.malformed.lock();
        malformed.unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: TcpStream, obeys: bool) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let length = stream.read_i32().await?;
            let allowed = usize::try_from(length).ok().filter(|n| *n <= MAX_FRAME);
            let Some(length) = allowed else {
                self.malformed().push(format!("a length of {length}"));
                return Ok(());
            };
            let mut frame = vec![0; length];
            stream.read_exact(&mut frame).await?;
            let asked = match Asked::read(&frame.into()) {
                Ok(asked) => asked,
                Err(error) => {
                    self.malformed().push(error);
                    return Ok(());
                }
            };
            if obeys && asked.call.api == ApiKey::FETCH {
                let after = asked.body.int("MaxWaitMs").clamp(0, 60_000);
                tokio::time::sleep(Duration::from_millis(after as u64)).await;
            }
            let answer = match asked.reply(obeys).expect("an answer") {
                Reply::Cut => return Ok(()),
                Reply::Nothing => continue,
                Reply::Answer(body) => body,
            };
            let frame = response(asked.call, asked.correlation_id, &answer);
            for chunk in frame.expect("an answer that encodes").chunks(CHUNK) {
                stream.write_all(chunk).await?;
                self.written
                    .fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            self.has_answered(asked);
        }
    }

    fn has_answered(&self, asked: Asked) {
        if matches!(
            asked.call.api,
            ApiKey::SASL_HANDSHAKE | ApiKey::SASL_AUTHENTICATE
        ) {
            return;
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answered = self.answered.lock();
        let mut answered = answered.unwrap_or_else(PoisonError::into_inner);
        *answered.entry(asked.client_id).or_default() += 1;
    }
}

// === impl Asked ===

impl Asked {
    /// Reads a frame as strictly as can be.
    fn read(frame: &Bytes) -> Result<Self, String> {
        let length = frame.len() as u32;
        let header = RequestHeader::read(frame, length).map_err(|e| e.to_string())?;
        let header = header.ok_or("a frame that ends within its header")?;
        let call = Call::new(header.api, header.version);
        let layout = call.message(Direction::Request)?.layout();
        let interest = Arc::new(Interest::none(layout));
        let start = header.length as u64;
        let mut walker = Walker::new(interest, start, u64::from(length), Trailing::Refuse);
        let body = frame.slice(header.length..);
        walker
            .feed(&body, |_| {})
            .map_err(|error| format!("{call:?}: {error}"))?;
        if !walker.is_done() {
            return Err(format!("{call:?}: a body that has no end"));
        }
        Ok(Self {
            call,
            correlation_id: header.correlation_id,
            client_id: header.client_id.unwrap_or_default().to_owned(),
            body: call.read(Direction::Request, &body)?,
        })
    }

    fn reply(&self, obeys: bool) -> Result<Reply, String> {
        let mut answer = self.call.message(Direction::Response)?;
        match self.call.api {
            ApiKey::SASL_AUTHENTICATE => {
                answer.set("SessionLifetimeMs", LIFE);
            }
            ApiKey::API_VERSIONS => versions(&mut answer),
            ApiKey::METADATA => self.metadata(&mut answer),
            ApiKey::PRODUCE if self.body.int("Acks") == 0 => return Ok(Reply::Nothing),
            ApiKey::PRODUCE => self.produced(&mut answer),
            ApiKey::FETCH if obeys && self.body.int("MinBytes") == CUT => return Ok(Reply::Cut),
            ApiKey::FETCH => self.fetched(&mut answer, obeys),
            _ => {}
        }
        Ok(Reply::Answer(answer))
    }

    fn metadata(&self, answer: &mut Struct) {
        let topics = self.body.structs("Topics").filter_map(|asked| {
            let mut topic = answer.child("Topics")?;
            let mut partition = topic.child("Partitions")?;
            for at in ["ReplicaNodes", "IsrNodes"] {
                partition.set(at, Value::ints([0]));
            }
            let id = match asked.get("TopicId") {
                Some(Value::Uuid(id)) => *id,
                _ => [0; 16],
            };
            if ![[0; 16], TOPIC_ID].contains(&id) {
                topic.set("ErrorCode", UNKNOWN_TOPIC_ID);
                topic.set("TopicId", Value::Uuid(id));
                return Some(topic);
            }
            topic.set("Name", asked.get("Name").cloned().unwrap_or_default());
            topic.set("TopicId", Value::Uuid(TOPIC_ID));
            topic.set("Partitions", vec![partition]);
            Some(topic)
        });
        let topics: Vec<Struct> = topics.collect();
        if let Some(mut broker) = answer.child("Brokers") {
            broker.set("Host", "broker");
            broker.set("Port", 9092_i32);
            answer.set("Brokers", vec![broker]);
        }
        answer.set("Topics", topics);
    }

    fn produced(&self, answer: &mut Struct) {
        let topics = self.body.structs("TopicData").filter_map(|asked| {
            let mut topic = answer.child("Responses")?;
            same(
                &mut topic,
                asked,
                &[("Name", "Name"), ("TopicId", "TopicId")],
            );
            let partitions = asked.structs("PartitionData").filter_map(|asked| {
                let mut partition = topic.child("PartitionResponses")?;
                same(&mut partition, asked, &[("Index", "Index")]);
                Some(partition)
            });
            let partitions: Vec<Struct> = partitions.collect();
            topic.set("PartitionResponses", partitions);
            Some(topic)
        });
        let topics: Vec<Struct> = topics.collect();
        answer.set("Responses", topics);
    }

    fn fetched(&self, answer: &mut Struct, obeys: bool) {
        let bytes = if obeys { self.body.int("MaxBytes") } else { 0 };
        let sent = records(usize::try_from(bytes).unwrap_or(0));
        let topics = self.body.structs("Topics").filter_map(|asked| {
            let mut topic = answer.child("Responses")?;
            same(
                &mut topic,
                asked,
                &[("Topic", "Topic"), ("TopicId", "TopicId")],
            );
            let partitions = asked.structs("Partitions").filter_map(|asked| {
                let mut partition = topic.child("Partitions")?;
                same(&mut partition, asked, &[("PartitionIndex", "Partition")]);
                partition.set("Records", Value::Records(sent.clone()));
                Some(partition)
            });
            let partitions: Vec<Struct> = partitions.collect();
            topic.set("Partitions", partitions);
            Some(topic)
        });
        let topics: Vec<Struct> = topics.collect();
        answer.set("Responses", topics);
    }
}

/// Copies fields that both have.
fn same(to: &mut Struct, from: &Struct, fields: &[(&str, &str)]) {
    for (own, other) in fields {
        if let Some(value) = from.get(other) {
            to.set(own, value.clone());
        }
    }
}

/// Everything that a newest broker has.
fn versions(answer: &mut Struct) {
    let apis = Schemas::get().apis().iter().filter(|api| api.on_brokers());
    let keys = apis.filter_map(|api| {
        let versions = api.served().last()?.stable()?;
        let mut key = answer.child("ApiKeys")?;
        key.set("ApiKey", api.key().0);
        key.set("MinVersion", versions.first);
        key.set("MaxVersion", versions.last);
        Some(key)
    });
    let keys: Vec<Struct> = keys.collect();
    answer.set("ApiKeys", keys);
}

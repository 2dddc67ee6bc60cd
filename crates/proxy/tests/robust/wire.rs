//! The few requests that the tests send, and the answers of their broker.

use std::sync::OnceLock;

use bytes::Bytes;
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::records::{BatchSettings, BatchWriter, NewRecord};
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::{ApiKey, Direction, Schemas};

/// The topic that everything is about.
pub const TOPIC: &str = "orders";
/// Its id.
pub const TOPIC_ID: [u8; 16] = [7; 16];
/// The group of [`heartbeat`].
pub const GROUP: &str = "checkout";
/// A batch that large answers are made of.
const BATCH: usize = 1024 * 1024;

/// An API in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub api: ApiKey,
    pub version: i16,
}

/// A request without its header.
pub struct Request {
    pub call: Call,
    pub body: Struct,
}

/// What a Fetch asks of the scripted broker.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Bytes of records, in whole batches of a MiB; a small one for 0.
    pub bytes: i32,
    /// Milliseconds before the answer.
    pub after: i32,
    /// Instead of an answer, the broker closes the connection.
    pub cut: bool,
}

/// `MinBytes` that says [`Wanted::cut`].
pub const CUT: i64 = 99;

// === impl Call ===

impl Call {
    pub const fn new(api: ApiKey, version: i16) -> Self {
        Self { api, version }
    }

    pub fn message(self, direction: Direction) -> Result<Struct, String> {
        let layout = Schemas::get().layout(self.api, self.version, direction);
        layout.map(Struct::message).map_err(|e| e.to_string())
    }

    fn request(self) -> Request {
        Request {
            call: self,
            body: self.message(Direction::Request).expect("a known request"),
        }
    }

    /// Decodes a body, however large its tree is.
    pub fn read(self, direction: Direction, body: &Bytes) -> Result<Struct, String> {
        let layout = self.message(direction)?.layout();
        let budget = Budget::bytes(64 * 1024 + 64 * body.len());
        decode(layout, body, budget).map_err(|e| e.to_string())
    }
}

// === impl Request ===

impl Request {
    /// The frame, with its length.
    pub fn frame(&self, correlation_id: i32, client_id: &str) -> Vec<u8> {
        let mut out = vec![0; 4];
        let header = RequestHeader {
            api: self.call.api,
            version: self.call.version,
            correlation_id,
            client_id: Some(client_id),
            length: 0,
        };
        header.write(&mut out).expect("a known request");
        self.body.encode(&mut out).expect("a request that encodes");
        finish(out)
    }
}

/// A whole response, with its length.
pub fn response(call: Call, correlation_id: i32, body: &Struct) -> Result<Vec<u8>, String> {
    let mut out = vec![0; 4];
    ResponseHeader::write(&mut out, call.api, call.version, correlation_id)
        .map_err(|e| e.to_string())?;
    body.encode(&mut out).map_err(|e| e.to_string())?;
    Ok(finish(out))
}

fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    let length = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

pub fn api_versions() -> Request {
    let mut request = Call::new(ApiKey::API_VERSIONS, 3).request();
    request.body.set("ClientSoftwareName", "robust");
    request.body.set("ClientSoftwareVersion", "1.0");
    request
}

pub fn metadata() -> Request {
    let mut request = Call::new(ApiKey::METADATA, 12).request();
    let mut topic = request.body.child("Topics").expect("topics");
    topic.set("Name", TOPIC);
    request.body.set("Topics", vec![topic]);
    request
}

pub fn heartbeat() -> Request {
    let mut request = Call::new(ApiKey::HEARTBEAT, 4).request();
    request.body.set("GroupId", GROUP);
    request.body.set("MemberId", "one");
    request
}

/// Some records to one partition.
pub fn produce(bytes: usize) -> Request {
    let mut request = Call::new(ApiKey::PRODUCE, 9).request();
    let mut topic = request.body.child("TopicData").expect("topics");
    let mut partition = topic.child("PartitionData").expect("partitions");
    partition.set("Records", Value::Records(batch(bytes)));
    topic.set("Name", TOPIC);
    topic.set("PartitionData", vec![partition]);
    request.body.set("Acks", -1_i16);
    request.body.set("TimeoutMs", 1000_i32);
    request.body.set("TopicData", vec![topic]);
    request
}

/// From one partition, without a fetch session.
pub fn fetch(wanted: Wanted) -> Request {
    let mut request = Call::new(ApiKey::FETCH, 12).request();
    let mut topic = request.body.child("Topics").expect("topics");
    let mut partition = topic.child("Partitions").expect("partitions");
    partition.set("PartitionMaxBytes", wanted.bytes);
    topic.set("Topic", TOPIC);
    topic.set("Partitions", vec![partition]);
    request.body.set("MaxWaitMs", wanted.after);
    request.body.set("MaxBytes", wanted.bytes);
    let min = if wanted.cut { CUT as i32 } else { 1 };
    request.body.set("MinBytes", min);
    request.body.set("SessionEpoch", -1_i32);
    request.body.set("Topics", vec![topic]);
    request
}

/// Records of about so many bytes.
pub fn records(bytes: usize) -> Bytes {
    static LARGE: OnceLock<Bytes> = OnceLock::new();
    match bytes / BATCH {
        0 => batch(100),
        n => LARGE.get_or_init(|| batch(BATCH)).repeat(n).into(),
    }
}

fn batch(bytes: usize) -> Bytes {
    let value = vec![b'x'; bytes];
    let mut batch = BatchWriter::new(BatchSettings::default()).expect("a batch");
    let record = NewRecord {
        value: Some(&value),
        ..NewRecord::default()
    };
    batch.push(&record).expect("a record");
    batch.finish().expect("a batch").into()
}

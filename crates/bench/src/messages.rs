//! Requests and responses as frames, as ordinary clients and brokers send them.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::records::{BatchSettings, BatchWriter, NewRecord};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

/// A topic's id.
pub type Id = [u8; 16];

/// One exchange: what a client sends, and what a broker answers.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request's frame, its length included.
    pub request: Vec<u8>,
    /// The response's frame, its length included.
    pub response: Vec<u8>,
}

/// Every frame carries this: answers are told apart by their order.
pub const CORRELATION_ID: i32 = 77;
/// The name of a client in its requests.
const CLIENT_ID: &str = "checkout-1";
/// Partitions that a topic has at most here; more are spread over several topics.
const PARTITIONS_A_TOPIC: usize = 100;

/// The topics that `partitions` are spread over, each with how many it has.
pub fn spread(partitions: usize) -> impl Iterator<Item = (usize, usize)> {
    let topics = partitions.div_ceil(PARTITIONS_A_TOPIC);
    (0..topics).map(move |topic| {
        let rest = partitions - topic * PARTITIONS_A_TOPIC;
        (topic, rest.min(PARTITIONS_A_TOPIC))
    })
}

/// The name of topic number `topic`.
pub fn name(topic: usize) -> String {
    format!("orders-{topic}")
}

/// The id of topic number `topic`.
pub fn id(topic: usize) -> Id {
    let mut id = [0xa5; 16];
    id[..8].copy_from_slice(&(topic as u64).to_be_bytes());
    id
}

/// A batch of format 2 with so many records of `size` bytes.
pub fn batch(records: usize, size: usize) -> Result<Bytes> {
    let mut writer = BatchWriter::new(BatchSettings::default())?;
    let value = vec![b'x'; size];
    for offset in 0..records {
        writer.push(&NewRecord {
            offset: offset as i64,
            timestamp: 1_700_000_000_000,
            value: Some(&value),
            ..NewRecord::default()
        })?;
    }
    Ok(writer.finish()?.into())
}

/// A Produce of `records` to each of so many partitions, acks=1, by version 12
/// with names or 13 with ids.
pub fn produce(version: i16, first: usize, partitions: usize, records: &Bytes) -> Result<Exchange> {
    let mut request = message(ApiKey::PRODUCE, version, Direction::Request)?;
    set(&mut request, "Acks", 1i16)?;
    set(&mut request, "TimeoutMs", 30_000)?;
    let topics = with_topics(&request, "TopicData", first, partitions, |topic, index| {
        let mut partition = child(topic, "PartitionData")?;
        set(&mut partition, "Index", index)?;
        set(&mut partition, "Records", Value::Records(records.clone()))?;
        Ok(("PartitionData", partition))
    })?;
    set(&mut request, "TopicData", topics)?;
    let mut response = message(ApiKey::PRODUCE, version, Direction::Response)?;
    let topics = with_topics(&response, "Responses", first, partitions, |topic, index| {
        let mut partition = child(topic, "PartitionResponses")?;
        set(&mut partition, "Index", index)?;
        set(&mut partition, "BaseOffset", 123_456_789i64)?;
        set(&mut partition, "LogStartOffset", 0i64)?;
        Ok(("PartitionResponses", partition))
    })?;
    set(&mut response, "Responses", topics)?;
    exchange(&request, &response)
}

/// A full Fetch (no session) of so many partitions, and `records` of each.
pub fn fetch(version: i16, first: usize, partitions: usize, records: &Bytes) -> Result<Exchange> {
    let mut request = message(ApiKey::FETCH, version, Direction::Request)?;
    set(&mut request, "MaxWaitMs", 500)?;
    set(&mut request, "MinBytes", 1)?;
    set(&mut request, "MaxBytes", 50 * 1024 * 1024)?;
    let topics = with_topics(&request, "Topics", first, partitions, |topic, index| {
        let mut partition = child(topic, "Partitions")?;
        set(&mut partition, "Partition", index)?;
        set(&mut partition, "FetchOffset", 123_456_789i64)?;
        set(&mut partition, "PartitionMaxBytes", 1024 * 1024)?;
        Ok(("Partitions", partition))
    })?;
    set(&mut request, "Topics", topics)?;
    let mut response = message(ApiKey::FETCH, version, Direction::Response)?;
    let topics = with_topics(&response, "Responses", first, partitions, |topic, index| {
        let mut partition = child(topic, "Partitions")?;
        set(&mut partition, "PartitionIndex", index)?;
        set(&mut partition, "HighWatermark", 123_456_799i64)?;
        set(&mut partition, "LastStableOffset", 123_456_799i64)?;
        set(&mut partition, "LogStartOffset", 0i64)?;
        set(&mut partition, "AbortedTransactions", Value::Null)?;
        set(&mut partition, "Records", Value::Records(records.clone()))?;
        Ok(("Partitions", partition))
    })?;
    set(&mut response, "Responses", topics)?;
    exchange(&request, &response)
}

/// A Metadata that asks for one topic by its name; it has so many partitions,
/// on three brokers.
pub fn metadata(version: i16, topic: usize, partitions: usize) -> Result<Exchange> {
    let mut request = message(ApiKey::METADATA, version, Direction::Request)?;
    let mut asked = child(&request, "Topics")?;
    set(&mut asked, "Name", name(topic).as_str())?;
    set(&mut request, "Topics", vec![asked])?;
    set(&mut request, "AllowAutoTopicCreation", false)?;
    let mut response = message(ApiKey::METADATA, version, Direction::Response)?;
    let brokers = (0..3).map(|node| {
        let mut broker = child(&response, "Brokers")?;
        set(&mut broker, "NodeId", node)?;
        set(&mut broker, "Host", "demo-0.demo-nodes.kafka.svc")?;
        set(&mut broker, "Port", 9092)?;
        Ok(broker)
    });
    let brokers = brokers.collect::<Result<Vec<_>>>()?;
    set(&mut response, "Brokers", brokers)?;
    set(&mut response, "ClusterId", "dHViZXdheS1iZW5jaC0wMQ")?;
    set(&mut response, "ControllerId", 0)?;
    let mut told = child(&response, "Topics")?;
    set(&mut told, "Name", name(topic).as_str())?;
    set(&mut told, "TopicId", Value::Uuid(id(topic)))?;
    let all = (0..partitions).map(|index| {
        let mut partition = child(&told, "Partitions")?;
        set(&mut partition, "PartitionIndex", index as i32)?;
        set(&mut partition, "LeaderId", (index % 3) as i32)?;
        set(&mut partition, "ReplicaNodes", Value::ints(0..3))?;
        set(&mut partition, "IsrNodes", Value::ints(0..3))?;
        Ok(partition)
    });
    let all = all.collect::<Result<Vec<_>>>()?;
    set(&mut told, "Partitions", all)?;
    set(&mut response, "Topics", vec![told])?;
    exchange(&request, &response)
}

/// A broker's answers to the login that a session sends first.
pub fn login_taken() -> Result<Vec<u8>> {
    let handshake = message(ApiKey::SASL_HANDSHAKE, 1, Direction::Response)?;
    let authenticated = message(ApiKey::SASL_AUTHENTICATE, 1, Direction::Response)?;
    let mut frames = response_frame(&handshake, 0)?;
    frames.extend(response_frame(&authenticated, 1)?);
    Ok(frames)
}

/// The frame of a request, its length included.
pub fn request_frame(body: &Struct, correlation_id: i32) -> Result<Vec<u8>> {
    let layout = body.layout();
    let header = RequestHeader {
        api: layout.api(),
        version: layout.version(),
        correlation_id,
        client_id: Some(CLIENT_ID),
        length: 0,
    };
    let mut frame = vec![0; 4];
    header.write(&mut frame)?;
    body.encode(&mut frame)?;
    Ok(with_length(frame))
}

/// A message of this API and version with every field at its default.
pub fn message(api: ApiKey, version: i16, direction: Direction) -> Result<Struct> {
    let layout: &'static Layout = Schemas::get().layout(api, version, direction)?;
    Ok(Struct::message(layout))
}

/// An element of the array `field`.
pub fn child(of: &Struct, field: &str) -> Result<Struct> {
    of.child(field)
        .with_context(|| format!("{:?} has no {field}", of.layout().api()))
}

/// Sets a field, which must be there.
pub fn set(of: &mut Struct, field: &str, value: impl Into<Value>) -> Result<()> {
    ensure!(of.set(field, value), "there is no field {field}");
    Ok(())
}

fn response_frame(body: &Struct, correlation_id: i32) -> Result<Vec<u8>> {
    let layout = body.layout();
    let mut frame = vec![0; 4];
    ResponseHeader::write(&mut frame, layout.api(), layout.version(), correlation_id)?;
    body.encode(&mut frame)?;
    Ok(with_length(frame))
}

fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

fn exchange(request: &Struct, response: &Struct) -> Result<Exchange> {
    Ok(Exchange {
        request: request_frame(request, CORRELATION_ID)?,
        response: response_frame(response, CORRELATION_ID)?,
    })
}

/// The topics of a message, named as its version does, with their partitions.
fn with_topics(
    of: &Struct,
    field: &str,
    first: usize,
    partitions: usize,
    partition: impl Fn(&Struct, i32) -> Result<(&'static str, Struct)>,
) -> Result<Vec<Struct>> {
    let topics = spread(partitions).map(|(number, partitions)| {
        let (mut topic, number) = (child(of, field)?, first + number);
        let by_name = ["Name", "Topic"].map(|field| topic.set(field, name(number).as_str()));
        if by_name == [false, false] {
            set(&mut topic, "TopicId", Value::Uuid(id(number)))?;
        }
        let mut array = "";
        let mut all = Vec::with_capacity(partitions);
        for index in 0..partitions {
            let (field, one) = partition(&topic, index as i32)?;
            array = field;
            all.push(one);
        }
        set(&mut topic, array, all)?;
        Ok(topic)
    });
    topics.collect()
}

//! One connection to one broker: frames, versions, correlation ids.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages as kafka;
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, StrBytes, VersionRange,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connect::{BrokerAddress, ByteStream, Connect};
use super::error::{AdminError, Refusal};
use super::pool::Limits;

const CLIENT: StrBytes = StrBytes::from_static_str("tubeway-operator");
const CLIENT_VERSION: StrBytes = StrBytes::from_static_str(env!("CARGO_PKG_VERSION"));
/// UNSUPPORTED_VERSION: what a broker says, in version 0, to a version of
/// ApiVersions that it does not know.
const UNSUPPORTED_VERSION: i16 = 35;

/// A request of Kafka's protocol, with the answer that belongs to it.
pub trait Call: Message + Encodable + HeaderVersion {
    /// The answer.
    type Response: Message + Decodable + HeaderVersion;
    /// Kafka's number for the pair.
    const KEY: i16;
    /// Kafka's name for the pair.
    const NAME: &'static str;
}

/// A connection on which versions are agreed. Requests go one at a time.
pub(super) struct Connection {
    broker: BrokerAddress,
    stream: Box<dyn ByteStream>,
    versions: BTreeMap<i16, VersionRange>,
    next_correlation_id: i32,
    limits: Limits,
}

macro_rules! calls {
    ($($name:literal $key:literal $request:ident $response:ident)*) => {$(
        impl Call for kafka::$request {
            type Response = kafka::$response;
            const KEY: i16 = $key;
            const NAME: &'static str = $name;
        }
    )*};
}

calls! {
    "Metadata" 3 MetadataRequest MetadataResponse
    "ApiVersions" 18 ApiVersionsRequest ApiVersionsResponse
    "CreateTopics" 19 CreateTopicsRequest CreateTopicsResponse
    "DeleteTopics" 20 DeleteTopicsRequest DeleteTopicsResponse
    "DescribeAcls" 29 DescribeAclsRequest DescribeAclsResponse
    "CreateAcls" 30 CreateAclsRequest CreateAclsResponse
    "DeleteAcls" 31 DeleteAclsRequest DeleteAclsResponse
    "DescribeConfigs" 32 DescribeConfigsRequest DescribeConfigsResponse
    "AlterReplicaLogDirs" 34 AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse
    "DescribeLogDirs" 35 DescribeLogDirsRequest DescribeLogDirsResponse
    "CreatePartitions" 37 CreatePartitionsRequest CreatePartitionsResponse
    "ElectLeaders" 43 ElectLeadersRequest ElectLeadersResponse
    "IncrementalAlterConfigs" 44 IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse
    "AlterPartitionReassignments" 45 AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse
    "ListPartitionReassignments" 46 ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse
    "DescribeQuorum" 55 DescribeQuorumRequest DescribeQuorumResponse
    "UpdateFeatures" 57 UpdateFeaturesRequest UpdateFeaturesResponse
    "DescribeCluster" 60 DescribeClusterRequest DescribeClusterResponse
    "UnregisterBroker" 64 UnregisterBrokerRequest UnregisterBrokerResponse
    "AddRaftVoter" 80 AddRaftVoterRequest AddRaftVoterResponse
    "RemoveRaftVoter" 81 RemoveRaftVoterRequest RemoveRaftVoterResponse
}

// === impl Connection ===

impl Connection {
    /// Connects and asks the broker which versions it speaks.
    pub(super) async fn open(
        connect: &dyn Connect,
        broker: &BrokerAddress,
        limits: &Limits,
    ) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Connect {
            broker: broker.clone(),
            source,
        };
        let stream = timeout(limits.connect, connect.connect(broker))
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        let mut connection = Self {
            broker: broker.clone(),
            stream,
            versions: BTreeMap::new(),
            next_correlation_id: 0,
            limits: limits.clone(),
        };
        connection.negotiate().await?;
        Ok(connection)
    }

    /// Sends one request and waits for its answer. `request` is told the version.
    ///
    /// After an error, or if the future is dropped, the connection must not be
    /// used again: the answer may still be on its way.
    pub(super) async fn call<R: Call>(
        &mut self,
        request: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, AdminError> {
        let version = self.version_of::<R>()?;
        let mut body = self.exchange(&request(version), version).await?;
        self.decode::<R>(&mut body, version)
    }

    async fn negotiate(&mut self) -> Result<(), AdminError> {
        const NEWEST: i16 = 3;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(CLIENT)
            .with_client_software_version(CLIENT_VERSION);
        let mut body = self.exchange(&request, NEWEST).await?;
        let mut version = NEWEST;
        if body.get(..2) == Some(&UNSUPPORTED_VERSION.to_be_bytes()) {
            version = 0;
            body = self.exchange(&ApiVersionsRequest::default(), 0).await?;
        }
        let response = self.decode::<ApiVersionsRequest>(&mut body, version)?;
        Refusal::check(response.error_code, None).map_err(|refusal| AdminError::Refused {
            api: ApiVersionsRequest::NAME,
            refusal,
        })?;
        self.versions = response
            .api_keys
            .iter()
            .map(|api| {
                let (min, max) = (api.min_version, api.max_version);
                (api.api_key, VersionRange { min, max })
            })
            .collect();
        Ok(())
    }

    /// The newest version that both sides can write *and* read. What the crate
    /// says about an API as a whole includes versions that its types refuse, so
    /// only the types themselves are asked.
    fn version_of<R: Call>(&self) -> Result<i16, AdminError> {
        let ours = R::VERSIONS.intersect(&R::Response::VERSIONS);
        let theirs = self.versions.get(&R::KEY);
        match theirs.map(|theirs| theirs.intersect(&ours)) {
            Some(common) if !common.is_empty() => Ok(common.max),
            _ => Err(AdminError::Version {
                broker: self.broker.clone(),
                api: R::NAME,
                ours: (ours.min, ours.max),
                theirs: theirs.map(|range| (range.min, range.max)),
            }),
        }
    }

    /// Writes a request and reads a frame: the body of the answer, behind its header.
    async fn exchange<R: Call>(&mut self, request: &R, version: i16) -> Result<Bytes, AdminError> {
        let after = self.limits.request;
        let id = self.next_correlation_id;
        self.next_correlation_id = id.wrapping_add(1);
        let frame = encode(request, version, id).map_err(|e| AdminError::Encode {
            api: R::NAME,
            version,
            detail: format!("{e:#}"),
        })?;
        let mut answer = match timeout(after, self.round_trip(&frame)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(source)) if source.kind() == io::ErrorKind::InvalidData => {
                return Err(self.malformed::<R>(source.to_string()));
            }
            Ok(Err(source)) => {
                return Err(AdminError::Lost {
                    broker: self.broker.clone(),
                    api: R::NAME,
                    source,
                });
            }
            Err(_) => return Err(self.timed_out::<R>(after)),
        };
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header_version)
            .map_err(|e| self.malformed::<R>(format!("{e:#}")))?;
        if header.correlation_id != id {
            let detail = format!("correlation id {} instead of {id}", header.correlation_id);
            return Err(self.malformed::<R>(detail));
        }
        Ok(answer)
    }

    async fn round_trip(&mut self, frame: &[u8]) -> io::Result<Bytes> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await?;
        let length = self.stream.read_u32().await? as usize;
        if length > self.limits.frame {
            let text = format!("a frame of {length} bytes, more than {}", self.limits.frame);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        // Memory follows the bytes that arrive, not the length that is promised.
        let mut answer = Vec::new();
        let read = (&mut self.stream).take(length as u64);
        { read }.read_to_end(&mut answer).await?;
        if answer.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.into())
    }

    fn decode<R: Call>(&self, body: &mut Bytes, version: i16) -> Result<R::Response, AdminError> {
        let response = R::Response::decode(body, version)
            .map_err(|e| self.malformed::<R>(format!("{e:#}")))?;
        if body.has_remaining() {
            return Err(self.malformed::<R>(format!("{} bytes too many", body.remaining())));
        }
        Ok(response)
    }

    fn malformed<R: Call>(&self, detail: String) -> AdminError {
        AdminError::Malformed {
            broker: self.broker.clone(),
            api: R::NAME,
            detail,
        }
    }

    fn timed_out<R: Call>(&self, after: Duration) -> AdminError {
        AdminError::Timeout {
            broker: self.broker.clone(),
            api: R::NAME,
            after,
        }
    }
}

/// The whole frame of a request, with its length in front.
fn encode<R: Call>(
    request: &R,
    version: i16,
    correlation_id: i32,
) -> Result<BytesMut, Box<dyn std::error::Error + Send + Sync>> {
    let mut frame = BytesMut::zeroed(4);
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(CLIENT))
        .encode(&mut frame, R::header_version(version))?;
    request.encode(&mut frame, version)?;
    let length = u32::try_from(frame.len() - 4)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

#[cfg(test)]
mod tests;

//! The simulated Kafka at the other end of a connection: frames in, frames out.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use kafka_protocol::messages as kafka;
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tubeway_operator::kafka_admin::{BrokerAddress, ByteStream, Call, Connect};

use super::answers;
use super::kafka::Kafka;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// The operator ends before the call arrives.
    CrashBefore,
    /// The call is carried out, and the operator ends before the answer.
    CrashAfter,
    /// The call is carried out, and the connection is cut in place of an answer.
    LostAnswer,
    /// Refused with an error that may pass: another broker is the controller now.
    Refused,
    /// The connection is cut, and nothing is done.
    LostRequest,
}

/// The cluster with everything that happens to its callers. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct SimKafka {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
}

#[derive(Default)]
struct State {
    kafka: Kafka,
    /// Names of the calls since the last plan.
    calls: Vec<&'static str>,
    fault: Option<(usize, CallFault)>,
    crashed: bool,
}

/// Connections to it.
pub(crate) struct SimConnect(pub(crate) SimKafka);

/// A request that knows what it is called.
pub(crate) type Reply<R> = <R as Call>::Response;

// === impl SimKafka ===

impl SimKafka {
    /// A cluster that is as this one was.
    pub(crate) fn like(kafka: Kafka) -> Self {
        let new = Self::default();
        new.lock().kafka = kafka;
        new
    }

    pub(crate) fn kafka<T>(&self, look: impl FnOnce(&mut Kafka) -> T) -> T {
        look(&mut self.lock().kafka)
    }

    /// From now on calls are counted anew, and the one of this number meets a fault.
    pub(crate) fn plan(&self, fault: Option<(usize, CallFault)>) {
        let mut state = self.lock();
        state.calls.clear();
        state.fault = fault;
        state.crashed = false;
        drop(state);
        self.changed.send_replace(());
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.clone()
    }

    /// Waits until the operator has met a crash.
    pub(crate) async fn crashed(&self) {
        let mut changed = self.changed.subscribe();
        while !self.lock().crashed {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn revive(&self) {
        self.lock().crashed = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn is_up(&self, node: u32) -> bool {
        self.kafka(|kafka| kafka.nodes.get(&node).is_some_and(|n| n.up && n.broker))
    }

    fn meet(&self, name: &'static str) -> Option<CallFault> {
        let mut state = self.lock();
        let number = state.calls.len();
        state.calls.push(name);
        state.fault.filter(|(at, _)| *at == number).map(|(_, f)| f)
    }

    fn crash(&self) {
        self.lock().crashed = true;
        self.changed.send_replace(());
    }

    /// Answers a frame; `None` cuts the connection.
    async fn answer(&self, frame: Bytes) -> Option<Vec<u8>> {
        let key = i16::from_be_bytes([frame[0], frame[1]]);
        if key == kafka::ApiVersionsRequest::KEY {
            return Some(self.reply(frame, None, answers::versions));
        }
        macro_rules! dispatch {
            ($($request:ident $answer:ident)*) => {
                match key {
                    $(kafka::$request::KEY => {
                        self.faulted::<kafka::$request>(frame, answers::$answer).await
                    })*
                    key => panic!("the simulated Kafka has no API {key}"),
                }
            };
        }
        dispatch! {
            MetadataRequest metadata
            CreateTopicsRequest create_topics
            DeleteTopicsRequest delete_topics
            CreatePartitionsRequest create_partitions
            DescribeConfigsRequest describe_configs
            IncrementalAlterConfigsRequest alter_configs
            DescribeAclsRequest describe_acls
            CreateAclsRequest create_acls
            DeleteAclsRequest delete_acls
            DescribeQuorumRequest describe_quorum
            ElectLeadersRequest elect_leaders
            DescribeClusterRequest describe_cluster
            DescribeLogDirsRequest describe_log_dirs
            AlterReplicaLogDirsRequest move_between_disks
            AlterPartitionReassignmentsRequest reassign
            ListPartitionReassignmentsRequest list_reassignments
            AddRaftVoterRequest add_voter
            RemoveRaftVoterRequest remove_voter
            UnregisterBrokerRequest unregister
            UpdateFeaturesRequest update_features
        }
    }

    async fn faulted<R: Call + Decodable>(
        &self,
        frame: Bytes,
        answer: fn(&mut Kafka, &R, Option<i16>) -> Reply<R>,
    ) -> Option<Vec<u8>>
    where
        R::Response: Encodable,
    {
        /// NOT_CONTROLLER.
        const REFUSAL: i16 = 41;
        match self.meet(R::NAME) {
            None => Some(self.reply(frame, None, answer)),
            Some(CallFault::Refused) => Some(self.reply(frame, Some(REFUSAL), answer)),
            Some(CallFault::LostRequest) => None,
            Some(CallFault::LostAnswer) => {
                let _ = self.reply(frame, None, answer);
                None
            }
            Some(CallFault::CrashBefore) => {
                self.crash();
                std::future::pending().await
            }
            Some(CallFault::CrashAfter) => {
                let _ = self.reply(frame, None, answer);
                self.crash();
                std::future::pending().await
            }
        }
    }

    fn reply<R: Call + Decodable>(
        &self,
        mut frame: Bytes,
        refusal: Option<i16>,
        answer: fn(&mut Kafka, &R, Option<i16>) -> Reply<R>,
    ) -> Vec<u8>
    where
        R::Response: Encodable,
    {
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let header = RequestHeader::decode(&mut frame, R::header_version(version)).unwrap();
        let request = R::decode(&mut frame, version).unwrap();
        let response = self.kafka(|kafka| answer(kafka, &request, refusal));
        let mut out = BytesMut::zeroed(4);
        ResponseHeader::default()
            .with_correlation_id(header.correlation_id)
            .encode(&mut out, R::Response::header_version(version))
            .unwrap();
        response.encode(&mut out, version).unwrap();
        let length = u32::try_from(out.len() - 4).unwrap();
        out[..4].copy_from_slice(&length.to_be_bytes());
        out.to_vec()
    }

    async fn serve(self, node: u32, mut stream: DuplexStream) -> io::Result<()> {
        loop {
            let length = stream.read_u32().await?;
            let mut frame = vec![0; length as usize];
            stream.read_exact(&mut frame).await?;
            if !self.is_up(node) {
                return Ok(());
            }
            self.kafka(|kafka| kafka.asked = node);
            match self.answer(frame.into()).await {
                Some(bytes) => stream.write_all(&bytes).await?,
                None => return Ok(()),
            }
        }
    }
}

// === impl SimConnect ===

impl Connect for SimConnect {
    fn connect<'a>(
        &'a self,
        address: &'a BrokerAddress,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        let pod = address.host.split('.').next().unwrap_or_default();
        let node = pod.rsplit('-').next().and_then(|id| id.parse().ok());
        async move {
            let node = node.filter(|node| self.0.is_up(*node));
            let node = node.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(self.0.clone().serve(node, theirs));
            Ok(Box::new(ours) as Box<dyn ByteStream>)
        }
        .boxed()
    }
}

/// Every API that the operator calls, in every version that both can.
pub(crate) fn api_versions() -> BTreeMap<i16, (i16, i16)> {
    macro_rules! versions {
        ($($request:ident)*) => {
            [$({
                let ours = kafka::$request::VERSIONS;
                let theirs = <kafka::$request as Call>::Response::VERSIONS;
                let both = ours.intersect(&theirs);
                (kafka::$request::KEY, (both.min, both.max))
            }),*].into()
        };
    }
    versions!(
        MetadataRequest CreateTopicsRequest DeleteTopicsRequest CreatePartitionsRequest
        DescribeConfigsRequest IncrementalAlterConfigsRequest DescribeAclsRequest
        CreateAclsRequest DeleteAclsRequest DescribeQuorumRequest ElectLeadersRequest
        ApiVersionsRequest DescribeClusterRequest DescribeLogDirsRequest
        AlterReplicaLogDirsRequest AlterPartitionReassignmentsRequest ListPartitionReassignmentsRequest AddRaftVoterRequest
        RemoveRaftVoterRequest UnregisterBrokerRequest UpdateFeaturesRequest
    )
}

pub(crate) fn text(text: &str) -> StrBytes {
    text.to_owned().into()
}

//! The cluster's brokers.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, UnregisterBrokerRequest};
use kafka_protocol::protocol::StrBytes;

use super::BrokerAddress;
use super::error::{AdminError, Refusal};
use super::pool::Admin;

/// The first version that can ask for fenced brokers.
const WITH_FENCED: i16 = 2;

/// The cluster as its brokers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Kafka's id of the cluster.
    pub id: String,
    /// Brokers that are registered, by id.
    pub brokers: Vec<Broker>,
}

/// One registered broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Kafka's `node.id`.
    pub id: i32,
    /// What it advertises on the listener that was asked.
    pub address: BrokerAddress,
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// Registered, but leads nothing: starting, shutting down, or away.
    pub fenced: bool,
}

// === impl Admin ===

impl Admin {
    /// The cluster's brokers. Those that are fenced are among them where the
    /// brokers can say so (Kafka 4.0).
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        let request = |version| {
            DescribeClusterRequest::default().with_include_fenced_brokers(version >= WITH_FENCED)
        };
        let response = self
            .call(request, |r| {
                Refusal::check(r.error_code, r.error_message.as_ref())
            })
            .await?;
        let mut brokers: Vec<_> = response
            .brokers
            .iter()
            .map(|broker| Broker {
                id: broker.broker_id.0,
                address: BrokerAddress::new(
                    broker.host.to_string(),
                    u16::try_from(broker.port).unwrap_or(0),
                ),
                rack: broker.rack.as_ref().map(ToString::to_string),
                fenced: broker.is_fenced,
            })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            id: response.cluster_id.to_string(),
            brokers,
        })
    }

    /// Takes the registration of a broker away that is gone for good; one that is
    /// not registered is no error.
    pub async fn unregister_broker(&self, id: i32) -> Result<(), AdminError> {
        let request = |_| UnregisterBrokerRequest::default().with_broker_id(BrokerId(id));
        let check = |code, message: Option<&StrBytes>| match Refusal::check(code, message) {
            Err(refusal) if refusal.error == ResponseError::BrokerIdNotRegistered => Ok(()),
            checked => checked,
        };
        let response = self.call(request, |r| check(r.error_code, r.error_message.as_ref()));
        response.await.map(|_| ())
    }
}

//! What the session has been taught: a new Kafka release is not served by
//! accident.

use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_session::access;

use crate::world::*;

/// Key, first and last version of every API that has been looked at: what is
/// in its messages is known to the session, and who may use it.
///
/// Add a line, or raise a number, only after having read what is new in it:
/// topics, groups or ids to be authorised (`access`), records (`records`),
/// addresses of brokers (`names_brokers`), answers that do not come.
const KNOWN: &[(i16, i16, i16)] = &[
    (0, 0, 13), // Produce
    (1, 0, 18), // Fetch
    (2, 0, 11), // ListOffsets
    (3, 0, 13), // Metadata
    (4, 0, 7),  // LeaderAndIsr
    (5, 0, 4),  // StopReplica
    (6, 0, 8),  // UpdateMetadata
    (7, 0, 3),  // ControlledShutdown
    (8, 0, 10), // OffsetCommit
    (9, 0, 10), // OffsetFetch
    (10, 0, 6), // FindCoordinator
    (11, 0, 9), // JoinGroup
    (12, 0, 4), // Heartbeat
    (13, 0, 5), // LeaveGroup
    (14, 0, 5), // SyncGroup
    (15, 0, 6), // DescribeGroups
    (16, 0, 5), // ListGroups
    (17, 0, 1), // SaslHandshake
    (18, 0, 4), // ApiVersions
    (19, 0, 7), // CreateTopics
    (20, 0, 6), // DeleteTopics
    (21, 0, 2), // DeleteRecords
    (22, 0, 6), // InitProducerId
    (23, 0, 4), // OffsetForLeaderEpoch
    (24, 0, 5), // AddPartitionsToTxn
    (25, 0, 4), // AddOffsetsToTxn
    (26, 0, 5), // EndTxn
    (27, 0, 2), // WriteTxnMarkers
    (28, 0, 5), // TxnOffsetCommit
    (29, 0, 3), // DescribeAcls
    (30, 0, 3), // CreateAcls
    (31, 0, 3), // DeleteAcls
    (32, 0, 4), // DescribeConfigs
    (33, 0, 2), // AlterConfigs
    (34, 0, 2), // AlterReplicaLogDirs
    (35, 0, 5), // DescribeLogDirs
    (36, 0, 2), // SaslAuthenticate
    (37, 0, 3), // CreatePartitions
    (38, 0, 3), // CreateDelegationToken
    (39, 0, 2), // RenewDelegationToken
    (40, 0, 2), // ExpireDelegationToken
    (41, 0, 3), // DescribeDelegationToken
    (42, 0, 2), // DeleteGroups
    (43, 0, 2), // ElectLeaders
    (44, 0, 1), // IncrementalAlterConfigs
    (45, 0, 1), // AlterPartitionReassignments
    (46, 0, 0), // ListPartitionReassignments
    (47, 0, 0), // OffsetDelete
    (48, 0, 1), // DescribeClientQuotas
    (49, 0, 1), // AlterClientQuotas
    (50, 0, 0), // DescribeUserScramCredentials
    (51, 0, 0), // AlterUserScramCredentials
    (52, 0, 2), // Vote
    (53, 0, 1), // BeginQuorumEpoch
    (54, 0, 1), // EndQuorumEpoch
    (55, 0, 2), // DescribeQuorum
    (56, 0, 3), // AlterPartition
    (57, 0, 2), // UpdateFeatures
    (58, 0, 0), // Envelope
    (59, 0, 1), // FetchSnapshot
    (60, 0, 2), // DescribeCluster
    (61, 0, 0), // DescribeProducers
    (62, 0, 4), // BrokerRegistration
    (63, 0, 2), // BrokerHeartbeat
    (64, 0, 0), // UnregisterBroker
    (65, 0, 0), // DescribeTransactions
    (66, 0, 2), // ListTransactions
    (67, 0, 0), // AllocateProducerIds
    (68, 0, 1), // ConsumerGroupHeartbeat
    (69, 0, 1), // ConsumerGroupDescribe
    (70, 0, 0), // ControllerRegistration
    (71, 0, 0), // GetTelemetrySubscriptions
    (72, 0, 0), // PushTelemetry
    (73, 0, 0), // AssignReplicasToDirs
    (74, 0, 1), // ListConfigResources
    (75, 0, 0), // DescribeTopicPartitions
    (76, 0, 1), // ShareGroupHeartbeat
    (77, 0, 1), // ShareGroupDescribe
    (78, 0, 2), // ShareFetch
    (79, 0, 2), // ShareAcknowledge
    (80, 0, 1), // AddRaftVoter
    (81, 0, 0), // RemoveRaftVoter
    (82, 0, 0), // UpdateRaftVoter
    (83, 0, 0), // InitializeShareGroupState
    (84, 0, 0), // ReadShareGroupState
    (85, 0, 1), // WriteShareGroupState
    (86, 0, 0), // DeleteShareGroupState
    (87, 0, 1), // ReadShareGroupStateSummary
    (88, 0, 0), // StreamsGroupHeartbeat
    (89, 0, 0), // StreamsGroupDescribe
    (90, 0, 1), // DescribeShareGroupOffsets
    (91, 0, 0), // AlterShareGroupOffsets
    (92, 0, 0), // DeleteShareGroupOffsets
];

/// Every API and version of the schemas has been looked at, and no other.
#[test]
fn every_api_and_version_of_the_schemas_is_known() {
    let there: Vec<_> = Schemas::get()
        .apis()
        .iter()
        .map(|api| {
            let versions = api.message(Direction::Request).versions();
            (api.key().0, versions.first, versions.last)
        })
        .collect();
    let name = |key| ApiKey(key).name().unwrap_or("?");
    let new: Vec<_> = there
        .iter()
        .filter(|range| !KNOWN.contains(range))
        .map(|range| (name(range.0), range))
        .collect();
    assert!(new.is_empty(), "not looked at yet: {new:?}");
    assert_eq!(there, KNOWN, "what has gone from the schemas goes here too");
}

/// Access has a rule for every one, and none for what is not there.
#[test]
fn every_api_of_the_schemas_has_a_rule_of_access() {
    for key in i16::MIN..=i16::MAX {
        let key = ApiKey(key);
        let there = Schemas::get().api(key).is_some();
        assert_eq!(access::look(key).is_some(), there, "{key}");
    }
}

/// A response has the versions that its request has.
#[test]
fn every_request_has_a_response_of_its_version() {
    for api in Schemas::get().apis() {
        for version in all_versions(api.key()) {
            let response = Schemas::get().layout(api.key(), version, Direction::Response);
            assert!(response.is_ok(), "{} v{version}", api.name());
        }
    }
}

/// Fields that a broker's address can be in, of what a client can ask for.
/// What is new among them must be rewritten beside the client, or be none.
#[test]
fn every_host_in_a_response_is_rewritten_or_nobodys_to_dial() {
    const REWRITTEN: &[&str] = &[
        "Produce",
        "Fetch",
        "Metadata",
        "FindCoordinator",
        "DescribeCluster",
        "ShareFetch",
        "ShareAcknowledge",
    ];
    /// Hosts in rules, of controllers (whom no client of ours reaches), and of
    /// applications among themselves.
    const OTHERS: &[&str] = &[
        "DescribeAcls",
        "DeleteAcls",
        "DescribeQuorum",
        "StreamsGroupHeartbeat",
        "StreamsGroupDescribe",
    ];
    for api in Schemas::get().apis().iter().filter(|api| api.on_brokers()) {
        let response = api.message(Direction::Response);
        let hosts = ["Host", "HostName"].map(|field| response.has_field_named(field));
        let listed = REWRITTEN.contains(&api.name()) || OTHERS.contains(&api.name());
        assert_eq!(hosts.contains(&true), listed, "{}", api.name());
    }
}

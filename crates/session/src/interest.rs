//! What is looked at in the messages of each API.
//!
//! Who decides, who counts and who rewrites look at a message in one walk, so
//! there is one table of what they want to see.

use std::sync::{Arc, OnceLock};

use tubeway_protocol::rewrite::EndpointRewriter;
use tubeway_protocol::walk::{Interest, Mark, Trailing, Walker};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

/// Highest API key and version for which an interest is kept ready.
const APIS: usize = 128;
const VERSIONS: usize = 32;
/// Heartbeats by which members join, too (KIP-848, KIP-932, KIP-1071).
const HEARTBEAT: ApiKey = ApiKey(68);
const SHARE_HEARTBEAT: ApiKey = ApiKey(76);
const STREAMS_HEARTBEAT: ApiKey = ApiKey(88);

pub(crate) const ACKS: Mark = Mark(1);
pub(crate) const TOPIC: Mark = Mark(2);
pub(crate) const RECORDS: Mark = Mark(3);
pub(crate) const ERROR: Mark = Mark(4);
pub(crate) const ENDPOINTS: Mark = Mark(5);
pub(crate) const THROTTLE: Mark = Mark(6);
pub(crate) const PARTITION: Mark = Mark(7);
pub(crate) const OFFSET: Mark = Mark(8);
pub(crate) const GROUP: Mark = Mark(9);
pub(crate) const SOFTWARE_NAME: Mark = Mark(10);
pub(crate) const SOFTWARE_VERSION: Mark = Mark(11);
pub(crate) const ID: Mark = Mark(12);
pub(crate) const TRANSACTION: Mark = Mark(13);
pub(crate) const REPLICA: Mark = Mark(14);
pub(crate) const SESSION: Mark = Mark(15);
pub(crate) const SESSION_EPOCH: Mark = Mark(16);
pub(crate) const MEMBER_EPOCH: Mark = Mark(17);
/// The array of a response that its topics are in.
pub(crate) const RESPONSES: Mark = Mark(18);

/// A walker over a body of `length` bytes that reports what is looked at in it.
pub(crate) fn walker(layout: &'static Layout, direction: Direction, length: u64) -> Walker {
    let trailing = match direction {
        Direction::Request => Trailing::Refuse,
        Direction::Response => Trailing::Allow,
    };
    Walker::new(interest(layout, direction), 0, length, trailing)
}

/// The interest of a message, made once: no lock is held by two connections
/// for longer than the first of them needs to make it.
fn interest(layout: &'static Layout, direction: Direction) -> Arc<Interest> {
    static KEPT: [[OnceLock<Arc<Interest>>; APIS * VERSIONS]; 2] =
        [const { [const { OnceLock::new() }; APIS * VERSIONS] }; 2];
    let make = || {
        let interest = Interest::new(layout, &paths(layout.api(), direction));
        let interest = interest.unwrap_or_else(|_| Interest::none(layout));
        Arc::new(EndpointRewriter::watch(interest, ENDPOINTS))
    };
    let slot = usize::try_from(layout.api().0)
        .ok()
        .zip(usize::try_from(layout.version()).ok())
        .filter(|(api, version)| *api < APIS && *version < VERSIONS);
    match slot {
        Some((api, version)) => {
            let direction = usize::from(matches!(direction, Direction::Response));
            KEPT[direction][api * VERSIONS + version]
                .get_or_init(make)
                .clone()
        }
        None => make(),
    }
}

/// What is looked at in a message.
fn paths(api: ApiKey, direction: Direction) -> Vec<(&'static str, Mark)> {
    let own: &[(&str, Mark)] = match (api, direction) {
        (ApiKey::PRODUCE, Direction::Request) => &[
            ("TransactionalId", TRANSACTION),
            ("Acks", ACKS),
            ("TopicData.Name", TOPIC),
            ("TopicData.TopicId", TOPIC),
            ("TopicData.PartitionData.Index", PARTITION),
            ("TopicData.PartitionData.Records", RECORDS),
        ],
        (ApiKey::FETCH, Direction::Request) => &[
            ("ReplicaId", REPLICA),
            ("ReplicaState.ReplicaId", REPLICA),
            ("SessionId", SESSION),
            ("SessionEpoch", SESSION_EPOCH),
            ("Topics.Topic", TOPIC),
            ("Topics.TopicId", TOPIC),
            ("Topics.Partitions.Partition", PARTITION),
        ],
        (ApiKey::SHARE_FETCH | ApiKey::SHARE_ACKNOWLEDGE, Direction::Request) => &[
            ("Topics.TopicId", TOPIC),
            ("Topics.Partitions.PartitionIndex", PARTITION),
        ],
        (HEARTBEAT | SHARE_HEARTBEAT | STREAMS_HEARTBEAT, Direction::Request) => {
            &[("MemberEpoch", MEMBER_EPOCH)]
        }
        (ApiKey::OFFSET_COMMIT | ApiKey::TXN_OFFSET_COMMIT, Direction::Request) => &[
            ("GroupId", GROUP),
            ("Topics.Name", TOPIC),
            ("Topics.TopicId", TOPIC),
            ("Topics.Partitions.PartitionIndex", PARTITION),
            ("Topics.Partitions.CommittedOffset", OFFSET),
        ],
        (ApiKey::API_VERSIONS, Direction::Request) => &[
            ("ClientSoftwareName", SOFTWARE_NAME),
            ("ClientSoftwareVersion", SOFTWARE_VERSION),
        ],
        (ApiKey::PRODUCE, Direction::Response) => {
            &[("Responses.Name", TOPIC), ("Responses.TopicId", TOPIC)]
        }
        (ApiKey::FETCH, Direction::Response) => &[
            ("Responses", RESPONSES),
            ("Responses.Topic", TOPIC),
            ("Responses.TopicId", TOPIC),
            ("Responses.Partitions.PartitionIndex", PARTITION),
            ("Responses.Partitions.HighWatermark", OFFSET),
            ("Responses.Partitions.Records", RECORDS),
        ],
        (ApiKey::SHARE_ACKNOWLEDGE, Direction::Response) => &[("Responses", RESPONSES)],
        (ApiKey::SHARE_FETCH, Direction::Response) => &[
            ("Responses", RESPONSES),
            ("Responses.TopicId", TOPIC),
            ("Responses.Partitions.Records", RECORDS),
        ],
        (ApiKey::OFFSET_COMMIT | ApiKey::TXN_OFFSET_COMMIT, Direction::Response) => {
            &[("Topics.Name", TOPIC), ("Topics.TopicId", TOPIC)]
        }
        (ApiKey::METADATA, Direction::Response) => {
            &[("Topics.Name", TOPIC), ("Topics.TopicId", ID)]
        }
        _ => &[],
    };
    let both: &[_] = match direction {
        Direction::Request => &[],
        Direction::Response => &[("**.ErrorCode", ERROR), ("ThrottleTimeMs", THROTTLE)],
    };
    // A path that no version of the message has would be an error.
    let message = Schemas::get().api(api).map(|api| api.message(direction));
    let has = |path: &str| {
        message.is_some_and(|message| match path.strip_prefix("**.") {
            Some(name) => message.has_field_named(name),
            None => message.has_field(path),
        })
    };
    let paths = both.iter().chain(own);
    paths.copied().filter(|(path, _)| has(path)).collect()
}

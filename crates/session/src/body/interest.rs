//! What is looked at in the messages of each API.

use std::sync::{Arc, OnceLock};

use tubeway_protocol::rewrite::EndpointRewriter;
use tubeway_protocol::schema::UnknownMessage;
use tubeway_protocol::walk::{Interest, Mark};
use tubeway_protocol::{ApiKey, Direction, Schemas};

/// Highest API key and version for which an interest is kept ready.
const APIS: usize = 128;
const VERSIONS: usize = 32;
const TXN_OFFSET_COMMIT: ApiKey = ApiKey(28);

pub(super) const ACKS: Mark = Mark(1);
pub(super) const TOPIC: Mark = Mark(2);
pub(super) const RECORDS: Mark = Mark(3);
pub(super) const ERROR: Mark = Mark(4);
pub(super) const ENDPOINTS: Mark = Mark(5);
pub(super) const THROTTLE: Mark = Mark(6);
pub(super) const PARTITION: Mark = Mark(7);
pub(super) const OFFSET: Mark = Mark(8);
pub(super) const GROUP: Mark = Mark(9);
pub(super) const SOFTWARE_NAME: Mark = Mark(10);
pub(super) const SOFTWARE_VERSION: Mark = Mark(11);
pub(super) const ID: Mark = Mark(12);

/// The interest of a message, made once: no lock is held by two connections
/// for longer than the first of them needs to make it.
pub(super) fn interest(
    api: ApiKey,
    version: i16,
    direction: Direction,
) -> Result<Arc<Interest>, UnknownMessage> {
    static KEPT: [[OnceLock<Arc<Interest>>; APIS * VERSIONS]; 2] =
        [const { [const { OnceLock::new() }; APIS * VERSIONS] }; 2];
    let layout = Schemas::get().layout(api, version, direction)?;
    let make = || {
        let interest = Interest::new(layout, &paths(api, direction));
        let interest = interest.unwrap_or_else(|_| Interest::none(layout));
        Arc::new(EndpointRewriter::watch(interest, ENDPOINTS))
    };
    let slot = usize::try_from(api.0)
        .ok()
        .zip(usize::try_from(version).ok())
        .filter(|(api, version)| *api < APIS && *version < VERSIONS);
    Ok(match slot {
        Some((api, version)) => {
            let direction = usize::from(matches!(direction, Direction::Response));
            KEPT[direction][api * VERSIONS + version]
                .get_or_init(make)
                .clone()
        }
        None => make(),
    })
}

/// What is looked at in a message.
fn paths(api: ApiKey, direction: Direction) -> Vec<(&'static str, Mark)> {
    let own: &[(&str, Mark)] = match (api, direction) {
        (ApiKey::PRODUCE, Direction::Request) => &[
            ("Acks", ACKS),
            ("TopicData.Name", TOPIC),
            ("TopicData.TopicId", TOPIC),
            ("TopicData.PartitionData.Records", RECORDS),
        ],
        (ApiKey::OFFSET_COMMIT | TXN_OFFSET_COMMIT, Direction::Request) => &[
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
            ("Responses.Topic", TOPIC),
            ("Responses.TopicId", TOPIC),
            ("Responses.Partitions.PartitionIndex", PARTITION),
            ("Responses.Partitions.HighWatermark", OFFSET),
            ("Responses.Partitions.Records", RECORDS),
        ],
        (ApiKey::SHARE_FETCH, Direction::Response) => &[
            ("Responses.TopicId", TOPIC),
            ("Responses.Partitions.Records", RECORDS),
        ],
        (ApiKey::OFFSET_COMMIT | TXN_OFFSET_COMMIT, Direction::Response) => {
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

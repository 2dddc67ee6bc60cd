//! What is done about each API.

use tubeway_protocol::ApiKey;

use super::{
    Case, Look, Verdict, cluster, configs, coordinators, deletion, gates, groups, metadata,
    offsets, pages, share, tokens, topics, topics_admin, transactions,
};

/// One API.
pub(super) struct Api {
    key: ApiKey,
    pub(super) look: Look,
    /// Whether no listener for clients serves it, whoever asks.
    pub(super) closed: bool,
    pub(super) decide: fn(&Case<'_>) -> Verdict,
}

const NEITHER: Look = Look {
    request: false,
    response: false,
};
const REQUEST: Look = Look {
    request: true,
    response: false,
};
const BOTH: Look = Look {
    request: true,
    response: true,
};

/// Goes on as it comes: it needs no right, or it is decided elsewhere.
const fn passes(key: i16) -> Api {
    api(key, NEITHER, |_| Verdict::Pass)
}

/// Only its request is looked at.
const fn gate(key: i16, decide: fn(&Case<'_>) -> Verdict) -> Api {
    api(key, REQUEST, decide)
}

/// Its response may be amended.
const fn amended(key: i16, decide: fn(&Case<'_>) -> Verdict) -> Api {
    api(key, BOTH, decide)
}

/// Served on listeners of controllers only. A broker closes the connection.
const fn closed(key: i16) -> Api {
    let mut api = api(key, REQUEST, |_| {
        Verdict::Close("the API is for controllers")
    });
    api.closed = true;
    api
}

const fn api(key: i16, look: Look, decide: fn(&Case<'_>) -> Verdict) -> Api {
    Api {
        key: ApiKey(key),
        look,
        closed: false,
        decide,
    }
}

/// All APIs of Kafka 3.9 and 4.3, by their keys.
static APIS: &[Api] = &[
    // Records are streamed; these are decided where that is done.
    passes(0),
    passes(1),
    amended(2, topics::list_offsets),
    amended(3, metadata::decide),
    // What brokers said to each other before Kafka 4.
    gate(4, cluster::brokers_only),
    gate(5, cluster::brokers_only),
    gate(6, cluster::brokers_only),
    gate(7, cluster::brokers_only),
    amended(8, topics::offset_commit),
    amended(9, offsets::offset_fetch),
    amended(10, coordinators::decide),
    gate(11, gates::decide),
    gate(12, gates::decide),
    gate(13, gates::decide),
    gate(14, gates::sync_group),
    amended(15, groups::describe),
    amended(16, groups::list),
    // Logging in, and what versions there are.
    passes(17),
    passes(18),
    amended(19, topics_admin::create),
    amended(20, deletion::decide),
    amended(21, topics::delete_records),
    gate(22, transactions::init_producer_id),
    amended(23, topics::offset_for_leader_epoch),
    amended(24, transactions::add_partitions),
    gate(25, gates::decide),
    gate(26, gates::decide),
    gate(27, transactions::write_markers),
    amended(28, topics::txn_offset_commit),
    gate(29, gates::decide),
    gate(30, gates::decide),
    gate(31, gates::decide),
    amended(32, configs::describe),
    amended(33, configs::alter),
    gate(34, gates::decide),
    gate(35, gates::decide),
    passes(36),
    amended(37, topics_admin::create_partitions),
    gate(38, tokens::create),
    // Whose tokens these are, the broker looks up itself.
    passes(39),
    passes(40),
    amended(41, tokens::describe),
    amended(42, groups::delete),
    gate(43, gates::decide),
    amended(44, configs::alter),
    gate(45, gates::decide),
    gate(46, gates::decide),
    amended(47, topics::offset_delete),
    gate(48, gates::decide),
    gate(49, gates::decide),
    gate(50, gates::decide),
    gate(51, gates::decide),
    closed(52),
    closed(53),
    closed(54),
    gate(55, gates::decide),
    closed(56),
    gate(57, gates::decide),
    closed(58),
    closed(59),
    amended(60, cluster::describe),
    amended(61, topics::describe_producers),
    closed(62),
    closed(63),
    gate(64, gates::decide),
    amended(65, transactions::describe),
    amended(66, transactions::list),
    closed(67),
    gate(68, groups::consumer_heartbeat),
    amended(69, groups::describe_consumer),
    closed(70),
    // Telemetry needs no right (KIP-714).
    passes(71),
    passes(72),
    closed(73),
    gate(74, gates::decide),
    amended(75, pages::decide),
    gate(76, groups::share_heartbeat),
    amended(77, groups::describe_share),
    passes(78),
    passes(79),
    gate(80, gates::decide),
    gate(81, gates::decide),
    closed(82),
    gate(83, gates::decide),
    gate(84, gates::decide),
    gate(85, gates::decide),
    gate(86, gates::decide),
    gate(87, gates::decide),
    gate(88, groups::streams_heartbeat),
    amended(89, groups::describe_streams),
    amended(90, share::describe_offsets),
    amended(91, share::alter_offsets),
    amended(92, share::delete_offsets),
];

pub(super) fn find(key: ApiKey) -> Option<&'static Api> {
    // The keys are dense; the search is for when they are not.
    let guess = usize::try_from(key.0).ok().and_then(|at| APIS.get(at));
    guess
        .filter(|api| api.key == key)
        .or_else(|| APIS.iter().find(|api| api.key == key))
}

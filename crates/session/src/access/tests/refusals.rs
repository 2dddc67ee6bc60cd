//! Requests that are refused as a whole, against Kafka's own classes.
//!
//! `kafka/refusals.txt` was written by `kafka/Refusals.java`, which says how.

use std::fmt::Write as _;

use bytes::Bytes;
use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::{ApiKey, Direction, Schemas};

use super::super::tree;
use super::sample::{Counting, fill};
use super::world::{World, layouts, versions};

/// APIs that are refused as a whole, and with which error a caller without any
/// right is.
const WHOLE: &[(i16, i16)] = &[
    (8, 30),
    (9, 30),
    (11, 30),
    (12, 30),
    (13, 30),
    (14, 30),
    (22, 53),
    (24, 53),
    (25, 53),
    (26, 53),
    (27, 31),
    (28, 53),
    (29, 31),
    (30, 31),
    (31, 31),
    (34, 31),
    (35, 31),
    (43, 31),
    (45, 31),
    (46, 31),
    (47, 30),
    (48, 31),
    (49, 31),
    (50, 31),
    (51, 31),
    (55, 31),
    (57, 31),
    (64, 31),
    (68, 30),
    (74, 31),
    (76, 30),
    (80, 31),
    (81, 31),
    (83, 31),
    (84, 31),
    (85, 31),
    (86, 31),
    (87, 31),
    (88, 30),
    (91, 30),
    (92, 30),
];

/// Versions that Kafka 4.3 has, and that its classes refuse as its broker does.
fn served(api: i16, version: i16) -> bool {
    let served = Schemas::get().api(ApiKey(api)).unwrap().served_by("4.3.1");
    served.is_some_and(|served| served.versions.contains(version))
        // DescribeLogDirs before version 3 has no error, and its class makes one up.
        && !(api == 35 && version < 3)
        // OffsetFetch refuses group by group from version 8 on.
        && !(api == 9 && version >= 8)
}

fn error(api: i16, version: i16) -> i16 {
    let (_, error) = WHOLE.iter().find(|(key, _)| *key == api).unwrap();
    match api {
        // What brokers send.
        24 if version >= 4 => 31,
        _ => *error,
    }
}

fn requests() -> impl Iterator<Item = Struct> {
    layouts(Direction::Request).filter_map(|mut request| {
        let layout = request.layout();
        let (api, version) = (layout.api().0, layout.version());
        let whole = WHOLE.iter().any(|(key, _)| *key == api) && served(api, version);
        whole.then(|| {
            fill(&mut request, &mut Counting::default());
            if api == 27 {
                one_topic(&mut request);
            }
            request
        })
    })
}

/// Brokers list the topics of a marker in the order of a hash map.
fn one_topic(request: &mut Struct) {
    for marker in tree::structs_mut(request, "Markers") {
        tree::array(marker, "Topics").unwrap().truncate(1);
    }
}

fn hex(message: &Struct) -> String {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The requests for `Refusals.java`, and that they are those it answered.
#[test]
fn write_requests() {
    let lines: Vec<_> = requests()
        .map(|request| {
            let (api, version) = (request.layout().api().0, request.layout().version());
            let error = error(api, version);
            format!("{api} {version} {error} {}\n", hex(&request))
        })
        .collect();
    if let Some(path) = std::env::var_os("TUBEWAY_REFUSALS") {
        std::fs::write(path, lines.concat()).unwrap();
    }
    let answered = include_str!("kafka/refusals.txt").lines();
    let answered = answered.map(|line| format!("{}\n", line.rsplit_once(' ').unwrap().0));
    assert_eq!(lines, answered.collect::<Vec<_>>());
}

#[test]
fn kafka_refuses_the_same() {
    let nobody = World::nobody();
    for line in include_str!("kafka/refusals.txt").lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [api, version, _, request, response] = words[..] else {
            panic!("{line}")
        };
        let (api, version) = (api.parse().unwrap(), version.parse().unwrap());
        let layout = |direction| {
            Schemas::get()
                .layout(ApiKey(api), version, direction)
                .unwrap()
        };
        let read = |direction, hex: &str| {
            let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Bytes = (0..hex.len()).step_by(2).map(digits).collect();
            decode(layout(direction), &bytes, Budget::of(1 << 20)).unwrap()
        };
        let request = read(Direction::Request, request);
        let answer = nobody.answer(&request);
        let expected = read(Direction::Response, response);
        assert_eq!(
            hex(&answer),
            hex(&expected),
            "{api} {version}: {answer:?} {expected:?}"
        );
    }
}

/// With the rights that they need, the same requests pass as they came.
#[test]
fn allowed_requests_pass() {
    use Operation::All;
    let world = World::may(&[
        (All, ResourceType::Topic, "*"),
        (All, ResourceType::Group, "*"),
        (All, ResourceType::TransactionalId, "*"),
        (All, ResourceType::Cluster, "kafka-cluster"),
    ]);
    for api in WHOLE {
        for version in versions(api.0) {
            let mut request = super::world::request(api.0, version);
            fill(&mut request, &mut Counting::default());
            if api.0 == 22 {
                request.set("Enable2Pc", Value::Absent);
            }
            let ids = world.decide(&request);
            if !matches!(ids, super::super::Verdict::Ask(_)) {
                world.passes(&request);
            }
        }
    }
}

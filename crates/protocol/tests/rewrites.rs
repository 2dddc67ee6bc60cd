//! Rewritten messages against the trees that they should be.

mod common;

use bytes::Bytes;
use common::Random;
use std::sync::Arc;
use tubeway_protocol::rewrite::{AddressRewriter, EndpointRewriter, MAX_TAIL, fill_rack_id};
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::walk::{Interest, Mark, Trailing, Walker};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

const TAGS: Mark = Mark(9);

type Map<'m> = dyn Fn(i32, &str, u16) -> Option<(String, u16)> + 'm;

fn read(layout: &'static Layout, bytes: Vec<u8>) -> Struct {
    decode(layout, &Bytes::from(bytes), Budget::bytes(1 << 22)).unwrap()
}

#[test]
fn addresses_change_and_nothing_else_does() {
    let apis = [
        (ApiKey::METADATA, "Brokers", "NodeId"),
        (ApiKey::FIND_COORDINATOR, "Coordinators", "NodeId"),
        (ApiKey::DESCRIBE_CLUSTER, "Brokers", "BrokerId"),
    ];
    for (api, array, node) in apis {
        let versions = Schemas::get()
            .api(api)
            .unwrap()
            .message(Direction::Response)
            .versions();
        for version in versions.first..=versions.last {
            let rewriter = AddressRewriter::new(api, version).unwrap();
            for seed in 0..20 {
                let mut message = common::message(rewriter.layout(), &mut Random::new(seed));
                let before = common::encoded(&{
                    each_address(&mut message, array, node, &mut |_, host, port| {
                        (host.to_owned(), port & 0x7fff)
                    });
                    message.clone()
                });
                let after = rewriter
                    .rewrite(&before, |node, host, _| {
                        (node % 3 != 0).then(|| (format!("to-{host}"), 7))
                    })
                    .unwrap();
                each_address(&mut message, array, node, &mut |node, host, port| {
                    if host.is_empty() || node % 3 == 0 {
                        (host.to_owned(), port)
                    } else {
                        (format!("to-{host}"), 7)
                    }
                });
                let expected = common::encoded(&message);
                assert_eq!(
                    after.unwrap_or(before),
                    expected,
                    "{api} v{version}, seed {seed}"
                );
            }
        }
    }
    assert!(AddressRewriter::new(ApiKey::FETCH, 12).is_none());
}

/// Changes each address of a tree.
fn each_address(
    message: &mut Struct,
    array: &str,
    node: &str,
    change: &mut dyn FnMut(i64, &str, i32) -> (String, i32),
) {
    let mut one = |of: &mut Struct| {
        let (host, port) = change(of.int(node), of.str("Host").unwrap(), of.int("Port") as i32);
        of.set("Host", host.as_str());
        of.set("Port", port);
    };
    if message.get("Host").is_some() {
        one(message);
    } else if let Some(Value::Array(values)) = message.get_mut(array) {
        for value in values {
            let Value::Struct(inner) = value else {
                panic!("a struct")
            };
            one(inner);
        }
    }
}

#[test]
fn no_node_is_left_alone() {
    let rewriter = AddressRewriter::new(ApiKey::FIND_COORDINATOR, 2).unwrap();
    let mut message = Struct::message(rewriter.layout());
    message.set("ErrorCode", 15i16);
    message.set("NodeId", -1i32);
    message.set("Port", -1i32);
    let body = common::encoded(&message);
    let rewritten = rewriter
        .rewrite(&body, |_, _, _| panic!("nothing to ask about"))
        .unwrap();
    assert_eq!(rewritten, None);
}

#[test]
fn racks_are_filled_in() {
    for version in 0..=18 {
        let layout = Schemas::get()
            .layout(ApiKey::FETCH, version, Direction::Request)
            .unwrap();
        let mut message = common::message(layout, &mut Random::new(version as u64));
        let has_rack = message.set("RackId", "");
        let body = common::encoded(&message);
        let filled = fill_rack_id(version, &body, "zone-a").unwrap();
        assert_eq!(filled.is_some(), has_rack, "version {version}");
        message.set("RackId", "zone-a");
        if let Some(filled) = filled {
            assert_eq!(filled, common::encoded(&message));
            assert_eq!(fill_rack_id(version, &filled, "zone-b").unwrap(), None);
        }
    }
}

/// Every response with endpoints.
fn with_endpoints() -> Vec<&'static Layout> {
    let layouts: Vec<_> = common::layouts()
        .into_iter()
        .filter(|layout| layout.find("NodeEndpoints.Rack").is_some())
        .collect();
    let apis: Vec<i16> = layouts.iter().map(|layout| layout.api().0).collect();
    for api in [0, 1, 78, 79] {
        assert!(apis.contains(&api), "API {api}");
    }
    layouts
}

/// Streams a body through a walk and a tail.
fn stream(layout: &'static Layout, body: &[u8], chunk: usize, map: &Map) -> Vec<u8> {
    let interest = Arc::new(EndpointRewriter::watch(Interest::none(layout), TAGS));
    let (start, end) = (5, 5 + body.len() as u64);
    let mut walker = Walker::new(interest, start, end, Trailing::Allow);
    let mut rewriter = EndpointRewriter::new(TAGS, start, end);
    let mut out = Vec::new();
    for chunk in body.chunks(chunk) {
        walker
            .feed(chunk, |event| rewriter.observe(&event))
            .unwrap();
        let passed = rewriter.pass(chunk, &walker, map).unwrap();
        out.extend(passed.before);
        out.extend(&chunk[passed.chunk]);
        out.extend(passed.after);
    }
    assert!(walker.is_done());
    out
}

fn endpoint(of: &Struct, node: i32, host: &str, port: i32, rack: Option<&str>) -> Struct {
    let mut endpoint = of.child("NodeEndpoints").unwrap();
    endpoint.set("NodeId", node);
    endpoint.set("Host", host);
    endpoint.set("Port", port);
    endpoint.set("Rack", rack);
    endpoint
}

/// The endpoints that a client would read.
fn endpoints(message: &Struct) -> Vec<(i64, String, i64, Option<String>)> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    message
        .structs("NodeEndpoints")
        .map(|one| {
            let host = one.str("Host").unwrap().to_owned();
            (
                one.int("NodeId"),
                host,
                one.int("Port"),
                owned(one.str("Rack")),
            )
        })
        .collect()
}

#[test]
fn endpoints_change_at_equal_length() {
    for layout in with_endpoints() {
        // From hosts of every length that matters to one that is `room` shorter.
        for room in (0..8).chain(120..140).chain([250, 16_380, 16_390, 16_400]) {
            let new = "10.0.0.1";
            let old = "h".repeat(new.len() + room);
            let mut message = common::message(layout, &mut Random::new(room as u64));
            let list = vec![
                endpoint(&message, 1, &old, 9092, Some("a")),
                endpoint(&message, 2, &old, 9093, None),
            ];
            message.set("NodeEndpoints", list);
            let body = common::encoded(&message);
            let map = |node: i32, host: &str, port: u16| {
                assert_eq!((host, port), (old.as_str(), 9091 + node as u16));
                Some((new.to_owned(), 20_000 + node as u16))
            };
            for chunk in [1, 13, 100_000] {
                let out = stream(layout, &body, chunk, &map);
                assert_eq!(out.len(), body.len());
                let found = endpoints(&read(layout, out));
                let expected = vec![
                    (1, new.to_owned(), 20_001, Some("a".to_owned())),
                    (2, new.to_owned(), 20_002, None),
                ];
                assert_eq!(found, expected, "{}, room {room}", common::name(layout));
            }
        }
    }
}

#[test]
fn endpoints_that_cannot_change_are_hidden() {
    for layout in with_endpoints() {
        hidden(layout);
    }
}

fn hidden(layout: &'static Layout) {
    let mut message = common::message(layout, &mut Random::new(8));
    message.set(
        "NodeEndpoints",
        vec![endpoint(&message, 1, "short", 9092, None)],
    );
    let body = common::encoded(&message);
    let longer = |_: i32, _: &str, _: u16| Some(("a-longer-host".to_owned(), 1u16));
    let unknown = |_: i32, _: &str, _: u16| None;
    for map in [&longer as &Map, &unknown] {
        let out = stream(layout, &body, 5, map);
        assert_eq!(out.len(), body.len());
        let found = read(layout, out);
        assert_eq!(endpoints(&found), []);
        assert_eq!(found.get("Responses"), message.get("Responses"));
    }
}

#[test]
fn very_many_endpoints_are_hidden() {
    for layout in with_endpoints() {
        let mut message = Struct::message(layout);
        let one = endpoint(&message, 1, "broker-1.kafka", 9092, None);
        let count = MAX_TAIL as usize / common::encoded_length(&one) + 1;
        message.set("NodeEndpoints", vec![one; count]);
        let body = common::encoded(&message);
        for chunk in [3, 10_000] {
            let map = |_: i32, _: &str, _: u16| panic!("not held, so not asked about");
            let out = stream(layout, &body, chunk, &map);
            assert_eq!(out.len(), body.len());
            assert_eq!(endpoints(&read(layout, out)), []);
        }
    }
}

#[test]
fn messages_without_endpoints_pass() {
    for layout in with_endpoints() {
        let mut message = common::message(layout, &mut Random::new(5));
        let none = Struct::message(layout)
            .get("NodeEndpoints")
            .cloned()
            .unwrap();
        message.set("NodeEndpoints", none);
        let body = common::encoded(&message);
        assert_eq!(stream(layout, &body, 11, &|_, _, _| None), body);
    }
}

//! What decodes encodes again, to something that decodes to the same; and a walk agrees.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tubeway_protocol::value::{Budget, decode};
use tubeway_protocol::walk::{Interest, Trailing, Walker};
use tubeway_protocol::{ApiKey, Direction, Schemas};

fuzz_target!(|input: (u8, u8, bool, &[u8])| {
    let (key, version, response, body) = input;
    let direction = if response {
        Direction::Response
    } else {
        Direction::Request
    };
    let Ok(layout) = Schemas::get().layout(ApiKey(key.into()), version.into(), direction) else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    let budget = Budget::bytes(1 << 24);
    let message = decode(layout, &body, budget);
    let interest = Arc::new(Interest::none(layout));
    let mut walker = Walker::new(interest, 0, body.len() as u64, Trailing::Refuse);
    assert_eq!(walker.feed(&body, |_| {}).is_ok(), message.is_ok());
    let Ok(message) = message else { return };
    let mut encoded = Vec::new();
    message
        .encode(&mut encoded)
        .expect("what was decoded can be encoded");
    assert!(encoded.len() <= body.len());
    let again = decode(layout, &encoded.clone().into(), budget).expect("decodes again");
    let mut twice = Vec::new();
    again.encode(&mut twice).expect("encodes again");
    assert_eq!(encoded, twice);
});

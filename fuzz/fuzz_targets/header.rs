//! Headers are read or refused, and those that are read lie within the frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tubeway_protocol::ApiKey;
use tubeway_protocol::header::{RequestHeader, ResponseHeader};

fuzz_target!(|input: (u8, u8, u16, &[u8])| {
    let (key, version, more, bytes) = input;
    let frame = bytes.len() as u32 + u32::from(more);
    if let Ok(Some(header)) = RequestHeader::read(bytes, frame) {
        assert!(header.length <= bytes.len());
    }
    let api = ApiKey(key.into());
    if let Ok(Some(header)) = ResponseHeader::read(bytes, frame, api, version.into()) {
        assert!(header.length <= bytes.len());
    }
});

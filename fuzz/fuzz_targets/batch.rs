//! Batch headers are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tubeway_protocol::walk::Batch;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((batch, header))) = Batch::read(bytes) {
        assert!(header <= bytes.len() && batch.bytes >= header as u64);
        let _ = batch.compression();
    }
});

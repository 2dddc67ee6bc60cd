#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tubeway_fuzz::targets::decoded(input));

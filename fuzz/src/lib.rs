//! What is done with hostile bytes, for the targets of cargo-fuzz. The tests of
//! `tubeway-protocol` include the same module and run it without a fuzzer.

pub mod targets;

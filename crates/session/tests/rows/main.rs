//! What Kafka clients do that breaks proxies, one row of the checklist after
//! the other: each is a test that fails when its rule is broken.
//!
//! Rows of which the pump has a part (20, 23, 29, 30) and the mesh's TLS (28)
//! go on in `crates/proxy/tests/rows.rs`.

mod brokers;
mod fetches;
mod groups;
mod known;
mod leaders;
mod logins;
mod order;
mod shares;
mod sizes;
mod tags;
mod versions;
mod world;

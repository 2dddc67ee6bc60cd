//! What the data path costs, beside a bare relay and Envoy: `make bench-proxy`.
//!
//! | module | has |
//! |---|---|
//! | [`inspect`] | D6, D7: the session alone, without sockets |
//! | [`throughput`], [`raw`], [`latency`], [`idle`] | D1, D3, D4: pairs of processes in front of a real broker |
//! | [`field`], [`route`], [`pair`] | the broker, the ways to it, what stands on them |

pub mod authority;
pub mod broker;
pub mod conversation;
pub mod envoy;
pub mod field;
pub mod idle;
pub mod inspect;
pub mod latency;
pub mod messages;
pub mod operator;
pub mod pair;
pub mod process;
pub mod raw;
pub mod relay;
pub mod route;
pub mod setup;
pub mod sidecar;
pub mod stats;
pub mod table;
pub mod throughput;
pub mod world;

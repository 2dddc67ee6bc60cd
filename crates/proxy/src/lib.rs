//! The sidecar: listeners, TLS and the pump around a session.
//!
//! One program in two roles. [`node`] stands in front of a broker: it ends
//! mutual TLS, logs each client in at the broker as the identity its
//! certificate proves, and is the broker's only way to its peers. [`client`]
//! stands beside an application and keeps it on loopback ports.

pub mod accept;
pub mod admin;
pub mod ahead;
pub mod client;
pub mod control;
mod dial;
mod frames;
pub mod metrics;
pub mod node;
pub mod observe;
pub mod probe;
pub mod pump;
pub mod quotas;
mod relay;
pub mod rules;
pub mod settings;
mod socket;
pub mod zones;

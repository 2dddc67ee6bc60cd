//! Starts a stock Kafka node from rendered configuration.
//!
//! The operator renders what can be known before the pod runs; the launcher
//! adds what only the pod knows (addresses, the secret it shares with its
//! sidecar), formats an empty volume once, and becomes the JVM. Kafka's jars
//! are used as they were published.

pub mod kafka_dist;
mod logging;
mod properties;
mod quorum;
mod run;
mod settings;

pub use properties::{ExpandError, Properties};
pub use quorum::{InitialController, Quorum};
pub use run::{LaunchError, Plan, prepare, wait_for_sidecar};
pub use settings::{Settings, SettingsError};

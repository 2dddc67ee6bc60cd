//! The differential suite: the same requests to two brokers, answers and side
//! effects compared.
//!
//! The first broker has native ACLs; the second has the same ones, or lets
//! everybody do everything and stands behind a sidecar with the same rules.
//! What the first answers is right by definition, so this is how the sidecar's
//! authorization is held to Kafka's, byte by byte.
//!
//! * [`scenario`]: principals and rules. * [`cases`]: a case for each API.
//! * [`normal`]: what may differ. * [`suite`]: runs it all. * [`report`]: what came of it.
//! * [`client`], [`message`], [`records`]: requests of any API and version.
//! * [`sidecar`]: the data path of a node's sidecar in this process.

pub mod cases;
pub mod client;
mod compare;
pub mod message;
pub mod normal;
pub mod records;
pub mod report;
pub mod run;
pub mod scenario;
pub mod side;
pub mod sidecar;
pub mod suite;
pub mod world;

//! A whole world for the operator: an API server, kubelets, and a simulated
//! Kafka, all in this process and without real time. What goes wrong in it is
//! up to the test.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of this"
)]

pub(crate) mod answers;
pub(crate) mod api;
pub(crate) mod canonical;
mod disks;
pub(crate) mod host;
pub(crate) mod kafka;
pub(crate) mod kubelet;
pub(crate) mod life;
pub(crate) mod still;
pub(crate) mod wire;
pub(crate) mod world;

pub(crate) use canonical::difference;
pub(crate) use host::Host;
pub(crate) use still::Still;
pub(crate) use wire::CallFault;
pub(crate) use world::{Outcome, Step, World, cluster, pool};

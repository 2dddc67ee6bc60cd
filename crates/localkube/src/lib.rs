//! The Kubernetes API and a node agent on one machine.

pub mod agent;
pub mod pure;

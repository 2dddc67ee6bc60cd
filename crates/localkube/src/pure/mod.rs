//! What the Kubernetes API decides without touching a disk, a socket or a clock.
//!
//! Everything here is a function of `serde_json::Value`s: patches, server-side apply, schema
//! validation, selectors and role-based access control. Time comes in as an argument. The server
//! around it stores, serves and watches; it decides nothing that is decided here.

pub mod apply;
pub mod patch;
pub mod rbac;
pub mod schema;
pub mod selector;

#[cfg(test)]
mod testing;

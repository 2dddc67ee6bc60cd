//! Bugs that other operators had, each as a test that would show it here.
//!
//! Named after the report; what went wrong there stands above each test. Bugs of
//! plans alone are in `crates/planner/tests/bugs.rs`.

#[path = "../support/sim/mod.rs"]
mod sim;

mod clusters;
mod common;
mod kafka;
mod specs;

//! Everything that can go wrong, at every point at which it can.
//!
//! Each scenario runs once undisturbed; then again and again, each time with one
//! disturbance. In the end everything must be as in the undisturbed run, made
//! and deleted as often, and nothing may have happened on the way that may
//! never happen (`World::problems`).

#![allow(
    clippy::too_many_lines,
    clippy::large_futures,
    reason = "tables, and worlds that are run whole"
)]

#[path = "../support/sim/mod.rs"]
mod sim;

mod every_write;
mod foreign;
mod leaders;
mod missed;
mod run;
#[path = "../support/scenarios.rs"]
mod scenarios;
mod stale;

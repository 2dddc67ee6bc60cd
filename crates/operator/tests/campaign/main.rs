//! Everything that can go wrong, at every point at which it can.

#[path = "../support/sim/mod.rs"]
mod sim;

mod every_write;
mod scenarios;

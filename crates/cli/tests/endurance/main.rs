//! What takes minutes and mostly waits: two installations at the same time, each
//! with a trial of its own. `make endurance` runs them.

mod rolls;
mod rotation;
#[path = "../support/mod.rs"]
mod support;

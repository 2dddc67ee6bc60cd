//! Every field that a user can write, changed.
//!
//! The fields come from the kinds' own schemas. After a change everything must
//! be as if it had been written so from the beginning; something must be
//! different from before; and what is no value of the field is refused by name.
//! A field that is new fails here until something is known to change with it.
//! `TUBEWAY_FIELD` is a part of the names of the fields that alone are tried.

#![allow(
    clippy::too_many_lines,
    clippy::large_futures,
    clippy::needless_pass_by_value,
    clippy::match_same_arms,
    reason = "tables, and worlds that are run whole"
)]

#[path = "../support/sim/mod.rs"]
mod sim;

mod base;
mod fields;
mod pairs;
mod replicas;
mod table;
mod transitions;

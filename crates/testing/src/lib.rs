//! Real Kafka, real clients, builders and the consistency checker, for tests.
//!
//! A test against real Kafka has three parts: [`tools::Tools`] has the programs,
//! [`clients::Client`] sends and reads through whatever is to be tested, and
//! [`checker::History`] says whether every record came through. [`differential`]
//! compares two brokers, or what stands before them, answer by answer.

pub mod broker;
pub mod capture;
pub mod checker;
pub mod clients;
pub mod differential;
pub mod kubernetes;
pub mod records;
pub mod tools;

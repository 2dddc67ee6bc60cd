//! What a caller gets of each API.

use std::sync::Arc;

use tubeway_policy::rules::{Authorizer, Caller};
use tubeway_protocol::value::Struct;

/// What decisions are made by.
pub struct Access<'a> {
    pub rules: &'a Authorizer,
    pub caller: &'a Caller,
    pub names: &'a dyn Names,
}

/// What topic ids are called (KIP-516), as far as the sidecar knows.
pub trait Names {
    fn name_of(&self, id: &[u8; 16]) -> NameOf;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameOf {
    Known(Arc<str>),
    NoSuchTopic,
    NotAsked,
}

pub enum Verdict {
    Pass,
    Amend(Amend),
    Answer(Struct),
    Cut(Struct, Amend),
    Ask(Vec<[u8; 16]>),
    Close(&'static str),
}

#[derive(Debug)]
pub struct Amend;

pub fn decide(_access: &Access<'_>, _request: &Struct) -> Verdict {
    Verdict::Pass
}

impl Amend {
    pub fn apply(self, _access: &Access<'_>, _response: &mut Struct) {}
}

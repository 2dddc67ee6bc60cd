//! What becomes of a request that has been seen whole, and of its response.

use bytes::Bytes;
use tubeway_protocol::value::{Budget, DecodeError, EncodeError, Struct, decode};
use tubeway_protocol::walk::WalkError;
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

use crate::access::{self, Questions, Verdict};
use crate::body::BodyError;
use crate::guard::Guard;
use crate::records::RecordsAmendment;

/// A request of which something is denied is taken apart; the tree may take
/// this much beside three times its size. Kafka's own clients stay far below.
const TREE: usize = 4 * 1024 * 1024;
/// What a broker says is taken apart with as much memory as it needs.
const TRUSTED: usize = 64;

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It goes on as it came.
    Pass(Amendment),
    /// This body goes on in its place.
    Instead(Bytes, Amendment),
    /// The broker does not see it: this is the body of the answer.
    Answer(Box<Struct>),
    /// The same, of a version that the request does not have.
    AnswerBytes(Bytes),
    /// These names have to be known first.
    Ask(Questions),
    /// Kafka has no answer for this but to close, once what came before it has
    /// its answers.
    Close(&'static str),
    /// The same, but this much of it is served before.
    ServeAndClose(Bytes, &'static str),
}

// === impl Outcome ===

impl Outcome {
    /// Whether something is kept from the broker.
    pub(crate) fn refuses(&self) -> bool {
        matches!(
            self,
            Self::Instead(..) | Self::Answer(_) | Self::Close(_) | Self::ServeAndClose(..)
        )
    }
}

/// What the response to a request needs before the client gets it.
#[derive(Debug, Default)]
pub(crate) enum Amendment {
    /// Nothing.
    #[default]
    None,
    /// It offers what both the broker and this sidecar know.
    Versions,
    /// It says what the caller may not use or know.
    Access(access::Amend),
    /// The same for an API that carries records.
    Records(Box<RecordsAmendment>),
}

/// Why a message cannot be taken apart or put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Headers(#[from] tubeway_protocol::header::HeaderError),
    #[error("it ends within its header")]
    Header,
    #[error(transparent)]
    Unknown(#[from] tubeway_protocol::schema::UnknownMessage),
}

/// Decides about a request by its API's own rules.
pub(crate) fn decide(
    guard: &Guard,
    layout: &'static Layout,
    body: &[u8],
) -> Result<Outcome, TreeError> {
    let request = take_apart(layout, body)?;
    Ok(match access::decide(&guard.access(), &request) {
        Verdict::Pass => Outcome::Pass(Amendment::None),
        Verdict::Amend(amend) => Outcome::Pass(Amendment::Access(amend)),
        Verdict::Answer(answer) => Outcome::Answer(Box::new(answer)),
        Verdict::Cut(request, amend) => {
            Outcome::Instead(put_together(&request)?, Amendment::Access(amend))
        }
        Verdict::Ask(questions) => Outcome::Ask(questions),
        Verdict::Close(reason) => Outcome::Close(reason),
    })
}

/// A client's request as a tree.
pub(crate) fn take_apart(layout: &'static Layout, body: &[u8]) -> Result<Struct, TreeError> {
    let body = Bytes::copy_from_slice(body);
    let budget = Budget::bytes(3 * body.len() + TREE);
    Ok(decode(layout, &body, budget)?)
}

/// A broker's response as a tree. What follows its last field is dropped.
pub(crate) fn trusted(layout: &'static Layout, body: &Bytes) -> Result<Struct, TreeError> {
    let budget = Budget::bytes(TRUSTED * body.len() + TREE);
    Ok(decode(layout, body, budget)?)
}

/// A body's bytes.
pub(crate) fn put_together(message: &Struct) -> Result<Bytes, TreeError> {
    let mut out = Vec::new();
    message.encode(&mut out)?;
    Ok(out.into())
}

/// An empty response of this API and version.
pub(crate) fn response(api: ApiKey, version: i16) -> Result<Struct, TreeError> {
    let layout = Schemas::get().layout(api, version, Direction::Response)?;
    Ok(Struct::message(layout))
}

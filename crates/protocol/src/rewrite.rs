//! Changes that a sidecar makes to messages that pass.

mod addresses;
mod endpoints;
mod rack;

pub use addresses::AddressRewriter;
pub use endpoints::{EndpointRewriter, MAX_TAIL, Passed, TailError};
pub use rack::fill_rack_id;

use crate::edit::MisplacedEdit;
use crate::walk::WalkError;

/// Why a message could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The message is malformed.
    #[error(transparent)]
    Malformed(#[from] WalkError),
    /// What is to be put in is longer than the message's version can say.
    #[error("the {0} to be put in is longer than this version can say")]
    TooLong(&'static str),
    /// Cannot happen with spans of a walk.
    #[error(transparent)]
    Misplaced(#[from] MisplacedEdit),
}

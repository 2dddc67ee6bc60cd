//! The few requests and responses that a connection speaks itself: logging in, and agreeing on
//! versions.

mod api_versions;
mod sasl;

pub use api_versions::{ApiRanges, unsupported_api_versions};
pub use sasl::{Authenticated, Handshaken, Login};

use crate::schema::UnknownMessage;
use crate::value::{DecodeError, EncodeError};

/// Why such a message could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The version is unknown.
    #[error(transparent)]
    Unknown(#[from] UnknownMessage),
    /// The bytes are not the message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The message cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

//! Logging vocabulary, metrics registry, shutdown: what every program shares.

mod logging;
mod shutdown;

pub use logging::{LogError, init_logging};
pub use shutdown::{Shutdown, on_signal};

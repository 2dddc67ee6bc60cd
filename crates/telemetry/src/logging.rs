//! Structured logs with one vocabulary.
//!
//! A message is constant and lower case; what varies is in fields. The fields
//! in use, so that one query finds an event in every program:
//! `cluster`, `namespace`, `name`, `pod`, `node`, `peer` (a SPIFFE id),
//! `principal`, `address`, `listener`, `topic`, `api`, `version`, `error`,
//! `reason`, `elapsed_ms`, `bytes`. Records and secrets are never fields.
//!
//! `connection ended` is the one line of a client's connection that was served,
//! and `connection refused` of one that was not: `listener`, `from`, `peer`,
//! `tls`, `elapsed_ms`, `reason`; what was served also has `requests`,
//! `request_bytes`, `response_bytes`, `denied` (requests that were denied
//! something), `software` and `software_version`. `access denied` says who was
//! denied what: `principal`, `api`, `operation`, `resource` (a kind), `name`,
//! `partition`, `rule`.

use tracing_subscriber::EnvFilter;

/// The filter in `TUBEWAY_LOG` cannot be read.
#[derive(Debug)]
pub struct LogError(String);

// === impl LogError ===

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "TUBEWAY_LOG is not a log filter ({}); try `info` or `info,tubeway_proxy=debug`",
            self.0
        )
    }
}

impl std::error::Error for LogError {}

/// Sends logs to standard error: readable lines, or JSON where
/// `TUBEWAY_LOG_FORMAT=json`; filtered by `TUBEWAY_LOG`, else by `default`.
pub fn init_logging(default: &str) -> Result<(), LogError> {
    let filter = match std::env::var("TUBEWAY_LOG") {
        Ok(text) => EnvFilter::try_new(text).map_err(|e| LogError(e.to_string()))?,
        Err(_) => EnvFilter::new(default),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    // A second initialisation in one process (a test) keeps the first.
    let _ = if std::env::var("TUBEWAY_LOG_FORMAT").is_ok_and(|f| f == "json") {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    Ok(())
}

//! Logging vocabulary, metrics registry, shutdown.

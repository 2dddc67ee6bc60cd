//! The sidecar: listeners, TLS and the pump around a session.

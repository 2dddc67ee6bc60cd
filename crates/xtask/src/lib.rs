//! Project tasks: schema extraction, CRD generation.

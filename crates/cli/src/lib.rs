//! The tubeway command.

//! x
pub(crate) mod fieldset;

//! Differences that stay, each with its reason.

use crate::compare::Difference;

/// A difference that stays.
pub struct Known {
    /// Name of the case.
    pub case: &'static str,
    /// The step's label or its end, as in `GET configmaps/a`.
    pub step: &'static str,
    /// Beginning of the place in the answer, as in `.body.status`.
    pub path: &'static str,
    /// Why it stays.
    pub reason: &'static str,
}

/// All of them. One that is gone must be taken off.
pub const KNOWN: &[Known] = &[];

/// The place in [`KNOWN`] of a difference.
pub fn find(case: &str, difference: &Difference) -> Option<usize> {
    KNOWN.iter().position(|known| {
        known.case == case
            && difference.step.ends_with(known.step)
            && difference.path.starts_with(known.path)
    })
}

#[test]
fn every_known_difference_has_a_reason() {
    for known in KNOWN {
        assert!(known.reason.len() > 20, "{}: {}", known.case, known.step);
    }
}

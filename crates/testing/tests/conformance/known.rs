//! Differences that stay, each with its reason.

use crate::compare::Difference;

mod list;

pub use list::KNOWN;

/// A difference that stays.
pub struct Known {
    /// Name of the case, or nothing for all.
    pub case: &'static str,
    /// A part of the step's label, as in `GET configmaps/a`.
    pub step: &'static str,
    /// A part of the place in the answer, as in `.body.status`; `$` at its end is the end.
    pub path: &'static str,
    /// Why it stays.
    pub reason: &'static str,
}

/// The places in [`KNOWN`] of a difference.
pub fn find(case: &str, difference: &Difference) -> Vec<usize> {
    let covers = |known: &Known| {
        let path = match known.path.strip_suffix('$') {
            Some(end) => difference.path.ends_with(end),
            None => difference.path.contains(known.path),
        };
        path && (known.case.is_empty() || known.case == case)
            && difference.step.contains(known.step)
    };
    let all = KNOWN.iter().enumerate();
    all.filter(|(_, known)| covers(known))
        .map(|(at, _)| at)
        .collect()
}

#[test]
fn every_known_difference_has_a_reason() {
    for known in KNOWN {
        assert!(known.reason.len() > 20, "{}: {}", known.case, known.step);
    }
}

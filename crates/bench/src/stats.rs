//! What several rounds of one measurement say together.

use std::fmt;

/// The values of one figure, one a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples(Vec<f64>);

/// A median with the smallest and the largest value beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Half of the values are below it.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// Digits after the point when it is printed.
    digits: usize,
}

// === impl Samples ===

impl Samples {
    /// Takes one round's value.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The values in the order of their rounds.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// Round by round, this one's value divided by the other's: what happened
    /// in a round happened to both.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(own, other)| own / other).collect())
    }

    /// Round by round, this one's value less the other's.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(own, other)| own - other).collect())
    }

    /// What they say together, to so many digits; nothing where there are none.
    pub fn summary(&self, digits: usize) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            median: quantile(&sorted, 0.5)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
            digits,
        })
    }

    /// [`Samples::summary`] as a cell of a table.
    pub fn cell(&self, digits: usize) -> String {
        self.summary(digits)
            .map_or_else(|| "–".to_owned(), |summary| summary.to_string())
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

// === impl Summary ===

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            min,
            max,
            digits,
        } = *self;
        write!(f, "{median:.digits$} ({min:.digits$}–{max:.digits$})")
    }
}

/// The value below which the part `q` (0 to 1) of the sorted values lies; between
/// two of them, the mean weighted by the distance.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * (place - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_values() {
        let values = [1.0, 2.0, 3.0, 4.0];
        for (q, expected) in [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (2.0, 4.0)] {
            assert_eq!(quantile(&values, q), Some(expected), "{q}");
        }
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    }

    #[test]
    fn rounds_are_compared_each_with_its_own() {
        let own: Samples = [2.0, 30.0, 4.0].into_iter().collect();
        let other: Samples = [1.0, 10.0, 4.0].into_iter().collect();
        assert_eq!(own.over(&other).values(), [2.0, 3.0, 1.0]);
        assert_eq!(own.less(&other).values(), [1.0, 20.0, 0.0]);
        assert_eq!(own.cell(1), "4.0 (2.0–30.0)");
        assert_eq!(Samples::default().cell(1), "–");
    }
}

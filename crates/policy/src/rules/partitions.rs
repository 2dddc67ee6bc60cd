//! Sets of partitions, as people write them: `0-3,7`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A set of a topic's partitions, as sorted ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Partitions(Vec<(i32, i32)>);

/// Why a text is no set of partitions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no partition or range of partitions; write single ones and ranges from low to high, separated by commas, such as 0-3,7"
)]
pub struct PartitionRangeError(String);

// === impl Partitions ===

impl Partitions {
    /// Whether the set has this partition.
    pub fn contains(&self, partition: i32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= partition);
        after > 0 && partition <= self.0[after - 1].1
    }
}

impl FromStr for Partitions {
    type Err = PartitionRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let wrong = || PartitionRangeError(part.to_owned());
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                let text = text.trim();
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                if digits {
                    text.parse::<i32>().ok()
                } else {
                    None
                }
            };
            let first = number(first).ok_or_else(wrong)?;
            let last = number(last).ok_or_else(wrong)?;
            if first > last {
                return Err(wrong());
            }
            ranges.push((first, last));
        }
        ranges.sort_unstable();
        let mut merged: Vec<(i32, i32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
                _ => merged.push((first, last)),
            }
        }
        Ok(Self(merged))
    }
}

impl TryFrom<String> for Partitions {
    type Error = PartitionRangeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Partitions> for String {
    fn from(partitions: Partitions) -> Self {
        partitions.to_string()
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_sorted_and_merged() {
        let set: Partitions = "7, 3-5,0-2,9".parse().unwrap();
        assert_eq!(set.to_string(), "0-5,7,9");
        let within: Vec<i32> = (-1..12).filter(|p| set.contains(*p)).collect();
        assert_eq!(within, [0, 1, 2, 3, 4, 5, 7, 9]);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in [
            "",
            "a",
            "3-1",
            "-1",
            "1--2",
            "1,",
            "0x1",
            "99999999999",
            "+1",
        ] {
            assert!(text.parse::<Partitions>().is_err(), "{text:?}");
        }
    }
}

//! What a cluster may use of the Kafka that its nodes run (KIP-584). Pure.
//!
//! A release comes with a level of each feature. A cluster is brought to them
//! when all its nodes run the release, or later where the user says so: until
//! then the nodes can go back to the release before.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::kafka::Order;
use crate::kafka_admin::{Feature, METADATA_VERSION};

/// A release as far as features go: major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

/// The oldest release with voters that come and go (KIP-853).
pub const OLDEST: Release = Release { major: 3, minor: 9 };

/// What the features are called, in the order in which they are brought up: the
/// others depend on the first.
const NAMES: [&str; 7] = [
    METADATA_VERSION,
    KRAFT_VERSION,
    "transaction.version",
    "group.version",
    "eligible.leader.replicas.version",
    "share.version",
    "streams.version",
];
/// The one that never goes down.
const KRAFT_VERSION: &str = "kraft.version";

/// The levels that releases come with (`kafka-storage version-mapping` of 4.3.1).
const LEVELS: [(Release, [i16; 7]); 5] = [
    (OLDEST, [21, 1, 0, 0, 0, 0, 0]),
    (Release { major: 4, minor: 0 }, [25, 1, 2, 1, 0, 0, 0]),
    (Release { major: 4, minor: 1 }, [27, 1, 2, 1, 1, 0, 0]),
    (Release { major: 4, minor: 2 }, [29, 1, 2, 1, 1, 1, 1]),
    (Release { major: 4, minor: 3 }, [30, 1, 2, 1, 1, 1, 1]),
];

/// The next change of a feature towards those of `wanted`; none when all are
/// there, or as far as the brokers know them. A cluster of a release that is
/// newer than this program stays as it was formatted.
pub fn next(wanted: Release, features: &BTreeMap<String, Feature>) -> Option<Order> {
    let (_, levels) = LEVELS.iter().find(|(release, _)| *release == wanted)?;
    let steps = NAMES.into_iter().zip(*levels).filter_map(|(name, level)| {
        let feature = features.get(name)?;
        let level = level.min(feature.supported);
        let down = level < feature.finalized;
        let moves = level != feature.finalized && !(down && name == KRAFT_VERSION);
        moves.then_some(Order::Feature { name, level, down })
    });
    let (down, up): (Vec<_>, Vec<_>) =
        steps.partition(|step| matches!(step, Order::Feature { down: true, .. }));
    // What others depend on goes up first and down last.
    down.into_iter()
        .next_back()
        .or_else(|| up.into_iter().next())
}

/// The release whose metadata the cluster writes.
pub fn written(features: &BTreeMap<String, Feature>) -> Option<Release> {
    let level = features.get(METADATA_VERSION)?.finalized;
    let mut releases = LEVELS.iter().rev();
    let release = releases.find(|(_, levels)| levels[0] <= level);
    release.map(|(release, _)| *release)
}

// === impl Release ===

impl Release {
    /// The release of a version of Kafka, as in `4.3.1`.
    pub fn of_version(version: &str) -> Option<Self> {
        let (release, patch) = version.rsplit_once('.')?;
        patch.parse::<u32>().ok()?;
        release.parse().ok()
    }
}

/// Not two numbers with a dot between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a release, as in 4.3")]
pub struct NoRelease;

impl FromStr for Release {
    type Err = NoRelease;

    fn from_str(text: &str) -> Result<Self, NoRelease> {
        let (major, minor) = text.split_once('.').ok_or(NoRelease)?;
        Ok(Self {
            major: major.parse().map_err(|_| NoRelease)?,
            minor: minor.parse().map_err(|_| NoRelease)?,
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        text.parse().unwrap()
    }

    /// A cluster that brokers of 4.3 have as one of this release.
    fn cluster(text: &str) -> BTreeMap<String, Feature> {
        let find = |text| {
            LEVELS
                .iter()
                .find(|(known, _)| *known == release(text))
                .unwrap()
                .1
        };
        let newest = find("4.3");
        let features = NAMES.into_iter().zip(find(text)).zip(newest);
        let features = features.map(|((name, finalized), supported)| {
            let feature = Feature {
                finalized,
                supported,
            };
            (name.to_owned(), feature)
        });
        features.collect()
    }

    /// Takes every step; the names of those.
    fn steps(wanted: &str, features: &mut BTreeMap<String, Feature>) -> Vec<&'static str> {
        let mut steps = Vec::new();
        while let Some(Order::Feature { name, level, .. }) = next(release(wanted), features) {
            features.get_mut(name).unwrap().finalized = level;
            steps.push(name);
        }
        steps
    }

    #[test]
    fn an_upgrade_begins_with_the_metadata_and_ends_with_all_features() {
        let mut features = cluster("3.9");
        let steps = steps("4.3", &mut features);
        assert_eq!(steps.len(), 6, "{steps:?}: kraft.version is there already");
        assert_eq!(steps[0], METADATA_VERSION);
        assert_eq!(features, cluster("4.3"));
    }

    #[test]
    fn a_downgrade_ends_with_the_metadata_and_spares_the_quorum() {
        let mut features = cluster("4.3");
        let steps = steps("4.1", &mut features);
        assert_eq!(steps.last(), Some(&METADATA_VERSION));
        assert!(!steps.contains(&KRAFT_VERSION));
        assert_eq!(features, cluster("4.1"));
    }

    #[test]
    fn nothing_goes_beyond_what_brokers_know() {
        let mut features = cluster("4.1");
        for feature in features.values_mut() {
            feature.supported = feature.finalized;
        }
        assert_eq!(next(release("4.3"), &features), None);
        assert_eq!(next(release("9.9"), &cluster("4.1")), None);
    }

    #[test]
    fn the_release_of_the_metadata_is_read_back() {
        for text in ["3.9", "4.0", "4.3"] {
            assert_eq!(written(&cluster(text)).unwrap().to_string(), text);
        }
        assert_eq!(Release::of_version("4.3.1"), Some(release("4.3")));
        assert_eq!(Release::of_version("4.3"), None);
    }
}

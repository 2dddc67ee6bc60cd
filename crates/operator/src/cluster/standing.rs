//! A node's way into the cluster and out of it, as its claim says it. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use tubeway_api::labels;

/// How far a node is. It is written on the claim and nowhere else, because the
/// claim is what outlives pods, crashes and clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not taken part yet, or takes part again.
    New,
    /// It takes part.
    Member,
    /// It is to go. What was begun for that (a cordon, moves) may be there.
    Leaving,
    /// Its pod may go, or is gone.
    Left {
        /// Whether the broker said itself that its volume was empty.
        empty: bool,
    },
}

// === impl Standing ===

impl Standing {
    /// What a claim says.
    pub fn of(claim: &PersistentVolumeClaim) -> Self {
        let annotations = claim.annotations();
        match annotations.get(labels::STANDING).map(String::as_str) {
            Some(labels::STANDING_MEMBER) => Self::Member,
            Some(labels::STANDING_LEAVING) => Self::Leaving,
            Some(labels::STANDING_LEFT) => Self::Left { empty: false },
            Some(labels::STANDING_EMPTY) => Self::Left { empty: true },
            // What this program did not write is looked into like a new node.
            _ => Self::New,
        }
    }

    /// Whether the node is no part of the cluster any more.
    pub fn has_left(self) -> bool {
        matches!(self, Self::Left { .. })
    }

    /// The annotation's value; none is no annotation.
    pub fn value(self) -> Option<&'static str> {
        match self {
            Self::New => None,
            Self::Member => Some(labels::STANDING_MEMBER),
            Self::Leaving => Some(labels::STANDING_LEAVING),
            Self::Left { empty: false } => Some(labels::STANDING_LEFT),
            Self::Left { empty: true } => Some(labels::STANDING_EMPTY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for standing in [
            Standing::New,
            Standing::Member,
            Standing::Leaving,
            Standing::Left { empty: false },
            Standing::Left { empty: true },
        ] {
            let mut claim = PersistentVolumeClaim::default();
            if let Some(value) = standing.value() {
                let annotations = claim.annotations_mut();
                annotations.insert(labels::STANDING.to_owned(), value.to_owned());
            }
            assert_eq!(Standing::of(&claim), standing);
        }
    }
}

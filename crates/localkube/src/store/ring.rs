//! The last changes, for watchers.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Change, StoreError};

/// A bounded history of changes.
pub(super) struct Ring {
    changes: VecDeque<Arc<Change>>,
    capacity: usize,
    /// Everything after this resource version is in `changes`.
    from: u64,
}

// === impl Ring ===

impl Ring {
    /// An empty history that knows all changes after `from`.
    pub(super) fn new(capacity: usize, from: u64) -> Self {
        Self {
            changes: VecDeque::with_capacity(capacity.min(1024)),
            capacity,
            from,
        }
    }

    pub(super) fn push(&mut self, change: Arc<Change>) {
        if self.changes.len() == self.capacity
            && let Some(oldest) = self.changes.pop_front()
        {
            self.from = oldest.rv;
        }
        self.changes.push_back(change);
    }

    /// The changes in `(after, until]`.
    pub(super) fn between(
        &self,
        resource: Option<&str>,
        after: u64,
        until: u64,
    ) -> Result<Vec<Arc<Change>>, StoreError> {
        if after < self.from {
            return Err(StoreError::TooOld {
                requested: after,
                oldest: self.from,
            });
        }
        let start = self.changes.partition_point(|change| change.rv <= after);
        Ok(self
            .changes
            .range(start..)
            .take_while(|change| change.rv <= until)
            .filter(|change| resource.is_none_or(|wanted| *change.key.resource == *wanted))
            .cloned()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::super::{ChangeKind, Key, Stored};
    use super::*;

    fn change(rv: u64, resource: &str) -> Arc<Change> {
        let object = Arc::new(Stored {
            value: Value::Null,
            json: Bytes::new(),
            rv,
        });
        let key = Key::new(&resource.into(), "", "x");
        Arc::new(Change {
            rv,
            kind: ChangeKind::Added,
            key,
            object,
            previous: None,
        })
    }

    #[test]
    fn what_fell_out_of_the_ring_is_too_old() {
        let mut ring = Ring::new(3, 1);
        for rv in 2..=6 {
            ring.push(change(rv, if rv == 5 { "pods" } else { "nodes" }));
        }
        assert!(matches!(
            ring.between(None, 2, 9),
            Err(StoreError::TooOld {
                requested: 2,
                oldest: 3
            })
        ));
        let seen = |resource, after, until| -> Vec<u64> {
            ring.between(resource, after, until)
                .unwrap()
                .iter()
                .map(|c| c.rv)
                .collect()
        };
        assert_eq!(seen(None, 3, 9), [4, 5, 6]);
        assert_eq!(seen(None, 3, 5), [4, 5]);
        assert_eq!(seen(Some("pods"), 3, 9), [5]);
        assert_eq!(seen(None, 6, 9), [0_u64; 0]);
        assert_eq!(
            seen(None, 40, 90),
            [0_u64; 0],
            "a version of the future just waits"
        );
    }
}

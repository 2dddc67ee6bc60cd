//! Which node ids each pool has.

use std::collections::{BTreeMap, BTreeSet};

/// How many nodes a pool wants, and which ids it has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSize {
    /// Name of the pool.
    pub name: String,
    /// Nodes wanted.
    pub replicas: usize,
    /// Ids that volumes or pods of this pool carry.
    pub existing: BTreeSet<u32>,
}

/// Ids by pool.
pub type NodeIds = BTreeMap<String, BTreeSet<u32>>;

/// Gives each pool as many ids as it wants: those it has, then the lowest that
/// are free in the whole cluster. An id is never taken away here, because the
/// node behind it may hold the only copy of something: a pool that wants fewer
/// keeps all it has.
pub fn assign(pools: &[PoolSize]) -> NodeIds {
    let mut taken: BTreeSet<u32> = pools
        .iter()
        .flat_map(|p| p.existing.iter().copied())
        .collect();
    let mut ids = NodeIds::new();
    for pool in pools {
        let mut own = pool.existing.clone();
        let mut free = 0..;
        while own.len() < pool.replicas {
            let Some(id) = free.find(|id| !taken.contains(id)) else {
                break;
            };
            taken.insert(id);
            own.insert(id);
        }
        ids.insert(pool.name.clone(), own);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, replicas: usize, existing: &[u32]) -> PoolSize {
        PoolSize {
            name: name.to_owned(),
            replicas,
            existing: existing.iter().copied().collect(),
        }
    }

    #[test]
    fn the_lowest_free_ids_across_all_pools() {
        let ids = assign(&[pool("a", 2, &[]), pool("b", 3, &[1])]);
        assert_eq!(ids["a"], [0, 2].into());
        assert_eq!(ids["b"], [1, 3, 4].into());
    }

    #[test]
    fn assigning_again_changes_nothing() {
        let first = assign(&[pool("a", 3, &[]), pool("b", 2, &[])]);
        let again: Vec<_> = [("a", 3), ("b", 2)]
            .map(|(name, n)| PoolSize {
                name: name.to_owned(),
                replicas: n,
                existing: first[name].clone(),
            })
            .into();
        assert_eq!(assign(&again), first);
    }

    #[test]
    fn a_smaller_pool_keeps_its_ids() {
        assert_eq!(assign(&[pool("a", 1, &[0, 1, 2])])["a"], [0, 1, 2].into());
    }
}

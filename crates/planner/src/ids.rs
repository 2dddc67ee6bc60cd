//! Which node ids the pools have.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of one pool's ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolIds {
    /// How many nodes the pool is to have.
    pub replicas: usize,
    /// Ids that its nodes have, by pods and by what was written down.
    pub in_use: BTreeSet<u32>,
    /// Ids whose volumes are still there: taken before any other, because the
    /// node's data is in them.
    pub volumes: BTreeSet<u32>,
}

/// The ids of every pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The nodes that each pool has, by its name.
    pub nodes: BTreeMap<String, BTreeSet<u32>>,
    /// Those of them that the pool no longer asks for, the highest ids. They
    /// run on until nothing is on them.
    pub surplus: BTreeMap<String, BTreeSet<u32>>,
}

/// Gives each pool as many ids as it asks for.
///
/// # Guarantees
/// No id is in two pools. An id in use stays with its pool, so the answer to
/// its own answer is the same. A new id is one that has a volume of this pool,
/// else the lowest that no pool uses or has a volume for.
///
/// # Assumptions
/// `in_use` of two pools do not overlap; where they do, the first pool by name
/// keeps the id.
pub fn assign_ids(pools: &BTreeMap<String, PoolIds>) -> Assignment {
    let mut taken = BTreeSet::new();
    let mut assignment = Assignment::default();
    for (name, pool) in pools {
        let kept: BTreeSet<u32> = pool.in_use.difference(&taken).copied().collect();
        taken.extend(&kept);
        assignment.nodes.insert(name.clone(), kept);
    }
    let reserved: BTreeSet<u32> = pools.values().flat_map(|p| &p.volumes).copied().collect();
    for (name, pool) in pools {
        let nodes = assignment.nodes.entry(name.clone()).or_default();
        let old = pool.volumes.iter().copied();
        let new = (0..).filter(|id| !reserved.contains(id));
        let mut free = old.chain(new);
        while nodes.len() < pool.replicas {
            let Some(id) = free.next() else { break };
            if taken.insert(id) {
                nodes.insert(id);
            }
        }
        let excess = nodes.len().saturating_sub(pool.replicas);
        if excess > 0 {
            let surplus = nodes.iter().rev().take(excess).copied().collect();
            assignment.surplus.insert(name.clone(), surplus);
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;

    use super::*;

    fn pool(replicas: usize, in_use: &[u32], volumes: &[u32]) -> PoolIds {
        PoolIds {
            replicas,
            in_use: in_use.iter().copied().collect(),
            volumes: volumes.iter().copied().collect(),
        }
    }

    fn assign<const N: usize>(pools: [(&str, PoolIds); N]) -> Assignment {
        assign_ids(&pools.map(|(name, pool)| (name.to_owned(), pool)).into())
    }

    #[test]
    fn ids_are_the_lowest_free_across_pools() {
        let assigned = assign([("a", pool(2, &[0, 3], &[])), ("b", pool(3, &[], &[]))]);
        assert_eq!(assigned.nodes["a"], [0, 3].into());
        assert_eq!(assigned.nodes["b"], [1, 2, 4].into());
    }

    #[test]
    fn a_volume_that_stayed_brings_its_id_back_to_its_pool() {
        let assigned = assign([("a", pool(1, &[], &[])), ("b", pool(2, &[], &[0, 5]))]);
        assert_eq!(assigned.nodes["a"], [1].into());
        assert_eq!(assigned.nodes["b"], [0, 5].into());
    }

    #[test]
    fn fewer_replicas_take_no_node_away_by_themselves() {
        let assigned = assign([("a", pool(1, &[0, 1, 2], &[0, 1, 2]))]);
        assert_eq!(assigned.nodes["a"], [0, 1, 2].into());
        assert_eq!(assigned.surplus["a"], [1, 2].into());
    }

    fn pools() -> impl Strategy<Value = BTreeMap<String, PoolIds>> {
        let ids = || btree_set(0u32..20, 0..6);
        let pool = (0usize..6, ids(), ids()).prop_map(|(replicas, in_use, volumes)| PoolIds {
            replicas,
            in_use,
            volumes,
        });
        btree_map("[a-c]", pool, 0..4)
    }

    proptest! {
        #[test]
        fn no_id_is_given_twice_and_every_pool_has_enough(pools in pools()) {
            let assigned = assign_ids(&pools);
            let mut seen = BTreeSet::new();
            for (name, nodes) in &assigned.nodes {
                prop_assert!(nodes.len() >= pools[name].replicas);
                for id in nodes {
                    prop_assert!(seen.insert(*id), "{} twice", id);
                }
            }
        }

        #[test]
        fn an_assignment_once_made_stays(pools in pools()) {
            let first = assign_ids(&pools);
            let mut again = pools.clone();
            for (name, pool) in &mut again {
                pool.in_use = first.nodes[name].clone();
            }
            prop_assert_eq!(assign_ids(&again), first);
        }
    }
}

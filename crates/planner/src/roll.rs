//! Which node may be replaced now.

/// One node, as far as its replacement goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Kafka's `node.id`.
    pub id: u32,
    /// Whether its pod is as the spec wants it.
    pub current: bool,
    /// Whether its pod is there and ready.
    pub ready: bool,
    /// Whether it leads the metadata quorum.
    pub active_controller: bool,
}

/// What may be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// Every node is as wanted.
    Nothing,
    /// This node's pod may be deleted, and is made anew.
    Replace(u32),
    /// A node has to wait, for this reason.
    Wait(String),
}

/// Replaces one node at a time, and only while all others serve: no partition
/// loses a second replica and no quorum its majority by it. A node that is
/// outdated and not ready goes first, since it takes nothing away; the active
/// controller goes last, so that the quorum elects once and not again and again.
pub fn next_replacement(nodes: &[NodeState]) -> Replacement {
    let outdated = || nodes.iter().filter(|node| !node.current);
    let Some(next) = outdated()
        .find(|node| !node.ready)
        .or_else(|| outdated().find(|node| !node.active_controller))
        .or_else(|| outdated().next())
    else {
        return Replacement::Nothing;
    };
    match nodes.iter().find(|node| node.id != next.id && !node.ready) {
        Some(other) => Replacement::Wait(format!(
            "node {} is to be replaced and waits until node {} is ready",
            next.id, other.id
        )),
        None => Replacement::Replace(next.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, current: bool, ready: bool) -> NodeState {
        NodeState {
            id,
            current,
            ready,
            active_controller: id == 0,
        }
    }

    #[test]
    fn the_active_controller_goes_last() {
        let nodes = [
            node(0, false, true),
            node(1, false, true),
            node(2, true, true),
        ];
        assert_eq!(next_replacement(&nodes), Replacement::Replace(1));
        let nodes = [
            node(0, false, true),
            node(1, true, true),
            node(2, true, true),
        ];
        assert_eq!(next_replacement(&nodes), Replacement::Replace(0));
    }

    #[test]
    fn nobody_goes_while_another_is_away() {
        let nodes = [
            node(0, false, true),
            node(1, true, false),
            node(2, true, true),
        ];
        assert!(matches!(next_replacement(&nodes), Replacement::Wait(_)));
    }

    #[test]
    fn a_broken_outdated_node_is_replaced_at_once() {
        let nodes = [
            node(0, false, true),
            node(1, false, false),
            node(2, false, true),
        ];
        assert_eq!(next_replacement(&nodes), Replacement::Replace(1));
    }

    #[test]
    fn a_plan_never_leaves_two_nodes_away() {
        for bits in 0..1_u32 << 8 {
            let nodes: Vec<_> = (0..4)
                .map(|id| node(id, bits >> id & 1 == 1, bits >> (4 + id) & 1 == 1))
                .collect();
            if let Replacement::Replace(id) = next_replacement(&nodes) {
                let away = nodes.iter().filter(|n| !n.ready && n.id != id).count();
                assert_eq!(away, 0, "{nodes:?}");
            }
        }
    }
}

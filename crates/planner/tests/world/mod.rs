//! A cluster that does what plans say, in ticks.
//!
//! A replaced pod is gone, made again and ready in turn; its replicas and its
//! vote come back later, each at its own time. Times are drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};

use tubeway_api::NodeRole;
use tubeway_planner::{
    Health, Limits, Node, NodeState, Partition, PartitionId, Plan, Quorum, plan,
};

use super::dice::Dice;

/// What a world is made from.
#[derive(Debug, Clone)]
pub struct Shape {
    pub brokers: u32,
    pub controllers: u32,
    /// Whether the first brokers are the controllers.
    pub combined: bool,
    pub pools: u32,
    pub zones: u32,
    pub partitions: u32,
    pub replication: usize,
    pub min_in_sync: usize,
    /// Of 100 replicas, how many are not in sync at the beginning.
    pub holes: u64,
    pub max_unavailable: usize,
    pub seed: u64,
}

/// The cluster, and how long each thing still takes.
#[derive(Debug, Clone)]
pub struct World {
    pub nodes: Vec<Node>,
    pub health: Health,
    pub limits: Limits,
    pub replaced: BTreeMap<u32, u32>,
    /// How often pods were taken away, and how many ticks it took until now.
    pub steps: u32,
    pub ticks: u32,
    /// Partitions that were below their minimum before anything was done.
    below: BTreeSet<PartitionId>,
    /// Whether the quorum was.
    lost: bool,
    /// Whether everything takes one tick.
    pub steady: bool,
    dice: Dice,
}

// === impl World ===

impl World {
    /// A cluster of this shape whose pods are all outdated.
    pub fn new(shape: &Shape) -> Self {
        let mut dice = Dice(shape.seed);
        let nodes = nodes(shape);
        let brokers: Vec<u32> = (0..shape.brokers).collect();
        let partitions: Vec<_> = (0..shape.partitions)
            .map(|index| {
                let replicas = dice.some(&brokers, shape.replication);
                let mut in_sync: BTreeSet<u32> = replicas.iter().copied().collect();
                in_sync.retain(|_| dice.below(100) >= shape.holes);
                in_sync.extend(replicas.last().filter(|_| in_sync.is_empty()));
                Partition {
                    id: PartitionId::new("t", index as i32),
                    leader: in_sync.first().copied(),
                    replicas,
                    in_sync,
                    min_in_sync: shape.min_in_sync,
                }
            })
            .collect();
        let voters = controllers(&nodes);
        let mut caught_up = voters.clone();
        caught_up.retain(|_| dice.below(100) >= shape.holes);
        let active = dice.below(voters.len() as u64) as usize;
        let mut quorum = Quorum {
            leader: voters.iter().nth(active).copied(),
            caught_up,
            voters,
        };
        quorum.caught_up.extend(quorum.leader);
        Self::with(
            nodes,
            Health { partitions, quorum },
            shape.max_unavailable,
            dice,
        )
    }

    /// This cluster.
    pub fn with(nodes: Vec<Node>, health: Health, max_unavailable: usize, dice: Dice) -> Self {
        let below = health.partitions.iter();
        let below = below.filter(|p| p.in_sync.len() < p.floor());
        Self {
            below: below.map(|p| p.id.clone()).collect(),
            limits: Limits { max_unavailable },
            nodes,
            health,
            dice,
            steady: false,
            lost: false,
            replaced: BTreeMap::new(),
            steps: 0,
            ticks: 0,
        }
    }

    /// Plans against what is there now.
    pub fn plan(&self) -> Plan {
        plan(&self.nodes, Some(&self.health), self.limits)
    }

    /// Does what the plan says, then lets a tick pass.
    pub fn take(&mut self, plan: &Plan) {
        self.steps += u32::from(!plan.replace.is_empty());
        for node in &mut self.nodes {
            if plan.create.contains(&node.id) {
                node.state = NodeState::NotReady;
                node.current = true;
            }
            if plan.replace.contains(&node.id) {
                *self.replaced.entry(node.id).or_default() += 1;
                node.state = NodeState::Terminating;
            }
        }
        for id in &plan.replace {
            self.stop(*id);
        }
        for id in &plan.elect {
            let of_id = |p: &&mut Partition| p.id == *id;
            let partition = self.health.partitions.iter_mut().find(of_id).unwrap();
            let preferred = partition.preferred().unwrap();
            assert!(
                partition.in_sync.contains(&preferred),
                "{id} cannot be led by {preferred}"
            );
            partition.leader = Some(preferred);
        }
        self.tick();
    }

    fn stop(&mut self, id: u32) {
        for partition in &mut self.health.partitions {
            if partition.in_sync.len() > 1 && partition.in_sync.remove(&id) {
                partition.leader = partition.in_sync.first().copied();
            } else if partition.in_sync.contains(&id) {
                // The last one stays in sync by name, and nobody leads.
                partition.leader = None;
            }
        }
        let quorum = &mut self.health.quorum;
        quorum.caught_up.remove(&id);
        if quorum.leader == Some(id) {
            quorum.leader = quorum.caught_up.first().copied();
        }
    }

    /// Something heals, or nothing does.
    fn tick(&mut self) {
        self.ticks += 1;
        for node in &mut self.nodes {
            let mut once_in = |ticks| self.steady || self.dice.below(ticks) == 0;
            node.fresh &= self.steady || !once_in(15);
            if once_in(2) {
                node.fresh |= matches!(node.state, NodeState::NotReady | NodeState::Recovering);
                node.state = match node.state {
                    NodeState::Terminating => NodeState::Missing,
                    NodeState::NotReady if !self.steady && once_in(3) => NodeState::Recovering,
                    NodeState::NotReady | NodeState::Recovering => NodeState::Ready,
                    other => other,
                };
            }
        }
        let ready = self.serving();
        for partition in &mut self.health.partitions {
            for id in partition.replicas.clone() {
                // What nobody leads cannot be followed.
                let led = partition.leader.is_some() || partition.in_sync.contains(&id);
                if led && ready.contains(&id) && (self.steady || self.dice.below(3) == 0) {
                    partition.in_sync.insert(id);
                    partition.leader.get_or_insert(id);
                }
            }
            if partition.in_sync.intersection(&ready).count() >= partition.floor() {
                self.below.remove(&partition.id);
            }
        }
        let quorum = &mut self.health.quorum;
        for id in quorum.voters.clone() {
            if ready.contains(&id) && (self.steady || self.dice.below(3) == 0) {
                quorum.caught_up.insert(id);
            }
        }
        if quorum.leader.is_none() {
            quorum.leader = quorum.caught_up.first().copied();
        }
        self.lost &= quorum.caught_up.len() * 2 <= quorum.voters.len();
    }

    /// What nobody planned: brokers die, and users change their minds.
    pub fn disturb(&mut self) {
        let ids: Vec<u32> = self.nodes.iter().map(|node| node.id).collect();
        if self.dice.below(6) == 0 {
            let dies = self.dice.some(&ids, 1)[0];
            let node = self.nodes.iter_mut().find(|node| node.id == dies);
            let node = node.filter(|node| node.state == NodeState::Ready);
            if let Some(node) = node {
                node.state = NodeState::NotReady;
            }
        }
        if self.dice.below(40) == 0 {
            let count = self.dice.below(ids.len() as u64) as usize + 1;
            for changed in self.dice.some(&ids, count) {
                let node = self.nodes.iter_mut().find(|node| node.id == changed);
                node.unwrap().current = false;
                self.replaced.remove(&changed);
            }
        }
        // Kafka finds out about the dead in its own time.
        for id in ids
            .iter()
            .filter(|id| !self.serves(**id))
            .copied()
            .collect::<Vec<_>>()
        {
            if self.dice.below(2) == 0 {
                self.stop(id);
            }
        }
    }

    /// From here on nothing goes wrong: Kafka knows who is dead, and what is
    /// below its minimum now is nobody's doing.
    pub fn calm(&mut self) {
        let ids: Vec<u32> = self.nodes.iter().map(|node| node.id).collect();
        for id in ids {
            if !self.serves(id) {
                self.stop(id);
            }
        }
        let serve = self.serving();
        let below = self.health.partitions.iter();
        let below = below.filter(|p| p.in_sync.intersection(&serve).count() < p.floor());
        self.below = below.map(|p| p.id.clone()).collect();
        self.lost = self.health.quorum.caught_up.len() * 2 <= self.health.quorum.voters.len();
    }

    fn serving(&self) -> BTreeSet<u32> {
        let serve = self.nodes.iter().filter(|n| n.state == NodeState::Ready);
        serve.map(|node| node.id).collect()
    }

    fn serves(&self, id: u32) -> bool {
        let node = self.nodes.iter().find(|node| node.id == id);
        node.is_some_and(|node| node.state == NodeState::Ready)
    }

    /// Invariant 7 where others do harm, too: this step does none.
    pub fn harm(&self, plan: &Plan) -> Result<(), String> {
        if plan.replace.is_empty() {
            return Ok(());
        }
        let serve = self.serving();
        let stays = |id: &&u32| !plan.replace.contains(id);
        for partition in &self.health.partitions {
            let serving = partition.in_sync.intersection(&serve);
            let (before, after) = (serving.clone().count(), serving.filter(stays).count());
            if after < before && after < partition.floor() {
                return Err(format!("{before} to {after} of {partition:?} by {plan:?}"));
            }
        }
        let quorum = &self.health.quorum;
        let serving = quorum.caught_up.intersection(&serve);
        let (before, after) = (serving.clone().count(), serving.filter(stays).count());
        if quorum.voters.len() > 2 && after < before && after * 2 <= quorum.voters.len() {
            return Err(format!("{before} to {after} of {quorum:?} by {plan:?}"));
        }
        Ok(())
    }

    /// Invariant 7, counted from what really serves: a replica is in sync only
    /// while its broker is there.
    pub fn check(&self) -> Result<(), String> {
        let gone = self.nodes.iter();
        let gone = gone.filter(|n| matches!(n.state, NodeState::Missing | NodeState::Terminating));
        let gone: BTreeSet<u32> = gone.map(|node| node.id).collect();
        for partition in &self.health.partitions {
            let serving = partition.in_sync.difference(&gone).count();
            if serving < partition.floor() && !self.below.contains(&partition.id) {
                return Err(format!(
                    "{} is below its minimum: {partition:?}",
                    partition.id
                ));
            }
        }
        let quorum = &self.health.quorum;
        let caught_up = quorum.caught_up.difference(&gone).count();
        let all = quorum.voters.len();
        if all > 2
            && !self.lost
            && caught_up * 2 <= all
            && self.replaced.keys().any(|id| quorum.voters.contains(id))
        {
            return Err(format!("the quorum is lost: {quorum:?}"));
        }
        Ok(())
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.current && node.state == NodeState::Ready)
    }
}

fn nodes(shape: &Shape) -> Vec<Node> {
    let separate = if shape.combined { 0 } else { shape.controllers };
    let ids = 0..shape.brokers + separate;
    ids.map(|id| {
        let is_broker = id < shape.brokers;
        let votes = if shape.combined {
            id < shape.controllers
        } else {
            !is_broker
        };
        let roles = [(is_broker, NodeRole::Broker), (votes, NodeRole::Controller)];
        Node {
            id,
            pool: format!("{}-{}", u8::from(is_broker), id % shape.pools.max(1)),
            roles: roles
                .into_iter()
                .filter(|(has, _)| *has)
                .map(|(_, role)| role)
                .collect(),
            zone: (shape.zones > 0).then(|| format!("z{}", id % shape.zones)),
            state: NodeState::Ready,
            current: false,
            fresh: false,
        }
    })
    .collect()
}

fn controllers(nodes: &[Node]) -> BTreeSet<u32> {
    let voting = nodes
        .iter()
        .filter(|n| n.roles.contains(&NodeRole::Controller));
    voting.map(|node| node.id).collect()
}

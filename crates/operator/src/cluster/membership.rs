//! Who joins and who leaves, and what is moved for it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tubeway_api::{NodeRole, labels};
use tubeway_planner::reassign::{
    BrokerPlace, Goal, Layout, Moves, ThrottlePlan, next_moves, throttle,
};
use tubeway_planner::{Cordon, Member, MembershipPlan, Node, NodeState, Registry, membership};

use super::dereference::{Observed, node_id};
use super::pods;
use super::standing::Standing;
use super::validate::ValidatedCluster;
use crate::kafka::{Holding, Report, Survey};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// Everything that joining and leaving depend on.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) cluster: &'a ValidatedCluster,
    pub(super) observed: &'a Observed,
    /// The nodes of the pools, those that are to go among them.
    pub(super) nodes: &'a [Node],
    /// Nodes whose pods are taken away in this look.
    pub(super) replaced: &'a BTreeSet<u32>,
    /// Whether the cluster has begun, so that who is new joins it.
    pub(super) founded: bool,
    /// What Kafka said, if it could be asked.
    pub(super) report: Option<&'a Report>,
    /// How many replicas topics are to have, where that is to change.
    pub(super) replication: &'a BTreeMap<String, usize>,
}

/// The next step, and what is moved for it.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) plan: MembershipPlan,
    pub(super) moves: Moves,
    pub(super) throttle: ThrottlePlan,
    /// Nodes whose claims are to say something else from now on, before
    /// anything else that is done about them.
    pub(super) standings: BTreeMap<u32, Standing>,
    /// Nodes that have joined, for their claims to say so. After all else.
    pub(super) joined: BTreeSet<u32>,
    /// What became of the topics that are to have another number of replicas:
    /// whether they have it, or why they cannot.
    pub(super) topics: BTreeMap<String, (bool, Option<String>)>,
}

// === impl Situation ===

impl Situation<'_> {
    /// Whether anything has to be known about who holds what.
    pub(super) fn is_settled(&self) -> bool {
        let settled = |node: &Node| {
            let standing = self.observed.standing(node.id);
            !self.leaves(node.id) && (standing == Standing::Member || !self.founded)
        };
        self.nodes.iter().all(settled)
            && self.replication.is_empty()
            && self.observed.strays().is_empty()
            && self.left_behind().next().is_none()
            && self.forgotten().next().is_none()
            && self.votes_as_wanted()
    }

    /// The brokers that can say what they hold.
    pub(super) fn brokers(&self) -> BTreeSet<u32> {
        let serves = |member: &Member| member.ready && member.has.contains(&NodeRole::Broker);
        let members = self.members(None).into_iter();
        members.filter(serves).map(|member| member.id).collect()
    }

    /// Whether Kafka says that a node is neither a broker nor a voter.
    pub(super) fn is_unregistered(&self, id: u32) -> bool {
        self.report.is_some_and(|report| {
            !report.brokers.contains_key(&id) && !report.voters.voters.contains_key(&id)
        })
    }

    /// What to do now.
    pub(super) fn change(&self, survey: Option<&Survey>) -> Change {
        let members = self.members(survey);
        let registry = self.registry(survey);
        let plan = membership(&members, &registry);
        let mut change = Change {
            standings: self.standings(&plan),
            plan,
            ..Change::default()
        };
        let Some(survey) = survey else { return change };
        let layout = self.layout(&members, survey, &change.plan);
        let reassignment = &self.cluster.reassignment;
        let goal = Goal {
            fill: if reassignment.fill {
                self.joining().collect()
            } else {
                BTreeSet::new()
            },
            replication: self.replication.clone(),
        };
        change.moves = next_moves(&layout, &goal, reassignment.limits);
        let start = &change.moves.start;
        change.throttle = throttle(&layout, start, reassignment.rate, &survey.throttled);
        change.topics = self.topics(survey, &change.moves);
        if change.moves.is_done() {
            let settled = |id: &u32| self.has_joined(*id, &members, &change.plan);
            change.joined = self.joining().filter(settled).collect();
        }
        change
    }

    /// What became of the topics that are to have another number of replicas. One is
    /// done when nothing of it moves or is held back any more.
    fn topics(&self, survey: &Survey, moves: &Moves) -> BTreeMap<String, (bool, Option<String>)> {
        let topics = self.replication.iter().map(|(topic, wanted)| {
            let partitions = survey.partitions.iter();
            let arrived = partitions
                .filter(|placed| placed.id.topic == *topic)
                .all(|placed| !placed.is_moving() && placed.replicas.len() == *wanted);
            let done = arrived && !survey.throttled.topics.contains(topic);
            let mut impossible = moves.impossible.iter();
            let refused = impossible.find(|why| why.id().topic == *topic);
            (topic.clone(), (done, refused.map(ToString::to_string)))
        });
        topics.collect()
    }

    fn leaves(&self, id: u32) -> bool {
        let mut pools = self.cluster.pools.values();
        pools.any(|pool| pool.surplus.contains(&id))
    }

    /// Nodes that stay and are not known to take part.
    fn joining(&self) -> impl Iterator<Item = u32> {
        let nodes = self.nodes.iter().map(|node| node.id);
        nodes.filter(|id| {
            let standing = self.observed.standing(*id);
            self.founded && !self.leaves(*id) && standing != Standing::Member
        })
    }

    /// Brokers that are registered and away, and that nobody knows.
    fn left_behind(&self) -> impl Iterator<Item = u32> {
        self.fenced().filter(|id| !self.is_known(*id))
    }

    /// Nodes that were on their way out, by their claims, when their pods were
    /// taken away by somebody else. Nobody can say any more what is on the volumes.
    fn forgotten(&self) -> impl Iterator<Item = u32> {
        let claims = self.observed.claims.values();
        let leaving = claims.filter(|claim| Standing::of(claim) == Standing::Leaving);
        leaving.filter_map(node_id).filter(|id| !self.is_known(*id))
    }

    /// Whether a node has a place in a pool, or a pod.
    fn is_known(&self, id: u32) -> bool {
        self.nodes.iter().any(|node| node.id == id) || self.observed.pod_of(id).is_some()
    }

    fn fenced(&self) -> impl Iterator<Item = u32> {
        let registered = self.report.iter().flat_map(|report| &report.brokers);
        let fenced = registered.filter(|(_, broker)| broker.fenced);
        fenced.map(|(id, _)| *id)
    }

    fn votes_as_wanted(&self) -> bool {
        let Some(report) = self.report else {
            return true;
        };
        let controllers = self
            .nodes
            .iter()
            .filter(|node| node.roles.contains(&NodeRole::Controller) && !self.leaves(node.id));
        let wanted: BTreeSet<u32> = controllers.map(|node| node.id).collect();
        report
            .voters
            .voters
            .keys()
            .copied()
            .collect::<BTreeSet<_>>()
            == wanted
    }

    fn has_joined(&self, id: u32, members: &[Member], plan: &MembershipPlan) -> bool {
        let member = members.iter().find(|member| member.id == id);
        let ready = member.is_some_and(|member| member.ready);
        let votes = member.is_none_or(|member| {
            let voters = self.report.map(|report| &report.voters.voters);
            !member.wanted.contains(&NodeRole::Controller)
                || voters.is_some_and(|voters| voters.contains_key(&id))
        });
        // A pod may be ready before its broker may lead: it would be filled with
        // nothing.
        let serves = member.is_none_or(|member| {
            let broker = self.report.and_then(|report| report.brokers.get(&id));
            !member.wanted.contains(&NodeRole::Broker) || broker.is_some_and(|b| !b.fenced)
        });
        ready && votes && serves && !plan.uncordon.contains(&id)
    }

    /// Says on the claims who is on the way out, and who comes back.
    fn standings(&self, plan: &MembershipPlan) -> BTreeMap<u32, Standing> {
        let leaving = self
            .nodes
            .iter()
            .map(|node| (node.id, self.leaves(node.id)));
        let strays = self.observed.strays().into_keys().map(|id| (id, true));
        let wanted = leaving.chain(strays).filter_map(|(id, leaves)| {
            let seen = self.observed.standing(id);
            if leaves {
                return Some((id, seen, self.standing_of_leaver(id, plan)));
            }
            seen.has_left().then_some((id, seen, Standing::New))
        });
        let forgotten = self.forgotten();
        let forgotten =
            forgotten.map(|id| (id, Standing::Leaving, Standing::Left { empty: false }));
        let changed = wanted.chain(forgotten);
        let changed = changed.filter(|(_, seen, wanted)| seen != wanted);
        changed.map(|(id, _, wanted)| (id, wanted)).collect()
    }

    /// What a node's claim is to say that is on its way out. What was once said
    /// counts until the contrary is known: a pod that ends says nothing any more,
    /// nor does a broker that is looked at as it was some time ago.
    fn standing_of_leaver(&self, id: u32, plan: &MembershipPlan) -> Standing {
        let seen = self.observed.standing(id);
        let said = seen == Standing::Left { empty: true };
        let holds = plan.waits.iter().any(|wait| wait.holds() == Some(id));
        if plan.remove.contains(&id) {
            let empty = said || plan.release.contains(&id);
            Standing::Left { empty }
        } else if !seen.has_left() {
            Standing::Leaving
        } else if !holds {
            seen
        } else if self.observed.pod_of(id).is_some_and(pods::is_ending) {
            Standing::Left { empty: false }
        } else {
            Standing::Leaving
        }
    }

    fn members(&self, survey: Option<&Survey>) -> Vec<Member> {
        let holding = |id: u32| survey.and_then(|survey| survey.brokers.get(&id));
        let nodes = self.nodes.iter().map(|node| {
            let pod = self.observed.pod_of(node.id);
            Member {
                id: node.id,
                wanted: if self.leaves(node.id) {
                    BTreeSet::new()
                } else {
                    node.roles.clone()
                },
                has: pod.map_or_else(|| node.roles.clone(), roles),
                ready: node.state == NodeState::Ready && !self.replaced.contains(&node.id),
                cordon: cordon(holding(node.id)),
                replicas: holding(node.id).and_then(replicas),
            }
        });
        let strays = self.observed.strays().into_iter().map(|(id, pod)| Member {
            id,
            wanted: BTreeSet::new(),
            has: roles(pod),
            ready: pods::state(Some(pod)) == NodeState::Ready,
            cordon: cordon(holding(id)),
            replicas: holding(id).and_then(replicas),
        });
        nodes.chain(strays).collect()
    }

    fn registry(&self, survey: Option<&Survey>) -> Registry {
        let assigned = survey.map(|survey| {
            let mut assigned: BTreeMap<u32, usize> = BTreeMap::new();
            for id in survey.partitions.iter().flat_map(|placed| &placed.replicas) {
                *assigned.entry(*id).or_default() += 1;
            }
            assigned
        });
        Registry {
            voters: self.report.map(|report| report.voters.clone()),
            assigned,
            fenced: self.fenced().collect(),
        }
    }

    fn layout(&self, members: &[Member], survey: &Survey, plan: &MembershipPlan) -> Layout {
        let registered = |id: u32| self.report.and_then(|report| report.brokers.get(&id));
        let zone = |id: u32| registered(id).and_then(|broker| broker.rack.clone());
        let brokers = members.iter().filter(|member| {
            let broker = NodeRole::Broker;
            member.has.contains(&broker) || member.wanted.contains(&broker)
        });
        let mut brokers: BTreeMap<u32, BrokerPlace> = brokers
            .map(|member| {
                let stays = member.wanted.contains(&NodeRole::Broker);
                let serves = registered(member.id).is_some_and(|broker| !broker.fenced);
                let place = BrokerPlace {
                    zone: zone(member.id),
                    // One whose last peers are away is not drained yet.
                    draining: !stays && plan.drain.contains(&member.id),
                    open: stays && serves && member.ready && member.cordon != Cordon::Cordoned,
                };
                (member.id, place)
            })
            .collect();
        let gone = self.left_behind().map(|id| {
            let place = BrokerPlace {
                zone: zone(id),
                draining: true,
                open: false,
            };
            (id, place)
        });
        brokers.extend(gone);
        Layout {
            brokers,
            partitions: survey.partitions.clone(),
        }
    }
}

/// What a pod's labels say that it does.
fn roles(pod: &Pod) -> BTreeSet<NodeRole> {
    let labelled = [
        (NodeRole::Broker, labels::BROKER),
        (NodeRole::Controller, labels::CONTROLLER),
    ];
    let has = |label| pod.labels().get(label).is_some_and(|value| value == "true");
    let labelled = labelled.into_iter().filter(|(_, label)| has(*label));
    labelled.map(|(role, _)| role).collect()
}

/// A broker that did not answer cannot be cordoned, and gets nothing new anyway.
fn cordon(holding: Option<&Holding>) -> Cordon {
    holding.map_or(Cordon::Unsupported, |holding| holding.cordon)
}

/// How many replicas a broker has; unknown where it cannot read a disk.
fn replicas(holding: &Holding) -> Option<usize> {
    let readable = holding.dirs.iter().all(|dir| dir.online);
    let counts = holding.dirs.iter();
    let counts = counts.map(|dir| dir.replicas.len() + dir.arriving.len());
    readable.then(|| counts.sum())
}

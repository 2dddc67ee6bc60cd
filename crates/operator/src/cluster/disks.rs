//! Brokers' disks beside their first: which there are, and what is done about
//! them next. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use tubeway_api::labels;
use tubeway_planner::{BrokerDisks, Disk, DiskReport, DiskStanding, NodeState};

use super::build::disks_of;
use super::dereference::Observed;
use super::validate::{ValidatedCluster, ValidatedPool};
use super::{names, pods};
use crate::kafka::{Holding, Survey};

/// Disks beside the first that each node's pod is to have, by node.
pub(super) type Built = BTreeMap<u32, BTreeSet<u32>>;

/// The disks of all nodes that stay, as they are seen.
pub(super) fn seen(
    cluster: &ValidatedCluster,
    observed: &Observed,
    survey: Option<&Survey>,
) -> Vec<BrokerDisks> {
    let nodes = cluster.nodes().into_iter();
    let stay = nodes.filter(|(id, pool)| !pool.surplus.contains(id));
    stay.map(|(id, pool)| {
        let holding = survey.and_then(|survey| survey.brokers.get(&id));
        BrokerDisks {
            says: holding.map(report),
            ..of_node(observed, id, pool)
        }
    })
    .collect()
}

fn of_node(observed: &Observed, id: u32, pool: &ValidatedPool) -> BrokerDisks {
    let pod = observed.pod_of(id);
    let pod =
        pod.filter(|pod| pods::state(Some(pod)) != NodeState::Terminating && !pods::is_over(pod));
    let mounted = pod.map(disks_of).unwrap_or_default();
    let claims = observed.disk_claims_of(id);
    let numbers: BTreeSet<u32> = pool.volumes.keys().chain(claims.keys()).copied().collect();
    let disks = numbers.into_iter().map(|number| {
        let claim = claims.get(&number).copied();
        let disk = Disk {
            wanted: pool.volumes.contains_key(&number),
            standing: claim.map_or(DiskStanding::Member, standing),
            mounted: mounted.contains(&number),
        };
        (number, disk)
    });
    BrokerDisks {
        id,
        has_pod: pod.is_some(),
        disks: disks.collect(),
        says: None,
    }
}

/// What pods are to have, with these changes of standings.
pub(super) fn built(
    cluster: &ValidatedCluster,
    observed: &Observed,
    changes: &BTreeMap<u32, BTreeMap<u32, DiskStanding>>,
) -> Built {
    let nodes = cluster.nodes().into_iter();
    let built = nodes.map(|(id, pool)| {
        let mut disks = of_node(observed, id, pool).disks;
        for (number, standing) in changes.get(&id).into_iter().flatten() {
            if let Some(disk) = disks.get_mut(number) {
                disk.standing = *standing;
            }
        }
        let stay = disks.into_iter().filter(|(_, disk)| disk.stays());
        (id, stay.map(|(number, _)| number).collect())
    });
    built.collect()
}

/// Claims that the spec wants to be of another class than they are: one that was
/// kept when its disk was taken away, and whose number is used again.
pub(super) fn misfits(cluster: &ValidatedCluster, observed: &Observed) -> Vec<String> {
    let mut misfits = Vec::new();
    for (id, pool) in cluster.nodes() {
        let claims = observed.disk_claims_of(id);
        for (number, volume) in &pool.volumes {
            let Some(claim) = claims.get(number) else {
                continue;
            };
            let class = claim
                .spec
                .as_ref()
                .and_then(|s| s.storage_class_name.as_ref());
            if volume.class.is_some() && volume.class.as_ref() != class {
                misfits.push(format!(
                    "KafkaNodePool/{} spec.storage.volumes[{number}].class: claim {} has class \
                     {:?}, which cannot change; use another id, or delete the claim",
                    pool.name,
                    claim.name_any(),
                    class.map_or("", String::as_str),
                ));
            }
        }
    }
    misfits
}

/// What a claim says about its disk.
fn standing(claim: &PersistentVolumeClaim) -> DiskStanding {
    let annotations = claim.annotations();
    match annotations.get(labels::DISK_STANDING).map(String::as_str) {
        Some(labels::DISK_LEAVING) => DiskStanding::Leaving,
        Some(labels::DISK_EMPTIED) => DiskStanding::Emptied,
        Some(labels::DISK_LEFT) => DiskStanding::Left,
        _ => DiskStanding::Member,
    }
}

/// The annotation's value; none is no annotation.
pub(super) fn value(standing: DiskStanding) -> Option<&'static str> {
    match standing {
        DiskStanding::Member => None,
        DiskStanding::Leaving => Some(labels::DISK_LEAVING),
        DiskStanding::Emptied => Some(labels::DISK_EMPTIED),
        DiskStanding::Left => Some(labels::DISK_LEFT),
    }
}

/// A broker's word, with its directories known by their own names: what is before
/// these differs from one kind of node to another.
fn report(holding: &Holding) -> DiskReport {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let paths = (0..100).filter_map(|disk| {
        let folder = names::log_folder(disk);
        let dir = holding.dirs.iter().find(|dir| name(&dir.path) == folder)?;
        Some((disk, dir.path.clone()))
    });
    DiskReport {
        paths: paths.collect(),
        dirs: holding.dirs.clone(),
        cordon: holding.cordon,
        cordoned: holding.cordoned.clone(),
        stale: holding.stale_cordon,
    }
}

#[cfg(test)]
mod tests {
    use tubeway_planner::reassign::LogDir;

    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        use DiskStanding::{Emptied, Leaving, Left, Member};
        for wanted in [Member, Leaving, Emptied, Left] {
            let mut claim = PersistentVolumeClaim::default();
            if let Some(value) = value(wanted) {
                let annotations = claim.annotations_mut();
                annotations.insert(labels::DISK_STANDING.to_owned(), value.to_owned());
            }
            assert_eq!(standing(&claim), wanted);
        }
    }

    #[test]
    fn directories_are_known_by_their_own_names() {
        let dirs = ["/x/log-1/log", "/x/log-1", "/y/log-12"];
        let dirs = dirs.map(|path| LogDir {
            path: path.to_owned(),
            ..LogDir::default()
        });
        let holding = Holding {
            dirs: dirs.into(),
            ..Holding::default()
        };
        let paths = report(&holding).paths;
        let paths: Vec<_> = paths.iter().map(|(n, path)| (*n, path.as_str())).collect();
        assert_eq!(
            paths,
            [(0, "/x/log-1/log"), (1, "/x/log-1"), (12, "/y/log-12")]
        );
    }
}

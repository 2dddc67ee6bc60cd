//! The zones of addresses, from the pods and nodes there are. Pure.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use tubeway_config::MAX_ADDRESSES;

/// A pod, as far as it says where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPlace {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The zone of the node that it runs on, where that has one.
    pub zone: Option<String>,
}

/// The addresses of each zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoneMap {
    /// As [`tubeway_config::Zones::zones`].
    pub zones: BTreeMap<String, BTreeSet<IpAddr>>,
    /// How many addresses there was no room for.
    pub left_out: usize,
}

/// The zones of the addresses of these pods, at most `most` addresses: the last
/// are left out, and their zone is not known then.
///
/// Pods of one node may share its address (`hostNetwork`). An address of pods in
/// different zones, or of which one is in no zone that is known, is in none:
/// one of the two is out of date, and a guess could be the wrong one.
pub fn zone_map(pods: impl IntoIterator<Item = PodPlace>, most: usize) -> ZoneMap {
    let mut found: BTreeMap<IpAddr, Option<String>> = BTreeMap::new();
    for pod in pods {
        for address in pod.addresses {
            match found.entry(address.to_canonical()) {
                Entry::Vacant(entry) => {
                    entry.insert(pod.zone.clone());
                }
                Entry::Occupied(mut entry) if *entry.get() != pod.zone => {
                    entry.insert(None);
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    let known = found
        .into_iter()
        .filter_map(|(address, zone)| Some((address, zone?)));
    let mut map = ZoneMap::default();
    for (i, (address, zone)) in known.enumerate() {
        if i < most {
            map.zones.entry(zone).or_default().insert(address);
        } else {
            map.left_out += 1;
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(zone: &str, addresses: &[&str]) -> PodPlace {
        PodPlace {
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            zone: (!zone.is_empty()).then(|| zone.to_owned()),
        }
    }

    fn zones(of: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<IpAddr>> {
        let zone = |(name, list): &(&str, &[&str])| {
            let list = list.iter().map(|a| a.parse().unwrap());
            ((*name).to_owned(), list.collect())
        };
        of.iter().map(zone).collect()
    }

    #[test]
    fn an_address_is_in_its_pod_s_zone_and_in_none_where_pods_differ() {
        for (what, pods, expected) in [
            ("nobody", vec![], zones(&[])),
            (
                "two pods and two families",
                vec![
                    pod("a", &["10.0.0.1", "fd00::1"]),
                    pod("b", &["::ffff:10.0.0.2"]),
                ],
                zones(&[("a", &["10.0.0.1", "fd00::1"]), ("b", &["10.0.0.2"])]),
            ),
            (
                "pods with their node's address",
                vec![pod("a", &["10.9.0.1"]), pod("a", &["10.9.0.1"])],
                zones(&[("a", &["10.9.0.1"])]),
            ),
            (
                "a node without a zone",
                vec![pod("", &["10.0.0.1"])],
                zones(&[]),
            ),
            (
                "an address that has moved",
                vec![
                    pod("a", &["10.0.0.1", "10.0.0.3"]),
                    pod("b", &["10.0.0.1"]),
                    pod("a", &["10.0.0.1"]),
                ],
                zones(&[("a", &["10.0.0.3"])]),
            ),
            (
                "moved to where no zone is known",
                vec![pod("a", &["10.0.0.1"]), pod("", &["10.0.0.1"])],
                zones(&[]),
            ),
        ] {
            let mut turned = pods.clone();
            turned.reverse();
            assert_eq!(zone_map(pods, MAX_ADDRESSES).zones, expected, "{what}");
            assert_eq!(zone_map(turned, MAX_ADDRESSES).zones, expected, "{what}");
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_in_no_zone() {
        let pods = (0..5).map(|i| pod("a", &[&format!("10.0.0.{i}")]));
        let map = zone_map(pods, 3);
        assert_eq!(map.left_out, 2);
        assert_eq!(map.zones["a"].len(), 3);
    }
}

//! In which zone callers of a Kafka cluster are, and in which a sidecar itself is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Problem};
use crate::topology::ClusterRef;

/// Most addresses of one document: ten thousand pods with two addresses each,
/// five times. In IPv6 that is some 4 MB of JSON.
pub const MAX_ADDRESSES: usize = 100_000;

/// The zones of the pods' addresses. An address that is in none is of a caller
/// whose zone is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Zones {
    /// The cluster whose nodes this is for.
    pub cluster: ClusterRef,
    /// The addresses of each zone; IPv4 ones as such, never mapped into IPv6.
    pub zones: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// Where one sidecar's pod is, for this sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// The cluster that the sidecar belongs to or leads to.
    pub cluster: ClusterRef,
    /// The zone of the pod's node.
    pub zone: String,
}

// === impl Zones ===

impl Zones {
    /// Reads and checks a document; every problem in it is reported at once.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let zones: Self =
            serde_json::from_slice(bytes).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        zones.check()?;
        Ok(zones)
    }

    /// The document's one written form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("zones are always JSON"))
    }

    /// How many addresses there are.
    pub fn addresses(&self) -> usize {
        self.zones.values().map(BTreeSet::len).sum()
    }

    /// The zone of each address.
    pub fn by_address(&self) -> HashMap<IpAddr, Arc<str>> {
        let mut found = HashMap::with_capacity(self.addresses());
        for (zone, addresses) in &self.zones {
            let zone: Arc<str> = zone.as_str().into();
            found.extend(addresses.iter().map(|ip| (*ip, Arc::clone(&zone))));
        }
        found
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut found = |path: &str, problem: String| problems.push(Problem::new(path, problem));
        if self.zones.contains_key("") {
            found("zones", "a zone's name is empty".to_owned());
        }
        let all = self.addresses();
        if all > MAX_ADDRESSES {
            found("zones", format!("{all} addresses; at most {MAX_ADDRESSES}"));
        }
        let different = self.by_address().len();
        if different != all {
            let problem = format!("{} addresses are in two zones", all - different);
            found("zones", problem);
        }
        let mut mapped = self.zones.values().flatten();
        if let Some(ip) = mapped.find(|ip| ip.to_canonical() != **ip) {
            found("zones", format!("{ip} must be {}", ip.to_canonical()));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }
}

// === impl Place ===

impl Place {
    /// Reads and checks a document.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let place: Self =
            serde_json::from_slice(bytes).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        if place.zone.is_empty() {
            let problem = Problem::new("zone", "a zone's name is empty");
            return Err(ConfigError::Invalid(vec![problem]));
        }
        Ok(place)
    }

    /// The document's one written form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("a place is always JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(zones: &[(&str, &[&str])]) -> Zones {
        let zone = |(name, ips): &(&str, &[&str])| {
            let ips = ips.iter().map(|ip| ip.parse().unwrap());
            ((*name).to_owned(), ips.collect())
        };
        Zones {
            cluster: "kafka/demo".parse().unwrap(),
            zones: zones.iter().map(zone).collect(),
        }
    }

    #[test]
    fn survives_its_own_json_and_is_found_by_address() {
        let good = zones(&[("a", &["10.0.0.1", "fd00::1"]), ("b", &["10.0.0.2"])]);
        assert_eq!(Zones::from_json(&good.to_json()), Ok(good.clone()));
        let by_address = good.by_address();
        assert_eq!(by_address.len(), 3);
        assert_eq!(&*by_address[&"fd00::1".parse().unwrap()], "a");
        let place = Place {
            cluster: good.cluster,
            zone: "a".to_owned(),
        };
        assert_eq!(Place::from_json(&place.to_json()), Ok(place));
    }

    #[test]
    fn what_could_not_be_decided_by_is_refused() {
        for (bad, says) in [
            (zones(&[("", &["10.0.0.1"])]), "name is empty"),
            (
                zones(&[("a", &["10.0.0.1"]), ("b", &["10.0.0.1"])]),
                "two zones",
            ),
            (zones(&[("a", &["::ffff:10.0.0.1"])]), "must be 10.0.0.1"),
        ] {
            let error = Zones::from_json(&bad.to_json()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        let place = br#"{"cluster":{"namespace":"a","name":"b"},"zone":""}"#;
        assert!(Place::from_json(place).is_err());
    }

    #[test]
    fn more_addresses_than_there_is_room_for_are_refused() {
        let address = |i: usize| IpAddr::from((i as u32).to_be_bytes());
        let mut all = zones(&[]);
        let ips = (0..MAX_ADDRESSES).map(address);
        all.zones.insert("a".to_owned(), ips.collect());
        assert_eq!(all.check(), Ok(()));
        let one_more = [address(MAX_ADDRESSES)].into();
        all.zones.insert("b".to_owned(), one_more);
        assert!(all.check().is_err());
    }

    #[test]
    fn a_document_of_ten_thousand_pods_is_as_large_as_it_is_said_to_be() {
        let address = |i: u32| IpAddr::from((0x0a00_0000 + i).to_be_bytes());
        let mut all = zones(&[]);
        for (i, zone) in ["eu-1a", "eu-1b", "eu-1c"].into_iter().enumerate() {
            let ips = (0..10_000).filter(|n| n % 3 == i as u32).map(address);
            all.zones.insert(zone.to_owned(), ips.collect());
        }
        let size = all.to_json().len();
        assert!((100_000..160_000).contains(&size), "{size}");
    }
}

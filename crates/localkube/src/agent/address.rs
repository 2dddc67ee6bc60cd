//! Loopback addresses of pods: a /24 of 127.0.0.0/8 each.
//!
//! Which network a pod gets follows from its namespace and name, so that it is the same on every
//! machine as long as no two names collide; the choice is kept, so that a pod that comes back has
//! its old address.

use super::files;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The networks an agent may give to pods: `127.<second>.<0-255>.0/24`.
///
/// The second octets 0, 11 and 96 are never used: they are the machine's own and those of other
/// loopback services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRange {
    /// Second octets that may be used.
    pub second: RangeInclusive<u8>,
}

/// Gives out pod networks and remembers them.
#[derive(Debug)]
pub(crate) struct AddressBook {
    file: PathBuf,
    range: AddressRange,
    state: Mutex<State>,
}

/// A pod's network, held until dropped.
#[derive(Debug)]
pub(crate) struct PodNetwork {
    octets: [u8; 2],
    book: Arc<AddressBook>,
    /// Tells other agents on this machine that the network is in use.
    _guard: TcpListener,
}

/// Why a pod got no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("cannot keep pod addresses in {path}: {source}; check the disk")]
    Keep { path: PathBuf, source: io::Error },
    #[error("all networks of 127.{first}.0.0 to 127.{last}.255.255 are in use; widen the range")]
    Exhausted { first: u8, last: u8 },
}

#[derive(Debug, Default)]
struct State {
    /// `namespace/name` to the second and third octet.
    kept: BTreeMap<String, [u8; 2]>,
    in_use: BTreeSet<[u8; 2]>,
}

const RESERVED: [u8; 3] = [0, 11, 96];
/// Remembered names beyond this are forgotten, those of running pods excepted.
const KEPT: usize = 8192;
/// The port on a network's last address that marks it as used, by custom the kubelet's.
const GUARD_PORT: u16 = 10250;

// === impl AddressRange ===

impl Default for AddressRange {
    fn default() -> Self {
        Self { second: 1..=254 }
    }
}

impl AddressRange {
    /// Candidates for `key`, each once, beginning at a place that depends on `key` alone.
    fn candidates(&self, key: &str) -> impl Iterator<Item = [u8; 2]> + use<> {
        let seconds: Vec<u8> = self
            .second
            .clone()
            .filter(|octet| !RESERVED.contains(octet))
            .collect();
        let total = seconds.len() * 256;
        let digest = Sha256::digest(key.as_bytes());
        let start = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) as usize;
        (0..total).map(move |step| {
            let place = (start + step) % total;
            [seconds[place / 256], (place % 256) as u8]
        })
    }

    fn allows(&self, octets: [u8; 2]) -> bool {
        self.second.contains(&octets[0]) && !RESERVED.contains(&octets[0])
    }
}

// === impl AddressBook ===

impl AddressBook {
    /// Reads what was kept in `file`. Unreadable content is an error: forgetting addresses would
    /// move every pod.
    pub(crate) fn open(file: PathBuf, range: AddressRange) -> Result<Self, AddressError> {
        let kept = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        match kept {
            Ok(kept) => Ok(Self {
                file,
                range,
                state: Mutex::new(State {
                    kept,
                    in_use: BTreeSet::new(),
                }),
            }),
            Err(source) => Err(AddressError::Keep { path: file, source }),
        }
    }

    /// The network for a pod: the one it had, or a free one.
    pub(crate) fn take(
        self: &Arc<Self>,
        namespace: &str,
        name: &str,
    ) -> Result<PodNetwork, AddressError> {
        let key = format!("{namespace}/{name}");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.kept.get(&key).copied();
        let owned: BTreeSet<[u8; 2]> = state.kept.values().copied().collect();
        let candidates = before
            .filter(|octets| self.range.allows(*octets))
            .into_iter()
            .chain(self.range.candidates(&key).filter(|c| !owned.contains(c)));
        let Some((octets, guard)) = candidates
            .filter(|octets| !state.in_use.contains(octets))
            .find_map(|octets| Some((octets, guard(octets)?)))
        else {
            return Err(AddressError::Exhausted {
                first: *self.range.second.start(),
                last: *self.range.second.end(),
            });
        };
        if before != Some(octets) {
            state.kept.insert(key, octets);
            state.forget_some(octets);
            self.save(&state.kept)?;
        }
        state.in_use.insert(octets);
        drop(state);
        Ok(PodNetwork {
            octets,
            book: Arc::clone(self),
            _guard: guard,
        })
    }

    fn save(&self, kept: &BTreeMap<String, [u8; 2]>) -> Result<(), AddressError> {
        serde_json::to_vec(kept)
            .map_err(io::Error::from)
            .and_then(|bytes| files::write_atomically(&self.file, &bytes, 0o600))
            .map_err(|source| AddressError::Keep {
                path: self.file.clone(),
                source,
            })
    }
}

// === impl State ===

impl State {
    fn forget_some(&mut self, new: [u8; 2]) {
        if self.kept.len() > KEPT {
            let in_use = &self.in_use;
            self.kept
                .retain(|_, octets| *octets == new || in_use.contains(octets));
        }
    }
}

// === impl PodNetwork ===

impl PodNetwork {
    /// The pod's address, `.1` of its network.
    pub(crate) fn pod_ip(&self) -> Ipv4Addr {
        self.host(1)
    }

    /// The pod's loopback address, `.2` of its network.
    pub(crate) fn loopback(&self) -> Ipv4Addr {
        self.host(2)
    }

    fn host(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.octets[0], self.octets[1], last)
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        let mut state = self
            .book
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.in_use.remove(&self.octets);
    }
}

/// Marks a network as used on this machine; `None` when another agent has it.
fn guard([second, third]: [u8; 2]) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::new(127, second, third, 254), GUARD_PORT)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(dir: &tempfile::TempDir, second: RangeInclusive<u8>) -> Arc<AddressBook> {
        let range = AddressRange { second };
        Arc::new(AddressBook::open(dir.path().join("addresses.json"), range).unwrap())
    }

    #[test]
    fn a_name_keeps_its_address() {
        let dir = tempfile::tempdir().unwrap();
        let first = book(&dir, 201..=202)
            .take("demo", "broker-0")
            .unwrap()
            .pod_ip();
        let again = book(&dir, 201..=202)
            .take("demo", "broker-0")
            .unwrap()
            .pod_ip();
        assert_eq!(first, again);
        assert_eq!(first.octets()[3], 1);
    }

    #[test]
    fn two_holders_never_share_a_network() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let (book, rival) = (book(&dir, 203..=203), book(&other, 203..=203));
        let mine = book.take("demo", "a").unwrap();
        let theirs = rival.take("demo", "a").unwrap();
        assert_ne!(mine.pod_ip(), theirs.pod_ip());
        drop(mine);
        assert_ne!(book.take("demo", "a").unwrap().pod_ip(), theirs.pod_ip());
    }

    #[test]
    fn reserved_networks_are_skipped_and_an_empty_range_is_an_error() {
        let range = AddressRange { second: 0..=255 };
        assert!(
            range
                .candidates("x")
                .all(|[second, _]| !RESERVED.contains(&second))
        );
        assert_eq!(range.candidates("x").count(), 253 * 256);
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            book(&dir, 11..=11).take("a", "b"),
            Err(AddressError::Exhausted {
                first: 11,
                last: 11
            })
        ));
    }

    #[test]
    fn names_are_not_forgotten_by_damage() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("addresses.json");
        std::fs::write(&file, "{").unwrap();
        assert!(matches!(
            AddressBook::open(file, AddressRange::default()),
            Err(AddressError::Keep { .. })
        ));
    }
}

//! What ApiVersions responses offer.

use super::ExchangeError;
use crate::schema::{ApiKey, Direction, Schemas, Versions};
use crate::value::{Struct, Value};

/// Kafka's error code for a version that is not there.
const UNSUPPORTED_VERSION: i16 = 35;

/// The versions that an ApiVersions response offers, by rising key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiRanges(pub Vec<(ApiKey, Versions)>);

/// The body of the answer to an ApiVersions request whose version is too new: that of version 0,
/// which names the versions of ApiVersions alone, so that the client asks again with one of them.
pub fn unsupported_api_versions(served: Versions) -> Result<Vec<u8>, ExchangeError> {
    let layout = Schemas::get().layout(ApiKey::API_VERSIONS, 0, Direction::Response)?;
    let mut response = Struct::message(layout);
    response.set("ErrorCode", UNSUPPORTED_VERSION);
    ApiRanges(vec![(ApiKey::API_VERSIONS, served)]).write(&mut response);
    let mut out = Vec::new();
    response.encode(&mut out)?;
    Ok(out)
}

// === impl ApiRanges ===

impl ApiRanges {
    /// Reads the ranges of a decoded response of any version.
    pub fn read(response: &Struct) -> Self {
        let mut ranges: Vec<_> = response
            .structs("ApiKeys")
            .map(|entry| {
                let number = |name| entry.int(name) as i16;
                let versions = Versions {
                    first: number("MinVersion"),
                    last: number("MaxVersion"),
                };
                (ApiKey(number("ApiKey")), versions)
            })
            .collect();
        ranges.sort_by_key(|(key, _)| *key);
        Self(ranges)
    }

    /// Puts the ranges into a response of any version; all else in it stays.
    pub fn write(&self, response: &mut Struct) {
        let entries: Vec<Value> = self
            .0
            .iter()
            .filter_map(|(key, versions)| {
                let mut entry = response.child("ApiKeys")?;
                entry.set("ApiKey", key.0);
                entry.set("MinVersion", versions.first);
                entry.set("MaxVersion", versions.last);
                Some(entry.into())
            })
            .collect();
        response.set("ApiKeys", Value::Array(entries));
    }

    /// The versions offered of an API.
    pub fn get(&self, key: ApiKey) -> Option<Versions> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.0.get(at).map(|(_, versions)| *versions)
    }

    /// What both sides offer; an API that one lacks, or of which they share no version, is gone.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .filter_map(|(key, versions)| Some((*key, versions.intersect(other.get(*key)?)?)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Budget, decode};

    fn range(key: i16, first: i16, last: i16) -> (ApiKey, Versions) {
        (ApiKey(key), Versions { first, last })
    }

    #[test]
    fn ranges_go_in_and_come_out() {
        let ranges = ApiRanges(vec![range(0, 3, 13), range(18, 0, 4)]);
        for version in 0..=4 {
            let layout = Schemas::get()
                .layout(ApiKey::API_VERSIONS, version, Direction::Response)
                .unwrap();
            let mut response = Struct::message(layout);
            ranges.write(&mut response);
            let mut bytes = Vec::new();
            response.encode(&mut bytes).unwrap();
            let read = decode(layout, &bytes.into(), Budget::of(0)).unwrap();
            assert_eq!(ApiRanges::read(&read), ranges);
        }
    }

    #[test]
    fn too_new() {
        let body = unsupported_api_versions(Versions { first: 0, last: 4 }).unwrap();
        assert_eq!(body, [0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    }

    #[test]
    fn both_sides() {
        let ours = ApiRanges(vec![range(0, 0, 9), range(1, 4, 5), range(2, 0, 1)]);
        let theirs = ApiRanges(vec![range(0, 3, 13), range(1, 6, 7)]);
        assert_eq!(ours.intersect(&theirs), ApiRanges(vec![range(0, 3, 9)]));
    }
}

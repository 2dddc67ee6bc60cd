//! SPIFFE ids, parsed as strictly as the standard writes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest id that is read, in bytes (SPIFFE-ID, section 2.3).
const MAX_ID: usize = 2048;
/// Longest trust domain, in bytes.
const MAX_TRUST_DOMAIN: usize = 255;
const SCHEME: &str = "spiffe://";

/// A workload's identity, as in `spiffe://cluster.local/ns/shop/sa/checkout`.
///
/// Two ids are the same exactly when their bytes are the same. Only the form
/// that the standard calls canonical is read at all: a lower-case scheme and
/// trust domain, no percent-encoding, no empty or dot segments, no port, user,
/// query or fragment; and a path, because an id without one names a trust
/// domain and not a workload.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    id: Arc<str>,
    /// Where the path's leading `/` stands.
    path: usize,
}

/// Why a text is not a workload's SPIFFE id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// Longer than an id may be.
    #[error("a SPIFFE id has at most {MAX_ID} bytes")]
    TooLong,
    /// Does not begin with the scheme.
    #[error("a SPIFFE id begins with {SCHEME:?}")]
    Scheme,
    /// The trust domain is empty, too long, or has a character it may not have.
    #[error("a trust domain has 1 to {MAX_TRUST_DOMAIN} of the characters a-z 0-9 . - _")]
    TrustDomain,
    /// There is no path, or one of its segments may not be.
    #[error(
        "a workload's path has segments of the characters a-z A-Z 0-9 . - _, none of them empty, \".\" or \"..\""
    )]
    Path,
}

// === impl SpiffeId ===

impl SpiffeId {
    /// The identity of a Kubernetes service account, as Istio and ztunnel write it.
    pub fn of_service_account(
        trust_domain: &str,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, SpiffeError> {
        // A part that held another one's separator would end where that one begins.
        if trust_domain.contains('/') {
            return Err(SpiffeError::TrustDomain);
        }
        for part in [namespace, service_account] {
            if part.contains('/') {
                return Err(SpiffeError::Path);
            }
        }
        format!("{SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}").parse()
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The authority that vouches for this id.
    pub fn trust_domain(&self) -> &str {
        &self.id[SCHEME.len()..self.path]
    }

    /// The path, with its leading `/`.
    pub fn path(&self) -> &str {
        &self.id[self.path..]
    }

    /// Namespace and name, where the id is that of a Kubernetes service account.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let (namespace, account) = self.path().strip_prefix("/ns/")?.split_once("/sa/")?;
        (!namespace.contains('/') && !account.contains('/')).then_some((namespace, account))
    }

    /// The name of the Kafka principal that this id is: `User:spiffe://…`.
    pub fn principal(&self) -> String {
        format!("User:{}", self.id)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_ID {
            return Err(SpiffeError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeError::Scheme)?;
        let (trust_domain, path) = rest.split_once('/').ok_or(if valid_domain(rest) {
            SpiffeError::Path
        } else {
            SpiffeError::TrustDomain
        })?;
        if !valid_domain(trust_domain) {
            return Err(SpiffeError::TrustDomain);
        }
        if !path.split('/').all(valid_segment) {
            return Err(SpiffeError::Path);
        }
        Ok(Self {
            id: text.into(),
            path: SCHEME.len() + trust_domain.len(),
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

fn valid_domain(domain: &str) -> bool {
    (1..=MAX_TRUST_DOMAIN).contains(&domain.len())
        && domain
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

fn valid_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_a_service_account() {
        let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/checkout"
            .parse()
            .unwrap();
        assert_eq!(id.trust_domain(), "cluster.local");
        assert_eq!(id.path(), "/ns/shop/sa/checkout");
        assert_eq!(id.service_account(), Some(("shop", "checkout")));
        assert_eq!(
            id.principal(),
            "User:spiffe://cluster.local/ns/shop/sa/checkout"
        );
        assert_eq!(
            SpiffeId::of_service_account("cluster.local", "shop", "checkout"),
            Ok(id)
        );
    }

    #[test]
    fn refuses_what_the_standard_refuses() {
        use SpiffeError::{Path, Scheme, TooLong, TrustDomain};
        let long = format!("spiffe://td/{}", "a".repeat(MAX_ID));
        for (text, error) in [
            ("", Scheme),
            ("spiffe:/td/a", Scheme),
            ("SPIFFE://td/a", Scheme),
            ("http://td/a", Scheme),
            (" spiffe://td/a", Scheme),
            ("spiffe:///a", TrustDomain),
            ("spiffe://", TrustDomain),
            ("spiffe://TD/a", TrustDomain),
            ("spiffe://user@td/a", TrustDomain),
            ("spiffe://td:80/a", TrustDomain),
            ("spiffe://t%64/a", TrustDomain),
            ("spiffe://td?q/a", TrustDomain),
            ("spiffe://td", Path),
            ("spiffe://td/", Path),
            ("spiffe://td//a", Path),
            ("spiffe://td/a/", Path),
            ("spiffe://td/a/./b", Path),
            ("spiffe://td/a/../b", Path),
            ("spiffe://td/a%2fb", Path),
            ("spiffe://td/a?b", Path),
            ("spiffe://td/a#b", Path),
            ("spiffe://td/a\0", Path),
            ("spiffe://td/\u{e9}", Path),
            (long.as_str(), TooLong),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_name_with_a_slash_cannot_become_another_account() {
        assert_eq!(
            SpiffeId::of_service_account("td", "shop/sa/admin", "x"),
            Err(SpiffeError::Path)
        );
        assert_eq!(
            SpiffeId::of_service_account("td/ns/admin", "shop", "x"),
            Err(SpiffeError::TrustDomain)
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back(text in "(spiffe://)?[a-z./%A-Z0-9_-]{0,40}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.as_str(), text.as_str());
                prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
            }
        }
    }
}

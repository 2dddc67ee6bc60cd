//! The identity of the process that holds the authority.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use rustls_pki_types::UnixTime;
use tubeway_policy::SpiffeId;

use super::{Provider, ProviderError};
use crate::bundle::TrustBundle;
use crate::ca::CertificateAuthority;
use crate::svid::Svid;

/// Signs its own identity with an authority in the same process.
#[derive(Debug)]
pub struct Local {
    authority: Arc<ArcSwap<CertificateAuthority>>,
    bundle: Arc<ArcSwap<TrustBundle>>,
    id: SpiffeId,
    dns_names: Vec<String>,
    ttl: Duration,
}

// === impl Local ===

impl Local {
    /// An identity for `id` that also carries `dns_names` and lives for `ttl`.
    ///
    /// Authority and bundle are read at each call, so that either can be
    /// replaced; the bundle must hold the authority's root.
    pub fn new(
        authority: Arc<ArcSwap<CertificateAuthority>>,
        bundle: Arc<ArcSwap<TrustBundle>>,
        id: SpiffeId,
        dns_names: Vec<String>,
        ttl: Duration,
    ) -> Self {
        Self {
            authority,
            bundle,
            id,
            dns_names,
            ttl,
        }
    }
}

#[async_trait]
impl Provider for Local {
    async fn fetch(&self) -> Result<Svid, ProviderError> {
        let authority = self.authority.load_full();
        let svid = authority.issue(&self.id, &self.dns_names, self.ttl, UnixTime::now())?;
        Ok(svid.with_bundle(TrustBundle::clone(&self.bundle.load())))
    }
}

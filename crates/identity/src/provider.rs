//! Where identities come from.

mod files;
mod istio;
mod local;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::bundle::{BundleError, TrustBundle};
use crate::ca::CaError;
use crate::svid::{Svid, SvidError};

pub use files::Files;
pub use istio::{IstioCa, IstioCaConfig};
pub use local::Local;

/// Largest file that is read, in bytes; a trust bundle of a hundred roots has a tenth of it.
const MAX_FILE: u64 = 1024 * 1024;

/// Gets an identity from whoever issues them.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Asks for an identity now. It obeys the SVID rules; whether peers would
    /// accept it is for the caller to find out.
    async fn fetch(&self) -> Result<Svid, ProviderError>;

    /// Returns when there is a reason to ask again before the time.
    ///
    /// Never returns where the issuer does not speak first.
    async fn changed(&self) {
        std::future::pending::<()>().await;
    }
}

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This pod's own files or settings.
    Setup,
    /// The way to the issuer.
    Network,
    /// The issuer, or what it was told to trust.
    Issuer,
}

/// Why there is no new identity. Asking again is right in every case: files
/// are read anew at each call, and issuers come back.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A file of this pod cannot be read.
    #[error("cannot read {path}; check the volume that should hold it")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of this pod is no trust bundle.
    #[error("{path} holds no trust bundle")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: BundleError,
    },
    /// The token file holds no token.
    #[error("{0} holds no token; check the projected service-account volume")]
    Token(PathBuf),
    /// The issuer's address or name is unusable.
    #[error("the issuer's address or name {0:?} is not usable; check the pod's environment")]
    Address(String),
    /// The own key could not be made, or TLS could not be set up.
    #[error("cannot prepare the request: {0}")]
    Prepare(String),
    /// The issuer did not answer, or did not prove that it is the issuer.
    #[error(
        "cannot reach the issuer; check that it runs, and that its certificate is vouched for by this pod's roots"
    )]
    Unreachable(#[source] Box<tonic::Status>),
    /// The issuer took too long.
    #[error("the issuer gave no answer in time")]
    Timeout,
    /// The issuer said no.
    #[error("the issuer refused; check this pod's service-account token and its audience")]
    Refused(#[source] Box<tonic::Status>),
    /// The issuer could not do its work.
    #[error("the issuer failed; see its log")]
    Failed(#[source] Box<tonic::Status>),
    /// What came is not an identity.
    #[error("what the issuer gave is not usable")]
    Svid(#[from] SvidError),
    /// The authority in this process did not sign.
    #[error("the own authority did not sign")]
    Authority(#[from] CaError),
}

// === impl ProviderError ===

impl ProviderError {
    /// Who has to do something about it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::File { .. }
            | Self::Bundle { .. }
            | Self::Token(_)
            | Self::Address(_)
            | Self::Prepare(_) => Fault::Setup,
            Self::Unreachable(_) | Self::Timeout => Fault::Network,
            Self::Refused(_) | Self::Failed(_) | Self::Svid(_) | Self::Authority(_) => {
                Fault::Issuer
            }
        }
    }
}

#[async_trait]
impl<P: Provider + ?Sized> Provider for Arc<P> {
    async fn fetch(&self) -> Result<Svid, ProviderError> {
        (**self).fetch().await
    }

    async fn changed(&self) {
        (**self).changed().await;
    }
}

/// Reads a file that is not absurdly large.
pub(crate) async fn read(path: &Path) -> Result<Vec<u8>, ProviderError> {
    let failed = |source| ProviderError::File {
        path: path.to_owned(),
        source,
    };
    let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
    if metadata.len() > MAX_FILE {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    tokio::fs::read(path).await.map_err(failed)
}

pub(crate) fn bundle_of(path: &Path, pem: &[u8]) -> Result<TrustBundle, ProviderError> {
    TrustBundle::from_pem(pem).map_err(|source| ProviderError::Bundle {
        path: path.to_owned(),
        source,
    })
}

//! An identity that somebody else keeps in files.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Provider, ProviderError, bundle_of, read};
use crate::svid::Svid;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// Reads a chain, its key and the roots from PEM files, and again when they change.
#[derive(Debug)]
pub struct Files {
    chain: PathBuf,
    key: PathBuf,
    roots: PathBuf,
    /// What the last fetch read, good or bad.
    seen: Mutex<Option<Contents>>,
}

/// The bytes of the three files. `Debug` shows none: one of them is a key.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    chain: Vec<u8>,
    key: Vec<u8>,
    roots: Vec<u8>,
}

// === impl Files ===

impl Files {
    /// An identity from these files: the chain leaf first, its key, the roots.
    pub fn new(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        roots: impl Into<PathBuf>,
    ) -> Self {
        Self {
            chain: chain.into(),
            key: key.into(),
            roots: roots.into(),
            seen: Mutex::new(None),
        }
    }

    async fn contents(&self) -> Result<Contents, ProviderError> {
        Ok(Contents {
            chain: read(&self.chain).await?,
            key: read(&self.key).await?,
            roots: read(&self.roots).await?,
        })
    }

    fn seen(&self) -> Option<Contents> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

#[async_trait]
impl Provider for Files {
    async fn fetch(&self) -> Result<Svid, ProviderError> {
        let contents = self.contents().await?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(contents.clone());
        let bundle = bundle_of(&self.roots, &contents.roots)?;
        Ok(Svid::from_pem(&contents.chain, &contents.key, bundle)?)
    }

    async fn changed(&self) {
        loop {
            tokio::time::sleep(POLL).await;
            // Files that are being replaced may be missing for a moment.
            if let Ok(contents) = self.contents().await
                && self.seen().as_ref() != Some(&contents)
            {
                return;
            }
        }
    }
}

// === impl Contents ===

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

//! The sidecar's logins at its own broker.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::net::TcpStream;
use tubeway_identity::jwt::{AUDIENCE, ISSUER, LoginSigner, SignError};
use tubeway_policy::SpiffeId;
use tubeway_session::sasl::oauth_login;

use crate::dial;
use crate::frames::{LoginError, log_in};

/// How long a login lasts; it is renewed on the same connection before.
pub const LIFE: Duration = Duration::from_secs(600);

/// A login as one principal.
pub struct Login<'a> {
    principal: &'a SpiffeId,
}

// === impl Login ===

impl<'a> Login<'a> {
    /// As this principal.
    pub fn new(principal: &'a SpiffeId) -> Self {
        Self { principal }
    }

    /// A token that the broker takes for the principal.
    pub fn token(&self, signer: &LoginSigner, life: Duration) -> Result<String, SignError> {
        signer.token(self.principal, ISSUER, AUDIENCE, UnixTime::now(), life)
    }

    /// A connection to the broker, logged in.
    pub async fn connect(
        &self,
        broker: SocketAddr,
        signer: &LoginSigner,
    ) -> Result<TcpStream, LoginError> {
        let mut stream = dial::broker(broker).await?;
        let token = self.token(signer, LIFE).map_err(io::Error::other)?;
        log_in(&mut stream, &oauth_login(&token, 0)).await?;
        Ok(stream)
    }
}

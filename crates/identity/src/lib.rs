//! Certificates and tokens: the CA, its clients, and TLS that follows them.
//!
//! Providers get certificates, renewal keeps the
//! [`IdentityStore`] fresh with them, [`tls`] makes configurations that read
//! the store at every handshake, and [`verify::peer_identity`] is the one place
//! that says whom a chain of certificates proves. The certificate authority and its server are
//! the other side where there is no Istio; the login signer signs the sidecar's logins
//! at the broker.

pub mod accept;
mod bundle;
pub mod ca;
pub mod ca_server;
pub mod channel;
mod error;
pub mod jwt;
mod leaf;
pub mod provider;
pub mod renew;
pub mod serve;
mod store;
mod svid;
pub mod tls;
pub mod verify;
mod wire;

pub use bundle::{BundleError, TrustBundle};
pub use error::Causes;
pub use leaf::{Leaf, LeafError};
pub use store::{IdentityStore, InstallError};
pub use svid::{Svid, SvidError};

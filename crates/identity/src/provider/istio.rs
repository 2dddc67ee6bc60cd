//! Istio's certificate protocol, from the asking side.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use async_trait::async_trait;
use http::uri::PathAndQuery;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::ServerName;
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tubeway_policy::SpiffeId;

use super::{Provider, ProviderError, bundle_of, read};
use crate::bundle::TrustBundle;
use crate::channel::{H2, tls_channel};
use crate::svid::Svid;
use crate::tls::bootstrap_client_config;
use crate::wire::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse, MAX_MESSAGE};

/// Where the issuer is and how to prove to it who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IstioCaConfig {
    /// `host:port`.
    pub address: String,
    /// DNS name that the issuer's certificate must carry.
    pub server_name: String,
    /// SPIFFE id that it must carry too; `None` for Istio's own, which has none.
    pub id: Option<SpiffeId>,
    /// File with the service-account token, read at each call.
    pub token_file: PathBuf,
    /// File with the roots, PEM, read at each call.
    pub roots_file: PathBuf,
    /// What the issuer calls this Kubernetes; `Kubernetes` unless Istio spans several.
    pub cluster_id: String,
    /// The life to ask for; the issuer may give less.
    pub ttl: Duration,
}

/// Gets identities from a server of `istio.v1.auth.IstioCertificateService`.
#[derive(Debug, Clone)]
pub struct IstioCa {
    config: IstioCaConfig,
}

// === impl IstioCa ===

impl IstioCa {
    /// A client of the issuer that `config` names. Does nothing yet.
    pub fn new(config: IstioCaConfig) -> Self {
        Self { config }
    }

    async fn token(&self) -> Result<AsciiMetadataValue, ProviderError> {
        let file = &self.config.token_file;
        let bad = || ProviderError::Token(file.clone());
        let bytes = read(file).await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| bad())?.trim();
        if text.is_empty() {
            return Err(bad());
        }
        let mut value = MetadataValue::from_str(&format!("Bearer {text}")).map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn ask(
        &self,
        csr: String,
        bundle: &TrustBundle,
    ) -> Result<CertificateResponse, ProviderError> {
        let config = &self.config;
        let server_name = ServerName::try_from(config.server_name.clone())
            .map_err(|_| ProviderError::Address(config.server_name.clone()))?;
        let cluster_id = MetadataValue::from_str(&config.cluster_id)
            .map_err(|_| ProviderError::Address(config.cluster_id.clone()))?;
        let tls = bootstrap_client_config(bundle, config.id.clone(), &[H2])
            .map_err(|error| ProviderError::Prepare(error.to_string()))?;
        // A connection for each call: a call is rare, and the roots are new each time.
        let channel = tls_channel(&config.address, server_name, tls)
            .map_err(|_| ProviderError::Address(config.address.clone()))?;

        let mut request = Request::new(CertificateRequest {
            csr,
            validity_duration: i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX),
        });
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.token().await?);
        metadata.insert("clusterid", cluster_id);

        let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
        grpc.ready()
            .await
            .map_err(|error| explain(Status::from_error(error.into())))?;
        let codec = ProstCodec::<CertificateRequest, CertificateResponse>::default();
        let path = PathAndQuery::from_static(CREATE_CERTIFICATE);
        let answer = grpc.unary(request, path, codec).await.map_err(explain)?;
        Ok(answer.into_inner())
    }
}

#[async_trait]
impl Provider for IstioCa {
    async fn fetch(&self) -> Result<Svid, ProviderError> {
        let roots_file = &self.config.roots_file;
        let bundle = bundle_of(roots_file, &read(roots_file).await?)?;
        let (csr, key) =
            new_request().map_err(|error| ProviderError::Prepare(error.to_string()))?;
        let answer = self.ask(csr, &bundle).await?;
        let mut chain = String::new();
        for certificate in &answer.cert_chain {
            // Some issuers end their PEM with a line break and some do not.
            let _ = writeln!(chain, "{certificate}");
        }
        Ok(Svid::from_pem(chain.as_bytes(), key.as_bytes(), bundle)?)
    }
}

/// A new P-256 key and a request that proves it. The issuer knows the name by the token.
fn new_request() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?.pem()?;
    Ok((request, key.serialize_pem()))
}

fn explain(status: Status) -> ProviderError {
    let status = Box::new(status);
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument => {
            ProviderError::Refused(status)
        }
        Code::DeadlineExceeded => ProviderError::Timeout,
        // A status that this side made carries its cause; one that was sent has none.
        _ if std::error::Error::source(&*status).is_some() => ProviderError::Unreachable(status),
        _ => ProviderError::Failed(status),
    }
}

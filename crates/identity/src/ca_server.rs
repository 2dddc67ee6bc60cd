//! The authority behind Istio's certificate protocol.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tubeway_policy::SpiffeId;

use crate::ca::{CaError, CertificateAuthority, MAX_TTL, MIN_TTL};
use crate::error::Causes;
use crate::wire::{
    CREATE_CERTIFICATE, CertificateRequest, CertificateResponse, MAX_MESSAGE, SERVICE,
};

/// Longest token that is sent to a review, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// Asks Kubernetes whose a service-account token is.
#[async_trait]
pub trait TokenReviewer: Send + Sync + 'static {
    /// The service account that `token` was made for, if it is valid for `audience`.
    async fn review(&self, token: &str, audience: &str) -> Result<ServiceAccount, ReviewError>;
}

/// A Kubernetes service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Why a token names nobody.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The token is false, has expired, or is for another audience: the caller's fault.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// The review could not be made; the same token may be good later.
    #[error("the token could not be reviewed: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The gRPC service, to be mounted beside others with [`tonic::service::Routes`].
///
/// Cheap to clone. The authority may be swapped while it serves.
#[derive(Clone)]
pub struct CaService {
    shared: Arc<Shared>,
}

struct Shared {
    authority: Arc<ArcSwap<CertificateAuthority>>,
    reviewer: Arc<dyn TokenReviewer>,
    audience: String,
    default_ttl: Duration,
    clock: Arc<dyn TimeProvider>,
}

/// Why no certificate is given; each becomes one gRPC code.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("there is no bearer token in the metadata \"authorization\"")]
    NoToken,
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("the service account has no SPIFFE id: {0}")]
    Account(#[from] tubeway_policy::SpiffeError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("the clock cannot be read")]
    Clock,
}

// === impl CaService ===

impl CaService {
    /// Signs with `authority` for whoever has a token that `reviewer` knows to be for `audience`.
    ///
    /// A caller that asks for no particular life gets `default_ttl`.
    pub fn new(
        authority: Arc<ArcSwap<CertificateAuthority>>,
        reviewer: Arc<dyn TokenReviewer>,
        audience: &str,
        default_ttl: Duration,
    ) -> Self {
        let shared = Shared {
            authority,
            reviewer,
            audience: audience.to_owned(),
            default_ttl: default_ttl.clamp(MIN_TTL, MAX_TTL),
            clock: Arc::new(DefaultTimeProvider),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    async fn create_certificate(
        &self,
        request: Request<CertificateRequest>,
    ) -> Result<Response<CertificateResponse>, Status> {
        match self.create(&request).await {
            Ok((id, response)) => {
                tracing::info!(%id, "certificate signed");
                Ok(Response::new(response))
            }
            Err(refusal) => {
                tracing::warn!(error = %Causes(&refusal), code = ?refusal.code(), "certificate refused");
                Err(refusal.into())
            }
        }
    }

    async fn create(
        &self,
        request: &Request<CertificateRequest>,
    ) -> Result<(SpiffeId, CertificateResponse), Refusal> {
        let shared = &self.shared;
        let token = bearer_token(request).ok_or(Refusal::NoToken)?;
        let account = shared.reviewer.review(token, &shared.audience).await?;
        let authority = shared.authority.load_full();
        let id = SpiffeId::of_service_account(
            authority.trust_domain(),
            &account.namespace,
            &account.name,
        )?;
        let request = request.get_ref();
        let ttl = match u64::try_from(request.validity_duration) {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => shared.default_ttl,
        };
        let now = shared.clock.current_time().ok_or(Refusal::Clock)?;
        let issued = authority.sign(&request.csr, &id, &[], ttl, now)?;
        let response = CertificateResponse {
            cert_chain: issued.chain,
        };
        Ok((id, response))
    }
}

impl NamedService for CaService {
    const NAME: &'static str = SERVICE;
}

impl<B> Service<http::Request<B>> for CaService
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != CREATE_CERTIFICATE {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let codec = ProstCodec::<CertificateResponse, CertificateRequest>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE);
            Ok(grpc.unary(service, request).await)
        })
    }
}

impl UnaryService<CertificateRequest> for CaService {
    type Response = CertificateResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<CertificateRequest>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { service.create_certificate(request).await })
    }
}

impl fmt::Debug for CaService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaService")
            .field("authority", &self.shared.authority.load())
            .field("audience", &self.shared.audience)
            .finish_non_exhaustive()
    }
}

// === impl Refusal ===

impl Refusal {
    fn code(&self) -> Code {
        match self {
            Self::NoToken | Self::Review(ReviewError::Invalid(_)) => Code::Unauthenticated,
            Self::Review(ReviewError::Unavailable(_)) | Self::Ca(CaError::Expired) => {
                Code::Unavailable
            }
            Self::Account(_) => Code::PermissionDenied,
            Self::Ca(
                CaError::RequestSize(_)
                | CaError::Request
                | CaError::Possession
                | CaError::KeyKind
                | CaError::Ttl,
            ) => Code::InvalidArgument,
            Self::Ca(_) | Self::Clock => Code::Internal,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        // What goes wrong on this side is for this side's log, not for strangers.
        let message = match refusal.code() {
            Code::Unavailable => "try again later; the issuer's log says why".to_owned(),
            Code::Internal => "the issuer failed; its log says why".to_owned(),
            _ => refusal.to_string(),
        };
        Self::new(refusal.code(), message)
    }
}

fn bearer_token<T>(request: &Request<T>) -> Option<&str> {
    let value = request.metadata().get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let honest = scheme.eq_ignore_ascii_case("bearer") && (1..=MAX_TOKEN).contains(&token.len());
    honest.then_some(token)
}

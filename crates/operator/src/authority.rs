//! The certificate authority's key in its Secret, and who gets certificates.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::pki_types::UnixTime;
use tubeway_api::labels;
use tubeway_identity::ca::{AuthorityPem, CaError, CertificateAuthority};
use tubeway_identity::ca_server::{ReviewError, ServiceAccount, TokenReviewer};

use crate::error::Error;

/// The Secret with the authority's certificate and key.
pub const SECRET: &str = "tubeway-ca";
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
/// Life of a new authority.
const LIFE: Duration = Duration::from_hours(24 * 3650);

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The Secret cannot be read or written.
    #[error(transparent)]
    Kubernetes(#[from] Error),
    /// The Secret has no usable authority in it.
    #[error(
        "the Secret {namespace}/{SECRET} holds no usable authority; restore it, or empty it to have \
         a new one made, which every sidecar must then restart for"
    )]
    Unusable {
        /// The operator's namespace.
        namespace: String,
        /// What is wrong with it.
        #[source]
        source: CaError,
    },
    /// The stored authority is for another mesh.
    #[error("the Secret's authority is for trust domain {found:?}, the operator for {wanted:?}")]
    TrustDomain {
        /// What the Secret says.
        found: String,
        /// What the operator was told.
        wanted: String,
    },
    /// A new authority could not be made.
    #[error("no new authority could be made")]
    Generate(#[source] CaError),
}

/// The authority of this mesh: the one in the Secret, or a new one.
///
/// # Guarantees
/// An authority, once written, is never replaced: of several operators that
/// start together one writes, and all use what it wrote.
pub async fn load(
    client: &Client,
    namespace: &str,
    trust_domain: &str,
) -> Result<CertificateAuthority, AuthorityError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    loop {
        let found = secrets
            .get_opt(SECRET)
            .await
            .map_err(Error::kubernetes(format!(
                "read Secret {namespace}/{SECRET}"
            )))?;
        if let Some(pem) = found.as_ref().and_then(authority_in) {
            return check(&pem, namespace, trust_domain);
        }
        let authority = CertificateAuthority::generate(trust_domain, LIFE, UnixTime::now())
            .map_err(AuthorityError::Generate)?;
        let secret = filled(found.as_ref(), namespace, &authority.to_pem());
        let params = PostParams::default();
        let written = match found {
            // The resource version in it makes this fail if anybody was faster.
            Some(_) => secrets.replace(SECRET, &params, &secret).await,
            None => secrets.create(&params, &secret).await,
        };
        match written.map_err(Error::kubernetes(format!(
            "write Secret {namespace}/{SECRET}"
        ))) {
            Ok(_) => {
                tracing::info!(namespace, trust_domain, "certificate authority made");
                return Ok(authority);
            }
            Err(error) if error.is_race() => tracing::info!("another operator made the authority"),
            Err(error) => return Err(error.into()),
        }
    }
}

fn authority_in(secret: &Secret) -> Option<AuthorityPem> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| {
        let bytes = data.get(key)?;
        String::from_utf8(bytes.0.clone()).ok()
    };
    // Half an authority is not "none": it is damaged, and is not written over.
    if !data.contains_key(CERTIFICATE) && !data.contains_key(KEY) {
        return None;
    }
    Some(AuthorityPem {
        certificate: text(CERTIFICATE).unwrap_or_default(),
        key: text(KEY).unwrap_or_default(),
    })
}

fn check(
    pem: &AuthorityPem,
    namespace: &str,
    trust_domain: &str,
) -> Result<CertificateAuthority, AuthorityError> {
    let authority =
        CertificateAuthority::from_pem(pem).map_err(|source| AuthorityError::Unusable {
            namespace: namespace.to_owned(),
            source,
        })?;
    if authority.trust_domain() != trust_domain {
        return Err(AuthorityError::TrustDomain {
            found: authority.trust_domain().to_owned(),
            wanted: trust_domain.to_owned(),
        });
    }
    Ok(authority)
}

fn filled(found: Option<&Secret>, namespace: &str, pem: &AuthorityPem) -> Secret {
    let manager = (
        labels::APP_MANAGED_BY.to_owned(),
        labels::MANAGER.to_owned(),
    );
    let mut secret = found.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([manager].into()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    });
    let data = secret.data.get_or_insert_default();
    for (key, text) in [(CERTIFICATE, &pem.certificate), (KEY, &pem.key)] {
        data.insert(key.to_owned(), ByteString(text.clone().into_bytes()));
    }
    secret
}

/// Asks the Kubernetes API whose a token is.
#[derive(Clone)]
pub struct KubernetesReviewer {
    client: Client,
}

// === impl KubernetesReviewer ===

impl KubernetesReviewer {
    /// Asks with this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl TokenReviewer for KubernetesReviewer {
    async fn review(&self, token: &str, audience: &str) -> Result<ServiceAccount, ReviewError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: Some(vec![audience.to_owned()]),
            },
            ..TokenReview::default()
        };
        let answer = Api::<TokenReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| ReviewError::Unavailable(Box::new(error)))?;
        account_of(&answer, audience)
    }
}

/// The account that a review's answer names, if it is one and for us.
fn account_of(answer: &TokenReview, audience: &str) -> Result<ServiceAccount, ReviewError> {
    let invalid = |why: &str| ReviewError::Invalid(why.to_owned());
    let status = answer
        .status
        .as_ref()
        .ok_or_else(|| invalid("the review has no answer"))?;
    if status.authenticated != Some(true) {
        let why = status.error.as_deref().unwrap_or("not authenticated");
        return Err(invalid(why));
    }
    // An API server that knows no audiences answers without them, and would
    // take a token for anything.
    let audiences = status.audiences.as_deref().unwrap_or_default();
    if !audiences.iter().any(|a| a == audience) {
        return Err(invalid("the token is for another audience"));
    }
    let user = status
        .user
        .as_ref()
        .and_then(|user| user.username.as_deref());
    let account = user
        .and_then(|user| user.strip_prefix("system:serviceaccount:"))
        .and_then(|account| account.split_once(':'))
        .ok_or_else(|| invalid("the token is not a service account's"))?;
    Ok(ServiceAccount {
        namespace: account.0.to_owned(),
        name: account.1.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn review(status: &serde_json::Value) -> Result<ServiceAccount, ReviewError> {
        let review = json!({ "spec": { "token": "" }, "status": status });
        account_of(&serde_json::from_value(review).unwrap(), "tubeway-ca")
    }

    #[test]
    fn an_account_is_believed_only_for_our_audience() {
        let good = json!({
            "authenticated": true, "audiences": ["tubeway-ca"],
            "user": { "username": "system:serviceaccount:shop:checkout" },
        });
        let account = review(&good).unwrap();
        assert_eq!(
            (account.namespace.as_str(), account.name.as_str()),
            ("shop", "checkout")
        );
        for (key, value) in [
            ("authenticated", json!(false)),
            ("audiences", json!(["https://kubernetes.default.svc"])),
            ("audiences", json!(null)),
            ("user", json!({ "username": "alice" })),
            ("user", json!(null)),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(
                matches!(review(&bad), Err(ReviewError::Invalid(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn half_an_authority_is_damaged_and_not_missing() {
        let secret = |data: serde_json::Value| -> Secret {
            serde_json::from_value(json!({ "data": data })).unwrap()
        };
        assert!(authority_in(&secret(json!({}))).is_none());
        let half = authority_in(&secret(json!({ "ca.crt": "YQ==" }))).unwrap();
        assert!(matches!(
            check(&half, "ns", "td"),
            Err(AuthorityError::Unusable { .. })
        ));
    }

    #[test]
    fn an_authority_survives_its_secret() {
        let made = CertificateAuthority::generate("td", LIFE, UnixTime::now()).unwrap();
        let secret = filled(None, "ns", &made.to_pem());
        let read = authority_in(&secret).unwrap();
        assert!(read == made.to_pem());
        check(&read, "ns", "td").unwrap();
        assert!(matches!(
            check(&read, "ns", "other"),
            Err(AuthorityError::TrustDomain { .. })
        ));
    }
}

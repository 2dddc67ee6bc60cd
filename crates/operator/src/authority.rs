//! The mesh's certificate authority: kept in a Secret, known by a ConfigMap.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use rustls_pki_types::UnixTime;
use serde_json::json;
use tracing::{info, warn};
use tubeway_api::{KafkaCluster, labels};
use tubeway_identity::ca::{AuthorityPem, CaError, CertificateAuthority};
use tubeway_identity::ca_server::{ReviewError, ServiceAccount, TokenReviewer};

use crate::build::sidecar::{ROOTS_CONFIG_MAP, ROOTS_KEY};
use crate::config::Config;

/// Name of the Secret.
pub const SECRET: &str = "tubeway-ca";
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Kubernetes refused.
    #[error("the Secret {SECRET} cannot be read or made: {0}")]
    Kubernetes(#[from] kube::Error),
    /// What the Secret holds is no authority.
    #[error(
        "the Secret {SECRET} holds no usable authority ({0}); restore it, or delete it to begin anew"
    )]
    Unusable(#[from] CaError),
    /// A key of the Secret is missing.
    #[error("the Secret {SECRET} has no {0}; restore it, or delete it to begin anew")]
    Incomplete(&'static str),
}

/// Reads the authority, or makes it where there is none. Two operators that
/// begin at once end with the same one: the Secret is only ever created.
pub async fn load_or_create(
    client: &Client,
    config: &Config,
) -> Result<CertificateAuthority, AuthorityError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &config.namespace);
    if let Some(secret) = secrets.get_opt(SECRET).await? {
        return from_secret(secret);
    }
    let authority = CertificateAuthority::generate(&config.trust_domain, LIFE, UnixTime::now())?;
    let pem = authority.to_pem();
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": SECRET, "namespace": config.namespace,
            "labels": {labels::APP_MANAGED_BY: labels::MANAGER}},
        "type": "Opaque",
        "stringData": {CERTIFICATE: pem.certificate, KEY: pem.key},
    }))
    .unwrap_or_default();
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => {
            info!(name = SECRET, "certificate authority made");
            Ok(authority)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            from_secret(secrets.get(SECRET).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn from_secret(secret: Secret) -> Result<CertificateAuthority, AuthorityError> {
    let mut data = secret.data.unwrap_or_default();
    let mut take = |key: &'static str| {
        data.remove(key)
            .and_then(|bytes| String::from_utf8(bytes.0).ok())
            .ok_or(AuthorityError::Incomplete(key))
    };
    let pem = AuthorityPem {
        certificate: take(CERTIFICATE)?,
        key: take(KEY)?,
    };
    Ok(CertificateAuthority::from_pem(&pem)?)
}

/// Asks Kubernetes whose a token is.
pub struct KubernetesReviewer {
    client: Client,
}

// === impl KubernetesReviewer ===

impl KubernetesReviewer {
    /// Asks through this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl TokenReviewer for KubernetesReviewer {
    async fn review(&self, token: &str, audience: &str) -> Result<ServiceAccount, ReviewError> {
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![audience.to_owned()]),
                token: token.to_owned(),
            },
            ..TokenReview::default()
        };
        let review = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(|e| ReviewError::Unavailable(Box::new(e)))?;
        let status = review.status.unwrap_or_default();
        let invalid = |why: &str| ReviewError::Invalid(why.to_owned());
        if status.authenticated != Some(true) {
            return Err(invalid(
                status.error.as_deref().unwrap_or("not authenticated"),
            ));
        }
        // An API server that knows no audiences would take a token for anything.
        if !status
            .audiences
            .unwrap_or_default()
            .iter()
            .any(|a| a == audience)
        {
            return Err(invalid("the token is for another audience"));
        }
        let name = status
            .user
            .and_then(|user| user.username)
            .unwrap_or_default();
        let account = name
            .strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'))
            .ok_or_else(|| invalid("the token is not a service account's"))?;
        Ok(ServiceAccount {
            namespace: account.0.to_owned(),
            name: account.1.to_owned(),
        })
    }
}

/// Keeps the trust bundle in every namespace that has a KafkaCluster or lets
/// its pods have client sidecars.
pub async fn publish_roots(client: Client, authority: Arc<CertificateAuthority>) {
    let namespaces = watcher(
        Api::<Namespace>::all(client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .applied_objects()
    .try_filter_map(|namespace| async move {
        let wants = namespace
            .labels()
            .get(labels::INJECT)
            .is_some_and(|v| v == labels::INJECT_ENABLED);
        Ok(wants.then(|| namespace.name_any()))
    });
    let clusters = watcher(
        Api::<KafkaCluster>::all(client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .applied_objects()
    .try_filter_map(|cluster| async move { Ok(cluster.namespace()) });
    let mut wanted = std::pin::pin!(futures::stream::select(namespaces, clusters));
    let mut done = BTreeSet::new();
    loop {
        match wanted.try_next().await {
            Ok(Some(namespace)) => {
                if done.contains(&namespace) {
                    continue;
                }
                match publish(&client, &namespace, authority.certificate_pem()).await {
                    Ok(()) => {
                        done.insert(namespace);
                    }
                    Err(error) => warn!(%error, namespace, "trust bundle not published"),
                }
            }
            Ok(None) => return,
            Err(error) => warn!(%error, "watch for namespaces failed"),
        }
    }
}

async fn publish(client: &Client, namespace: &str, roots: &str) -> Result<(), kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let current = maps.get_opt(ROOTS_CONFIG_MAP).await?;
    let same = current
        .and_then(|map| map.data)
        .is_some_and(|data| data.get(ROOTS_KEY).is_some_and(|text| text == roots));
    if same {
        return Ok(());
    }
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": ROOTS_CONFIG_MAP, "namespace": namespace,
            "labels": {labels::APP_MANAGED_BY: labels::MANAGER}},
        "data": {ROOTS_KEY: roots},
    });
    let params = PatchParams::apply(labels::MANAGER).force();
    maps.patch(ROOTS_CONFIG_MAP, &params, &Patch::Apply(map))
        .await?;
    info!(namespace, "trust bundle published");
    Ok(())
}

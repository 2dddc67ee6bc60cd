//! Service-account tokens of one pod, requested anew at four fifths of their life.

use super::store::{PodId, PodStore, StoreError, Token, TokenWish};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use tokio::sync::Mutex;

/// How a process in a pod reaches the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAccess {
    /// Base URL of the API server.
    pub url: String,
    /// Certificate authority of its certificate, PEM.
    pub ca_pem: String,
}

/// The tokens of a pod, by what was asked for.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    tokens: Mutex<BTreeMap<TokenWish, Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    token: Token,
    renew: Timestamp,
}

// === impl TokenCache ===

impl TokenCache {
    /// The token for `wish` and when to ask for it again. When the API does not answer, a token
    /// that is still valid is used on.
    pub(crate) async fn get(
        &self,
        store: &dyn PodStore,
        pod: &PodId,
        wish: &TokenWish,
    ) -> Result<(Token, Timestamp), StoreError> {
        let mut tokens = self.tokens.lock().await;
        let now = Timestamp::now();
        let kept = tokens.get(wish).filter(|kept| kept.token.expires > now);
        if let Some(kept) = kept.filter(|kept| kept.renew > now) {
            return Ok((kept.token.clone(), kept.renew));
        }
        match (store.token(pod, wish).await, kept) {
            (Ok(token), _) => {
                let renew = renewal(now, token.expires);
                let kept = Kept {
                    token: token.clone(),
                    renew,
                };
                tokens.insert(wish.clone(), kept);
                Ok((token, renew))
            }
            (Err(error), Some(kept)) => {
                tracing::warn!(pod = %pod, %error, "token not renewed, the old one is used on");
                Ok((kept.token.clone(), now + SignedDuration::from_secs(10)))
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Four fifths of the way from `now` to `expires`, at least a second away.
fn renewal(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.as_millisecond() - now.as_millisecond();
    now + SignedDuration::from_millis((life / 5 * 4).max(1000))
}

/// A kubeconfig for a process of the pod; the token is read from `token_file` at each use.
pub(crate) fn kubeconfig(api: &ApiAccess, namespace: &str, ca: &str, token_file: &str) -> String {
    let value = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "local",
            "cluster": {"server": api.url, "certificate-authority": ca},
        }],
        "users": [{"name": "pod", "user": {"tokenFile": token_file}}],
        "contexts": [{
            "name": "pod",
            "context": {"cluster": "local", "user": "pod", "namespace": namespace},
        }],
        "current-context": "pod",
    });
    // JSON is YAML.
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewed_at_four_fifths() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert_eq!(renewal(now, at(3600)), at(2880));
        assert_eq!(renewal(now, at(0)), at(1), "never a busy loop");
    }
}

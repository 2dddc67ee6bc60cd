//! Tokens of service accounts: JSON web tokens, ES256.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use serde_json::{Value, json};

use super::User;
use crate::store::{Key, Store};

/// Signs and checks tokens.
pub(crate) struct Tokens {
    issuer: String,
    key: EcdsaKeyPair,
    key_id: String,
    random: SystemRandom,
}

/// What a token is about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Namespace of the service account.
    pub(crate) namespace: String,
    /// Name of the service account.
    pub(crate) name: String,
    /// Its uid.
    pub(crate) uid: String,
    /// The object that the token dies with: kind in lower case, name, uid.
    pub(crate) bound: Option<(String, String, String)>,
    /// Name and uid of the bound pod's node.
    pub(crate) node: Option<(String, String)>,
}

/// Why a token is refused. Clients are told "Unauthorized" and nothing else.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// Not three parts of base64 with JSON in them, or claims are missing.
    #[error("the token is malformed")]
    Malformed,
    /// Another key signed it, or another issuer issued it.
    #[error("the token was not issued here")]
    Foreign,
    /// It has expired, or is not valid yet.
    #[error("the token is not valid at this time")]
    Expired,
    /// It is for somebody else.
    #[error("the token's audiences {0:?} are none of those wanted")]
    Audience(Vec<String>),
    /// The service account or the bound object is gone.
    #[error("{0} of the token does not exist any more")]
    Gone(String),
}

/// Why no key could be made or read.
#[derive(Debug, thiserror::Error)]
#[error("the key that signs tokens is unusable: {0}")]
pub struct KeyError(String);

// === impl Tokens ===

impl Tokens {
    /// A fresh key, PKCS #8.
    pub(crate) fn generate_key() -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        key.map(|key| key.as_ref().to_vec())
            .map_err(|error| KeyError(error.to_string()))
    }

    /// Tokens of `issuer`, signed by the key in `pkcs8`.
    pub(crate) fn new(issuer: &str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|error| KeyError(error.to_string()))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, key.public_key().as_ref());
        let key_id = URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]);
        Ok(Self {
            issuer: issuer.into(),
            key,
            key_id,
            random,
        })
    }

    /// The issuer, which is the default audience as well.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs a token for `subject`, valid from `now` for `lifetime`, both in seconds.
    pub(crate) fn issue(
        &self,
        subject: &Subject,
        audiences: &[String],
        now: i64,
        lifetime: i64,
    ) -> String {
        let mut private = json!({
            "namespace": subject.namespace,
            "serviceaccount": {"name": subject.name, "uid": subject.uid},
        });
        if let Some((kind, name, uid)) = &subject.bound {
            private[kind] = json!({"name": name, "uid": uid});
        }
        if let Some((name, uid)) = &subject.node {
            private["node"] = json!({"name": name, "uid": uid});
        }
        let claims = json!({
            "iss": self.issuer,
            "sub": format!("system:serviceaccount:{}:{}", subject.namespace, subject.name),
            "aud": audiences,
            "iat": now,
            "nbf": now,
            "exp": now.saturating_add(lifetime),
            "jti": uuid::Uuid::new_v4().to_string(),
            "kubernetes.io": private,
        });
        let header = json!({"alg": "ES256", "kid": self.key_id, "typ": "JWT"});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        // ring documents this as failing only when the random number generator does.
        let signature = self
            .key
            .sign(&self.random, signed.as_bytes())
            .expect("random numbers");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// The user of `token` if it is good for one of `audiences`, with those it is good for.
    pub(crate) fn verify(
        &self,
        token: &str,
        audiences: &[String],
        now: i64,
        store: &Store,
    ) -> Result<(User, Vec<String>), TokenError> {
        let claims = self.claims(token)?;
        let time = |name: &str| claims[name].as_i64().ok_or(TokenError::Malformed);
        if now >= time("exp")? || now < time("nbf")? {
            return Err(TokenError::Expired);
        }
        let own: Vec<String> = match &claims["aud"] {
            Value::String(one) => vec![one.clone()],
            many => many
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        };
        let common: Vec<String> = own
            .iter()
            .filter(|audience| audiences.contains(audience))
            .cloned()
            .collect();
        if common.is_empty() {
            return Err(TokenError::Audience(own));
        }
        Ok((user_of(&claims, store)?, common))
    }

    /// The public key as a JWK set.
    pub(crate) fn jwks(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": encode(x), "y": encode(y),
        }]})
    }

    fn claims(&self, token: &str) -> Result<Value, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| TokenError::Malformed)
        };
        let parse = |part: &str| -> Result<Value, TokenError> {
            serde_json::from_slice(&decode(part)?).map_err(|_| TokenError::Malformed)
        };
        if parse(header)?["alg"] != "ES256" {
            return Err(TokenError::Foreign);
        }
        let public =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        public
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| TokenError::Foreign)?;
        let claims = parse(claims)?;
        if claims["iss"] == *self.issuer {
            Ok(claims)
        } else {
            Err(TokenError::Foreign)
        }
    }
}

fn user_of(claims: &Value, store: &Store) -> Result<User, TokenError> {
    let private = &claims["kubernetes.io"];
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or(TokenError::Malformed)
    };
    let namespace = text(&private["namespace"])?;
    let alive = |resource: &str, name: &str, uid: &Value| {
        let key = Key::new(&Arc::from(resource), &namespace, name);
        store
            .get(&key)
            .is_some_and(|found| found.value["metadata"]["uid"] == *uid)
    };
    let account = &private["serviceaccount"];
    let name = text(&account["name"])?;
    if !alive("serviceaccounts", &name, &account["uid"]) {
        return Err(TokenError::Gone(format!(
            "service account {namespace}/{name}"
        )));
    }
    let mut user = User::service_account(&namespace, &name, &text(&account["uid"])?);
    let mut extra = BTreeMap::new();
    let mut note = |key: &str, value: String| {
        extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
    };
    if let Some(id) = claims["jti"].as_str() {
        note("credential-id", format!("JTI={id}"));
    }
    for (kind, resource) in [("pod", "pods"), ("secret", "secrets")] {
        let bound = &private[kind];
        if bound.is_null() {
            continue;
        }
        let name = text(&bound["name"])?;
        if !alive(resource, &name, &bound["uid"]) {
            return Err(TokenError::Gone(format!("{kind} {namespace}/{name}")));
        }
        if kind == "pod" {
            note("pod-name", name);
            note("pod-uid", text(&bound["uid"])?);
        }
    }
    if let Some(node) = private["node"]["name"].as_str() {
        note("node-name", node.into());
        note("node-uid", text(&private["node"]["uid"])?);
    }
    user.extra = extra;
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, Store, Tokens, Subject) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), crate::store::Durability::Answer).unwrap();
        store
            .create(
                &Key::new(&"namespaces".into(), "", "a"),
                json!({"metadata": {"name": "a"}}),
            )
            .unwrap();
        for (resource, name) in [("serviceaccounts", "app"), ("pods", "p")] {
            let object = json!({"metadata": {"name": name, "uid": format!("uid-{name}")}});
            store
                .create(&Key::new(&resource.into(), "a", name), object)
                .unwrap();
        }
        let tokens = Tokens::new("https://issuer", &Tokens::generate_key().unwrap()).unwrap();
        let subject = Subject {
            namespace: "a".into(),
            name: "app".into(),
            uid: "uid-app".into(),
            bound: Some(("pod".into(), "p".into(), "uid-p".into())),
            node: None,
        };
        (dir, store, tokens, subject)
    }

    #[test]
    fn a_token_names_its_account_and_its_pod() {
        let (_dir, store, tokens, subject) = world();
        let wanted = ["x".to_owned(), "y".to_owned()];
        let token = tokens.issue(&subject, &wanted[..1], 100, 60);
        let (user, good_for) = tokens.verify(&token, &wanted, 120, &store).unwrap();
        assert_eq!(user.name, "system:serviceaccount:a:app");
        assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
        assert_eq!(good_for, ["x"]);
    }

    #[test]
    fn a_token_dies_by_time_audience_key_and_pod() {
        let (_dir, store, tokens, subject) = world();
        let audience = ["x".to_owned()];
        let token = tokens.issue(&subject, &audience, 100, 60);
        let verify = |tokens: &Tokens, token: &str, audience: &[String], now| {
            tokens.verify(token, audience, now, &store).map(|_| ())
        };
        assert_eq!(
            verify(&tokens, &token, &audience, 160),
            Err(TokenError::Expired)
        );
        assert_eq!(
            verify(&tokens, &token, &audience, 99),
            Err(TokenError::Expired)
        );
        assert_eq!(
            verify(&tokens, &token, &["z".into()], 120),
            Err(TokenError::Audience(vec!["x".into()]))
        );
        let other = Tokens::new("https://issuer", &Tokens::generate_key().unwrap()).unwrap();
        assert_eq!(
            verify(&other, &token, &audience, 120),
            Err(TokenError::Foreign)
        );
        let mut forged = token.clone();
        forged.replace_range(40..41, if &token[40..41] == "A" { "B" } else { "A" });
        assert!(verify(&tokens, &forged, &audience, 120).is_err());
        let pod = Key::new(&"pods".into(), "a", "p");
        store.remove(&pod, store.get(&pod).unwrap().rv).unwrap();
        assert!(matches!(
            verify(&tokens, &token, &audience, 120),
            Err(TokenError::Gone(_))
        ));
    }
}

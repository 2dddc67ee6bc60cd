//! The tokens with which a sidecar logs in at its broker in a client's name.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls_pki_types::UnixTime;
use serde::Serialize;
use tubeway_policy::SpiffeId;

/// The claim `iss` of every login; the broker expects this one.
pub const ISSUER: &str = "tubeway";
/// The claim `aud` of every login; the broker expects this one.
pub const AUDIENCE: &str = "kafka";
/// Length of one coordinate of a P-256 point, in bytes.
const COORDINATE: usize = 32;

/// Signs logins with a key that never leaves memory (ES256, RFC 7518).
pub struct LoginSigner {
    key: EcdsaKeyPair,
    kid: String,
    /// The token's first part with its dot; the same in each.
    header: String,
    random: SystemRandom,
}

/// Why there is no key or no token: the system gave no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct SignError;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Serialize)]
struct JwkSet<'a> {
    keys: [Jwk<'a>; 1],
}

#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: &'a str,
    x: String,
    y: String,
}

// === impl LoginSigner ===

impl LoginSigner {
    /// A new key with a random name.
    pub fn generate() -> Result<Self, SignError> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| SignError)?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
            .map_err(|_| SignError)?;
        let mut name = [0; 16];
        random.fill(&mut name).map_err(|_| SignError)?;
        let kid = BASE64URL.encode(name);
        let header = Header {
            alg: "ES256",
            typ: "JWT",
            kid: &kid,
        };
        let header = format!("{}.", part(&header));
        Ok(Self {
            key,
            kid,
            header,
            random,
        })
    }

    /// The key's name, as in the tokens' header and the key set.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK set (RFC 7517), for the broker's JWKS file.
    pub fn jwks(&self) -> String {
        // An uncompressed point: 0x04, x, y.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(COORDINATE);
        json(&JwkSet {
            keys: [Jwk {
                kty: "EC",
                crv: "P-256",
                alg: "ES256",
                usage: "sig",
                kid: &self.kid,
                x: BASE64URL.encode(x),
                y: BASE64URL.encode(y),
            }],
        })
    }

    /// A token that says `id` from `issued_at` for `life`; the broker ends the
    /// session with it unless the connection is logged in anew.
    pub fn token(
        &self,
        id: &SpiffeId,
        issuer: &str,
        audience: &str,
        issued_at: UnixTime,
        life: Duration,
    ) -> Result<String, SignError> {
        let claims = Claims {
            sub: id.as_str(),
            iss: issuer,
            aud: audience,
            iat: issued_at.as_secs(),
            exp: issued_at.as_secs().saturating_add(life.as_secs()),
        };
        let mut token = self.header.clone();
        token.push_str(&part(&claims));
        let signature = self
            .key
            .sign(&self.random, token.as_bytes())
            .map_err(|_| SignError)?;
        token.push('.');
        BASE64URL.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for LoginSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginSigner")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

fn part(value: &impl Serialize) -> String {
    BASE64URL.encode(json(value))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::{Value, json};

    use super::*;

    fn decode(part: &str) -> Vec<u8> {
        BASE64URL.decode(part).unwrap()
    }

    fn value(part: &str) -> Value {
        serde_json::from_slice(&decode(part)).unwrap()
    }

    #[test]
    fn a_token_is_what_the_broker_expects() {
        let signer = LoginSigner::generate().unwrap();
        let id: SpiffeId = "spiffe://cluster.local/ns/team-a/sa/orders"
            .parse()
            .unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(1_000));
        let token = signer
            .token(&id, ISSUER, AUDIENCE, at, Duration::from_mins(10))
            .unwrap();

        let parts: Vec<_> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            panic!("{token} has not three parts");
        };
        assert_eq!(
            value(header),
            json!({"alg": "ES256", "typ": "JWT", "kid": signer.kid()})
        );
        assert_eq!(
            value(claims),
            json!({
                "sub": "spiffe://cluster.local/ns/team-a/sa/orders",
                "iss": "tubeway",
                "aud": "kafka",
                "iat": 1_000,
                "exp": 1_600,
            })
        );

        // The key set alone must be enough to check the signature.
        let jwks: Value = serde_json::from_str(&signer.jwks()).unwrap();
        let jwk = &jwks["keys"][0];
        assert_eq!(jwk["kid"], signer.kid());
        assert_eq!(
            (&jwk["kty"], &jwk["crv"], &jwk["alg"], &jwk["use"]),
            (
                &json!("EC"),
                &json!("P-256"),
                &json!("ES256"),
                &json!("sig")
            )
        );
        let mut point = vec![4];
        point.extend(decode(jwk["x"].as_str().unwrap()));
        point.extend(decode(jwk["y"].as_str().unwrap()));
        let message = format!("{header}.{claims}");
        let signature = decode(signature);
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(message.as_bytes(), &signature).unwrap();
        key.verify(b"another", &signature).unwrap_err();
    }

    #[test]
    fn the_key_set_has_no_private_part() {
        let jwks: Value = serde_json::from_str(&LoginSigner::generate().unwrap().jwks()).unwrap();
        assert!(jwks["keys"][0].get("d").is_none());
    }

    #[test]
    fn keys_and_names_are_new_each_time() {
        let (a, b) = (
            LoginSigner::generate().unwrap(),
            LoginSigner::generate().unwrap(),
        );
        assert_ne!(a.kid(), b.kid());
        assert_ne!(a.jwks(), b.jwks());
    }
}

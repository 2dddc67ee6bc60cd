//! How one operator is set up.

use std::net::SocketAddr;
use std::time::Duration;

use tubeway_policy::{SpiffeError, SpiffeId};

use crate::istio::IstioConfig;
use crate::watched::Watched;

/// The operator's settings; the program's flags and environment fill them in. The
/// defaults are the program's, but for the name, which has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The operator's own namespace, where the authority's Secret is kept.
    pub namespace: String,
    /// What this operator is called among those that could lead: its pod's name.
    pub name: String,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// Where the certificate authority and the configuration stream listen.
    pub grpc_listen: SocketAddr,
    /// `host:port` under which sidecars reach that port.
    pub advertise: String,
    /// DNS name that the operator's own certificate carries.
    pub service_name: String,
    /// Life of the certificates that are signed.
    pub cert_ttl: Duration,
    /// Where `/metrics`, `/livez` and `/readyz` are served.
    pub metrics_listen: SocketAddr,
    /// The images that pods are made of.
    pub images: Images,
    /// Istio, for clusters whose issuer it is.
    pub istio: IstioConfig,
    /// The namespaces that are looked after.
    pub watched: Watched,
    /// Whether to install the kinds' definitions at the start.
    pub install_crds: bool,
    /// Whether a pod's own label says its zone, before its node's label: only
    /// for one machine that plays several zones. Who may create a pod may then
    /// say where it is, and so get around rules with zones.
    pub zones_from_pods: bool,
}

/// The images that pods are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The sidecar's image, with its tag.
    pub proxy: String,
    /// The Kafka image without its tag: the Kafka version is the tag.
    pub kafka: String,
}

/// ServiceAccount that the operator runs as.
pub const OPERATOR_ACCOUNT: &str = "tubeway-operator";
/// Audience of the tokens that workloads show to get a certificate.
pub const TOKEN_AUDIENCE: &str = "tubeway-ca";

/// A number and a unit, as in 24h, 90m or 60s.
pub fn duration(text: &str) -> Result<Duration, String> {
    let error =
        || format!("{text:?} is not a duration; it takes a number and s, m or h, as in 24h");
    let number = |unit: char| text.strip_suffix(unit)?.parse::<u64>().ok();
    let seconds = [('s', 1), ('m', 60), ('h', 3600)]
        .into_iter()
        .find_map(|(unit, each)| number(unit)?.checked_mul(each));
    seconds.map(Duration::from_secs).ok_or_else(error)
}

/// The life of certificates, as [`duration`] and within what the authority signs.
pub fn certificate_life(text: &str) -> Result<Duration, String> {
    let life = duration(text)?;
    if (Duration::from_mins(1)..=Duration::from_hours(24)).contains(&life) {
        Ok(life)
    } else {
        Err(format!("{text} is not between 60s and 24h"))
    }
}

// === impl Config ===

impl Config {
    /// The operator's own identity.
    pub fn operator_id(&self) -> Result<SpiffeId, SpiffeError> {
        SpiffeId::of_service_account(&self.trust_domain, &self.namespace, OPERATOR_ACCOUNT)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: "tubeway-system".to_owned(),
            name: OPERATOR_ACCOUNT.to_owned(),
            trust_domain: "cluster.local".to_owned(),
            grpc_listen: SocketAddr::from(([0, 0, 0, 0], 15012)),
            advertise: "tubeway-operator.tubeway-system.svc:15012".to_owned(),
            service_name: "tubeway-operator.tubeway-system.svc".to_owned(),
            cert_ttl: Duration::from_hours(24),
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 15021)),
            images: Images::default(),
            istio: IstioConfig::default(),
            watched: Watched::All,
            install_crds: false,
            zones_from_pods: false,
        }
    }
}

// === impl Images ===

impl Default for Images {
    fn default() -> Self {
        Self {
            proxy: "tubeway.dev/proxy:latest".to_owned(),
            kafka: "tubeway.dev/kafka".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "s", "60", "h2", "-1s", "1d", "1é", "99999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn certificates_live_between_a_minute_and_a_day() {
        assert_eq!(certificate_life("60s"), Ok(Duration::from_mins(1)));
        for wrong in ["59s", "25h", "0s", "1"] {
            assert!(certificate_life(wrong).is_err(), "{wrong}");
        }
    }
}

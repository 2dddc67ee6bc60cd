//! What a sidecar is told by its environment (`docs/pods.md`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use tubeway_config::{Addresses, ClusterRef, ports};
use tubeway_policy::SpiffeId;

/// Answers for one variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What both roles need.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the pod, for logs and the operator's conditions.
    pub pod: String,
    /// Where this pod is.
    pub addresses: Addresses,
    /// The Kafka cluster this sidecar belongs to or leads to.
    pub cluster: ClusterRef,
    /// Identities of other trust domains are refused.
    pub trust_domain: String,
    /// The pod's zone.
    pub rack: Option<String>,
    /// Where configuration comes from, and identity unless `issuer` says else.
    pub control_plane: ControlPlane,
    /// Who issues what other pods see and trust, where that is not the operator.
    pub issuer: Option<Issuer>,
    /// Folder for the last good configuration.
    pub state_dir: PathBuf,
}

/// The operator, as a sidecar finds and recognises it.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// `host:port` of its gRPC port.
    pub address: String,
    /// DNS name its certificate must carry.
    pub name: String,
    /// SPIFFE id its certificate must carry.
    pub id: SpiffeId,
    /// Service-account token that proves who this pod is.
    pub token_file: PathBuf,
    /// The mesh's trust bundle.
    pub roots_file: PathBuf,
}

/// Istio's certificate authority, as a sidecar finds and recognises it.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// `host:port`.
    pub address: String,
    /// DNS name its certificate must carry.
    pub name: String,
    /// What it calls this Kubernetes.
    pub cluster_id: String,
    /// Service-account token for it.
    pub token_file: PathBuf,
    /// Its trust bundle.
    pub roots_file: PathBuf,
}

/// What only a node's sidecar needs.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// Kafka's `node.id`.
    pub node_id: u32,
    /// Folder shared with the broker.
    pub run_dir: PathBuf,
}

/// What only a client's sidecar needs.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Loopback port of the bootstrap listener.
    pub bootstrap_port: u16,
    /// Broker `id` is at this port plus `id`.
    pub brokers_from: u16,
}

/// A variable that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name} {problem}")]
pub struct SettingsError {
    /// Name of the variable.
    pub name: &'static str,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

// === impl Settings ===

impl Settings {
    /// Reads what both roles need.
    pub fn read(env: Env<'_>) -> Result<Self, SettingsError> {
        let loopback = parse(
            env,
            "TUBEWAY_LOOPBACK",
            Some("127.0.0.1"),
            "an address in 127.0.0.0/8",
        )
        .and_then(|ip: Ipv4Addr| {
            check(
                ip,
                "TUBEWAY_LOOPBACK",
                Ipv4Addr::is_loopback,
                "an address in 127.0.0.0/8",
            )
        })?;
        let pod: IpAddr = parse(env, "POD_IP", None, "the pod's address")?;
        Ok(Self {
            pod: required(env, "POD_NAME")?,
            addresses: Addresses { pod, loopback },
            cluster: parse(env, "TUBEWAY_CLUSTER", None, "<namespace>/<cluster>")?,
            trust_domain: required(env, "TUBEWAY_TRUST_DOMAIN")?,
            rack: env("TUBEWAY_RACK").filter(|rack| !rack.is_empty()),
            control_plane: ControlPlane::read(env)?,
            issuer: Issuer::read(env)?,
            state_dir: required(env, "TUBEWAY_STATE_DIR")?.into(),
        })
    }
}

// === impl ControlPlane ===

impl ControlPlane {
    fn read(env: Env<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            address: required(env, "TUBEWAY_CONTROL_PLANE")?,
            name: required(env, "TUBEWAY_CONTROL_PLANE_NAME")?,
            id: parse(env, "TUBEWAY_CONTROL_PLANE_ID", None, "a SPIFFE id")?,
            token_file: required(env, "TUBEWAY_TOKEN_FILE")?.into(),
            roots_file: required(env, "TUBEWAY_ROOTS_FILE")?.into(),
        })
    }
}

// === impl Issuer ===

impl Issuer {
    /// All of it or nothing: with half of it there is no saying whom to trust.
    fn read(env: Env<'_>) -> Result<Option<Self>, SettingsError> {
        const VARIABLES: [&str; 5] = [
            "TUBEWAY_ISSUER",
            "TUBEWAY_ISSUER_NAME",
            "TUBEWAY_ISSUER_CLUSTER_ID",
            "TUBEWAY_ISSUER_TOKEN_FILE",
            "TUBEWAY_ISSUER_ROOTS_FILE",
        ];
        let is_set = |name: &&str| env(name).is_some_and(|value| !value.is_empty());
        if !VARIABLES.iter().any(is_set) {
            return Ok(None);
        }
        let [address, name, cluster_id, token_file, roots_file] = VARIABLES;
        Ok(Some(Self {
            address: required(env, address)?,
            name: required(env, name)?,
            cluster_id: required(env, cluster_id)?,
            token_file: required(env, token_file)?.into(),
            roots_file: required(env, roots_file)?.into(),
        }))
    }
}

// === impl NodeSettings ===

impl NodeSettings {
    /// Reads what the node role needs besides [`Settings`].
    pub fn read(env: Env<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            node_id: parse(env, "TUBEWAY_NODE_ID", None, "a node id, 0 to 65535")?,
            run_dir: required(env, "TUBEWAY_RUN_DIR")?.into(),
        })
    }
}

// === impl ClientSettings ===

impl ClientSettings {
    /// Reads what the client role needs besides [`Settings`].
    pub fn read(env: Env<'_>) -> Result<Self, SettingsError> {
        let default = ports::CLIENT.to_string();
        let from = ports::CLIENT_BROKERS_FROM.to_string();
        Ok(Self {
            bootstrap_port: parse(env, "TUBEWAY_CLIENT_PORT", Some(&default), "a port")?,
            brokers_from: parse(env, "TUBEWAY_BROKER_PORTS_FROM", Some(&from), "a port")?,
        })
    }

    /// The loopback port that stands for broker `id`, where there is one left.
    pub fn broker_port(&self, id: u32) -> Option<u16> {
        u16::try_from(id)
            .ok()
            .and_then(|id| self.brokers_from.checked_add(id))
    }
}

fn required(env: Env<'_>, name: &'static str) -> Result<String, SettingsError> {
    env(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| SettingsError {
            name,
            problem: "is not set; the pod spec must give it (docs/pods.md)".to_owned(),
        })
}

fn parse<T: std::str::FromStr>(
    env: Env<'_>,
    name: &'static str,
    default: Option<&str>,
    what: &str,
) -> Result<T, SettingsError> {
    let text = match (env(name).filter(|value| !value.is_empty()), default) {
        (Some(text), _) => text,
        (None, Some(default)) => default.to_owned(),
        (None, None) => required(env, name)?,
    };
    text.parse().map_err(|_| SettingsError {
        name,
        problem: format!("is {text:?}; it must be {what}"),
    })
}

fn check<T: std::fmt::Display>(
    value: T,
    name: &'static str,
    allowed: impl Fn(&T) -> bool,
    what: &str,
) -> Result<T, SettingsError> {
    if allowed(&value) {
        Ok(value)
    } else {
        Err(SettingsError {
            name,
            problem: format!("is {value}; it must be {what}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 11] = [
        ("POD_NAME", "demo-a-0"),
        ("POD_IP", "127.20.1.1"),
        ("TUBEWAY_LOOPBACK", "127.20.1.2"),
        ("TUBEWAY_CLUSTER", "kafka/demo"),
        ("TUBEWAY_TRUST_DOMAIN", "cluster.local"),
        ("TUBEWAY_CONTROL_PLANE", "127.9.9.1:15012"),
        (
            "TUBEWAY_CONTROL_PLANE_NAME",
            "tubeway-operator.tubeway-system.svc",
        ),
        (
            "TUBEWAY_CONTROL_PLANE_ID",
            "spiffe://cluster.local/ns/tubeway-system/sa/tubeway-operator",
        ),
        ("TUBEWAY_TOKEN_FILE", "/t"),
        ("TUBEWAY_ROOTS_FILE", "/r"),
        ("TUBEWAY_STATE_DIR", "/s"),
    ];

    fn read(change: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(&|name| {
            change
                .iter()
                .chain(&GOOD)
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn reads_what_the_pod_spec_gives() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.cluster.to_string(), "kafka/demo");
        assert_eq!(
            settings.addresses.egress(1),
            Some(Ipv4Addr::new(127, 20, 1, 11))
        );
        assert_eq!(settings.rack, None);
    }

    #[test]
    fn a_wrong_variable_is_named_with_what_it_may_be() {
        for (name, value, says) in [
            ("POD_IP", "", "not set"),
            ("POD_IP", "somewhere", "somewhere"),
            ("TUBEWAY_LOOPBACK", "10.0.0.1", "127.0.0.0/8"),
            ("TUBEWAY_CLUSTER", "demo", "<namespace>/<cluster>"),
            ("TUBEWAY_CONTROL_PLANE_ID", "operator", "SPIFFE"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert_eq!(error.name, name);
            assert!(error.problem.contains(says), "{error}");
        }
    }

    #[test]
    fn another_issuer_is_named_in_full_or_not_at_all() {
        let all = [
            ("TUBEWAY_ISSUER", "istiod.istio-system.svc:15012"),
            ("TUBEWAY_ISSUER_NAME", "istiod.istio-system.svc"),
            ("TUBEWAY_ISSUER_CLUSTER_ID", "Kubernetes"),
            ("TUBEWAY_ISSUER_TOKEN_FILE", "/it"),
            ("TUBEWAY_ISSUER_ROOTS_FILE", "/ir"),
        ];
        assert!(read(&[]).unwrap().issuer.is_none());
        let issuer = read(&all).unwrap().issuer.unwrap();
        assert_eq!(issuer.name, "istiod.istio-system.svc");
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            let (name, _) = some.remove(missing);
            assert_eq!(read(&some).unwrap_err().name, name);
        }
    }

    #[test]
    fn a_broker_has_the_port_after_the_first_by_its_id() {
        let client = ClientSettings {
            bootstrap_port: 9092,
            brokers_from: 65_000,
        };
        assert_eq!(client.broker_port(7), Some(65_007));
        assert_eq!(client.broker_port(600), None);
        assert_eq!(client.broker_port(70_000), None);
    }
}

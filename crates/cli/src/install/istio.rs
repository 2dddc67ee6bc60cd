//! Where Istio is, for clusters whose certificates are its. Pure.

use tubeway_operator::istio::IstioConfig;

/// What the operator is told of Istio.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Istio {
    /// host:port of istiod, for clusters whose certificates are Istio's.
    #[arg(id = "istio-address", long, value_name = "HOST:PORT")]
    #[arg(default_value_t = Istio::default().address, value_parser = address)]
    pub address: String,
    /// DNS name that istiod's certificate must carry.
    #[arg(id = "istio-server-name", long, value_name = "NAME")]
    #[arg(default_value_t = Istio::default().server_name, value_parser = server_name)]
    pub server_name: String,
    /// What Istio calls this Kubernetes cluster.
    #[arg(id = "istio-cluster-id", long, value_name = "ID")]
    #[arg(default_value_t = Istio::default().cluster_id, value_parser = cluster_id)]
    pub cluster_id: String,
}

/// What `tubeway upgrade` changes of it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct IstioChange {
    /// host:port of istiod, for clusters whose certificates are Istio's.
    #[arg(id = "istio-address", long, value_name = "HOST:PORT", value_parser = address)]
    address: Option<String>,
    /// DNS name that istiod's certificate must carry.
    #[arg(id = "istio-server-name", long, value_name = "NAME", value_parser = server_name)]
    server_name: Option<String>,
    /// What Istio calls this Kubernetes cluster.
    #[arg(id = "istio-cluster-id", long, value_name = "ID", value_parser = cluster_id)]
    cluster_id: Option<String>,
}

/// Where istiod listens.
fn address(text: &str) -> Result<String, String> {
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| {
        let digits = port.chars().all(|c| c.is_ascii_digit()) && !port.starts_with('0');
        is_host(host) && digits && port.parse::<u16>().is_ok()
    });
    if fits {
        return Ok(text.to_owned());
    }
    Err(
        "a host and a port from 1 to 65535, as in istiod-1-30.istio-system.svc:15012: no scheme \
         and no path"
            .to_owned(),
    )
}

/// What a certificate can carry.
fn server_name(text: &str) -> Result<String, String> {
    if is_host(text) {
        return Ok(text.to_owned());
    }
    Err("a DNS name without a port, as in istiod.istio-system.svc".to_owned())
}

/// Istio takes more; these are what names of clusters are made of.
fn cluster_id(text: &str) -> Result<String, String> {
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '@' | '-');
    if (1..=253).contains(&text.len()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("up to 253 of a-z, A-Z, 0-9 and . _ : / @ -, as istiod's CLUSTER_ID".to_owned())
}

/// Labels with dots between them.
fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let edges = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && !edges && label.chars().all(allowed)
    })
}

// === impl Istio ===

impl Istio {
    /// The operator's arguments that say what is not as the operator has it by
    /// itself.
    pub fn arguments(&self) -> impl Iterator<Item = String> {
        let usual = Self::default();
        let all = [
            ("--istio-address", &self.address, usual.address),
            ("--istio-server-name", &self.server_name, usual.server_name),
            ("--istio-cluster-id", &self.cluster_id, usual.cluster_id),
        ];
        let others = all.into_iter().filter(|(_, value, usual)| *value != usual);
        others.map(|(flag, value, _)| format!("{flag}={value}"))
    }

    /// What the operator was told, by its arguments.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Self {
        let usual = Self::default();
        Self {
            address: value("--istio-address").unwrap_or(usual.address),
            server_name: value("--istio-server-name").unwrap_or(usual.server_name),
            cluster_id: value("--istio-cluster-id").unwrap_or(usual.cluster_id),
        }
    }
}

impl Default for Istio {
    /// As the operator has it by itself.
    fn default() -> Self {
        let config = IstioConfig::default();
        Self {
            address: config.address,
            server_name: config.server_name,
            cluster_id: config.cluster_id,
        }
    }
}

// === impl IstioChange ===

impl IstioChange {
    /// What was given takes the place of what was there.
    pub fn apply(&self, to: &mut Istio) {
        for (change, to) in [
            (&self.address, &mut to.address),
            (&self.server_name, &mut to.server_name),
            (&self.cluster_id, &mut to.cluster_id),
        ] {
            if let Some(change) = change {
                to.clone_from(change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_said_and_it_reads_back() {
        assert_eq!(Istio::default().arguments().count(), 0);
        let istio = Istio {
            address: "istiod-1-30.istio-system.svc:15012".to_owned(),
            cluster_id: "east/1".to_owned(),
            ..Istio::default()
        };
        let said: Vec<_> = istio.arguments().collect();
        assert_eq!(said.len(), 2, "{said:?}");
        let value = |flag: &str| {
            let mut values = said
                .iter()
                .filter_map(|one| one.strip_prefix(flag)?.strip_prefix('='));
            values.next().map(str::to_owned)
        };
        assert_eq!(Istio::read(value), istio);
    }
}

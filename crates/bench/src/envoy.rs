//! Envoy as a pair that carries bytes over mutual TLS and looks at none of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::relay::{Half, NAME};

/// The release that `scripts/envoy` fetches.
pub const VERSION: &str = "1.40.0";
/// Worker threads of each process.
const CONCURRENCY: &str = "2";
/// What the names of its extensions' configuration types begin with.
const TYPE: &str = "type.googleapis.com/envoy.extensions";

/// Envoy's program, fetched if need be.
pub fn ensure() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/envoy");
    let output = Command::new(&script)
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(output.status.success(), "{} failed", script.display());
    let path = String::from_utf8(output.stdout)?;
    Ok(path.trim().into())
}

/// A command that runs one half.
pub fn command(
    envoy: &Path,
    half: Half,
    listen: SocketAddr,
    to: SocketAddr,
    folder: &Path,
) -> Result<Command> {
    let name = match half {
        Half::Client => "client.json",
        Half::Node => "node.json",
    };
    let config = folder.join(name);
    std::fs::write(&config, config_of(half, listen, to, folder).to_string())?;
    let mut command = Command::new(envoy);
    command
        .arg("-c")
        .arg(config)
        .args(["--concurrency", CONCURRENCY, "--disable-hot-restart"])
        .args(["--log-level", "warn"]);
    Ok(command)
}

fn config_of(half: Half, listen: SocketAddr, to: SocketAddr, folder: &Path) -> Value {
    let mut chain = json!({
        "filters": [{
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": format!("{TYPE}.filters.network.tcp_proxy.v3.TcpProxy"),
                "stat_prefix": "kafka",
                "cluster": "next",
            },
        }],
    });
    let mut cluster = json!({
        "name": "next",
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": {
            "cluster_name": "next",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(to)}}]}],
        },
    });
    let tls = |context: &str, mut fields: Value| {
        fields["@type"] = format!("{TYPE}.transport_sockets.tls.v3.{context}").into();
        fields["common_tls_context"] = common(folder);
        json!({"name": "envoy.transport_sockets.tls", "typed_config": fields})
    };
    match half {
        Half::Client => {
            cluster["transport_socket"] = tls("UpstreamTlsContext", json!({"sni": NAME}));
        }
        Half::Node => {
            let fields = json!({
                "require_client_certificate": true,
                "disable_stateless_session_resumption": true,
            });
            chain["transport_socket"] = tls("DownstreamTlsContext", fields);
        }
    }
    json!({
        "static_resources": {
            "listeners": [{
                "name": "in",
                "address": address(listen),
                "filter_chains": [chain],
            }],
            "clusters": [cluster],
        },
    })
}

/// TLS 1.3 at both ends of the range: without the lower one, an upstream
/// connection would be 1.2.
fn common(folder: &Path) -> Value {
    let file = |name: &str| json!({"filename": folder.join(name)});
    json!({
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificates": [{
            "certificate_chain": file("chain.pem"),
            "private_key": file("key.pem"),
        }],
        "validation_context": {"trusted_ca": file("roots.pem")},
    })
}

fn address(of: SocketAddr) -> Value {
    let (address, port) = (of.ip().to_string(), of.port());
    json!({"socket_address": {"address": address, "port_value": port}})
}

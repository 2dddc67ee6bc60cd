//! Connections of workloads that have no sidecar of ours.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tubeway_identity::provider::{IstioCa, IstioCaConfig, Provider as _};
use tubeway_identity::tls::{Expected, client_config};
use tubeway_identity::{IdentityStore, Svid, TrustBundle};
use tubeway_testing::kubernetes::istio::ROOTS_CONFIG_MAP;

use crate::world::{ISTIOD, TRUST_DOMAIN, World};

/// ApiVersions v0, correlation id 1, no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
const NODES: &str = "spiffe://cluster.local/ns/kafka/sa/demo-node";
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection that stays open.
pub type Open = StreamOwned<ClientConnection, TcpStream>;

/// A certificate of Istio's for a service account of the namespace `shop`, with
/// the roots that istiod tells now.
pub async fn certificate(world: &World, account: &str) -> Result<Svid> {
    let token_file = world.scratch().join(format!("{account}.token"));
    std::fs::write(&token_file, token(world, account).await?)?;
    let roots_file = world.scratch().join("roots.pem");
    std::fs::write(&roots_file, roots(world).await?)?;
    let provider = IstioCa::new(IstioCaConfig {
        address: world.istiod.address().to_string(),
        server_name: ISTIOD.to_owned(),
        id: None,
        token_file,
        roots_file,
        cluster_id: "Kubernetes".to_owned(),
        ttl: Duration::ZERO,
    });
    Ok(provider.fetch().await?)
}

/// The roots in the namespace `shop`.
pub async fn roots(world: &World) -> Result<String> {
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), "shop");
    let data = api.get(ROOTS_CONFIG_MAP).await?.data.unwrap_or_default();
    data.into_values().next().context("no roots")
}

/// Shows `svid` to a node, trusting what `bundle` holds, and asks for its API
/// versions; the error says who did not accept whom.
pub fn connect(node: Ipv4Addr, svid: &Svid, bundle: &str, offers: &[&[u8]]) -> Result<Open> {
    let store = IdentityStore::new(TRUST_DOMAIN);
    // As its own issuer would have it, for the store takes nothing else.
    store.install(svid.clone())?;
    store.replace_bundle(&TrustBundle::from_pem(bundle.as_bytes())?);
    let config = client_config(&store, Expected::only(NODES.parse()?), offers);
    let socket = tcp(SocketAddr::from((node, 9092)))?;
    let name = ServerName::IpAddress(node.into());
    let mut stream = StreamOwned::new(ClientConnection::new(config, name)?, socket);
    ask(&mut stream)?;
    Ok(stream)
}

/// A plain connection.
pub fn tcp(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    Ok(socket)
}

/// Asks for the API versions, and reads the whole answer.
pub fn ask(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&API_VERSIONS)?;
    stream.flush()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)
}

async fn token(world: &World, account: &str) -> Result<String> {
    let api: Api<ServiceAccount> = Api::namespaced(world.client.clone(), "shop");
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec!["istio-ca".to_owned()]),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = api
        .create_token_request(account, &PostParams::default(), &request)
        .await?;
    answer
        .status
        .and_then(|status| status.token)
        .context("no token")
}

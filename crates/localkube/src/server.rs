//! The server: a listener, TLS, and the API behind it.

mod kubeconfig;
mod local;
mod pki;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::api::{Api, now};
use crate::auth::tokens::{KeyError, Subject, Tokens};
use crate::auth::{MASTERS, User, bootstrap};
use crate::controllers;
use crate::fault::Faults;
use crate::logs::LogSource;
use crate::store::{Durability, Key, Store, StoreError};
use pki::Pki;

pub use pki::PkiError;

/// How long open requests may take when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a connection may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long tokens in kubeconfig files last, seconds: a year, as certificates of kubeadm do.
const KUBECONFIG_TOKEN: i64 = 365 * 86_400;

/// Address of the service `kubernetes`.
const API_ADDRESS: &str = "127.96.0.1";

/// What a server needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder for everything that lasts: objects, keys, certificates. Made if it is not there.
    pub state_dir: PathBuf,
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Issuer of service-account tokens, and their default audience.
    pub issuer: String,
    /// When what is written is on disk.
    pub durability: Durability,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error("{0} is in use by another program; stop that one, or choose another port")]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The state folder cannot be used.
    #[error("cannot use the state folder {path}; check that it is writable and not full")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The objects cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Keys or certificates are unusable.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The key that signs tokens is unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A running server. Stops when told to; dropping it leaves it running until the runtime ends.
pub struct Server {
    api: Arc<Api>,
    address: SocketAddr,
    pki: Pki,
    faults: Arc<Faults>,
    tasks: Vec<JoinHandle<()>>,
    /// Connections of clients in this process.
    local: TaskTracker,
}

/// What every connection leads to.
#[derive(Clone)]
struct Front {
    api: Arc<Api>,
    faults: Arc<Faults>,
}

// === impl Config ===

impl Config {
    /// The issuer of tokens unless something else is wanted.
    pub const ISSUER: &'static str = "https://kubernetes.default.svc.cluster.local";

    /// A server that keeps its state in `state_dir` and listens on `listen`.
    pub fn new(state_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            state_dir: state_dir.into(),
            listen,
            issuer: Self::ISSUER.into(),
            durability: Durability::Answer,
        }
    }
}

// === impl Server ===

impl Server {
    /// Starts a server. When this returns, it answers, and the objects that every cluster has
    /// are there.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let folder = |source| StartError::Folder {
            path: config.state_dir.clone(),
            source,
        };
        std::fs::create_dir_all(&config.state_dir).map_err(folder)?;
        let listener = listen(config.listen).await?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let store = Arc::new(Store::open(&config.state_dir, config.durability)?);
        let pki = Pki::open(&config.state_dir, address.ip())?;
        let key = pki::keep(&config.state_dir.join("tokens.key"), || {
            Ok(Tokens::generate_key()?)
        })?;
        let tokens = Tokens::new(&config.issuer, &key)?;
        let api = Arc::new(Api::new(store, tokens, pki.ca_pem().to_owned()));
        furnish(&api, address.port()).await?;
        let acceptor = TlsAcceptor::from(pki.server_config()?);
        let faults = Faults::none();
        let front = Front {
            api: api.clone(),
            faults: faults.clone(),
        };
        let tasks = vec![
            tokio::spawn(controllers::run(api.clone())),
            tokio::spawn(serve(listener, acceptor, front)),
        ];
        tracing::info!(%address, state = %config.state_dir.display(), "kubernetes api is up");
        Ok(Self {
            api,
            address,
            pki,
            faults,
            tasks,
            local: TaskTracker::new(),
        })
    }

    /// The faults that requests meet: none unless a test asks for them.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// `https://address:port`
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that clients must trust, PEM.
    pub fn ca_pem(&self) -> &str {
        self.pki.ca_pem()
    }

    /// A kubeconfig whose user may do everything, by client certificate.
    pub fn admin_kubeconfig(&self) -> Result<String, PkiError> {
        let (certificate, key) = self.pki.client("kubernetes-admin", MASTERS)?;
        Ok(kubeconfig::certificate(
            &self.url(),
            self.ca_pem(),
            &certificate,
            &key,
        ))
    }

    /// A kubeconfig for a service account that exists, with a token for a year.
    pub fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<String, StoreError> {
        let key = Key::new(&"serviceaccounts".into(), namespace, name);
        let account = self.api.store.get(&key).ok_or(StoreError::Missing)?;
        let subject = Subject {
            namespace: namespace.into(),
            name: name.into(),
            uid: account.value["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .into(),
            bound: None,
            node: None,
        };
        let audience = [self.api.tokens.issuer().to_owned()];
        let token = self.api.tokens.issue(
            &subject,
            &audience,
            Timestamp::now().as_second(),
            KUBECONFIG_TOKEN,
        );
        Ok(kubeconfig::token(
            &self.url(),
            self.ca_pem(),
            namespace,
            name,
            &token,
        ))
    }

    /// Serves logs of pods from `source` from now on.
    pub fn set_log_source(&self, source: Arc<dyn LogSource>) {
        self.api.set_log_source(source);
    }

    /// Ends watches, lets open requests finish for a few seconds, and stops. All writes are on
    /// disk when this returns.
    pub async fn shutdown(self) {
        self.api.stop.cancel();
        for task in self.tasks {
            // A task that panicked has been reported by the runtime.
            let _ = task.await;
        }
        self.local.close();
        self.local.wait().await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::InUse(address),
            _ => StartError::Listen { address, source },
        })
}

/// Makes what every cluster has, as far as it is not there yet.
async fn furnish(api: &Arc<Api>, port: u16) -> Result<(), StartError> {
    let mut wanted: Vec<(&str, serde_json::Value)> = Vec::new();
    for name in bootstrap::NAMESPACES {
        wanted.push(("namespaces", bootstrap::namespace(name)));
    }
    for role in bootstrap::roles() {
        let resource = match role["kind"].as_str() {
            Some("ClusterRole") => "clusterroles.rbac.authorization.k8s.io",
            _ => "clusterrolebindings.rbac.authorization.k8s.io",
        };
        wanted.push((resource, role));
    }
    wanted.push(("services", bootstrap::service(API_ADDRESS, port)));
    for (resource, mut value) in wanted {
        let text = |field: &str| {
            value["metadata"][field]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let key = Key::new(&resource.into(), &text("namespace"), &text("name"));
        if api.store.get(&key).is_none() {
            value["metadata"]["uid"] = uuid::Uuid::new_v4().to_string().into();
            value["metadata"]["creationTimestamp"] = now().into();
            api.store.create(&key, value)?;
        }
    }
    for name in bootstrap::NAMESPACES {
        api.furnish(name);
    }
    api.store.settled(api.store.rv()).await?;
    Ok(())
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, front: Front) {
    let open = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = front.api.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(
                    stream,
                    acceptor.clone(),
                    front.clone(),
                    open.watcher(),
                ));
            }
            Err(error) => {
                // Usually too many open files; the next accept would fail at once again.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, open.shutdown()).await.is_err() {
        tracing::info!("stopping with requests still open");
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    front: Front,
    open: hyper_util::server::graceful::Watcher,
) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "tls handshake failed"),
        Err(_) => return tracing::debug!("tls handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let peer: Option<User> = certificates.and_then(|chain| pki::user_of(chain.first()?));
    let connection = front.connection(stream, peer);
    if let Err(error) = open.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

// === impl Front ===

impl Front {
    /// Serves HTTP on a stream whose other end is `peer`.
    fn connection<S>(
        self,
        stream: S,
        peer: Option<User>,
    ) -> impl GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| {
            let (front, peer) = (self.clone(), peer.clone());
            async move { front.faults.pass(front.api, request, peer).await }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new());
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(30)));
        builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned()
    }
}

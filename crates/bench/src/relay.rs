//! A relay that knows nothing of Kafka: what mutual TLS alone costs with the
//! libraries that the sidecar is made of. One half beside the client, plain in
//! and TLS out, one in front of the broker, TLS in and plain out.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name in the certificates of both halves.
pub const NAME: &str = "bench.local";

/// What one half is started with.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Which half.
    #[arg(long, value_enum)]
    pub half: Half,
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Where it connects to.
    #[arg(long)]
    pub to: SocketAddr,
    /// Size of the copy buffer of each direction, in bytes.
    #[arg(long)]
    pub buffer: usize,
    /// Folder with chain.pem, key.pem and roots.pem.
    #[arg(long)]
    pub certificates: PathBuf,
}

/// A half of the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// Beside the client: plain in, TLS out.
    Client,
    /// In front of the broker: TLS in, plain out.
    Node,
}

/// The outgoing or the incoming side's TLS.
#[derive(Clone)]
enum Tls {
    Out(TlsConnector),
    In(TlsAcceptor),
}

/// Runs one half until the process is ended.
pub async fn run(options: Options) -> Result<()> {
    let tls = tls(options.half, &options.certificates)?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (tls, to, buffer) = (tls.clone(), options.to, options.buffer);
        tokio::spawn(async move {
            // Either side may end it at any time; whoever asked sees that.
            let _ = serve(stream, to, tls, buffer).await;
        });
    }
}

async fn serve(near: TcpStream, to: SocketAddr, tls: Tls, buffer: usize) -> Result<()> {
    near.set_nodelay(true)?;
    let far = TcpStream::connect(to).await?;
    far.set_nodelay(true)?;
    match tls {
        Tls::Out(tls) => {
            let name = ServerName::try_from(NAME)?;
            copy(near, tls.connect(name, far).await?, buffer).await
        }
        Tls::In(tls) => copy(tls.accept(near).await?, far, buffer).await,
    }
}

async fn copy<A, B>(mut near: A, mut far: B, buffer: usize) -> Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    copy_bidirectional_with_sizes(&mut near, &mut far, buffer, buffer).await?;
    Ok(())
}

/// TLS 1.3 with certificates on both sides, by ring, without resumption: as
/// the sidecar has it.
fn tls(half: Half, folder: &Path) -> Result<Tls> {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for root in certificates(&folder.join("roots.pem"))? {
        roots.add(root)?;
    }
    let roots = Arc::new(roots);
    let chain = certificates(&folder.join("chain.pem"))?;
    let key = folder.join("key.pem");
    let key = PrivateKeyDer::from_pem_file(&key).with_context(|| key.display().to_string())?;
    let only = [&rustls::version::TLS13];
    Ok(match half {
        Half::Client => {
            let config =
                ClientConfig::builder_with_provider(crypto).with_protocol_versions(&only)?;
            let config = config.with_root_certificates(roots);
            let mut config = config.with_client_auth_cert(chain, key)?;
            config.resumption = rustls::client::Resumption::disabled();
            Tls::Out(Arc::new(config).into())
        }
        Half::Node => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, crypto.clone());
            let config =
                ServerConfig::builder_with_provider(crypto).with_protocol_versions(&only)?;
            let config = config.with_client_cert_verifier(verifier.build()?);
            let mut config = config.with_single_cert(chain, key)?;
            config.send_tls13_tickets = 0;
            Tls::In(Arc::new(config).into())
        }
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let all = CertificateDer::pem_reader_iter(BufReader::new(file));
    all.collect::<Result<_, _>>()
        .with_context(|| format!("{} has no certificates", path.display()))
}

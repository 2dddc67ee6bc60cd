//! Istio's control plane beside a control plane of Kubernetes.
//!
//! The program is the one that `scripts/setup-istio` has built. It issues
//! certificates by an authority of the test's own, which the test can replace
//! while it runs, and writes its roots into every namespace.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio::net::TcpStream;

use super::process::Process;
use super::{ControlPlane, ControlPlaneError, failed, site};

/// Variable that names another folder for the program than `target/tools/istio`.
pub const ISTIO_FOLDER_VARIABLE: &str = "TUBEWAY_ISTIO";
/// ConfigMap with the roots, in every namespace, and its key.
pub const ROOTS_CONFIG_MAP: &str = "istio-ca-root-cert";
const PROGRAM: &str = "pilot-discovery";
const KINDS: &str = "crds.yaml";
const SECURE_PORT: u16 = 15012;

/// A running istiod, killed when it is dropped.
#[derive(Debug)]
pub struct Istiod {
    process: Process,
    address: Ipv4Addr,
    authority: PathBuf,
}

/// An authority that signs for Istio: an intermediate one under a root.
pub struct Authority {
    root: String,
    intermediate: String,
    key: String,
}

// === impl Istiod ===

impl Istiod {
    /// Starts one for `plane`. When this returns it signs, and its roots are in
    /// the namespace `default`.
    pub async fn start(
        plane: &ControlPlane,
        authority: &Authority,
    ) -> Result<Self, ControlPlaneError> {
        let programs = programs()?;
        let kinds = programs.join(KINDS).display().to_string();
        for arguments in [
            &["create", "--filename", &kinds][..],
            &["create", "namespace", "istio-system"],
        ] {
            kubectl(plane, arguments).await?;
        }
        let folder = plane.folder().join("istio");
        let (files, address) = (folder.join("cacerts"), own_address());
        fs::create_dir_all(&files).map_err(failed("make a folder"))?;
        authority.write(&files, &[authority])?;
        let mut istiod = Self {
            process: start(plane, &programs, &folder, address)?,
            authority: files,
            address,
        };
        istiod.wait_until_ready(&plane.admin().await?).await?;
        Ok(istiod)
    }

    /// Where it signs: its name there is `istiod.istio-system.svc`.
    pub fn address(&self) -> SocketAddr {
        (self.address, SECURE_PORT).into()
    }

    /// From now on `signs` signs, and the roots of `trusted` are those that
    /// istiod tells everybody. It takes only what has some root in common with
    /// what was before.
    pub fn replace(
        &self,
        signs: &Authority,
        trusted: &[&Authority],
    ) -> Result<(), ControlPlaneError> {
        signs.write(&self.authority, trusted)
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        self.process.log_end()
    }

    async fn wait_until_ready(&mut self, admin: &Client) -> Result<(), ControlPlaneError> {
        let address = self.address();
        let look = || async move {
            let connected = TcpStream::connect(address).await;
            connected.map_err(|error| error.to_string())?;
            let api: Api<ConfigMap> = Api::namespaced(admin.clone(), "default");
            let roots = api.get(ROOTS_CONFIG_MAP).await;
            roots.map(drop).map_err(|error| error.to_string())
        };
        site::wait_for(&mut [&mut self.process], look).await
    }
}

// === impl Authority ===

impl Authority {
    /// A new one, whose certificates are named after `name`.
    pub fn new(name: &str) -> Result<Self, ControlPlaneError> {
        let root_key = KeyPair::generate()?;
        let root = params(&format!("{name} root"));
        let root_pem = root.self_signed(&root_key)?.pem();
        let key = KeyPair::generate()?;
        let intermediate = params(&format!("{name} intermediate"));
        let issuer = Issuer::new(root, root_key);
        Ok(Self {
            root: root_pem,
            intermediate: intermediate.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// The root's certificate, PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// As Istio reads them, under the names of its Secret `cacerts`. The roots
    /// are written first: what signs must lead to one of them at any time.
    fn write(&self, folder: &Path, trusted: &[&Self]) -> Result<(), ControlPlaneError> {
        let roots: String = trusted
            .iter()
            .map(|authority| authority.root.as_str())
            .collect();
        for (name, text) in [
            ("root-cert.pem", &roots),
            ("cert-chain.pem", &self.intermediate),
            ("ca-cert.pem", &self.intermediate),
            ("ca-key.pem", &self.key),
        ] {
            fs::write(folder.join(name), text).map_err(failed("write Istio's authority"))?;
        }
        Ok(())
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn programs() -> Result<PathBuf, ControlPlaneError> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/istio");
    let folder = std::env::var_os(ISTIO_FOLDER_VARIABLE).map_or(built, PathBuf::from);
    if folder.join(PROGRAM).is_file() && folder.join(KINDS).is_file() {
        return Ok(folder);
    }
    Err(ControlPlaneError::MissingIstio { folder })
}

/// An address of this process's own, so that istiod's ports, of which it wants
/// five, are nobody else's.
fn own_address() -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 96, high, low)
}

fn start(
    plane: &ControlPlane,
    programs: &Path,
    folder: &Path,
    address: Ipv4Addr,
) -> Result<Process, ControlPlaneError> {
    let mesh = folder.join("mesh.yaml");
    fs::write(&mesh, "trustDomain: cluster.local\n").map_err(failed("write Istio's settings"))?;
    let variables = [
        "POD_NAMESPACE=istio-system".to_owned(),
        "POD_NAME=istiod-0".to_owned(),
        "REVISION=default".to_owned(),
        "PILOT_CERT_PROVIDER=istiod".to_owned(),
        "CLUSTER_ID=Kubernetes".to_owned(),
        "ENABLE_CA_SERVER=true".to_owned(),
        "JWT_POLICY=third-party-jwt".to_owned(),
        "INJECTION_WEBHOOK_CONFIG_NAME=".to_owned(),
        "VALIDATION_WEBHOOK_CONFIG_NAME=".to_owned(),
        "ISTIO_MULTIROOT_MESH=true".to_owned(),
        format!("ROOT_CA_DIR={}", folder.join("cacerts").display()),
    ];
    let options = [
        ("kubeconfig", plane.site.file("admin.kubeconfig")),
        ("meshConfig", mesh.display().to_string()),
        ("httpAddr", format!("{address}:8080")),
        ("httpsAddr", format!("{address}:15017")),
        ("grpcAddr", format!("{address}:15010")),
        ("secureGRPCAddr", format!("{address}:{SECURE_PORT}")),
        ("monitoringAddr", format!("{address}:15014")),
        ("ctrlz_port", "0".to_owned()),
    ];
    let program = [
        programs.join(PROGRAM).display().to_string(),
        "discovery".to_owned(),
    ];
    let options = options.map(|(name, value)| format!("--{name}={value}"));
    let arguments = variables.into_iter().chain(program).chain(options);
    let log = folder.join("istiod.log");
    Process::start("istiod", Path::new("env"), arguments, log).map_err(failed("start istiod"))
}

async fn kubectl(plane: &ControlPlane, arguments: &[&str]) -> Result<(), ControlPlaneError> {
    let output = plane.kubectl().args(arguments).output().await;
    let output = output.map_err(failed("run kubectl"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(ControlPlaneError::Failed {
        command: format!("kubectl {}", arguments.join(" ")),
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

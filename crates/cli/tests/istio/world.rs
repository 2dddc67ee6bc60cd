//! A real API server, a real istiod, and our operator, sidecars and Kafka as
//! processes of this machine.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tubeway_localkube::agent::{
    AddressRange, Agent, AgentConfig, AgentHandle, ApiAccess, BackoffRule, ImageTable, LocalImage,
};
use tubeway_operator::cluster::build::{Issuer, SidecarSettings};
use tubeway_operator::config::Images;
use tubeway_operator::inject::{InjectConfig, client_sidecar};
use tubeway_testing::kubernetes::ControlPlane;
use tubeway_testing::kubernetes::istio::{Authority, Istiod};
use tubeway_testing::tools::Tools;

pub const TRUST_DOMAIN: &str = "cluster.local";
pub const ISTIOD: &str = "istiod.istio-system.svc";
/// On a machine that does much else.
const WITHIN: Duration = Duration::from_secs(120);

/// Everything that runs. Dropping it kills it.
pub struct World {
    // In the order of ending.
    _agent: AgentHandle,
    pub istiod: Istiod,
    pub client: Client,
    plane: ControlPlane,
    dir: TempDir,
}

// === impl World ===

impl World {
    /// Starts everything but Kafka.
    pub async fn start(tools: &Tools, authority: &Authority) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        let istiod = Istiod::start(&plane, authority).await?;
        let client = plane.admin().await?;
        let dir = tempfile::Builder::new()
            .prefix("tubeway-istio-")
            .tempdir()?;
        let ca = plane.folder().join("ca.crt");
        let agent = Agent::start(AgentConfig {
            client: client.clone(),
            node_name: "localhost".to_owned(),
            state_dir: dir.path().join("node"),
            images: images(tools)?,
            api: ApiAccess {
                url: plane.url().to_owned(),
                ca_pem: std::fs::read_to_string(ca)?,
            },
            addresses: AddressRange::default(),
            backoff: BackoffRule::default(),
            leftover_grace: Duration::from_secs(10),
        })
        .await?;
        let world = Self {
            _agent: agent,
            istiod,
            client,
            plane,
            dir,
        };
        world.operator().await?;
        Ok(world)
    }

    /// A folder for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// Runs kubectl; what it said, or an error with it.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = self.plane.kubectl().args(args).output().await?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "kubectl {args:?}: {said}");
        Ok(said)
    }

    /// Applies documents in YAML or JSON.
    pub async fn apply(&self, documents: &str) -> Result<()> {
        let mut kubectl = self.plane.kubectl();
        kubectl.args(["apply", "--server-side", "--filename", "-"]);
        kubectl.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.stdout(Stdio::null()).spawn()?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(documents.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl apply: {said}");
        Ok(())
    }

    /// Waits for a condition, and says what there is if it does not come.
    pub async fn wait(&self, namespace: &str, what: &str, condition: &str) -> Result<()> {
        let (condition, timeout) = (
            format!("--for=condition={condition}"),
            format!("--timeout={}s", WITHIN.as_secs()),
        );
        let args = ["wait", "-n", namespace, what, &condition, &timeout];
        let Err(error) = self.kubectl(&args).await else {
            return Ok(());
        };
        let now = ["get", "-n", namespace, what, "-o", "yaml"];
        let now = self.kubectl(&now).await.unwrap_or_default();
        let logs = self.logs("operator").unwrap_or_default();
        let pods = self.kubectl(&["get", "pods", "-A", "-o", "wide"]).await?;
        Err(error.context(format!("{now}\n{pods}\nthe operator's log:\n{logs}")))
    }

    /// The address of a pod, once it has one.
    pub async fn pod_ip(&self, namespace: &str, name: &str) -> Result<Ipv4Addr> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let status = pods.get(name).await?.status.unwrap_or_default();
        Ok(status.pod_ip.context("the pod has no address")?.parse()?)
    }

    /// Everything that containers of this name have written.
    pub fn logs(&self, container: &str) -> Result<String> {
        let mut text = String::new();
        for pod in std::fs::read_dir(self.dir.path().join("node/logs"))? {
            let Ok(runs) = std::fs::read_dir(pod?.path().join(container)) else {
                continue;
            };
            for run in runs {
                text.push_str(&std::fs::read_to_string(run?.path())?);
            }
        }
        Ok(text)
    }

    /// Starts a pod with a client's sidecar as service account `name` of the
    /// namespace `shop`; where its bootstrap is.
    pub async fn client_pod(&self, name: &str) -> Result<(Ipv4Addr, u16)> {
        let mut pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "serviceAccountName": name,
                "containers": [
                    {"name": "app", "image": "tubeway.dev/proxy", "command": ["sleep", "10000"]},
                ],
            },
        }))?;
        let operator = self.operator_address().await?;
        let sidecar = SidecarSettings {
            image: Images::default().proxy,
            trust_domain: TRUST_DOMAIN.to_owned(),
            control_plane: format!("{operator}:15012"),
            control_plane_name: "tubeway-operator.tubeway-system.svc".to_owned(),
            control_plane_id: "spiffe://cluster.local/ns/tubeway-system/sa/tubeway-operator"
                .to_owned(),
            cluster: "kafka/demo".parse().map_err(anyhow::Error::msg)?,
            issuer: Some(Issuer {
                address: self.istiod.address().to_string(),
                name: ISTIOD.to_owned(),
                cluster_id: "Kubernetes".to_owned(),
            }),
        };
        client_sidecar(&mut pod, &InjectConfig { sidecar })?;
        self.apply(&serde_json::to_string(&pod)?).await?;
        self.wait("shop", &format!("pod/{name}"), "Ready").await?;
        let [a, b, c, _] = self.pod_ip("shop", name).await?.octets();
        // A node agent's pods have their loopback beside their address.
        Ok((Ipv4Addr::new(a, b, c, 2), 9092))
    }

    /// The operator as `deploy/` has it, at addresses of this machine.
    async fn operator(&self) -> Result<()> {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        for file in std::fs::read_dir(deploy.join("crds"))? {
            self.apply(&std::fs::read_to_string(file?.path())?).await?;
        }
        let read = |name: &str| std::fs::read_to_string(deploy.join(name));
        self.apply(&read("rbac.yaml")?).await?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&read("operator.yaml")?)?;
        let deployment = documents.into_iter().find(|d| d["kind"] == "Deployment");
        let mut deployment = deployment.context("no Deployment")?;
        let container = deployment
            .pointer_mut("/spec/template/spec/containers/0")
            .context("no container")?;
        container["args"] = json!([
            "--grpc-listen=$(POD_IP):15012",
            "--advertise=$(POD_IP):15012",
            "--metrics-listen=$(POD_IP):15021",
            format!("--istio-address={}", self.istiod.address()),
        ]);
        let env = container["env"].as_array_mut().context("no env")?;
        env.push(json!({
            "name": "POD_IP",
            "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
        }));
        self.apply(&deployment.to_string()).await?;
        let deployment = "deployment/tubeway-operator";
        self.wait("tubeway-system", deployment, "Available").await
    }

    async fn operator_address(&self) -> Result<String> {
        let path = "jsonpath={.items[0].status.podIP}";
        let args = ["get", "pods", "-n", "tubeway-system", "-o", path];
        self.kubectl(&args).await
    }
}

/// Which local files stand for which image.
fn images(tools: &Tools) -> Result<ImageTable> {
    let programs = Path::new(env!("CARGO_BIN_EXE_tubeway")).parent();
    let programs = programs.context("no folder of programs")?;
    let ours = || LocalImage {
        bin_dirs: vec![programs.to_owned()],
        ..LocalImage::default()
    };
    let mut kafka = ours();
    kafka.paths = vec![("/opt/kafka/libs".to_owned(), tools.dist.libs.clone())];
    let java: Option<PathBuf> = tools.java.path.parent().map(Into::into);
    kafka.bin_dirs.extend(java);
    Ok(ImageTable::new()
        .with("tubeway.dev/operator", ours())
        .with("tubeway.dev/proxy", ours())
        .with(format!("tubeway.dev/kafka:{}", tools.dist.version), kafka))
}

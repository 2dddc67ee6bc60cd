//! `tubeway connect`: a service account's client sidecar on local ports.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use tubeway_config::ClusterRef;
use tubeway_telemetry::Shutdown;

use crate::state::State;
use crate::status;
use crate::up::binaries::Binaries;

/// Audience of the tokens that the certificate authority takes.
const AUDIENCE: &str = "tubeway-ca";
const TOKEN_LIFE: i64 = 3600;

/// What `tubeway connect` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Whose identity to have, as <namespace>/<service account>.
    #[arg(long = "as", value_name = "NAMESPACE/ACCOUNT", value_parser = account)]
    account: (String, String),
    /// Which cluster, as <namespace>/<name>.
    #[arg(long, default_value = "kafka/demo")]
    cluster: ClusterRef,
    /// Local port of the bootstrap address; brokers are on the ports after it.
    #[arg(long, default_value_t = 9092)]
    port: u16,
}

/// Runs the sidecar until Ctrl-C.
pub async fn run(state: &State, options: &Options) -> Result<()> {
    if state.running()?.is_none() {
        bail!(
            "nothing runs on {}; start it with `tubeway up`",
            state.root().display()
        );
    }
    let (namespace, account) = &options.account;
    let client = status::client(state).await?;
    let shutdown = tubeway_telemetry::on_signal()?;
    let dir = tempfile_dir(state, account)?;
    let token = Token::of(&client, namespace, account, dir.join("token"));
    token.renew().await?;
    let roots = dir.join("root-cert.pem");
    write_roots(&client, namespace, &roots).await?;
    let mut sidecar = sidecar(&client, options, &dir).await?;
    let shell = instructions(options);
    tokio::select! {
        () = answers(options.port) => print!("{shell}"),
        status = sidecar.wait() => bail!("the sidecar ended ({}); its output is above", status?),
        () = shutdown.wait() => {}
    }
    let renewals = token.keep(&shutdown);
    tokio::select! {
        result = renewals => result?,
        status = sidecar.wait() => bail!("the sidecar ended ({}); its output is above", status?),
    }
    sidecar.kill().await?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// A service account's token in a file, as a kubelet would keep it.
struct Token {
    api: Api<ServiceAccount>,
    account: String,
    file: PathBuf,
}

// === impl Token ===

impl Token {
    fn of(client: &Client, namespace: &str, account: &str, file: PathBuf) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            account: account.to_owned(),
            file,
        }
    }

    async fn renew(&self) -> Result<()> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                expiration_seconds: Some(TOKEN_LIFE),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = self
            .api
            .create_token_request(&self.account, &PostParams::default(), &request)
            .await
            .with_context(|| {
                format!(
                    "cannot get a token for the service account {}; `kubectl get serviceaccounts -A` lists them",
                    self.account
                )
            })?;
        let token = answer
            .status
            .and_then(|status| status.token)
            .context("the API gave no token")?;
        let temporary = self.file.with_extension("new");
        std::fs::write(&temporary, token)?;
        std::fs::rename(temporary, &self.file)?;
        Ok(())
    }

    async fn keep(&self, shutdown: &Shutdown) -> Result<()> {
        let mut tick = tokio::time::interval(Duration::from_secs(TOKEN_LIFE as u64 / 2));
        loop {
            tokio::select! {
                _ = tick.tick() => self.renew().await?,
                () = shutdown.wait() => return Ok(()),
            }
        }
    }
}

async fn sidecar(client: &Client, options: &Options, dir: &Path) -> Result<tokio::process::Child> {
    let operator: Api<Pod> = Api::namespaced(client.clone(), "tubeway-system");
    let operator = operator
        .get("tubeway-operator")
        .await
        .context("the operator's pod is not there")?;
    let address = operator
        .status
        .and_then(|status| status.pod_ip)
        .context("the operator's pod has no address yet; try again in a moment")?;
    let proxy = Binaries::find()?.program("tubeway-proxy")?;
    let (namespace, account) = &options.account;
    tokio::process::Command::new(proxy)
        .arg("client")
        .env("POD_NAME", format!("connect-{account}"))
        .env("POD_NAMESPACE", namespace)
        .env("POD_IP", "127.0.0.1")
        .env("TUBEWAY_LOOPBACK", "127.0.0.1")
        .env("TUBEWAY_ADMIN_PORT", "0")
        .env("TUBEWAY_CLUSTER", options.cluster.to_string())
        .env("TUBEWAY_TRUST_DOMAIN", "cluster.local")
        .env("TUBEWAY_CONTROL_PLANE", format!("{address}:15012"))
        .env(
            "TUBEWAY_CONTROL_PLANE_NAME",
            "tubeway-operator.tubeway-system.svc",
        )
        .env(
            "TUBEWAY_CONTROL_PLANE_ID",
            "spiffe://cluster.local/ns/tubeway-system/sa/tubeway-operator",
        )
        .env("TUBEWAY_TOKEN_FILE", dir.join("token"))
        .env("TUBEWAY_ROOTS_FILE", dir.join("root-cert.pem"))
        .env("TUBEWAY_STATE_DIR", dir)
        .env("TUBEWAY_CLIENT_PORT", options.port.to_string())
        .env("TUBEWAY_BROKER_PORTS_FROM", (options.port + 1).to_string())
        .env(
            "TUBEWAY_LOG",
            std::env::var("TUBEWAY_LOG").unwrap_or_else(|_| "warn".to_owned()),
        )
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start tubeway-proxy")
}

async fn write_roots(client: &Client, namespace: &str, file: &Path) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let roots = match maps.get_opt("tubeway-ca-root").await? {
        Some(roots) => roots,
        None => Api::<ConfigMap>::namespaced(client.clone(), "kafka")
            .get("tubeway-ca-root")
            .await
            .with_context(|| {
                format!("namespace {namespace} has no trust bundle; label it kafka.tubeway.dev/inject=enabled")
            })?,
    };
    let pem = roots
        .data
        .and_then(|mut data| data.remove("root-cert.pem"))
        .context("the ConfigMap tubeway-ca-root has no root-cert.pem")?;
    std::fs::write(file, pem).with_context(|| format!("cannot write {}", file.display()))
}

fn tempfile_dir(state: &State, account: &str) -> Result<PathBuf> {
    let dir = state
        .root()
        .join("connect")
        .join(format!("{account}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// Resolves once the sidecar takes connections.
async fn answers(port: u16) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        if tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
        {
            return;
        }
    }
}

fn instructions(options: &Options) -> String {
    let (namespace, account) = &options.account;
    let bootstrap = format!("127.0.0.1:{}", options.port);
    format!(
        "\nYou are spiffe://cluster.local/ns/{namespace}/sa/{account} at {bootstrap}. Ctrl-C ends it.\n\n\
         kcat:\n  kcat -b {bootstrap} -L\n  echo hello | kcat -b {bootstrap} -P -t orders\n  \
         kcat -b {bootstrap} -C -t orders -o beginning\n\n\
         Kafka's console tools:\n  kafka-topics.sh --bootstrap-server {bootstrap} --list\n  \
         kafka-console-producer.sh --bootstrap-server {bootstrap} --topic orders\n  \
         kafka-console-consumer.sh --bootstrap-server {bootstrap} --topic orders --group {account} --from-beginning\n\n"
    )
}

fn account(text: &str) -> Result<(String, String), String> {
    text.split_once('/')
        .filter(|(namespace, account)| !namespace.is_empty() && !account.is_empty())
        .map(|(namespace, account)| (namespace.to_owned(), account.to_owned()))
        .ok_or_else(|| "it takes <namespace>/<service account>, as in shop/checkout".to_owned())
}

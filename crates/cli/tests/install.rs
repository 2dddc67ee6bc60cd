//! The command and the operator on a real Kubernetes API: a kube-apiserver with
//! RBAC, Pod Security and the usual controllers. Nothing runs pods there.

#[path = "install/some_namespaces.rs"]
mod some_namespaces;
mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use support::kubernetes::Kubernetes;
use support::manifests::{KAFKA, SHOP, cluster};
use support::{contains, eventually, free_port, run};

const WITHIN: Duration = Duration::from_secs(60);
/// Looks at a cluster at which nothing has changed.
const IDLE_LOOKS: u64 = 10;

/// The operator as a process, under its own service account.
struct Operator {
    child: Child,
    grpc: u16,
    metrics: u16,
    log: std::path::PathBuf,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_installed_looked_at_and_taken_away() -> Result<()> {
    let on = Kubernetes::start().await?;
    tokio::task::block_in_place(|| lifecycle(&on))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_s_rights_and_objects_are_good_for_a_real_api() -> Result<()> {
    let on = Kubernetes::start().await?;
    tokio::task::block_in_place(|| {
        on.tubeway(&["install", "--wait", "0s"])?;
        let operator = Operator::start(&on, &[])?;
        operates(&on, &operator)
            .and_then(|()| injects(&on, &operator))
            .map_err(|error| error.context(format!("the operator said:\n{}", operator.said())))
    })
}

fn lifecycle(on: &Kubernetes) -> Result<()> {
    let said = on.tubeway(&["check", "--pre"])?;
    contains(
        &said,
        &["√ you may create clusterroles", "√ there is no other"],
    )?;
    let said = on.tubeway(&["install", "--dry-run"])?;
    contains(&said, &["created    Deployment", "nothing was changed"])?;
    let said = on.fails(&["check"])?;
    contains(
        &said,
        &["× the operator runs", "`tubeway install` installs it"],
    )?;

    let said = on.tubeway(&["install", "--wait", "0s"])?;
    contains(
        &said,
        &["created    CustomResourceDefinition kafkaclusters"],
    )?;
    let said = on.tubeway(&["install", "--wait", "0s"])?;
    let changed: Vec<_> = said.lines().filter(is_change).collect();
    ensure!(changed.is_empty(), "installed twice: {changed:?}");
    let said = eventually(WITHIN, "the Deployment's status", || {
        let said = on.fails(&["check"])?;
        contains(
            &said,
            &["minimum availability", "kubectl logs -n tubeway-system"],
        )?;
        Ok(said)
    })?;
    contains(
        &said,
        &["√ the kind KafkaCluster is defined", "tubeway-ca is empty"],
    )?;

    let said = on.fails(&["install", "--namespace", "elsewhere", "--wait", "0s"])?;
    contains(&said, &["runs in namespace tubeway-system already"])?;
    let said = on.tubeway(&["upgrade", "--tag", "9.9.9", "--wait", "0s"])?;
    contains(&said, &["changed    Deployment"])?;
    let said = on.fails(&["check"])?;
    contains(&said, &["it is 9.9.9, this command is"])?;

    on.apply(KAFKA)?;
    on.apply(&cluster("", ""))?;
    let said = on.fails(&["install", "--trust-domain", "other.example", "--wait", "0s"])?;
    contains(&said, &["kafka/demo among them"])?;
    let said = on.fails(&["uninstall"])?;
    contains(&said, &["kafka/demo among them", "--leave-clusters"])?;
    on.kubectl(&["delete", "kafkacluster", "-n", "kafka", "demo"])?;
    let said = on.tubeway(&["uninstall", "--kinds"])?;
    contains(
        &said,
        &[
            "deleted    Deployment",
            "deleted    CustomResourceDefinition",
        ],
    )?;
    let said = on.fails(&["uninstall"])?;
    contains(&said, &["nothing is installed"])
}

/// Everything that the operator makes of a cluster is admitted where Pod
/// Security is enforced; then it has nothing to write.
fn operates(on: &Kubernetes, operator: &Operator) -> Result<()> {
    on.apply(KAFKA)?;
    on.apply(&cluster("", ""))?;
    eventually(WITHIN, "the pods", || {
        let pods = on.kubectl(&["get", "pods", "-n", "kafka", "-o", "name"])?;
        ensure!(pods.lines().count() == 3, "there are: {pods}");
        Ok(())
    })?;
    let said = eventually(WITHIN, "the status", || {
        let said = on.fails(&["check"])?;
        contains(&said, &["kafka/demo: not Ready ("])?;
        Ok(said)
    })?;
    contains(&said, &["√ the certificate authority has its key"])?;
    let holder = on.kubectl(&[
        "get",
        "lease",
        "-n",
        "tubeway-system",
        "tubeway-operator",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ])?;
    ensure!(holder == "the-only-one", "the lease is held by {holder:?}");

    let before = operator.counted("writes")?;
    for look in 0..IDLE_LOOKS {
        let seen = operator.counted("reconciles")?;
        let mark = format!("example.org/look={look}");
        on.kubectl(&[
            "annotate",
            "--overwrite",
            "kafkacluster",
            "-n",
            "kafka",
            "demo",
            &mark,
        ])?;
        eventually(WITHIN, "a look at the cluster", || {
            ensure!(operator.counted("reconciles")? > seen, "none since {seen}");
            Ok(())
        })?;
    }
    let written = operator.counted("writes")? - before;
    ensure!(
        written == 0,
        "{written} writes in {IDLE_LOOKS} looks at nothing new"
    );
    let errors = operator.counted("reconcile_errors").unwrap_or_default();
    ensure!(errors == 0, "{errors} looks ended in errors");
    println!("{IDLE_LOOKS} looks at an unchanged cluster: {written} writes");
    Ok(())
}

/// Pods of namespaces that ask for it get their sidecar, and are admitted with
/// it where Pod Security is enforced.
fn injects(on: &Kubernetes, operator: &Operator) -> Result<()> {
    // There is no Service's address here: the API server comes to the process.
    let url = format!("https://localhost:{}/inject", operator.grpc);
    let patch = json!([
        {"op": "remove", "path": "/webhooks/0/clientConfig/service"},
        {"op": "add", "path": "/webhooks/0/clientConfig/url", "value": url},
    ]);
    let webhook = ["mutatingwebhookconfiguration", "tubeway-inject"];
    let patch = [
        "patch",
        webhook[0],
        webhook[1],
        "--type=json",
        "-p",
        &patch.to_string(),
    ];
    on.kubectl(&patch)?;
    on.apply(SHOP)?;
    on.apply(SILENT)?;

    eventually(WITHIN, "an injected pod", || {
        on.apply(&pod("shop", "app", ""))
    })?;
    let made = on.get("shop", "pod/app")?;
    let sidecar = &made["spec"]["initContainers"][0];
    ensure!(sidecar["name"] == "tubeway-sidecar", "{made}");
    ensure!(sidecar["restartPolicy"] == "Always", "{sidecar}");
    let env = made["spec"]["containers"][0]["env"].to_string();
    contains(&env, &["KAFKA_BOOTSTRAP_SERVERS"])?;
    let cluster = &made["metadata"]["annotations"]["kafka.tubeway.dev/cluster"];
    ensure!(cluster == "kafka/demo", "{cluster}");

    let without = "kafka.tubeway.dev/inject: disabled";
    on.apply(&pod("shop", "other", without))?;
    let made = on.get("shop", "pod/other")?;
    ensure!(made["spec"]["initContainers"].is_null(), "{made}");

    let Err(refused) = on.apply(&pod("silent", "app", "")) else {
        bail!("a pod of no cluster was made");
    };
    contains(
        &refused.to_string(),
        &["which Kafka cluster is this pod a client of?"],
    )
}

/// A pod that Pod Security admits.
fn pod(namespace: &str, name: &str, annotation: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, annotations: {{{annotation}}}}}
spec:
  securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: app
    image: app:1
    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"
    )
}

/// Its pods should get sidecars, and nobody has said whose clients they are.
const SILENT: &str = "
apiVersion: v1
kind: Namespace
metadata:
  name: silent
  labels: {kafka.tubeway.dev/inject: enabled}
";

// === impl Operator ===

impl Operator {
    /// Of an installation, in the place of its own pods, which would never run.
    fn start(on: &Kubernetes, args: &[&str]) -> Result<Self> {
        let none = [
            "scale",
            "deployment",
            "-n",
            "tubeway-system",
            "tubeway-operator",
        ];
        on.kubectl(&[&none[..], &["--replicas=0"]].concat())?;
        let token = [
            "create",
            "token",
            "tubeway-operator",
            "-n",
            "tubeway-system",
        ];
        let token = on.kubectl(&token)?;
        let kubeconfig = on.folder().join("operator.kubeconfig");
        let ca = on.folder().join("ca.crt");
        let (url, ca, token) = (on.url(), ca.display(), token.trim());
        std::fs::write(
            &kubeconfig,
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: own\n\
                 clusters: [{{name: own, cluster: {{server: '{url}', certificate-authority: '{ca}'}}}}]\n\
                 users: [{{name: own, user: {{token: '{token}'}}}}]\n\
                 contexts: [{{name: own, context: {{cluster: own, user: own}}}}]\n"
            ),
        )?;
        let (grpc, metrics) = (free_port()?, free_port()?);
        let log = on.folder().join("operator.log");
        let file = std::fs::File::create(&log)?;
        let program = support::program("tubeway-operator")?;
        let child = Command::new(program)
            .args(["--namespace=tubeway-system", "--name=the-only-one"])
            .arg(format!("--grpc-listen=127.0.0.1:{grpc}"))
            .arg("--service-name=localhost")
            .args(args)
            .arg(format!("--metrics-listen=127.0.0.1:{metrics}"))
            .env("KUBECONFIG", kubeconfig)
            .env("TUBEWAY_LOG", "info")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start the operator")?;
        let this = Self {
            child,
            grpc,
            metrics,
            log,
        };
        eventually(WITHIN, "the operator", || {
            let said = this.http("readyz")?;
            ensure!(said == "ok", "it is not ready: {said}");
            Ok(())
        })
        .with_context(|| this.said())?;
        Ok(this)
    }

    /// The sum of a counter's series.
    fn counted(&self, name: &str) -> Result<u64> {
        let text = self.http("metrics")?;
        let prefix = format!("tubeway_operator_{name}_total");
        let values = text.lines().filter(|line| line.starts_with(&prefix));
        let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }

    fn http(&self, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.metrics);
        run(Command::new("curl").args(["-sS", &url]))
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_change(line: &&str) -> bool {
    line.starts_with("  created") || line.starts_with("  changed")
}

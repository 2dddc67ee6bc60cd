//! The real `kubectl` against the server.

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::{World, definition};

/// `kubectl` with a kubeconfig and a cache of its own.
struct Kubectl {
    world: World,
    kubeconfig: PathBuf,
}

impl Kubectl {
    async fn new() -> Self {
        let world = World::start().await;
        let kubeconfig = world.folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, world.server.admin_kubeconfig().unwrap()).unwrap();
        let kubectl = Self { world, kubeconfig };
        kubectl
            .apply(&serde_json::to_string(&definition()).unwrap())
            .await;
        kubectl
    }

    async fn run(&self, line: &str, input: &str) -> Output {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(self.world.folder.path().join("cache"));
        command
            .args(line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_owned();
        let run = move || {
            let mut child = command.spawn().unwrap_or_else(|error| {
                panic!("kubectl does not run ({error}); install it from https://kubernetes.io/docs/tasks/#kubectl")
            });
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
            child.wait_with_output().unwrap()
        };
        let output = tokio::task::spawn_blocking(run);
        tokio::time::timeout(common::PATIENCE, output)
            .await
            .expect("kubectl in time")
            .unwrap()
    }

    /// What it prints; it must succeed.
    async fn ok(&self, line: &str) -> String {
        let output = self.run(line, "").await;
        assert!(
            output.status.success(),
            "kubectl {line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complains about; it must fail.
    async fn fails(&self, line: &str) -> String {
        let output = self.run(line, "").await;
        assert!(
            !output.status.success(),
            "kubectl {line}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stderr).unwrap()
    }

    async fn apply(&self, manifest: &str) -> String {
        let output = self.run("apply -f -", manifest).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The words of each line.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

const TOPIC: &str =
    "apiVersion: test.dev/v1\nkind: Topic\nmetadata: {name: orders}\nspec: {partitions: 3}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_resource_from_apply_to_delete() {
    let kubectl = Kubectl::new().await;
    assert_eq!(
        kubectl.apply(TOPIC).await,
        "topic.test.dev/orders created\n"
    );
    assert_eq!(
        kubectl.apply(TOPIC).await,
        "topic.test.dev/orders unchanged\n"
    );
    assert_eq!(
        kubectl.apply(&TOPIC.replace('3', "4")).await,
        "topic.test.dev/orders configured\n"
    );
    let table = kubectl.ok("get tp").await;
    assert_eq!(
        words(&table),
        [vec!["NAME", "PARTITIONS", "READY"], vec!["orders", "4"]]
    );
    let table = kubectl.ok("get topics orders -o wide").await;
    assert_eq!(words(&table)[1], ["orders", "4", "delete"]);
    let shrunk = kubectl.run("apply -f -", TOPIC).await;
    assert!(String::from_utf8_lossy(&shrunk.stderr).contains("partitions never shrink"));
    let strict = kubectl
        .run(
            "apply -f -",
            &TOPIC.replace("partitions: 3", "partitions: 5, colour: red"),
        )
        .await;
    assert!(String::from_utf8_lossy(&strict.stderr).contains("unknown field \"spec.colour\""));
    assert!(
        kubectl
            .ok("explain topics.spec")
            .await
            .contains("How many partitions.")
    );
    kubectl.ok("scale topics/orders --replicas=6").await;
    assert_eq!(
        kubectl
            .ok("get tp orders -o jsonpath={.spec.partitions}")
            .await,
        "6"
    );
    kubectl.ok("patch tp orders --subresource=status --type=merge -p {\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}").await;
    kubectl
        .ok("wait tp/orders --for=condition=Ready --timeout=5s")
        .await;
    // Newer releases go on to say from where.
    let said = kubectl.ok("delete topic orders").await;
    assert!(
        said.starts_with("topic.test.dev \"orders\" deleted"),
        "{said}"
    );
    assert!(
        kubectl
            .fails("get tp orders")
            .await
            .contains("topics.test.dev \"orders\" not found")
    );
    assert!(
        kubectl
            .ok("api-resources --api-group=test.dev")
            .await
            .contains("tp")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_look_as_they_do_everywhere() {
    let kubectl = Kubectl::new().await;
    kubectl.ok("run web --image=x:1 --labels=app=web").await;
    let table = kubectl.ok("get pods").await;
    assert_eq!(
        words(&table)[0],
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    );
    assert_eq!(words(&table)[1][..4], ["web", "0/1", "Pending", "0"]);
    let status = r#"{"status":{"phase":"Running","podIP":"127.1.2.1","containerStatuses":[{"name":"web","image":"x:1","imageID":"","ready":false,"restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}}"#;
    kubectl
        .ok(&format!(
            "patch pod web --subresource=status --type=merge -p {status}"
        ))
        .await;
    assert_eq!(
        words(&kubectl.ok("get pods -l app=web -o wide").await)[1][..4],
        ["web", "0/1", "CrashLoopBackOff", "3"]
    );
    assert!(
        kubectl
            .ok("describe pod web")
            .await
            .contains("CrashLoopBackOff")
    );
    kubectl.ok("label pod web tier=front").await;
    assert_eq!(
        kubectl
            .ok("get pods -l tier=front --field-selector status.phase=Running -o name")
            .await,
        "pod/web\n"
    );
    assert!(
        kubectl
            .fails("get pods --field-selector spec.colour=red")
            .await
            .contains("field label not supported: spec.colour")
    );
    let said = kubectl.ok("delete pod web --now").await;
    assert!(said.starts_with("pod \"web\" deleted"), "{said}");
    assert_eq!(kubectl.ok("get all -o name").await, "service/kubernetes\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_what() {
    let kubectl = Kubectl::new().await;
    kubectl.ok("create namespace team").await;
    kubectl.ok("create serviceaccount app -n team").await;
    kubectl.ok("create role topics --verb=get,produce --resource=topics.test.dev --resource-name=orders -n team").await;
    kubectl
        .ok("create rolebinding app --role=topics --serviceaccount=team:app -n team")
        .await;
    let app = "--as=system:serviceaccount:team:app -n team";
    assert_eq!(
        kubectl
            .ok(&format!("auth can-i produce topics.test.dev/orders {app}"))
            .await,
        "yes\n"
    );
    assert!(
        kubectl
            .run(
                &format!("auth can-i produce topics.test.dev/other {app}"),
                ""
            )
            .await
            .stdout
            .starts_with(b"no")
    );
    assert!(
        kubectl
            .ok(&format!("auth can-i --list {app}"))
            .await
            .contains("[get produce]")
    );
    assert!(kubectl.ok("auth whoami").await.contains("kubernetes-admin"));
    let refused = kubectl.fails(&format!("get secrets {app}")).await;
    assert!(
        refused.starts_with("Error from server (Forbidden): secrets is forbidden: User"),
        "{refused}"
    );
    assert_eq!(
        kubectl
            .ok("create token app -n team")
            .await
            .matches('.')
            .count(),
        2
    );
    kubectl.ok("delete namespace team").await;
    assert!(
        kubectl
            .fails("get namespace team")
            .await
            .contains("not found")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_and_tables_of_other_kinds() {
    let kubectl = Kubectl::new().await;
    let map = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{a: \"{value}\"}}\n"
        )
    };
    let one = kubectl
        .run("apply --server-side --field-manager=one -f -", &map("1"))
        .await;
    assert_eq!(
        String::from_utf8_lossy(&one.stdout),
        "configmap/c serverside-applied\n"
    );
    let two = kubectl
        .run("apply --server-side --field-manager=two -f -", &map("2"))
        .await;
    let complaint = String::from_utf8_lossy(&two.stderr).into_owned();
    assert!(
        complaint.contains("Apply failed with 1 conflict: conflict with \"one\": .data.a"),
        "{complaint}"
    );
    let two = kubectl
        .run(
            "apply --server-side --force-conflicts --field-manager=two -f -",
            &map("2"),
        )
        .await;
    assert!(two.status.success());
    kubectl
        .ok("create secret generic s --from-literal=a=b")
        .await;
    kubectl
        .ok("create service clusterip svc --tcp=80:8080")
        .await;
    kubectl
        .ok("create poddisruptionbudget b --selector=app=x --min-available=1")
        .await;
    for (kinds, line) in [
        ("configmaps c", &["c", "1"][..]),
        ("secrets s", &["s", "Opaque", "1"]),
        ("poddisruptionbudgets b", &["b", "1", "N/A", "0"]),
        ("namespaces default", &["default", "Active"]),
        ("serviceaccounts default", &["default", "0"]),
    ] {
        let table = kubectl.ok(&format!("get {kinds}")).await;
        assert_eq!(words(&table)[1][..line.len()], *line, "{table}");
    }
    let service = kubectl.ok("get service svc -o wide").await;
    let service = &words(&service)[1];
    assert_eq!(
        (service[1], service[3], service[4], service[6]),
        ("ClusterIP", "<none>", "80/TCP", "app=svc")
    );
    assert!(kubectl.ok("get crd").await.contains("topics.test.dev"));
    assert!(kubectl.ok("get --raw /readyz").await.contains("ok"));
    assert!(
        kubectl
            .ok("version")
            .await
            .contains("Server Version: v1.37")
    );
}

use super::*;
use crate::agent::store::SourceKey;
use std::fs;

fn config() -> SourceKey {
    SourceKey::config_map("demo", "settings")
}

fn mount(name: &str, path: &str) -> Value {
    json!({"name": name, "mountPath": path})
}

#[tokio::test]
async fn paths_variables_and_logs() {
    let bench = Bench::new().await;
    bench.store.put(
        &config(),
        &[
            ("greeting", "hello"),
            ("path", "/data/x"),
            ("not an env", "v"),
        ],
    );
    bench.store.put(
        &SourceKey::secret("demo", "keys"),
        &[("password", "s3cret")],
    );
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let key = |key: &str| json!({"configMapKeyRef": {"name": "settings", "key": key}});
    let optional = json!({"configMapKeyRef": {"name": "none", "key": "x", "optional": true}});
    let secret = json!({"secretKeyRef": {"name": "keys", "key": "password"}});
    let script = "cat /etc/settings/greeting; echo; echo $DIR; echo $2; echo $1; \
                  echo $NAME $IP $TUBEWAY_LOOPBACK ${NONE-unset} $P_greeting $PASSWORD; \
                  cat $KUBECONFIG; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; \
                  echo; echo $CARGO; pwd; echo err >&2";
    let more = json!({
        "args": ["0", "$(NAME)@$(IP):$$(NAME)", "--dir=$(DIR)"],
        "env": [
            {"name": "NAME", "valueFrom": field("metadata.name")},
            {"name": "IP", "valueFrom": field("status.podIP")},
            {"name": "TUBEWAY_LOOPBACK", "value": "127.0.0.1"},
            {"name": "DIR", "valueFrom": key("path")},
            {"name": "NONE", "valueFrom": optional},
            {"name": "PASSWORD", "valueFrom": secret},
        ],
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}],
        "volumeMounts": [mount("settings", "/etc/settings"), mount("data", "/data")],
        "workingDir": "/data",
    });
    let volumes = json!({"volumes": [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "data", "emptyDir": {}},
    ]});
    let main = shell("c", script, more);
    bench
        .store
        .create(pod("p", "Never", json!([main]), volumes));
    let pod = bench.until_phase("p", "Succeeded").await;
    let log = bench.log(&pod, "c").await;
    let lines: Vec<&str> = log.lines().collect();
    let state = bench
        .dir
        .path()
        .canonicalize()
        .unwrap()
        .join("state/pods/uid-p");
    let data = state.join("volumes/data").to_str().unwrap().to_owned();
    let ip = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
    let loopback = format!("{}2", ip.strip_suffix('1').unwrap());
    assert_eq!(lines[0], "hello");
    assert_eq!(lines[1], format!("{data}/x"));
    assert_eq!(lines[2], format!("--dir={data}/x"), "mapped once: {log}");
    assert_eq!(lines[3], format!("p@{ip}:$(NAME)"));
    assert_eq!(lines[4], format!("p {ip} {loopback} unset hello s3cret"));
    let kubeconfig = lines[5].strip_suffix("demo").unwrap();
    let kubeconfig: Value = serde_json::from_str(kubeconfig).unwrap();
    assert_eq!(
        kubeconfig["clusters"][0]["cluster"]["server"],
        "https://127.0.0.1:6443"
    );
    let token = kubeconfig["users"][0]["user"]["tokenFile"]
        .as_str()
        .unwrap();
    assert!(token.starts_with(state.to_str().unwrap()), "{token}");
    assert_eq!(lines[6], "", "nothing of the agent's own environment");
    assert_eq!(lines[7], data);
    assert_eq!(lines[8], "err");
}

#[tokio::test]
async fn a_changed_config_map_reaches_the_running_container() {
    let bench = Bench::new().await;
    bench
        .store
        .put(&config(), &[("a", "one\n"), ("b", "one\n")]);
    // Both files change at the same instant.
    let script = "while read line </etc/s/a; do test $line = two && break; sleep 0.02; done; \
                  exec cat /etc/s/b /etc/s/sub/c";
    let items = json!([
        {"key": "a", "path": "a"}, {"key": "b", "path": "b"}, {"key": "b", "path": "sub/c", "mode": 256},
    ]);
    let main = shell("c", script, json!({"volumeMounts": [mount("s", "/etc/s")]}));
    let source = json!({"name": "settings", "items": items});
    let volumes = json!({"volumes": [{"name": "s", "configMap": source}]});
    bench
        .store
        .create(pod("p", "Never", json!([main]), volumes));
    bench.until_ready("p").await;
    bench
        .store
        .put(&config(), &[("a", "two\n"), ("b", "two\n")]);
    let pod = bench.until_phase("p", "Succeeded").await;
    assert_eq!(bench.log(&pod, "c").await, "two\ntwo\n");
}

#[tokio::test]
async fn a_pod_waits_for_what_it_mounts() {
    let bench = Bench::new().await;
    let main = shell(
        "c",
        "cat /etc/s/a",
        json!({"volumeMounts": [mount("s", "/etc/s")]}),
    );
    let volumes = json!({"volumes": [{"name": "s", "secret": {"secretName": "late"}}]});
    bench
        .store
        .create(pod("p", "Never", json!([main]), volumes));
    let world = bench.until("waits", |w| {
        w.has_note("FailedMount", "secret \"late\" not found")
    });
    let world = world.await;
    assert_eq!(
        waiting(world.pod("p").unwrap(), "c").as_deref(),
        Some("ContainerCreating")
    );
    bench
        .store
        .put(&SourceKey::secret("demo", "late"), &[("a", "here")]);
    let pod = bench.until_phase("p", "Succeeded").await;
    assert_eq!(bench.log(&pod, "c").await, "here");
}

#[tokio::test]
async fn a_host_path_is_refused() {
    let bench = Bench::new().await;
    let main = shell("c", "true", json!({}));
    let volumes = json!({"volumes": [{"name": "h", "hostPath": {"path": "/etc"}}]});
    bench
        .store
        .create(pod("p", "Never", json!([main]), volumes));
    bench
        .until("refused", |w| {
            w.has_note("FailedMount", "hostPath is not available")
        })
        .await;
    bench.store.delete("p", 20);
    bench.until("removed", |world| world.pods.is_empty()).await;
}

#[tokio::test]
async fn projected_tokens_and_downward_files() {
    let bench = Bench::new().await;
    let fields = json!([{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]);
    let token = json!({"path": "token", "audience": "tubeway-ca", "expirationSeconds": 600});
    let volumes = json!({
        "serviceAccountName": "kafka",
        "automountServiceAccountToken": false,
        "volumes": [{"name": "v", "projected": {"sources": [
            {"serviceAccountToken": token}, {"downwardAPI": {"items": fields}},
        ]}}],
    });
    let script = "cat /v/token; echo; cat /v/labels; echo; echo ${KUBECONFIG-none}; \
                  until grep -q new /v/labels; do sleep 0.02; done";
    let main = shell("c", script, json!({"volumeMounts": [mount("v", "/v")]}));
    let mut wanted = pod("p", "Never", json!([main]), volumes);
    wanted.metadata.labels = Some([("a".to_owned(), "old".to_owned())].into());
    bench.store.create(wanted);
    let mut running = bench.until_ready("p").await;
    running.metadata.labels = Some([("a".to_owned(), "new".to_owned())].into());
    bench.store.create(running);
    let pod = bench.until_phase("p", "Succeeded").await;
    let log = bench.log(&pod, "c").await;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "kafka-tubeway-ca-1");
    assert_eq!(lines[2], "none");
    let wishes = bench.store.world().tokens;
    assert_eq!((wishes.len(), wishes[0].seconds), (1, 600));
}

#[tokio::test]
async fn claims_outlive_their_pods_and_scratch_does_not() {
    let bench = Bench::new().await;
    bench.store.bind_claim("data", "claim-1");
    let folder = bench.dir.path().join("state/volumes/demo/claim-1");
    fs::create_dir_all(&folder).unwrap();
    let mounts = json!({"volumeMounts": [mount("data", "/data"), mount("tmp", "/scratch")]});
    let volumes = json!({"volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "tmp", "emptyDir": {}},
    ]});
    let script = "ls /data /scratch | grep -cx x; touch /data/x /scratch/x";
    for (uid, expected) in [("uid-1", "0\n"), ("uid-2", "1\n")] {
        let main = shell("c", script, mounts.clone());
        let mut wanted = pod("p", "Never", json!([main]), volumes.clone());
        wanted.metadata.uid = Some(uid.to_owned());
        bench.store.create(wanted);
        let pod = bench.until_phase("p", "Succeeded").await;
        assert_eq!(bench.log(&pod, "c").await, expected);
        bench.store.delete("p", 20);
        bench.until("removed", |world| world.pods.is_empty()).await;
    }
    assert!(folder.join("x").exists());
}

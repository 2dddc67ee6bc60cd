use super::*;
use std::fs;

/// Ends when told to, leaving a trace of both.
fn traced(name: &str, file: &str) -> String {
    format!(
        "echo {name} up >>{file}; trap 'echo {name} down >>{file}; exit 0' TERM; \
         sleep 1000 & wait"
    )
}

#[tokio::test]
async fn init_then_sidecars_then_main_and_back() {
    let bench = Bench::new().await;
    let (trace, started) = (bench.trace("order"), bench.trace("started"));
    let step = |name: &str| traced(name, &trace);
    let probe = json!({
        "restartPolicy": "Always",
        "startupProbe": {
            "exec": {"command": ["test", "-f", started]}, "periodSeconds": 1, "failureThreshold": 99,
        },
    });
    let slow = format!(
        "(sleep 0.2; echo first ready >>{trace}; touch {started}) & {}",
        step("first")
    );
    let init = json!([
        shell("prepare", &format!("echo prepare >>{trace}"), json!({})),
        shell("first", &slow, probe),
        shell(
            "second",
            &step("second"),
            json!({"restartPolicy": "Always"})
        ),
    ]);
    let main = shell("main", &step("main"), json!({}));
    bench.store.create(pod(
        "p",
        "Always",
        json!([main]),
        json!({"initContainers": init}),
    ));
    let ready = bench.until_ready("p").await;
    assert!(
        container(&ready, "prepare").ready,
        "an init container that is done is ready"
    );
    bench.until_text(&trace, "main up").await;

    bench.store.delete("p", 20);
    bench.until("removed", |world| world.pods.is_empty()).await;
    let order = fs::read_to_string(&trace).unwrap();
    let expected = [
        "prepare",
        "first up",
        "first ready",
        "second up",
        "main up",
        "main down",
        "second down",
        "first down",
    ];
    assert_eq!(order.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn sidecars_of_a_finished_pod_are_stopped() {
    let bench = Bench::new().await;
    let sidecar = shell("s", "sleep 1000 & wait", json!({"restartPolicy": "Always"}));
    let main = shell("c", "exit 0", json!({}));
    let more = json!({"initContainers": [sidecar]});
    bench.store.create(pod("p", "Never", json!([main]), more));
    let pod = bench.until_phase("p", "Succeeded").await;
    assert!(
        container(&pod, "s")
            .state
            .as_ref()
            .unwrap()
            .terminated
            .is_some()
    );
}

#[tokio::test]
async fn a_failed_init_container_keeps_main_from_starting() {
    let bench = Bench::new().await;
    let trace = bench.trace("main");
    let main = shell("c", &format!("touch {trace}"), json!({}));
    let more = json!({"initContainers": [shell("i", "exit 1", json!({}))]});
    bench.store.create(pod("p", "Never", json!([main]), more));
    let pod = bench.until_phase("p", "Failed").await;
    assert_eq!(waiting(&pod, "c").as_deref(), Some("PodInitializing"));
    assert!(!fs::exists(trace).unwrap());
}

#[tokio::test]
async fn who_does_not_stop_in_time_is_killed() {
    let bench = Bench::new().await;
    let stubborn = shell("c", "trap '' TERM; while :; do sleep 0.05; done", json!({}));
    bench
        .store
        .create(pod("p", "Always", json!([stubborn]), json!({})));
    bench.until_ready("p").await;
    bench.store.delete("p", 3600);
    bench
        .until("stopping", |world| {
            world.has_note("Killing", "Stopping container c")
        })
        .await;
    // A second delete shortens the grace.
    bench.store.delete("p", 1);
    let world = bench.until("removed", |world| world.pods.is_empty()).await;
    let last = container(&world.removed[0], "c").state.as_ref().unwrap();
    assert_eq!(last.terminated.as_ref().unwrap().signal, Some(9));
}

#[tokio::test]
async fn the_hook_runs_before_the_signal() {
    let bench = Bench::new().await;
    let trace = bench.trace("order");
    let hook = format!("echo hook $(NAME) >>{trace}");
    let more = json!({
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", hook]}}},
        "env": [{"name": "NAME", "value": "n"}],
    });
    let main = shell("c", &traced("c", &trace), more);
    bench
        .store
        .create(pod("p", "Always", json!([main]), json!({})));
    bench.until_text(&trace, "c up").await;
    bench.store.delete("p", 20);
    bench.until("removed", |world| world.pods.is_empty()).await;
    assert_eq!(
        fs::read_to_string(&trace).unwrap(),
        "c up\nhook n\nc down\n"
    );
}

#[tokio::test]
async fn a_vanished_pod_is_stopped_and_its_successor_runs() {
    let bench = Bench::new().await;
    let main = |mark: &str| shell("c", &traced(mark, &bench.trace("order")), json!({}));
    bench
        .store
        .create(pod("p", "Always", json!([main("old")]), json!({})));
    let old = bench.until_ready("p").await;
    bench.until_text(&bench.trace("order"), "old up").await;
    bench.store.force_delete("p");
    let mut successor = pod("p", "Always", json!([main("new")]), json!({}));
    successor.metadata.uid = Some("uid-2".to_owned());
    bench.store.create(successor);
    bench.until_text(&bench.trace("order"), "new up").await;
    let new = bench.until_ready("p").await;
    let ip = |pod: &Pod| pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
    assert_eq!(ip(&old), ip(&new), "the same name has the same address");
    bench
        .agent
        .stop_pods(vec![("demo".to_owned(), "p".to_owned())], PATIENCE)
        .await;
    let order = fs::read_to_string(bench.trace("order")).unwrap();
    assert_eq!(order, "old up\nold down\nnew up\nnew down\n");
}

#[tokio::test]
async fn halted_pods_stop_in_order_and_the_next_agent_resumes_them() {
    let bench = Bench::new().await;
    let trace = bench.trace("order");
    for name in ["a", "b", "c"] {
        let main = shell("main", &traced(name, &trace), json!({}));
        bench
            .store
            .create(pod(name, "Always", json!([main]), json!({})));
        bench.until_text(&trace, &format!("{name} up")).await;
    }
    let order = ["b", "a"].map(|name| ("demo".to_owned(), name.to_owned()));
    bench.agent.stop_pods(order.into(), PATIENCE).await;
    bench.agent.shutdown().await;
    let text = fs::read_to_string(&trace).unwrap();
    let downs: Vec<&str> = text.lines().filter(|line| line.ends_with("down")).collect();
    assert_eq!(downs, ["b down", "a down", "c down"]);
    let world = bench.store.world();
    assert_eq!(world.pods.len(), 3, "the objects stay");
    assert!(world.pods.values().all(|pod| !is_ready(pod)));

    let again = Bench::on(Arc::clone(&bench.dir), Arc::clone(&bench.store)).await;
    for name in ["a", "b", "c"] {
        let pod = again.until_ready(name).await;
        assert_eq!(container(&pod, "main").restart_count, 1);
    }
    again.agent.shutdown().await;
}

/// The crash needs a process that can die: this test starts itself a second time.
#[tokio::test]
async fn processes_of_a_killed_agent_are_ended_before_pods_start_again() {
    const ROLE: &str = "TUBEWAY_TEST_CRASHING_AGENT_DIR";
    let script =
        |dir: &str| format!("echo $$$$ >{dir}/pid.new; mv {dir}/pid.new {dir}/pid; sleep 1000");
    if let Ok(dir) = std::env::var(ROLE) {
        let kept = Arc::new(
            tempfile::Builder::new()
                .disable_cleanup(true)
                .tempdir_in(&dir)
                .unwrap(),
        );
        fs::write(format!("{dir}/state-of"), kept.path().to_str().unwrap()).unwrap();
        let bench = Bench::on(kept, Arc::new(MemoryStore::default())).await;
        let main = shell("c", &script(&dir), json!({}));
        bench
            .store
            .create(pod("p", "Always", json!([main]), json!({})));
        bench.until_ready("p").await;
        while !fs::exists(format!("{dir}/pid")).unwrap() {
            tokio::task::yield_now().await;
        }
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    let name =
        "agent::tests::lifecycle::processes_of_a_killed_agent_are_ended_before_pods_start_again";
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(ROLE, dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert!(!child.wait().await.unwrap().success());
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    let proc = format!("/proc/{}/cmdline", pid.trim());
    assert!(
        fs::read_to_string(&proc).unwrap().contains("pid.new"),
        "still runs"
    );
    let state = fs::read_to_string(dir.path().join("state-of")).unwrap();
    let state = std::path::Path::new(&state).join("state");
    drop(State::open(&state, Duration::from_secs(10)).await.unwrap());
    assert!(!fs::read_to_string(&proc).is_ok_and(|line| line.contains("pid.new")));
    assert_eq!(fs::read_dir(state.join("run")).unwrap().count(), 0);
}

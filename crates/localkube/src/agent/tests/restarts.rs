use super::*;

#[tokio::test]
async fn a_failing_container_backs_off() {
    let bench = Bench::new().await;
    let main = shell("c", "echo run; exit 3", json!({}));
    bench
        .store
        .create(pod("p", "Always", json!([main]), json!({})));
    let world = bench.until("back-off", |world| {
        let pod = world.pod("p").filter(|pod| pod.status.is_some());
        pod.and_then(|pod| waiting(pod, "c")).as_deref() == Some("CrashLoopBackOff")
    });
    let world = world.await;
    let pod = world.pod("p").unwrap();
    let status = container(pod, "c");
    assert_eq!(status.restart_count, 1, "the first restart is immediate");
    let last = status
        .last_state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref()
        .unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    assert_eq!(phase_of(pod), "Running");
    assert!(!is_ready(pod));
    bench
        .until("event", |world| {
            world.has_note("BackOff", "container c in pod")
        })
        .await;

    bench.store.delete("p", 20);
    bench.until("removed", |world| world.pods.is_empty()).await;
    let left = std::fs::read_dir(bench.dir.path().join("state/pods")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn policies_decide_whether_a_container_runs_again() {
    let bench = Bench::new().await;
    let trace = bench.trace("runs");
    let flaky = format!("echo run >>{trace}; test $(wc -l <{trace}) -ge 2");
    for (name, policy, script) in [
        ("ok", "Never", "exit 0"),
        ("bad", "Never", "exit 5"),
        ("flaky", "OnFailure", flaky.as_str()),
        ("killed", "Never", "kill -9 $$$$"),
    ] {
        let main = shell("c", script, json!({}));
        bench
            .store
            .create(pod(name, policy, json!([main]), json!({})));
    }
    bench.until_phase("ok", "Succeeded").await;
    let bad = bench.until_phase("bad", "Failed").await;
    let ended = container(&bad, "c")
        .state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref();
    assert_eq!(ended.unwrap().exit_code, 5);
    let flaky = bench.until_phase("flaky", "Succeeded").await;
    assert_eq!(container(&flaky, "c").restart_count, 1);
    let killed = bench.until_phase("killed", "Failed").await;
    let ended = container(&killed, "c")
        .state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref();
    assert_eq!(
        (ended.unwrap().exit_code, ended.unwrap().signal),
        (137, Some(9))
    );
}

#[tokio::test]
async fn readiness_follows_its_probe_and_a_failed_liveness_probe_restarts() {
    let bench = Bench::new().await;
    let (ready, live) = (bench.trace("ready"), bench.trace("live"));
    std::fs::write(&live, "").unwrap();
    let probe = |file: &str| json!({"exec": {"command": ["test", "-f", file]}, "periodSeconds": 1, "failureThreshold": 1});
    let probes = json!({"readinessProbe": probe(&ready), "livenessProbe": probe(&live)});
    // A new run brings the file back.
    let script = format!("touch {live}; sleep 1000 & wait");
    bench.store.create(pod(
        "p",
        "Always",
        json!([shell("c", &script, probes)]),
        json!({}),
    ));
    let running = bench.until_phase("p", "Running").await;
    assert!(!is_ready(&running));
    bench
        .until("unhealthy", |world| {
            world.has_note("Unhealthy", "Readiness probe failed")
        })
        .await;
    std::fs::write(&ready, "").unwrap();
    bench.until_ready("p").await;
    std::fs::remove_file(&live).unwrap();
    let world = bench.until("restarted", |world| {
        world
            .pod("p")
            .is_some_and(|pod| container(pod, "c").restart_count == 1)
    });
    let world = world.await;
    let status = container(world.pod("p").unwrap(), "c");
    let last = status
        .last_state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref()
        .unwrap();
    assert_eq!(last.exit_code, 143, "asked to stop, not killed");
    assert!(world.has_note("Killing", "failed liveness probe"));
}

#[tokio::test]
async fn an_unknown_image_is_said_and_retried_slowly() {
    let bench = Bench::new().await;
    let main = json!({"name": "c", "image": "example.org/unknown:1"});
    bench
        .store
        .create(pod("p", "Always", json!([main]), json!({})));
    let world = bench.until("refused", |world| {
        let pod = world.pod("p").filter(|pod| pod.status.is_some());
        pod.and_then(|pod| waiting(pod, "c")).as_deref() == Some("ErrImagePull")
    });
    let world = world.await;
    let pod = world.pod("p").unwrap();
    let state = container(pod, "c").state.as_ref().unwrap();
    let message = state.waiting.as_ref().unwrap().message.as_deref().unwrap();
    assert!(
        message.contains("example.org/unknown:1") && message.contains("shell"),
        "{message}"
    );
    assert_eq!(phase_of(pod), "Pending");
}

#[tokio::test]
async fn status_is_written_only_when_it_changes() {
    let bench = Bench::new().await;
    let main = shell("c", "sleep 1000 & wait", json!({}));
    bench
        .store
        .create(pod("p", "Always", json!([main]), json!({})));
    bench.until_ready("p").await;
    let before = bench.store.world().status_writes;
    let mut changed = bench.store.world().pod("p").unwrap().clone();
    changed.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    bench.store.create(changed);
    // A second pod's whole life shows that the agent has seen the change.
    let other = shell("c", "true", json!({}));
    bench
        .store
        .create(pod("q", "Never", json!([other]), json!({})));
    bench.until_phase("q", "Succeeded").await;
    let written = bench.store.world().status_writes - before;
    assert!(written <= 5, "{written} writes for the second pod alone");
}

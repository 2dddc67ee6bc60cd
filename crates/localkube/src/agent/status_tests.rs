use super::*;
use serde_json::json;

fn pod(policy: &str, init: &serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "d", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": init,
            "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
        },
    }))
    .unwrap()
}

fn ended(code: i32) -> RunState {
    RunState::Ended(Ended {
        code,
        signal: None,
        reason: "Error".to_owned(),
        message: None,
        started_at: None,
        finished_at: Timestamp::UNIX_EPOCH,
    })
}

fn running() -> RunState {
    RunState::Running {
        since: Timestamp::UNIX_EPOCH,
    }
}

fn set(board: &mut PodBoard, name: &str, state: RunState) {
    let entry = board.containers.get_mut(name).unwrap();
    entry.ready = matches!(state, RunState::Running { .. });
    entry.started = entry.ready;
    entry.state = state;
    entry.runs = 1;
}

fn phase_of(policy: &str, a: RunState, b: RunState) -> &'static str {
    let pod = pod(policy, &json!([]));
    let mut board = PodBoard::of(&pod);
    set(&mut board, "a", a);
    set(&mut board, "b", b);
    phase(pod.spec.as_ref().unwrap(), &board)
}

fn condition<'a>(status: &'a PodStatus, type_: &str) -> &'a PodCondition {
    let mut all = status.conditions.as_ref().unwrap().iter();
    all.find(|condition| condition.type_ == type_).unwrap()
}

#[test]
fn phases_follow_the_restart_policy() {
    assert_eq!(phase_of("Always", running(), running()), "Running");
    assert_eq!(phase_of("Always", ended(0), ended(1)), "Running");
    assert_eq!(phase_of("Never", running(), ended(1)), "Running");
    assert_eq!(phase_of("Never", ended(0), ended(0)), "Succeeded");
    assert_eq!(phase_of("Never", ended(0), ended(1)), "Failed");
    assert_eq!(phase_of("OnFailure", ended(0), ended(1)), "Running");
    assert_eq!(phase_of("OnFailure", ended(0), ended(0)), "Succeeded");
    let waiting = RunState::default();
    assert_eq!(phase_of("Always", running(), waiting), "Pending");
}

#[test]
fn init_containers_hold_the_phase_back() {
    let init = json!([{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]);
    let pod = pod("Never", &init);
    let spec = pod.spec.as_ref().unwrap();
    let mut board = PodBoard::of(&pod);
    assert_eq!(phase(spec, &board), "Pending");
    set(&mut board, "i", ended(0));
    assert_eq!(phase(spec, &board), "Pending");
    let status = pod_status(&pod, &board, "127.0.0.1", Timestamp::UNIX_EPOCH);
    let initialized = condition(&status, "Initialized");
    assert_eq!(initialized.status, "False");
    let message = initialized.message.as_deref();
    assert_eq!(message, Some("containers with incomplete status: [s]"));
    set(&mut board, "s", running());
    set(&mut board, "a", ended(0));
    set(&mut board, "b", ended(0));
    assert_eq!(phase(spec, &board), "Running", "the sidecar still runs");
    set(&mut board, "s", ended(143));
    assert_eq!(
        phase(spec, &board),
        "Succeeded",
        "its exit code does not count"
    );
    set(&mut board, "i", ended(3));
    assert_eq!(phase(spec, &board), "Failed");
}

#[test]
fn conditions_name_what_is_missing_and_keep_their_time() {
    let mut pod = pod("Always", &json!([]));
    let mut board = PodBoard::of(&pod);
    set(&mut board, "a", running());
    let early = Timestamp::UNIX_EPOCH;
    let first = pod_status(&pod, &board, "127.0.0.1", early);
    let ready = condition(&first, "Ready");
    assert_eq!(ready.reason.as_deref(), Some("ContainersNotReady"));
    assert_eq!(
        ready.message.as_deref(),
        Some("containers with unready status: [b]")
    );

    pod.status = Some(first.clone());
    let late = Timestamp::from_second(60).unwrap();
    assert_eq!(pod_status(&pod, &board, "127.0.0.1", late), first);
    set(&mut board, "b", running());
    let second = pod_status(&pod, &board, "127.0.0.1", late);
    assert_eq!(condition(&second, "Ready").status, "True");
    assert_eq!(
        condition(&second, "Ready").last_transition_time,
        Some(Time(late))
    );
    assert_eq!(
        condition(&second, "PodScheduled").last_transition_time,
        Some(Time(early))
    );
}

#[test]
fn readiness_gates_of_others_are_waited_for() {
    let mut pod = pod("Always", &json!([]));
    let gates = json!([{"conditionType": "example.org/in-sync"}]);
    pod.spec.as_mut().unwrap().readiness_gates = serde_json::from_value(gates).unwrap();
    let mut board = PodBoard::of(&pod);
    set(&mut board, "a", running());
    set(&mut board, "b", running());
    let status = pod_status(&pod, &board, "h", Timestamp::UNIX_EPOCH);
    assert_eq!(condition(&status, "ContainersReady").status, "True");
    let ready = condition(&status, "Ready");
    assert_eq!(ready.reason.as_deref(), Some("ReadinessGatesNotReady"));
    let mut with_gate = status.clone();
    with_gate.conditions.as_mut().unwrap().push(PodCondition {
        type_: "example.org/in-sync".to_owned(),
        status: "True".to_owned(),
        ..PodCondition::default()
    });
    pod.status = Some(with_gate);
    let status = pod_status(&pod, &board, "h", Timestamp::UNIX_EPOCH);
    assert_eq!(condition(&status, "Ready").status, "True");
}

#[test]
fn restarts_count_on_over_a_new_agent() {
    let mut pod = pod("Always", &json!([]));
    let mut board = PodBoard::of(&pod);
    set(&mut board, "a", running());
    pod.status = Some(pod_status(&pod, &board, "h", Timestamp::UNIX_EPOCH));
    let taken_over = PodBoard::of(&pod);
    let a = &taken_over.containers["a"];
    assert_eq!((a.runs, a.restarts()), (1, 0));
    let end = a.latest_end().unwrap();
    assert_eq!(
        (end.code, end.reason.as_str()),
        (137, "ContainerStatusUnknown")
    );
    assert_eq!(taken_over.containers["b"].runs, 0, "never ran");
}

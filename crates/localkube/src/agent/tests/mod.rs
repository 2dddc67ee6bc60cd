//! The pod lifecycle with real processes over a store in memory.

mod lifecycle;
mod restarts;
mod store;
mod volumes;

use super::store::PodId;
use super::*;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Value, json};
use store::{MemoryStore, World};

/// An agent over a store, in folders that go away with it.
pub(super) struct Bench {
    pub(super) dir: Arc<tempfile::TempDir>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) agent: AgentHandle,
}

/// Longer than anything here takes, shorter than a patience.
const PATIENCE: Duration = Duration::from_secs(30);

impl Bench {
    pub(super) async fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::on(dir, Arc::new(MemoryStore::default())).await
    }

    /// An agent on a folder and a store that another may have used before.
    pub(super) async fn on(dir: Arc<tempfile::TempDir>, store: Arc<MemoryStore>) -> Self {
        let state = State::open(&dir.path().join("state"), Duration::from_secs(5))
            .await
            .unwrap();
        let images = ImageTable::new().with("shell", LocalImage::default());
        let config = AgentConfig {
            client: no_client(),
            node_name: "laptop".to_owned(),
            state_dir: dir.path().join("state"),
            images,
            api: ApiAccess {
                url: "https://127.0.0.1:6443".to_owned(),
                ca_pem: "CA".to_owned(),
            },
            addresses: AddressRange::default(),
            backoff: BackoffRule {
                base: Duration::from_hours(1),
                ..BackoffRule::default()
            },
            leftover_grace: Duration::from_secs(5),
        };
        let own = Arc::clone(&store) as Arc<dyn PodStore>;
        let agent = Agent::run(config, own, state, Arc::new(Notify::new())).unwrap();
        Self { dir, store, agent }
    }

    /// A path outside the state folder, where a container can leave a trace.
    pub(super) fn trace(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) async fn until(&self, what: &str, condition: impl FnMut(&World) -> bool) -> World {
        self.store.until(what, condition).await
    }

    pub(super) async fn until_phase(&self, name: &str, phase: &str) -> Pod {
        let what = format!("{name} {phase}");
        let world = self.until(&what, |world| {
            world.pod(name).is_some_and(|pod| phase_of(pod) == phase)
        });
        world.await.pod(name).unwrap().clone()
    }

    pub(super) async fn until_ready(&self, name: &str) -> Pod {
        let what = format!("{name} ready");
        let world = self.until(&what, |world| world.pod(name).is_some_and(is_ready));
        world.await.pod(name).unwrap().clone()
    }

    /// Waits for what a container writes to a file; the file tells nobody, so it is looked at.
    pub(super) async fn until_text(&self, path: &str, text: &str) {
        let written = async {
            while !std::fs::read_to_string(path).is_ok_and(|read| read.contains(text)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let written = tokio::time::timeout(PATIENCE, written).await;
        assert!(written.is_ok(), "{text:?} was not written to {path}");
    }

    pub(super) async fn log(&self, pod: &Pod, container: &str) -> String {
        use futures::TryStreamExt as _;
        let PodId {
            namespace,
            name,
            uid,
        } = PodId::of(pod);
        let follow = logs::LogOptions {
            follow: true,
            ..logs::LogOptions::default()
        };
        let logs = self.agent.logs();
        let stream = logs
            .open(&namespace, &name, &uid, container, follow)
            .await
            .unwrap();
        let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
        String::from_utf8(chunks.concat()).unwrap()
    }
}

/// A pod of shell scripts; `more` is merged into its spec.
pub(super) fn pod(name: &str, policy: &str, containers: Value, more: Value) -> Pod {
    let mut spec = json!({
        "restartPolicy": policy,
        "containers": containers,
        "terminationGracePeriodSeconds": 20,
    });
    let more = more.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "demo", "uid": format!("uid-{name}")},
        "spec": spec,
    }))
    .unwrap()
}

/// A container that runs a script; `more` is merged into it.
pub(super) fn shell(name: &str, script: &str, more: Value) -> Value {
    let mut container = json!({
        "name": name, "image": "shell:1", "command": ["sh", "-c", script],
    });
    let more = more.as_object().cloned().unwrap_or_default();
    container.as_object_mut().unwrap().extend(more);
    container
}

pub(super) fn phase_of(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

pub(super) fn container<'a>(pod: &'a Pod, name: &str) -> &'a ContainerStatus {
    let status = pod.status.as_ref().unwrap();
    [&status.init_container_statuses, &status.container_statuses]
        .into_iter()
        .flatten()
        .flatten()
        .find(|status| status.name == name)
        .unwrap()
}

pub(super) fn waiting(pod: &Pod, name: &str) -> Option<String> {
    let state = container(pod, name).state.as_ref()?;
    state.waiting.as_ref()?.reason.clone()
}

fn no_client() -> kube::Client {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
    });
    kube::Client::new(service, "default")
}

//! The API server of worlds: ours, which can do wrong on request, or a real one.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tempfile::TempDir;
use tubeway_localkube::fault::{Asked, Seen};
use tubeway_localkube::{Durability, Server};
use tubeway_testing::kubernetes::ControlPlane;

use super::api::OURS;

/// Looks in a row without anything that happened, and how far they are apart, after
/// which controllers that take real time are believed to have nothing left to do.
const CALM_LOOKS: usize = 8;
const CALM_EVERY: Duration = Duration::from_millis(150);
/// Tries to list a kind that was just installed.
const SERVED_WITHIN: usize = 200;

/// An API server for worlds.
pub(crate) struct Host {
    serves: Serves,
    /// Whether time passes: then controllers take some to do what they do.
    in_real_time: bool,
    pub(super) worlds: std::cell::Cell<usize>,
}

enum Serves {
    Local(Box<Server>, TempDir),
    Real {
        plane: Box<ControlPlane>,
        /// What operators have asked.
        seen: Arc<Mutex<Vec<Seen>>>,
    },
}

// === impl Host ===

impl Host {
    /// Ours, with Tubeway's kinds installed.
    pub(crate) async fn start() -> Self {
        let host = Self::over(folder()).await;
        host.install().await;
        host
    }

    /// Ours, with the objects of this folder.
    pub(super) async fn over(folder: TempDir) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config = tubeway_localkube::Config::new(folder.path(), listen);
        // Time stands still in these worlds, but not while it waits for a disk.
        config.durability = Durability::Shutdown;
        let server = Server::start(config).await.unwrap();
        Self::new(Serves::Local(Box::new(server), folder))
    }

    /// A real one with its controllers, and machines that only the API knows.
    pub(crate) async fn real() -> Self {
        let plane = ControlPlane::start().await;
        let plane = plane.unwrap_or_else(|error| panic!("{error}"));
        let seen = Arc::default();
        let plane = Box::new(plane);
        let host = Self::new(Serves::Real { plane, seen });
        host.install().await;
        let client = host.client("machines").await;
        for kind in OURS {
            until_served(&client, kind).await;
        }
        for number in 0..3 {
            let machine = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": { "name": format!("machine-{number}") },
            });
            make(&client, "/api/v1/nodes", &machine).await;
        }
        // Volumes that can grow, of which the claims get theirs by hand.
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {
                "name": "by-hand",
                "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
            },
            "provisioner": "kubernetes.io/no-provisioner", "allowVolumeExpansion": true,
        });
        make(&client, "/apis/storage.k8s.io/v1/storageclasses", &class).await;
        host
    }

    fn new(serves: Serves) -> Self {
        Self {
            in_real_time: matches!(serves, Serves::Real { .. }),
            serves,
            worlds: std::cell::Cell::new(0),
        }
    }

    /// Ours in a test in which time passes.
    pub(crate) fn in_real_time(self) -> Self {
        Self {
            in_real_time: true,
            ..self
        }
    }

    async fn install(&self) {
        let client = self.client("setup").await;
        tubeway_operator::crds::install(&client).await.unwrap();
    }

    /// Ours, which has faults to plan.
    ///
    /// # Panics
    /// On a real one.
    pub(crate) fn server(&self) -> &Server {
        match &self.serves {
            Serves::Local(server, _) => server,
            Serves::Real { .. } => panic!("a real API server does nothing wrong on request"),
        }
    }

    /// Whether it is a real one, which has no faults to plan.
    pub(super) fn is_real(&self) -> bool {
        matches!(self.serves, Serves::Real { .. })
    }

    /// A client of this name, which may do everything.
    pub(crate) async fn client(&self, name: &str) -> Client {
        match &self.serves {
            Serves::Local(server, _) => server.local_client(name).await.unwrap(),
            Serves::Real { plane, .. } => plane.admin().await.unwrap(),
        }
    }

    /// An operator's client: what it asks is seen.
    pub(super) async fn operator(&self, name: &str) -> Client {
        let client = self.client(name).await;
        match &self.serves {
            Serves::Local(..) => client,
            Serves::Real { seen, .. } => recorded(client, Arc::clone(seen)),
        }
    }

    /// What an operator has asked, but for the first few.
    pub(crate) fn seen(&self, agent: &str, from: usize) -> Vec<Seen> {
        match &self.serves {
            Serves::Local(server, _) => server.faults().seen(agent, from),
            Serves::Real { seen, .. } => seen.lock().unwrap()[from..].to_vec(),
        }
    }

    /// How much that is.
    pub(super) fn count(&self, agent: &str) -> usize {
        match &self.serves {
            Serves::Local(server, _) => server.faults().count(agent),
            Serves::Real { seen, .. } => seen.lock().unwrap().len(),
        }
    }

    /// What operators have asked is forgotten.
    pub(super) fn forget(&self, agent: &str) {
        match &self.serves {
            Serves::Local(server, _) => drop(server.faults().clear(agent)),
            Serves::Real { seen, .. } => seen.lock().unwrap().clear(),
        }
    }

    /// Ends when the operator has crashed.
    pub(super) async fn crashed(&self, agent: &str) {
        match &self.serves {
            Serves::Local(server, _) => server.faults().crashed(agent).await,
            Serves::Real { .. } => std::future::pending().await,
        }
    }

    /// How many looks in a row have to find nothing to do.
    pub(super) fn calm_looks(&self) -> usize {
        if self.in_real_time { CALM_LOOKS } else { 1 }
    }

    /// Leaves the server's controllers time, where they need some.
    pub(super) async fn pause(&self) {
        if self.in_real_time {
            tokio::time::sleep(CALM_EVERY).await;
        }
    }

    /// Ends our server; its objects are in the folder.
    pub(crate) async fn end(self) -> TempDir {
        match self.serves {
            Serves::Local(server, folder) => {
                server.shutdown().await;
                folder
            }
            Serves::Real { .. } => panic!("a real API server's objects go with it"),
        }
    }
}

async fn make(client: &Client, path: &str, object: &Value) {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    client.request::<Value>(request).await.unwrap();
}

/// A kind is installed before it can be listed.
async fn until_served(client: &Client, kind: &str) {
    let path = format!("/apis/kafka.tubeway.dev/v1alpha1/{kind}");
    let mut last = None;
    for _ in 0..SERVED_WITHIN {
        let request = Request::get(&path).body(Vec::new()).unwrap();
        match client.request::<Value>(request).await {
            Ok(_) => return,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(CALM_EVERY).await;
    }
    panic!("{kind} are not served: {last:?}");
}

/// A folder in memory, where there is such a thing.
pub(super) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    folder.unwrap()
}

/// A client whose requests are written down, and how they were answered.
fn recorded(client: Client, seen: Arc<Mutex<Vec<Seen>>>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, seen) = (client.clone(), Arc::clone(&seen));
        async move {
            let query = request.uri().query().unwrap_or_default();
            let asked = Asked {
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
                watch: request.method() == Method::GET && query.contains("watch=true"),
            };
            let answer = client.send(request).await;
            let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            seen.lock().unwrap().push(Seen {
                asked,
                fault: None,
                status,
                version: 0,
            });
            answer
        }
    });
    Client::new(service, "default")
}

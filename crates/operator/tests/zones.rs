//! Zones by the pods and nodes of a Kubernetes API.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tubeway_config::{Access, ClusterRef, Zones};
use tubeway_localkube::{Config, Server};
use tubeway_operator::stream::{AccessDocuments, Subscription, ZoneDocuments};
use tubeway_operator::zones::{Places, ZoneSource};
use tubeway_policy::acl::{AclBinding, Operation, ResourceType};
use tubeway_policy::rules::{AccessRules, Rule};

const SOON: Duration = Duration::from_secs(30);

/// A Kubernetes API with two nodes, and what looks after zones there.
struct World {
    client: Client,
    places: Places,
    source: ZoneSource,
    access: AccessDocuments,
    zones: ZoneDocuments,
    tasks: JoinSet<()>,
    _server: Server,
    _folder: tempfile::TempDir,
}

// === impl World ===

impl World {
    async fn start(pods_say: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any_port = ([127, 0, 0, 1], 0).into();
        let server = Server::start(Config::new(folder.path(), any_port)).await;
        let server = server.unwrap();
        let client = client(&server.admin_kubeconfig().unwrap()).await;
        let (places, watching) = Places::new(&client, pods_say);
        let zones = ZoneDocuments::default();
        let world = Self {
            source: ZoneSource::new(places.clone(), zones.clone()),
            client,
            places,
            access: AccessDocuments::default(),
            zones,
            tasks: JoinSet::new(),
            _server: server,
            _folder: folder,
        };
        for (node, zone) in [("n1", "eu-1a"), ("n2", "eu-1b")] {
            let labels = json!({"topology.kubernetes.io/zone": zone});
            let node = read(json!({"metadata": {"name": node, "labels": labels}}));
            let nodes = Api::<Node>::all(world.client.clone());
            nodes.create(&PostParams::default(), &node).await.unwrap();
        }
        let shop = read(json!({"metadata": {"name": "shop"}}));
        let namespaces = Api::<Namespace>::all(world.client.clone());
        let params = PostParams::default();
        namespaces.create(&params, &shop).await.unwrap();
        let account = read(json!({"metadata": {"name": "default"}}));
        let accounts = Api::<ServiceAccount>::namespaced(world.client.clone(), "shop");
        // Its controller may have been faster.
        let _ = accounts.create(&params, &account).await;
        let mut world = world;
        world.tasks.spawn(watching);
        let (source, access) = (world.source.clone(), world.access.clone());
        world.tasks.spawn(async move {
            source.keep(access).await.unwrap();
        });
        world
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "shop")
    }

    async fn pod(&self, name: &str, node: &str, address: &str, labels: Value) {
        let pod = read(json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
        }));
        let pods = self.pods();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let status = json!({"status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        }});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// What the sidecars of a cluster are told.
    fn subscribe(&self, cluster: &str) -> Subscription<Zones> {
        let cluster = cluster.parse().unwrap();
        self.zones.subscribe(&cluster, None).unwrap().from_now()
    }
}

/// Waits until sidecars are told this of each address, `-` for no zone.
async fn told(to: &mut Subscription<Zones>, expected: &[(&str, &str)]) {
    let told = async {
        loop {
            let document = to.next().await.unwrap();
            let zones = document.document.by_address();
            let zone = |ip: &str| zones.get(&ip.parse().unwrap()).map_or("-", |z| &**z);
            if expected.iter().all(|(ip, wanted)| zone(ip) == *wanted) {
                break;
            }
        }
    };
    let waited = timeout(SOON, told).await;
    waited.unwrap_or_else(|_| panic!("never {expected:?}"));
}

async fn client(kubeconfig: &str) -> Client {
    let config = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// One rule, for a zone or for anywhere.
fn rules(cluster: &str, zone: Option<&str>) -> Access {
    let acl = AclBinding::allow("User:a", Operation::Read, ResourceType::Topic, "t");
    let mut rule = Rule::from(acl);
    rule.zones.extend(zone.map(str::to_owned));
    Access {
        cluster: cluster.parse().unwrap(),
        access: AccessRules {
            rules: vec![rule],
            ..AccessRules::default()
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_follow_pods_and_nodes_where_a_rule_asks_for_zones() {
    let world = World::start(false).await;
    world.pod("one", "n1", "10.0.0.1", json!({})).await;
    let lie = json!({"topology.kubernetes.io/zone": "eu-1a"});
    world.pod("two", "n2", "10.0.0.2", lie).await;
    world.access.publish(rules("kafka/zoned", Some("eu-1a")));
    world.access.publish(rules("kafka/plain", None));
    let mut zoned = world.subscribe("kafka/zoned");
    let mut plain = world.subscribe("kafka/plain");
    world.source.patiently().await;
    world.source.publish([&"kafka/zoned".parse().unwrap()]);
    // What the pod says of itself is not believed.
    let both = [("10.0.0.1", "eu-1a"), ("10.0.0.2", "eu-1b")];
    told(&mut zoned, &both).await;
    assert_eq!(
        world.places.zone_of("shop", "two").as_deref(),
        Some("eu-1b")
    );

    world.pod("three", "n1", "10.0.0.3", json!({})).await;
    told(&mut zoned, &[("10.0.0.3", "eu-1a")]).await;

    let moved = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "eu-1c"}}});
    let nodes = Api::<Node>::all(world.client.clone());
    let params = PatchParams::default();
    nodes
        .patch("n1", &params, &Patch::Merge(moved))
        .await
        .unwrap();
    let all = [
        ("10.0.0.1", "eu-1c"),
        ("10.0.0.2", "eu-1b"),
        ("10.0.0.3", "eu-1c"),
    ];
    told(&mut zoned, &all).await;

    let done = json!({"status": {"phase": "Succeeded"}});
    let pods = world.pods();
    pods.patch_status("one", &params, &Patch::Merge(done))
        .await
        .unwrap();
    let now = DeleteParams::default().grace_period(0);
    pods.delete("two", &now).await.unwrap();
    let left = [("10.0.0.1", "-"), ("10.0.0.2", "-"), ("10.0.0.3", "eu-1c")];
    told(&mut zoned, &left).await;
    assert!(
        plain.ready().is_none(),
        "no rule of that cluster asks for it"
    );
    assert!(world.zones.current(&plain_cluster()).is_none());
}

fn plain_cluster() -> ClusterRef {
    "kafka/plain".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_machine_pods_may_say_where_they_are() {
    let world = World::start(true).await;
    let own = json!({"topology.kubernetes.io/zone": "eu-1z"});
    world.pod("one", "n1", "10.0.0.1", own).await;
    world.pod("two", "n1", "10.0.0.2", json!({})).await;
    world.access.publish(rules("kafka/zoned", Some("eu-1a")));
    let mut zoned = world.subscribe("kafka/zoned");
    world.source.patiently().await;
    world.source.publish([&"kafka/zoned".parse().unwrap()]);
    let both = [("10.0.0.1", "eu-1z"), ("10.0.0.2", "eu-1a")];
    told(&mut zoned, &both).await;
}

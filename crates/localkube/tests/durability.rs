//! What outlives a server: objects, keys, versions. And what keeps one from starting.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{World, client, define, serve, topic, topics};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams, ResourceExt};
use serde_json::json;
use tubeway_localkube::{Config, Server, StartError};

/// Tells this binary to be the server that gets killed.
const FOLDER: &str = "TUBEWAY_TEST_SERVE";

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let world = World::start().await;
    let admin = world.admin().await;
    define(admin.clone()).await;
    let made = topics(admin)
        .create(&PostParams::default(), &topic("t", 3))
        .await
        .unwrap();
    let (ca, account) = (
        world.server.ca_pem().to_owned(),
        world
            .server
            .kubeconfig_for_service_account("default", "default")
            .unwrap(),
    );
    let world = world.restart().await;
    assert_eq!(world.server.ca_pem(), ca);
    let found = topics(world.admin().await).get("t").await.unwrap();
    assert_eq!(
        (found.uid(), found.resource_version()),
        (made.uid(), made.resource_version())
    );
    let next = topics(world.admin().await)
        .create(&PostParams::default(), &topic("u", 3))
        .await
        .unwrap();
    let version = |object: &kube::api::DynamicObject| {
        object.resource_version().unwrap().parse::<u64>().unwrap()
    };
    assert!(version(&next) > version(&made));
    // The key that signs tokens is the same, so an old token is good at the new address.
    let account = account.replace(&address_in(&account), &world.server.url());
    let review = k8s_openapi::api::authentication::v1::SelfSubjectReview::default();
    let reviews: Api<k8s_openapi::api::authentication::v1::SelfSubjectReview> =
        Api::all(client(&account).await);
    assert!(
        reviews
            .create(&PostParams::default(), &review)
            .await
            .is_ok()
    );
}

fn address_in(kubeconfig: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(kubeconfig).unwrap();
    value["clusters"][0]["cluster"]["server"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// In the parent: kills a server in the middle of writes and counts what is left. In the child:
/// is that server.
#[tokio::test]
async fn a_killed_server_keeps_what_it_acknowledged() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let server = serve(&PathBuf::from(folder)).await;
        println!("\nkubeconfig {}", json!(server.admin_kubeconfig().unwrap()));
        return std::future::pending().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let (mut child, kubeconfig) = child(folder.path());
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&kubeconfig).await);
        let writer = tokio::spawn(async move {
            let mut names = Vec::new();
            for at in 0.. {
                let name = format!("c-{round}-{at}");
                if maps
                    .create(&PostParams::default(), &config_map(&name))
                    .await
                    .is_err()
                {
                    break;
                }
                names.push(name);
                if names.len() == 30 {
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
            }
            names
        });
        acknowledged.extend(writer.await.unwrap());
    }
    assert_eq!(acknowledged.len(), 90);
    let server = serve(folder.path()).await;
    let maps: Api<ConfigMap> =
        Api::default_namespaced(client(&server.admin_kubeconfig().unwrap()).await);
    for name in acknowledged {
        assert!(
            maps.get_opt(&name).await.unwrap().is_some(),
            "{name} was acknowledged and is lost"
        );
    }
}

fn child(folder: &Path) -> (std::process::Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_server_keeps_what_it_acknowledged",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines
        .find_map(|line| line.unwrap().strip_prefix("kubeconfig ").map(str::to_owned))
        .unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

#[tokio::test]
async fn what_is_in_use_is_said_to_be() {
    let world = World::start().await;
    let other = tempfile::tempdir().unwrap();
    let same_port = Server::start(Config::new(other.path(), world.server.address())).await;
    let Err(StartError::InUse(address)) = same_port else {
        panic!("two servers on one port")
    };
    assert_eq!(address, world.server.address());
    let same_folder = Server::start(Config::new(
        world.folder.path(),
        "127.0.0.1:0".parse().unwrap(),
    ))
    .await;
    let Err(StartError::Store(error)) = same_folder else {
        panic!("two servers in one folder")
    };
    assert!(
        error.to_string().contains("another server uses it"),
        "{error}"
    );
}

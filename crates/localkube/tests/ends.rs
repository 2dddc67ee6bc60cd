//! How objects end: finalizers, grace, owners and namespaces.

mod common;

use common::{World, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
    PropagationPolicy, ResourceExt,
};
use kube::{Client, Error};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn config_map(name: &str, metadata: &Value) -> ConfigMap {
    let mut value =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}});
    value["metadata"]["name"] = name.into();
    of(value)
}

fn pod(name: &str) -> Pod {
    of(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "main", "image": "x"}]},
    }))
}

/// Code, reason and message of a refusal.
#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

async fn maps() -> (World, Client, Api<ConfigMap>) {
    let world = World::start().await;
    let client = world.admin().await;
    let maps = Api::default_namespaced(client.clone());
    (world, client, maps)
}

#[tokio::test]
async fn deletion_waits_for_finalizers_and_asks_for_preconditions() {
    let (_world, _, maps) = maps().await;
    let made = maps
        .create(
            &PostParams::default(),
            &config_map("c", &json!({"finalizers": ["test.dev/hold"]})),
        )
        .await
        .unwrap();
    let wrong = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some("other".into()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    assert_eq!(refusal(maps.delete("c", &wrong).await).1, "Conflict");
    let right = DeleteParams {
        preconditions: Some(Preconditions {
            uid: made.uid(),
            resource_version: made.resource_version(),
        }),
        ..DeleteParams::default()
    };
    let held = maps.delete("c", &right).await.unwrap().left().unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    let more = json!({"metadata": {"finalizers": ["test.dev/hold", "test.dev/more"]}});
    assert_eq!(
        refusal(
            maps.patch("c", &PatchParams::default(), &Patch::Merge(more))
                .await
        )
        .0,
        422
    );
    maps.patch(
        "c",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await
    .unwrap();
    assert!(maps.get_opt("c").await.unwrap().is_none());
}

#[tokio::test]
async fn pods_end_gracefully_once_they_have_a_node() {
    let (_world, client, _) = maps().await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.create(&PostParams::default(), &pod("idle"))
        .await
        .unwrap();
    pods.delete("idle", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("idle").await.unwrap().is_none());
    pods.create(&PostParams::default(), &pod("busy"))
        .await
        .unwrap();
    let bind = json!({"spec": {"nodeName": "n"}});
    pods.patch("busy", &PatchParams::default(), &Patch::Strategic(bind))
        .await
        .unwrap();
    let on_node = ListParams::default()
        .fields("spec.nodeName=n")
        .labels("app in (x, y)");
    assert_eq!(pods.list(&on_node).await.unwrap().items.len(), 1);
    pods.delete("busy", &DeleteParams::default().grace_period(7))
        .await
        .unwrap();
    let leaving = pods.get("busy").await.unwrap();
    assert_eq!(leaving.metadata.deletion_grace_period_seconds, Some(7));
    pods.delete("busy", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert!(pods.get_opt("busy").await.unwrap().is_none());
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client);
    let mut orphan = pod("orphan");
    orphan.spec.as_mut().unwrap().service_account_name = Some("nobody".into());
    let (code, _, message) = refusal(pods.create(&PostParams::default(), &orphan).await);
    assert_eq!(code, 403);
    assert!(
        message.contains("serviceaccount \"nobody\" not found"),
        "{message}"
    );
    assert!(accounts.get_opt("default").await.unwrap().is_some());
}

/// Makes a parent with one child that blocks its deletion in the foreground.
async fn family(maps: &Api<ConfigMap>, parent: &str) -> String {
    let made = maps
        .create(&PostParams::default(), &config_map(parent, &json!({})))
        .await
        .unwrap();
    let child = format!("{parent}-child");
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": parent, "uid": made.uid(), "blockOwnerDeletion": true}]);
    maps.create(
        &PostParams::default(),
        &config_map(&child, &json!({"ownerReferences": owner})),
    )
    .await
    .unwrap();
    child
}

#[tokio::test]
async fn dependents_follow_or_are_let_go() {
    let (_world, _, maps) = maps().await;
    let gone = async |name: &str| maps.get_opt(name).await.unwrap().is_none();
    let child = family(&maps, "background").await;
    maps.delete("background", &DeleteParams::background())
        .await
        .unwrap();
    eventually("the child's end", || gone(&child)).await;

    let child = family(&maps, "foreground").await;
    let hold = json!({"metadata": {"finalizers": ["test.dev/hold"]}});
    maps.patch(&child, &PatchParams::default(), &Patch::Merge(hold))
        .await
        .unwrap();
    maps.delete("foreground", &DeleteParams::foreground())
        .await
        .unwrap();
    eventually("the child's mark", || async {
        maps.get(&child)
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    })
    .await;
    assert!(!gone("foreground").await, "it waits for its child");
    maps.patch(
        &child,
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await
    .unwrap();
    eventually("the parent's end", || gone("foreground")).await;

    let child = family(&maps, "orphan").await;
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    maps.delete("orphan", &orphan).await.unwrap();
    eventually("the parent's end", || gone("orphan")).await;
    assert!(
        maps.get(&child)
            .await
            .unwrap()
            .metadata
            .owner_references
            .is_none()
    );

    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "none"}]);
    maps.create(
        &PostParams::default(),
        &config_map("late", &json!({"ownerReferences": owner})),
    )
    .await
    .unwrap();
    eventually("the end of an object of a lost owner", || gone("late")).await;
}

#[tokio::test]
async fn a_namespace_takes_its_content_with_it() {
    let (_world, client, _) = maps().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(
            &PostParams::default(),
            &of(json!({"metadata": {"name": "team"}})),
        )
        .await
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
    assert!(maps.get_opt("kube-root-ca.crt").await.unwrap().is_some());
    maps.create(
        &PostParams::default(),
        &config_map("held", &json!({"finalizers": ["test.dev/hold"]})),
    )
    .await
    .unwrap();
    namespaces
        .delete("team", &DeleteParams::default())
        .await
        .unwrap();
    let (code, _, message) = refusal(
        maps.create(&PostParams::default(), &config_map("new", &json!({})))
            .await,
    );
    assert_eq!(
        (code, message.contains("because it is being terminated")),
        (403, true),
        "{message}"
    );
    let ending = namespaces.get("team").await.unwrap();
    assert_eq!(ending.status.unwrap().phase.as_deref(), Some("Terminating"));
    maps.patch(
        "held",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await
    .unwrap();
    eventually("the namespace's end", || async {
        namespaces.get_opt("team").await.unwrap().is_none()
    })
    .await;
}

//! Objects through kube-rs: writes, conflicts, apply, deletion, garbage collection.

mod common;

use common::{World, define, eventually, topic, topics};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, ResourceExt};
use kube::{Client, Error};
use serde::Serialize;
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

fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

async fn maps() -> (World, Client, Api<ConfigMap>) {
    let world = World::start().await;
    let client = world.admin().await;
    let maps = Api::default_namespaced(client.clone());
    (world, client, maps)
}

#[tokio::test]
async fn writes_conflict_as_they_should() {
    let (_world, _, maps) = maps().await;
    let create = PostParams::default();
    let first = maps
        .create(&create, &config_map("c", &json!({})))
        .await
        .unwrap();
    assert_eq!(
        refusal(maps.create(&create, &config_map("c", &json!({}))).await).1,
        "AlreadyExists"
    );
    let mut second = first.clone();
    second.data.as_mut().unwrap().insert("b".into(), "2".into());
    let second = maps.replace("c", &create, &second).await.unwrap();
    assert_ne!(second.resource_version(), first.resource_version());
    let (code, reason, message) = refusal(maps.replace("c", &create, &first).await);
    assert_eq!((code, &*reason), (409, "Conflict"));
    assert_eq!(
        message,
        "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
    let same = maps.replace("c", &create, &second).await.unwrap();
    assert_eq!(
        same.resource_version(),
        second.resource_version(),
        "a write that changes nothing is none"
    );
    let mut other = second.clone();
    other.metadata.uid = Some("00000000-0000-0000-0000-000000000000".into());
    assert_eq!(refusal(maps.replace("c", &create, &other).await).0, 409);
    let generated = config_map("", &json!({"generateName": "gen-"}));
    let names = [
        maps.create(&create, &generated).await.unwrap(),
        maps.create(&create, &generated).await.unwrap(),
    ];
    assert_ne!(names[0].name_any(), names[1].name_any());
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    maps.create(&dry, &config_map("d", &json!({})))
        .await
        .unwrap();
    assert_eq!(refusal(maps.get("d").await).2, "configmaps \"d\" not found");
    let elsewhere: Api<ConfigMap> = Api::namespaced(maps.into_client(), "nowhere");
    assert_eq!(
        refusal(
            elsewhere
                .create(&create, &config_map("c", &json!({})))
                .await
        )
        .2,
        "namespaces \"nowhere\" not found"
    );
}

#[tokio::test]
async fn patches_of_all_kinds() {
    let (_world, client, maps) = maps().await;
    maps.create(&PostParams::default(), &config_map("c", &json!({})))
        .await
        .unwrap();
    let default = PatchParams::default();
    let merged = maps
        .patch(
            "c",
            &default,
            &Patch::Merge(json!({"data": {"a": null, "b": "2"}})),
        )
        .await
        .unwrap();
    assert_eq!(json_of(&merged.data), json!({"b": "2"}));
    let operations = |value: Value| Patch::Json::<()>(serde_json::from_value(value).unwrap());
    let replace = operations(
        json!([{"op": "test", "path": "/data/b", "value": "2"}, {"op": "add", "path": "/data/c", "value": "3"}]),
    );
    let patched = maps.patch("c", &default, &replace).await.unwrap();
    assert_eq!(json_of(&patched.data), json!({"b": "2", "c": "3"}));
    assert_eq!(
        refusal(
            maps.patch(
                "c",
                &default,
                &operations(json!([{"op": "test", "path": "/data/b", "value": "x"}]))
            )
            .await
        )
        .0,
        422
    );
    let pods: Api<Pod> = Api::default_namespaced(client);
    pods.create(&PostParams::default(), &pod("p"))
        .await
        .unwrap();
    let image = json!({"spec": {"containers": [{"name": "main", "image": "y"}]}});
    let patched = pods
        .patch("p", &default, &Patch::Strategic(image))
        .await
        .unwrap();
    assert_eq!(json_of(&patched)["spec"]["containers"][0]["image"], "y");
    assert_eq!(
        json_of(&patched)["spec"]["containers"][0]["terminationMessagePolicy"],
        "File",
        "merged by name"
    );
    let (code, _, message) = refusal(
        pods.patch(
            "p",
            &default,
            &Patch::Merge(json!({"spec": {"hostNetwork": true}})),
        )
        .await,
    );
    assert_eq!(code, 422);
    assert!(
        message.contains("pod updates may not change fields"),
        "{message}"
    );
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"x": "y"}});
    assert_eq!(
        refusal(maps.patch("c", &default, &Patch::Merge(stale)).await).0,
        409
    );
}

#[tokio::test]
async fn apply_owns_fields_and_conflicts_over_them() {
    let (_world, _, maps) = maps().await;
    let applied = |data: Value| {
        Patch::Apply(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}),
        )
    };
    let one = PatchParams::apply("one");
    maps.patch("c", &one, &applied(json!({"a": "1", "b": "1"})))
        .await
        .unwrap();
    let same = maps
        .patch("c", &one, &applied(json!({"a": "1", "b": "1"})))
        .await
        .unwrap();
    let again = maps
        .patch("c", &one, &applied(json!({"a": "1", "b": "1"})))
        .await
        .unwrap();
    assert_eq!(same.resource_version(), again.resource_version());
    let two = PatchParams::apply("two");
    let (code, reason, message) = refusal(maps.patch("c", &two, &applied(json!({"a": "2"}))).await);
    assert_eq!((code, &*reason), (409, "Conflict"));
    assert_eq!(
        message,
        "Apply failed with 1 conflict: conflict with \"one\": .data.a"
    );
    let forced = maps
        .patch("c", &two.clone().force(), &applied(json!({"a": "2"})))
        .await
        .unwrap();
    assert_eq!(json_of(&forced.data), json!({"a": "2", "b": "1"}));
    let dropped = maps.patch("c", &one, &applied(json!({}))).await.unwrap();
    assert_eq!(
        json_of(&dropped.data),
        json!({"a": "2"}),
        "b was one's alone, a is two's now"
    );
    let nobody = PatchParams::default();
    assert_eq!(
        refusal(maps.patch("c", &nobody, &applied(json!({}))).await).0,
        422
    );
}

#[tokio::test]
async fn custom_resources_follow_their_definition() {
    let (_world, client, _) = maps().await;
    define(client.clone()).await;
    let topics = topics(client.clone());
    let create = PostParams::default();
    let made = topics.create(&create, &topic("t", 3)).await.unwrap();
    assert_eq!(made.data["spec"]["cleanup"], "delete", "defaulted");
    assert_eq!(made.metadata.generation, Some(1));
    let (code, _, message) = refusal(topics.create(&create, &topic("u", 0)).await);
    assert_eq!(code, 422);
    assert!(
        message.starts_with("Topic.test.dev \"u\" is invalid: spec.partitions: Invalid value: 0"),
        "{message}"
    );
    let default = PatchParams::default();
    let shrink = topics
        .patch(
            "t",
            &default,
            &Patch::Merge(json!({"spec": {"partitions": 1}})),
        )
        .await;
    assert!(refusal(shrink).2.contains("partitions never shrink"));
    let status = json!({"spec": {"partitions": 9}, "status": {"partitions": 3, "conditions": [{"type": "Ready", "status": "True"}]}});
    let after = topics
        .patch_status("t", &default, &Patch::Merge(status))
        .await
        .unwrap();
    assert_eq!(
        (
            &after.data["spec"]["partitions"],
            &after.data["status"]["partitions"]
        ),
        (&json!(3), &json!(3))
    );
    assert_eq!(after.metadata.generation, Some(1));
    let after = topics
        .patch(
            "t",
            &default,
            &Patch::Merge(json!({"spec": {"partitions": 4}, "status": null})),
        )
        .await
        .unwrap();
    assert_eq!(
        (
            after.metadata.generation,
            &after.data["status"]["partitions"]
        ),
        (Some(2), &json!(3))
    );
    let scaled = topics
        .patch_scale(
            "t",
            &default,
            &Patch::Merge(json!({"spec": {"replicas": 6}})),
        )
        .await
        .unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(6));
    assert_eq!(topics.get("t").await.unwrap().data["spec"]["partitions"], 6);
    let applied = json!({"apiVersion": "test.dev/v1", "kind": "Topic", "status": {"conditions": [{"type": "Synced", "status": "True"}]}});
    let after = topics
        .patch_status("t", &PatchParams::apply("operator"), &Patch::Apply(applied))
        .await
        .unwrap();
    assert_eq!(
        after.data["status"]["conditions"].as_array().unwrap().len(),
        2,
        "merged by type"
    );
    let strategic = topics
        .patch("t", &default, &Patch::Strategic(json!({})))
        .await;
    assert_eq!(refusal(strategic).0, 415);

    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions
        .delete("topics.test.dev", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the end of the definition", || async {
        definitions
            .get_opt("topics.test.dev")
            .await
            .unwrap()
            .is_none()
    })
    .await;
    assert_eq!(refusal(topics.list(&ListParams::default()).await).0, 404);
    define(client).await;
    assert_eq!(
        topics
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        0
    );
}

#[tokio::test]
async fn services_get_addresses_of_their_own() {
    let (_world, client, _) = maps().await;
    let services: Api<Service> = Api::default_namespaced(client);
    let service = |name: &str, spec: Value| -> Service {
        of(json!({"metadata": {"name": name}, "spec": spec}))
    };
    let create = PostParams::default();
    let port = json!([{"port": 80}]);
    let a = services
        .create(&create, &service("a", json!({"ports": port})))
        .await
        .unwrap();
    let b = services
        .create(&create, &service("b", json!({"ports": port})))
        .await
        .unwrap();
    let address = |service: &Service| service.spec.as_ref().unwrap().cluster_ip.clone().unwrap();
    assert!(address(&a).starts_with("127.96.") && address(&a) != address(&b));
    let taken = service("c", json!({"ports": port, "clusterIP": address(&a)}));
    assert_eq!(refusal(services.create(&create, &taken).await).0, 422);
    let headless = services
        .create(&create, &service("d", json!({"clusterIP": "None"})))
        .await
        .unwrap();
    assert_eq!(address(&headless), "None");
    let moved = services
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"clusterIP": "127.96.9.9"}})),
        )
        .await;
    assert_eq!(refusal(moved).0, 422);
}

#[tokio::test]
async fn collections_come_in_pages_of_one_state_and_go_at_once() {
    let (_world, _, maps) = maps().await;
    for at in 0..7 {
        let labelled = config_map(&format!("c{at}"), &json!({"labels": {"set": "x"}}));
        maps.create(&PostParams::default(), &labelled)
            .await
            .unwrap();
    }
    let page = ListParams::default().labels("set=x").limit(3);
    let first = maps.list(&page).await.unwrap();
    maps.delete("c5", &DeleteParams::default()).await.unwrap();
    maps.create(
        &PostParams::default(),
        &config_map("c4b", &json!({"labels": {"set": "x"}})),
    )
    .await
    .unwrap();
    let mut names: Vec<String> = first.items.iter().map(ResourceExt::name_any).collect();
    let mut token = first.metadata.continue_.clone();
    while let Some(next) = token.filter(|token| !token.is_empty()) {
        let page = maps
            .list(&page.clone().continue_token(&next))
            .await
            .unwrap();
        assert_eq!(
            page.metadata.resource_version,
            first.metadata.resource_version
        );
        names.extend(page.items.iter().map(ResourceExt::name_any));
        token = page.metadata.continue_;
    }
    assert_eq!(
        names,
        ["c0", "c1", "c2", "c3", "c4", "c5", "c6"],
        "as it was at the first page"
    );
    maps.delete_collection(
        &DeleteParams::default(),
        &ListParams::default().labels("set=x"),
    )
    .await
    .unwrap();
    assert_eq!(
        maps.list(&ListParams::default().labels("set=x"))
            .await
            .unwrap()
            .items
            .len(),
        0
    );
    assert!(maps.get_opt("kube-root-ca.crt").await.unwrap().is_some());
}

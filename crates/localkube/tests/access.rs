//! Who may do what: tokens, roles, reviews, impersonation; and logs of pods.

mod common;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{World, client};
use futures::future::BoxFuture;
use futures::{AsyncReadExt, FutureExt, StreamExt, stream};
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenReview};
use k8s_openapi::api::authorization::v1::{
    SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{
    Api, DeleteParams, EvictParams, ListParams, LogParams, Patch, PatchParams, PostParams,
    ResourceExt,
};
use kube::{Client, Error};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tubeway_localkube::logs::{LogError, LogRequest, LogSource, LogStream};

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn post() -> PostParams {
    PostParams::default()
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

/// A service account `app` that may read config maps, and its client.
async fn reader(world: &World) -> Client {
    let admin = world.admin().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    accounts
        .create(&post(), &of(json!({"metadata": {"name": "app"}})))
        .await
        .unwrap();
    let roles: Api<Role> = Api::default_namespaced(admin.clone());
    let reading =
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]);
    roles
        .create(
            &post(),
            &of(json!({"metadata": {"name": "read"}, "rules": reading})),
        )
        .await
        .unwrap();
    let bindings: Api<RoleBinding> = Api::default_namespaced(admin);
    let binding = json!({
        "metadata": {"name": "read"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read"},
        "subjects": [{"kind": "ServiceAccount", "name": "app"}],
    });
    let made = bindings.create(&post(), &of(binding)).await.unwrap();
    assert_eq!(
        made.subjects.unwrap()[0].namespace.as_deref(),
        Some("default"),
        "filled in"
    );
    client(
        &world
            .server
            .kubeconfig_for_service_account("default", "app")
            .unwrap(),
    )
    .await
}

#[tokio::test]
async fn a_service_account_does_what_its_roles_allow() {
    let world = World::start().await;
    let app = reader(&world).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(app.clone());
    assert!(maps.get_opt("kube-root-ca.crt").await.unwrap().is_some());
    let (code, message) = refusal(
        maps.delete("kube-root-ca.crt", &DeleteParams::default())
            .await,
    );
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "configmaps \"kube-root-ca.crt\" is forbidden: User \"system:serviceaccount:default:app\" cannot delete \
         resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let everywhere: Api<ConfigMap> = Api::all(app.clone());
    assert!(
        refusal(everywhere.list(&ListParams::default()).await)
            .1
            .ends_with("at the cluster scope")
    );
    let roles: Api<Role> = Api::default_namespaced(world.admin().await);
    let none = Patch::Merge(json!({"rules": []}));
    roles
        .patch("read", &PatchParams::default(), &none)
        .await
        .unwrap();
    assert_eq!(
        refusal(maps.get("kube-root-ca.crt").await).0,
        403,
        "at once"
    );
}

#[tokio::test]
async fn reviews_say_what_requests_would_meet() {
    let world = World::start().await;
    let app = reader(&world).await;
    let ask = |verb: &str| json!({"namespace": "default", "verb": verb, "resource": "configmaps"});
    let own: Api<SelfSubjectAccessReview> = Api::all(app.clone());
    for (verb, allowed) in [("get", true), ("delete", false)] {
        let review = own
            .create(
                &post(),
                &of(json!({"spec": {"resourceAttributes": ask(verb)}})),
            )
            .await
            .unwrap();
        assert_eq!(review.status.unwrap().allowed, allowed, "{verb}");
    }
    let rules: Api<SelfSubjectRulesReview> = Api::all(app.clone());
    let rules = rules
        .create(&post(), &of(json!({"spec": {"namespace": "default"}})))
        .await
        .unwrap()
        .status
        .unwrap();
    assert!(
        rules
            .resource_rules
            .iter()
            .any(|rule| rule.resources.as_deref() == Some(&["configmaps".to_owned()]))
    );
    let me: Api<SelfSubjectReview> = Api::all(app.clone());
    let me = me
        .create(&post(), &SelfSubjectReview::default())
        .await
        .unwrap();
    assert_eq!(
        me.status.unwrap().user_info.unwrap().username.as_deref(),
        Some("system:serviceaccount:default:app")
    );
    let others: Api<SubjectAccessReview> = Api::all(world.admin().await);
    let user = "system:serviceaccount:default:app";
    let review = json!({"spec": {"user": user, "resourceAttributes": ask("list")}});
    let status = others
        .create(&post(), &of(review))
        .await
        .unwrap()
        .status
        .unwrap();
    assert!(status.allowed);
    assert!(
        status
            .reason
            .unwrap()
            .starts_with("RBAC: allowed by RoleBinding \"read/default\"")
    );
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_have() {
    let world = World::start().await;
    let app = reader(&world).await;
    let admin = world.admin().await;
    let roles: Api<Role> = Api::default_namespaced(admin);
    let more = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "get"]}]);
    roles
        .patch(
            "read",
            &PatchParams::default(),
            &Patch::Merge(json!({"rules": more})),
        )
        .await
        .unwrap();
    let own: Api<Role> = Api::default_namespaced(app.clone());
    let role = |resource: &str| -> Role {
        let reading = json!([{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]);
        of(json!({"metadata": {"name": resource}, "rules": reading}))
    };
    own.create(&post(), &role("configmaps")).await.unwrap();
    let (code, message) = refusal(own.create(&post(), &role("secrets")).await);
    assert_eq!(code, 403);
    assert!(
        message.contains("attempting to grant RBAC permissions not currently held"),
        "{message}"
    );
    let bindings: Api<RoleBinding> = Api::default_namespaced(app);
    let admin = json!({
        "metadata": {"name": "up"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": "default"}],
    });
    assert_eq!(refusal(bindings.create(&post(), &of(admin)).await).0, 403);
}

#[tokio::test]
async fn tokens_are_for_an_audience_and_die_with_their_pod() {
    let world = World::start().await;
    let admin = world.admin().await;
    let pods: Api<Pod> = Api::default_namespaced(admin.clone());
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    let pod = pods.create(&post(), &of(pod)).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod.uid()});
    let request: TokenRequest = of(
        json!({"spec": {"audiences": ["kafka"], "expirationSeconds": 600, "boundObjectRef": bound}}),
    );
    let token = accounts
        .create_token_request("default", &post(), &request)
        .await
        .unwrap()
        .status
        .unwrap()
        .token;
    let reviews: Api<TokenReview> = Api::all(admin);
    let review = async |audience: &str| {
        let review = json!({"spec": {"token": token, "audiences": [audience]}});
        reviews
            .create(&post(), &of(review))
            .await
            .unwrap()
            .status
            .unwrap()
    };
    let good = review("kafka").await;
    assert_eq!(good.authenticated, Some(true));
    let user = good.user.unwrap();
    assert_eq!(
        user.username.as_deref(),
        Some("system:serviceaccount:default:default")
    );
    assert_eq!(
        user.extra.unwrap()["authentication.kubernetes.io/pod-name"],
        ["p"]
    );
    assert_eq!(review("other").await.authenticated, None);
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    assert_eq!(review("kafka").await.authenticated, None);
    let short: TokenRequest = of(json!({"spec": {"audiences": [], "expirationSeconds": 60}}));
    assert_eq!(
        refusal(
            accounts
                .create_token_request("default", &post(), &short)
                .await
        )
        .0,
        422
    );
}

#[tokio::test]
async fn strangers_see_the_version_and_nothing_else() {
    let world = World::start().await;
    let mut config: Value =
        serde_json::from_str(&world.server.admin_kubeconfig().unwrap()).unwrap();
    config["users"][0]["user"] = json!({});
    let stranger = client(&config.to_string()).await;
    assert_eq!(stranger.apiserver_version().await.unwrap().major, "1");
    let maps: Api<ConfigMap> = Api::default_namespaced(stranger);
    assert_eq!(
        refusal(maps.list(&ListParams::default()).await),
        (401, "Unauthorized".into())
    );
    config["users"][0]["user"] = json!({"token": "not.a.token"});
    let forger: Api<ConfigMap> = Api::default_namespaced(client(&config.to_string()).await);
    assert_eq!(refusal(forger.list(&ListParams::default()).await).0, 401);
    config["users"][0]["user"] = json!({"token": "x", "as": "system:admin"});
    let mut admin: Value = serde_json::from_str(&world.server.admin_kubeconfig().unwrap()).unwrap();
    admin["users"][0]["user"]["as"] = "jane".into();
    let jane: Api<Secret> = Api::default_namespaced(client(&admin.to_string()).await);
    assert!(
        refusal(jane.list(&ListParams::default()).await)
            .1
            .contains("User \"jane\" cannot list")
    );
}

#[tokio::test]
async fn budgets_hold_evictions_back() {
    let world = World::start().await;
    let admin = world.admin().await;
    let pods: Api<Pod> = Api::default_namespaced(admin.clone());
    let pod = json!({"metadata": {"name": "p", "labels": {"app": "x"}}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x"}]}});
    pods.create(&post(), &of(pod)).await.unwrap();
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status("p", &PatchParams::default(), &Patch::Merge(ready))
        .await
        .unwrap();
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(admin);
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}});
    budgets
        .create(
            &post(),
            &of(json!({"metadata": {"name": "b"}, "spec": spec})),
        )
        .await
        .unwrap();
    common::eventually("the budget's count", || async {
        budgets
            .get("b")
            .await
            .unwrap()
            .status
            .is_some_and(|status| status.current_healthy == Some(1))
    })
    .await;
    let (code, message) = refusal(pods.evict("p", &EvictParams::default()).await);
    assert_eq!(
        (code, message.contains("disruption budget")),
        (429, true),
        "{message}"
    );
    budgets
        .patch(
            "b",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"minAvailable": 0}})),
        )
        .await
        .unwrap();
    common::eventually("the budget's leave", || async {
        budgets
            .get("b")
            .await
            .unwrap()
            .status
            .is_some_and(|status| status.disruptions_allowed == Some(1))
    })
    .await;
    pods.evict("p", &EvictParams::default()).await.unwrap();
    assert!(
        pods.get("p")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
}

/// Logs of one line a second run, remembering what was asked.
#[derive(Default)]
struct Lines {
    asked: Mutex<Vec<LogRequest>>,
}

impl LogSource for Lines {
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogError>> {
        self.asked.lock().unwrap().push(request.clone());
        async move {
            if request.previous {
                return Err(LogError::NotYet("has not run before".into()));
            }
            let first = stream::iter([
                Ok(Bytes::from_static(b"one\n")),
                Ok(Bytes::from_static(b"two\n")),
            ]);
            Ok(if request.follow {
                first.chain(stream::pending()).boxed()
            } else {
                first.boxed()
            })
        }
        .boxed()
    }
}

#[tokio::test]
async fn logs_are_streamed_from_their_source() {
    let world = World::start().await;
    let lines = Arc::new(Lines::default());
    world.server.set_log_source(lines.clone());
    let pods: Api<Pod> = Api::default_namespaced(world.admin().await);
    let containers = json!([{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]);
    pods.create(
        &post(),
        &of(
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": containers}}),
        ),
    )
    .await
    .unwrap();
    let (code, message) = refusal(pods.logs("p", &LogParams::default()).await);
    assert_eq!(
        (code, &*message),
        (
            400,
            "a container name must be specified for pod p, choose one of: [a b]"
        )
    );
    let of_b = LogParams {
        container: Some("b".into()),
        tail_lines: Some(5),
        ..LogParams::default()
    };
    assert_eq!(pods.logs("p", &of_b).await.unwrap(), "one\ntwo\n");
    let short = LogParams {
        limit_bytes: Some(6),
        ..of_b.clone()
    };
    assert_eq!(pods.logs("p", &short).await.unwrap(), "one\ntw");
    assert_eq!(lines.asked.lock().unwrap()[0].tail_lines, Some(5));
    assert_eq!(
        refusal(
            pods.logs(
                "p",
                &LogParams {
                    previous: true,
                    ..of_b.clone()
                }
            )
            .await
        )
        .0,
        400
    );
    let mut followed = pods
        .log_stream(
            "p",
            &LogParams {
                follow: true,
                ..of_b
            },
        )
        .await
        .unwrap();
    let mut text = [0; 8];
    followed.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"one\ntwo\n");
    // A follower does not keep the server from stopping.
    tokio::time::timeout(common::PATIENCE, world.server.shutdown())
        .await
        .unwrap();
}

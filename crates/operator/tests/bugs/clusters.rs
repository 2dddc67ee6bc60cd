//! Nodes, their objects, and the end of clusters.

use serde_json::json;
use tubeway_localkube::fault::{Fault, Plan, Rule, What};
use tubeway_operator::cluster::reconcile;

use crate::common::*;
use crate::sim::{Host, Step, World, cluster, pool};

/// By a stale read the operator saw a cluster of the same name that was being
/// deleted, and deleted the volumes of the one that was there now.
#[tokio::test(start_paused = true)]
async fn zookeeper_312_volumes_are_those_of_the_cluster_that_was_seen() {
    let host = Host::start().await;
    let with_claims = json!({ "storage": { "deleteClaim": true } });
    let made = [
        cluster(&json!({ "version": "4.3.1" })),
        pool("all", 3, &BOTH, &with_claims),
        Step::Settle,
    ];
    let mut world = world(&host, &made).await;
    // As of now the old cluster is seen on its way out.
    take(&mut world, &[Step::Delete("kafkaclusters/demo")]).await;
    world.look().await;
    let ending = world.seen().iter().map(|seen| seen.version).max().unwrap();
    take(&mut world, &[Step::Settle, made[0].clone(), Step::Settle]).await;
    let claims = uids(&world, "persistentvolumeclaims").await;
    assert_eq!(claims.len(), 3);

    let stale = Rule::every(What::Read, Fault::Stale(ending));
    world.plan(Plan::new([stale]), None);
    world.restart().await;
    for _ in 0..3 {
        world.look().await;
    }
    assert_eq!(deletions(&world), [""; 0]);
    forget(&world);
    world.settle().await;
    assert_eq!(uids(&world, "persistentvolumeclaims").await, claims);
}

/// After its finalizer was gone the operator went on, and made the Services of
/// a cluster that was being deleted anew.
#[tokio::test(start_paused = true)]
async fn zookeeper_410_nothing_is_made_for_a_cluster_that_goes() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    // Somebody's finalizer keeps it for a while.
    let kept = json!({ "metadata": { "finalizers": ["example.org/wait"] } });
    take(
        &mut world,
        &[
            Step::Edit("kafkaclusters/demo", kept),
            Step::Delete("kafkaclusters/demo"),
            Step::Delete("services/demo-bootstrap"),
        ],
    )
    .await;
    forget(&world);
    world.look().await;
    let made = writes(&world)
        .into_iter()
        .filter(|write| !write.starts_with("DELETE pods/"));
    assert_eq!(made.collect::<Vec<_>>(), [""; 0]);
    assert!(world.api.get("services/demo-bootstrap").await.is_none());
}

/// The operator did not see that a pool had been shrunk and grown again.
#[tokio::test(start_paused = true)]
async fn zookeeper_453_a_pool_that_was_shrunk_for_a_moment_keeps_its_nodes() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let pods = uids(&world, "pods").await;
    for replicas in [1, 3] {
        world
            .take(&pool_spec(&json!({ "replicas": replicas })))
            .await;
    }
    world.settle().await;
    assert_eq!(uids(&world, "pods").await, pods);
}

/// Options were changed in a ConfigMap, and no pod ever read them.
#[tokio::test(start_paused = true)]
async fn zookeeper_454_a_changed_option_reaches_every_node() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let before = uids(&world, "pods").await;
    let change = spec(&json!({ "config": { "log.roll.hours": 11 } }));
    take(&mut world, &[change, Step::Settle]).await;
    let after = uids(&world, "pods").await;
    for (old, new) in before.iter().zip(&after) {
        assert_ne!(old.1, new.1, "{} was not replaced", old.0);
        let map = world.api.get(&format!("configmaps/{}-config", new.0)).await;
        let map = map.unwrap();
        let options = map["data"]["server.properties"].as_str().unwrap();
        assert!(options.contains("log.roll.hours=11"), "{options}");
    }
}

/// What a claim is to be was set, and quietly replaced by something else.
#[tokio::test(start_paused = true)]
async fn zookeeper_517_a_claim_is_what_the_pool_says() {
    let host = Host::start().await;
    let storage = json!({ "storage": { "size": "3Gi", "class": "fast" } });
    let made = [
        cluster(&json!({ "version": "4.3.1" })),
        pool("all", 1, &BOTH, &storage),
        Step::Settle,
    ];
    let world = world(&host, &made).await;
    let claim = world
        .api
        .get("persistentvolumeclaims/data-demo-all-0")
        .await
        .unwrap();
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "3Gi");
}

/// A change that failed left the cluster in a state that it never left again.
#[tokio::test(start_paused = true)]
async fn zookeeper_493_a_refused_spec_that_is_mended_is_ready_again() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let bad = spec(&json!({ "config": { "listeners": "x" } }));
    take(&mut world, &[bad, Step::Settle]).await;
    let ready = condition(&world, "kafkaclusters/demo", "Ready").await;
    assert_eq!(ready["reason"], "InvalidSpec");
    let mended = spec(&json!({ "config": { "listeners": null } }));
    take(&mut world, &[mended, Step::Settle]).await;
    let ready = condition(&world, "kafkaclusters/demo", "Ready").await;
    assert_eq!(ready["status"], "True", "{ready}");
}

/// Objects stayed behind when their cluster was gone.
#[tokio::test(start_paused = true)]
async fn zookeeper_537_what_a_cluster_is_made_of_goes_with_it() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    take(
        &mut world,
        &[Step::Delete("kafkaclusters/demo"), Step::Settle],
    )
    .await;
    for kind in ["pods", "services", "poddisruptionbudgets"] {
        assert_eq!(names(&world, kind).await, [""; 0], "{kind}");
    }
    assert_eq!(names(&world, "serviceaccounts").await, ["default"]);
    assert_eq!(
        names(&world, "configmaps").await,
        ["kube-root-ca.crt", "tubeway-ca-root"]
    );
    assert_eq!(names(&world, "persistentvolumeclaims").await.len(), 3);
}

/// Labels that were to be on pods were not, and a Service found none of them.
#[tokio::test(start_paused = true)]
async fn zookeeper_536_the_services_find_the_pods_by_their_labels() {
    let host = Host::start().await;
    let world = world(&host, &three()).await;
    for service in world.api.list("services").await {
        let selector = service["spec"]["selector"].as_object().unwrap();
        for pod in world.api.list("pods").await {
            for (label, value) in selector {
                assert_eq!(pod["metadata"]["labels"][label], *value, "{label}");
            }
        }
    }
}

/// Each look found a difference between null and empty, and wrote again.
#[tokio::test(start_paused = true)]
async fn strimzi_1478_empty_and_absent_are_the_same() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let pods = uids(&world, "pods").await;
    let empty = json!({ "config": {}, "allowedNamespaces": {} });
    take(&mut world, &[spec(&empty)]).await;
    let empty = json!({
        "resources": { "requests": {}, "limits": {} }, "loggers": {}, "jvm": { "options": [] },
    });
    take(&mut world, &[pool_spec(&empty), Step::Settle]).await;
    assert_eq!(uids(&world, "pods").await, pods);
}

/// Reconciling never came to an end: each look was followed by another write.
#[tokio::test(start_paused = true)]
async fn strimzi_1482_a_cluster_that_is_as_it_should_be_is_not_written() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    for _ in 0..3 {
        assert!(world.look().await);
    }
    assert_eq!(writes(&world), [""; 0]);
}

/// A new operator took pods that were as they should be for outdated.
#[tokio::test(start_paused = true)]
async fn koperator_447_an_operator_that_starts_again_changes_nothing() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    world.restart().await;
    for _ in 0..2 {
        assert!(world.look().await);
    }
    assert_eq!(writes(&world), [""; 0]);
}

/// What the API server had filled in was taken for a change of the pod.
#[tokio::test(start_paused = true)]
async fn koperator_202_defaults_of_the_api_server_are_no_change() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let tolerated = json!({ "spec": { "tolerations": [
        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute" },
    ] } });
    take(&mut world, &[Step::Edit("pods/demo-all-0", tolerated)]).await;
    world.look().await;
    assert_eq!(deletions(&world), [""; 0]);
}

/// Pods were rolled because a pool had got more of them.
#[tokio::test(start_paused = true)]
async fn kroxylicious_2385_more_nodes_roll_none_of_those_that_are_there() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let before = uids(&world, "pods").await;
    take(
        &mut world,
        &[pool_spec(&json!({ "replicas": 4 })), Step::Settle],
    )
    .await;
    let after = uids(&world, "pods").await;
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|pod| after.contains(pod)));
}

/// Something that pods do not depend on was part of what they were compared by.
#[tokio::test(start_paused = true)]
async fn koperator_301_what_pods_do_not_depend_on_rolls_none() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let before = uids(&world, "pods").await;
    let change = spec(&json!({ "allowedNamespaces": { "from": "All" } }));
    take(&mut world, &[change, Step::Settle]).await;
    assert_eq!(uids(&world, "pods").await, before);
}

/// Two brokers were lost, and their volumes deleted while the rest rolled.
#[tokio::test(start_paused = true)]
async fn koperator_245_two_lost_pods_come_back_on_their_volumes() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let claims = uids(&world, "persistentvolumeclaims").await;
    let lost = ["pods/demo-all-1", "pods/demo-all-2"].map(Step::Lose);
    take(&mut world, &lost).await;
    world
        .take(&spec(&json!({ "config": { "log.roll.hours": 3 } })))
        .await;
    world.settle().await;
    assert_eq!(world.problems, [""; 0]);
    assert_eq!(uids(&world, "persistentvolumeclaims").await, claims);
    assert_eq!(names(&world, "pods").await.len(), 3);
}

/// No broker was healthy, and so no pod was made again.
#[tokio::test(start_paused = true)]
async fn koperator_8f589ca6_all_pods_lost_are_all_made_again() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let lost = ["pods/demo-all-0", "pods/demo-all-1", "pods/demo-all-2"].map(Step::Lose);
    take(&mut world, &lost).await;
    world.look().await;
    assert_eq!(names(&world, "pods").await.len(), 3);
    world.settle().await;
    let ready = condition(&world, "kafkaclusters/demo", "Ready").await;
    assert_eq!(ready["status"], "True", "{ready}");
}

/// Evicted pods stayed where they were, and nothing replaced them.
#[tokio::test(start_paused = true)]
async fn koperator_821f63d4_an_evicted_pod_is_replaced() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let before = uids(&world, "pods").await;
    take(&mut world, &[Step::Evict("pods/demo-all-1"), Step::Settle]).await;
    let after = uids(&world, "pods").await;
    assert_ne!(before[1], after[1]);
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
}

/// A Service was deleted and made again in turns.
#[tokio::test(start_paused = true)]
async fn koperator_c470369e_services_are_changed_and_not_replaced() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let before = uids(&world, "services").await;
    let wrong = json!({ "spec": { "ports": [{ "name": "tcp-clients", "port": 1 }] } });
    take(
        &mut world,
        &[
            Step::Edit("services/demo-bootstrap", wrong),
            spec(&json!({ "config": { "log.roll.hours": 3 } })),
            Step::Settle,
        ],
    )
    .await;
    assert_eq!(uids(&world, "services").await, before);
    let service = world.api.get("services/demo-bootstrap").await.unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 9092);
}

/// Here: a claim that the API server refuses to grow kept lost pods from coming back.
#[tokio::test(start_paused = true)]
async fn tubeway_a_claim_that_cannot_grow_stops_nothing_else() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let unbound = json!({ "status": { "phase": "Pending" } });
    let claim = "persistentvolumeclaims/data-demo-all-0";
    let status = format!("{claim}/status");
    world.api.edit(&status, &unbound).await.unwrap();
    let larger = pool_spec(&json!({ "storage": { "size": "2Gi" } }));
    take(&mut world, &[larger, Step::Lose("pods/demo-all-1")]).await;
    assert!(world.look().await);
    assert_eq!(names(&world, "pods").await.len(), 3);
    let size = async |world: &World<'_>, id: u32| {
        let claim = format!("persistentvolumeclaims/data-demo-all-{id}");
        let claim = world.api.get(&claim).await.unwrap();
        text(&claim["spec"]["resources"]["requests"]["storage"])
    };
    assert_eq!(size(&world, 0).await, "1Gi");
    assert_eq!(size(&world, 2).await, "2Gi");
    world.settle().await;
    let progress = condition(&world, "kafkaclusters/demo", "Progressing").await;
    assert_eq!(
        progress["status"], "False",
        "it has a volume now: {progress}"
    );
    assert_eq!(size(&world, 0).await, "2Gi");

    // A class whose volumes cannot grow refuses it for good.
    world.api.edit(&status, &unbound).await.unwrap();
    take(
        &mut world,
        &[pool_spec(&json!({ "storage": { "size": "3Gi" } }))],
    )
    .await;
    assert!(world.look().await);
    let progress = condition(&world, "kafkaclusters/demo", "Progressing").await;
    let message = text(&progress["message"]);
    assert_eq!(progress["status"], "True", "{progress}");
    assert!(
        message.contains("claim data-demo-all-0 stays as it is") && message.contains("immutable"),
        "{message}"
    );
}

/// By a wrong selector the pods of another cluster were deleted.
#[tokio::test(start_paused = true)]
async fn koperator_406d3bc8_a_roll_leaves_other_clusters_pods_alone() {
    let host = Host::start().await;
    let mut world = world(&host, &three()).await;
    let other = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "demo-all-7", "labels": {
            "kafka.tubeway.dev/cluster": "other", "kafka.tubeway.dev/pool": "all",
            "kafka.tubeway.dev/node-id": "7",
        } },
        "spec": { "containers": [{ "name": "x", "image": "x" }] },
    });
    take(&mut world, &[Step::Put("pods", other), Step::Settle]).await;
    let mine = |pods: Vec<(String, String)>| pods.into_iter().find(|p| p.0 == "demo-all-7");
    let before = mine(uids(&world, "pods").await);
    let change = spec(&json!({ "config": { "log.roll.hours": 3 } }));
    take(&mut world, &[change, Step::Settle]).await;
    assert_eq!(mine(uids(&world, "pods").await), before);
}

/// Two objects of different names led to one Service, which was changed back
/// and forth for ever; here the name of one cluster's node can be another's.
#[tokio::test(start_paused = true)]
async fn rabbitmq_anvil_two_clusters_never_take_each_other_s_objects() {
    let host = Host::start().await;
    let made = [
        cluster(&json!({ "version": "4.3.1" })),
        pool("a-b", 1, &BOTH, &json!({})),
        Step::Settle,
    ];
    let mut world = world(&host, &made).await;
    let other = |kind: &str, name: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": kind,
            "metadata": { "name": name }, "spec": spec,
        })
    };
    let both = other("KafkaCluster", "demo-a", json!({ "version": "4.3.1" }));
    let its_pool = json!({
        "cluster": "demo-a", "replicas": 1, "roles": BOTH, "storage": { "size": "1Gi" },
    });
    take(
        &mut world,
        &[
            Step::Put("kafkaclusters", both),
            Step::Put("kafkanodepools", other("KafkaNodePool", "b", its_pool)),
        ],
    )
    .await;
    let owners = async |world: &World<'_>| {
        let mut owners = Vec::new();
        for what in [
            "pods/demo-a-b-0",
            "configmaps/demo-a-b-0-config",
            "persistentvolumeclaims/data-demo-a-b-0",
        ] {
            let object = world.api.get(what).await.unwrap();
            owners.push(object["metadata"]["labels"]["kafka.tubeway.dev/cluster"].clone());
        }
        owners
    };
    let before = owners(&world).await;
    let key = format!("{}/demo-a", world.api.name).parse().unwrap();
    for _ in 0..3 {
        let _ = reconcile(&world.life.ctx, &key).await;
    }
    assert_eq!(owners(&world).await, before);
    let ready = condition(&world, "kafkaclusters/demo-a", "Ready").await;
    assert_eq!(ready["reason"], "Conflict", "{ready}");
}

/// An object was gone between the look and the write, and the operator crashed.
#[tokio::test(start_paused = true)]
async fn strimzi_2525_a_cluster_that_goes_in_the_middle_of_a_look_is_no_crash() {
    let host = Host::start().await;
    for request in 0..16 {
        let mut world = World::new(&host).await;
        take(&mut world, &three()[..2]).await;
        let hold = Rule::nth(What::Any, request, Fault::Hold);
        world.plan(Plan::new([hold]), None);
        let agent = world.agent.clone();
        tokio::select! {
            () = host.server().faults().held(&agent) => {}
            _ = world.look() => {}
        }
        let _ = world.api.delete("kafkaclusters/demo").await;
        host.server().faults().release(&agent);
        world.settle().await;
        assert_eq!(world.problems, [""; 0], "request {request}");
        assert_eq!(names(&world, "pods").await, [""; 0], "request {request}");
    }
}

/// Two writers of one status took each other's conditions away.
#[tokio::test(start_paused = true)]
async fn strimzi_11194_a_status_keeps_the_conditions_of_others() {
    let host = Host::start().await;
    let mut world = world_with_access(&host, &three()).await;
    let change = spec(&json!({ "config": { "log.roll.hours": 3 } }));
    take(&mut world, &[change, Step::Settle]).await;
    let applied = condition(&world, "kafkaclusters/demo", "AccessApplied").await;
    assert_eq!(applied["status"], "True", "{applied}");
    let ready = condition(&world, "kafkaclusters/demo", "Ready").await;
    assert_eq!(ready["status"], "True", "{ready}");
}

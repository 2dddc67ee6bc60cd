//! Nodes that leave, and nodes that lose their volumes.

use serde_json::{Value, json};
use tubeway_api::labels;
use tubeway_operator::kafka::{Holding, Registered, Survey};
use tubeway_planner::reassign::{LogDir, Placed};
use tubeway_planner::{Cordon, PartitionId};

use crate::world::{CLAIMS, MAPS, PODS, POOL, World, pool};

#[tokio::test]
async fn a_node_whose_volume_is_gone_comes_back_on_another() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    let path = format!("{CLAIMS}data-demo-all-1");
    let uid = |path: &str| world.api.get(path).unwrap()["metadata"]["uid"].clone();
    let (claim, pod) = (uid(&path), uid(&format!("{PODS}demo-all-1")));
    world
        .api
        .edit(&path, |claim| claim["status"]["phase"] = json!("Lost"));
    world.settle().await;
    assert_eq!(uid(&path), claim, "who serves has its data all the same");
    world.api.edit(&format!("{PODS}demo-all-1"), |pod| {
        pod["status"]["conditions"] = json!([]);
    });
    world.settle().await;
    assert_ne!(uid(&path), claim);
    assert_ne!(uid(&format!("{PODS}demo-all-1")), pod);
    assert_eq!(world.pods().len(), 3);
    let standing = |path: &str| {
        let claim = world.api.get(path).unwrap();
        claim["metadata"]["annotations"][labels::STANDING].clone()
    };
    assert_eq!(standing(&path), Value::Null, "it is new again");
    assert_eq!(standing(&format!("{CLAIMS}data-demo-all-0")), "member");
}

#[tokio::test]
async fn a_controller_that_lost_its_volume_founds_nothing() {
    let world = World::new();
    world.settle().await;
    let quorum = || -> Value {
        let map = world.api.get(&format!("{MAPS}demo-all-1-config")).unwrap();
        serde_json::from_str(map["data"]["quorum.json"].as_str().unwrap()).unwrap()
    };
    let founders = |quorum: &Value| quorum["initialControllers"].as_array().unwrap().len();
    assert_eq!(founders(&quorum()), 3);
    world.healthy();
    world.make_ready();
    world.settle().await;
    let map = world.api.get(&format!("{MAPS}demo-quorum")).unwrap();
    assert_eq!(map["metadata"]["annotations"][labels::FOUNDED], "true");
    assert_eq!(founders(&quorum()), 0, "nobody founds it again");
    let pods = world.pods();
    world.api.remove(&format!("{CLAIMS}data-demo-all-1"));
    world.api.remove(&format!("{PODS}demo-all-1"));
    world.settle().await;
    assert_eq!(world.pods(), pods);
    assert_eq!(founders(&quorum()), 0);
}

/// Four nodes of which the last, a broker, is to go; all of them hold partition 0
/// of "orders" but for those that `replicas` leaves out.
fn shrinking(world: &World, replicas: &[u32], cordon: Cordon) {
    let mut report = world.health.report.lock().unwrap().clone().unwrap();
    report.brokers = (0..4).map(|id| (id, Registered::default())).collect();
    *world.health.report.lock().unwrap() = Some(report);
    let id = PartitionId::new("orders", 0);
    let holding = |broker: u32| {
        let holds = replicas.contains(&broker);
        let dir = LogDir {
            path: "/log".to_owned(),
            online: true,
            replicas: holds.then(|| (id.clone(), 1 << 20)).into_iter().collect(),
            ..LogDir::default()
        };
        let cordon = if broker == 3 { cordon } else { Cordon::Open };
        let dirs = vec![dir];
        let holding = Holding {
            cordon,
            dirs,
            ..Holding::default()
        };
        (broker, holding)
    };
    *world.health.survey.lock().unwrap() = Some(Survey {
        partitions: vec![Placed {
            id: id.clone(),
            replicas: replicas.to_vec(),
            in_sync: replicas.iter().copied().collect(),
            bytes: 1 << 20,
            min_in_sync: 2,
            ..Placed::default()
        }],
        brokers: (0..4).map(holding).collect(),
        ..Survey::default()
    });
}

/// A cluster of three with a broker 3 in a pool of its own, whose volume may go
/// with it. The pool's path, and that of the claim.
async fn with_an_extra_broker(world: &World) -> (String, String) {
    world.healthy();
    let extra = POOL.replace("/all", "/extra");
    let mut pool = pool(1);
    pool["metadata"]["name"] = json!("extra");
    pool["spec"]["roles"] = json!(["broker"]);
    pool["spec"]["storage"]["deleteClaim"] = json!(true);
    world.api.put(&extra, pool);
    shrinking(world, &[0, 1, 2], Cordon::Open);
    for _ in 0..2 {
        world.settle().await;
        world.make_ready();
    }
    world.settle().await;
    let claim = format!("{CLAIMS}data-demo-extra-3");
    assert_eq!(standing(world, &claim).as_deref(), Some("member"));
    world.health.told.lock().unwrap().clear();
    (extra, claim)
}

/// What a claim says, or `None` where there is none.
fn standing(world: &World, claim: &str) -> Option<String> {
    let claim = world.api.get(claim)?;
    let standing = &claim["metadata"]["annotations"][labels::STANDING];
    Some(standing.as_str().unwrap_or("new").to_owned())
}

/// What Kafka says about broker 3 from now on: how it is registered, or not at all.
fn registered(world: &World, broker: Option<Registered>) {
    let mut report = world.health.report.lock().unwrap().clone().unwrap();
    report.brokers.remove(&3);
    report.brokers.extend(broker.map(|broker| (3, broker)));
    *world.health.report.lock().unwrap() = Some(report);
}

/// What broker 3 says about its disk, beside what partitions are assigned to it.
fn still_has_the_replica(world: &World) {
    let mut survey = world.health.survey.lock().unwrap().clone().unwrap();
    let dir = &mut survey.brokers.get_mut(&3).unwrap().dirs[0];
    dir.replicas.insert(PartitionId::new("orders", 0), 1);
    *world.health.survey.lock().unwrap() = Some(survey);
}

#[tokio::test]
async fn a_broker_that_is_not_asked_for_is_cordoned_drained_and_let_go() {
    let world = World::new();
    let (extra, claim) = with_an_extra_broker(&world).await;
    let standing = || standing(&world, &claim);
    let told = || std::mem::take(&mut *world.health.told.lock().unwrap());

    world.api.edit(&extra, |p| p["spec"]["replicas"] = json!(0));
    shrinking(&world, &[0, 1, 3], Cordon::Open);
    world.look().await.unwrap();
    assert_eq!(standing().as_deref(), Some("leaving"));
    assert_eq!(told(), ["cordon broker 3", "move 1 partitions"]);
    let progress = world.condition("Progressing");
    assert_eq!(progress["reason"], "ChangingMembers");
    let message = progress["message"].as_str().unwrap();
    assert!(
        message.contains("its 1 replicas are moved away"),
        "{message}"
    );

    // Moved, and not deleted yet.
    shrinking(&world, &[0, 1, 2], Cordon::Cordoned);
    still_has_the_replica(&world);
    world.look().await.unwrap();
    assert_eq!(world.pods().len(), 4, "it still has the replica");

    shrinking(&world, &[0, 1, 2], Cordon::Cordoned);
    world.look().await.unwrap();
    assert_eq!(standing().as_deref(), Some("left-empty"));
    assert_eq!(world.pods().len(), 3);
    world.settle().await;
    assert!(
        !told().iter().any(|order| order.contains("unregister")),
        "Kafka says that it lives"
    );
    let fenced = Registered {
        fenced: true,
        ..Registered::default()
    };
    registered(&world, Some(fenced));
    world.settle().await;
    assert!(told().contains(&"unregister broker 3".to_owned()));
    assert_eq!(
        standing().as_deref(),
        Some("left-empty"),
        "Kafka could still place something on it"
    );
    registered(&world, None);
    world.settle().await;
    assert_eq!(standing(), None, "the pool says that it goes");
    let pool = world.api.get(&extra).unwrap();
    assert_eq!(pool["status"]["nodeIds"], json!([]));
    assert_eq!(world.pods().len(), 3);
}

/// Found by the fault campaign: the claim was set back to `leaving` while its pod
/// ended, and nobody looked at it again.
#[tokio::test]
async fn a_claim_keeps_what_was_said_until_the_contrary_is_known() {
    let world = World::new();
    let (extra, claim) = with_an_extra_broker(&world).await;
    let said = |what: &str| {
        world.api.edit(&claim, |claim| {
            claim["metadata"]["annotations"][labels::STANDING] = json!(what);
        });
    };
    world.api.edit(&extra, |p| p["spec"]["replicas"] = json!(0));
    said("left-empty");
    *world.health.survey.lock().unwrap() = None;
    world.look().await.unwrap();
    assert_eq!(
        world.pods().len(),
        4,
        "nothing is known, so nothing is done"
    );
    assert_eq!(standing(&world, &claim).as_deref(), Some("left-empty"));

    shrinking(&world, &[0, 1, 3], Cordon::Cordoned);
    world.look().await.unwrap();
    assert_eq!(standing(&world, &claim).as_deref(), Some("leaving"));

    // The pod ends already: that something is on the volume is all that counts.
    said("left-empty");
    world.api.edit(&format!("{PODS}demo-extra-3"), |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    world.look().await.unwrap();
    assert_eq!(standing(&world, &claim).as_deref(), Some("left"));
}

#[tokio::test]
async fn a_node_on_its_way_out_whose_pod_others_took_has_left() {
    let world = World::new();
    let (extra, claim) = with_an_extra_broker(&world).await;
    world.api.remove(&extra);
    shrinking(&world, &[0, 1, 3], Cordon::Open);
    world.look().await.unwrap();
    assert_eq!(standing(&world, &claim).as_deref(), Some("leaving"));
    world.api.remove(&format!("{PODS}demo-extra-3"));
    shrinking(&world, &[0, 1, 2], Cordon::Open);
    registered(&world, None);
    world.settle().await;
    assert_eq!(
        standing(&world, &claim).as_deref(),
        Some("left"),
        "and nobody knows what is on its volume"
    );
}

/// `BrokerState` is not in Kafka's protocol; that a broker follows the metadata and
/// is not let in is.
#[tokio::test]
async fn a_broker_that_reads_its_log_is_waited_for_and_not_stopped() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.healthy();
    world.settle().await;
    let running = json!([{
        "name": "kafka", "ready": false, "image": "", "imageID": "", "restartCount": 1,
        "state": { "running": {} },
    }]);
    world.api.edit(&format!("{PODS}demo-all-1"), |pod| {
        pod["status"] = json!({ "phase": "Running", "containerStatuses": running });
    });
    let fence = |fenced| {
        let mut report = world.health.report.lock().unwrap();
        let brokers = &mut report.as_mut().unwrap().brokers;
        brokers.get_mut(&1).unwrap().fenced = fenced;
    };
    let restart = |value: &str| {
        world.api.edit(POOL, |pool| {
            pool["metadata"]["annotations"] = json!({ (labels::RESTART): value });
        });
    };
    fence(true);
    restart("once");
    world.settle().await;
    assert_eq!(world.pods().len(), 3);
    let message = |type_: &str| world.condition(type_)["message"].to_string();
    assert!(message("Ready").contains("demo-all-1 has started and reads its log"));
    let words = message("Progressing");
    assert!(
        words.contains("broker 1 is reading its log after a start"),
        "{words}"
    );

    // One that does not follow is not reading: it hangs, and may be replaced.
    let mut report = world.health.report.lock().unwrap().clone().unwrap();
    report.voters.caught_up.remove(&1);
    report.health.quorum.caught_up.remove(&1);
    *world.health.report.lock().unwrap() = Some(report);
    world.look().await.unwrap();
    assert_eq!(world.pods(), ["demo-all-0", "demo-all-2"]);
}

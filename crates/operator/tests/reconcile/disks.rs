//! Disks that come and go.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tubeway_api::labels;
use tubeway_operator::kafka::{Holding, Survey};
use tubeway_planner::reassign::LogDir;
use tubeway_planner::{Cordon, PartitionId};

use crate::world::{CLAIMS, CLUSTER, MAPS, PODS, POOL, World};

/// Three nodes with disks 0 and 1.
async fn two_disks(delete: bool) -> World {
    let world = World::new();
    world.healthy();
    world.api.edit(POOL, |pool| {
        pool["spec"]["storage"] = json!({
            "size": "1Gi", "deleteClaim": delete, "volumes": [{ "id": 1, "size": "2Gi" }],
        });
    });
    for _ in 0..2 {
        world.settle().await;
        world.make_ready();
    }
    world.settle().await;
    told(&world);
    world
}

fn told(world: &World) -> Vec<String> {
    std::mem::take(&mut *world.health.told.lock().unwrap())
}

/// What all brokers say: what is on disk 1, what is arriving elsewhere, and
/// whether disk 1 is cordoned, and is there.
fn say(world: &World, on_it: &[i32], arriving: &[i32], cordoned: bool, there: bool) {
    let replicas = |partitions: &[i32]| {
        let partitions = partitions.iter();
        partitions
            .map(|index| (PartitionId::new("orders", *index), 1 << 20))
            .collect()
    };
    let first = LogDir {
        path: "/var/lib/kafka/log".to_owned(),
        online: true,
        arriving: replicas(arriving),
        ..LogDir::default()
    };
    let second = LogDir {
        path: "/var/lib/kafka-1/log-1".to_owned(),
        online: true,
        replicas: replicas(on_it),
        ..LogDir::default()
    };
    let cordons: BTreeSet<_> = cordoned.then(|| second.path.clone()).into_iter().collect();
    let holding = Holding {
        cordon: Cordon::Open,
        cordoned: if there {
            cordons.clone()
        } else {
            BTreeSet::new()
        },
        stale_cordon: cordoned && !there,
        dirs: [first].into_iter().chain(there.then_some(second)).collect(),
    };
    *world.health.survey.lock().unwrap() = Some(Survey {
        brokers: (0..3).map(|id| (id, holding.clone())).collect(),
        ..Survey::default()
    });
}

fn standing(world: &World, node: u32) -> Option<Value> {
    let claim = world.api.get(&format!("{CLAIMS}data-1-demo-all-{node}"))?;
    Some(claim["metadata"]["annotations"][labels::DISK_STANDING].clone())
}

fn message(world: &World) -> String {
    let progress = world.condition("Progressing");
    progress["message"].as_str().unwrap_or_default().to_owned()
}

fn mounts(world: &World, pod: &str) -> bool {
    let pod = world.api.get(&format!("{PODS}{pod}")).unwrap();
    pod["spec"].to_string().contains("data-1-demo-all")
}

#[tokio::test]
async fn a_new_disk_is_a_new_claim_and_then_a_roll() {
    let world = World::new();
    world.healthy();
    for _ in 0..2 {
        world.settle().await;
        world.make_ready();
    }
    world.settle().await;
    world.api.edit(POOL, |pool| {
        pool["spec"]["storage"]["volumes"] = json!([{ "id": 1, "size": "2Gi" }]);
    });
    world.look().await.unwrap();
    assert_eq!(world.api.paths(CLAIMS).len(), 6, "the claims come first");
    assert_eq!(world.pods().len(), 2);
    for _ in 0..3 {
        world.settle().await;
        world.make_ready();
    }
    world.settle().await;
    let map = world.api.get(&format!("{MAPS}demo-all-0-config")).unwrap();
    let properties = map["data"]["server.properties"].as_str().unwrap();
    for line in [
        "log.dirs=$(TUBEWAY_DATA_DIR)/log,$(TUBEWAY_DISK_1)/log-1\n",
        "metadata.log.dir=$(TUBEWAY_DATA_DIR)/log\n",
    ] {
        assert!(properties.contains(line), "{properties}");
    }
    let pool = world.api.get(POOL).unwrap();
    assert_eq!(pool["status"]["nodeIds"], json!([0, 1, 2]));
    assert!((0..3).all(|id| mounts(&world, &format!("demo-all-{id}"))));
    assert_eq!(standing(&world, 0), Some(Value::Null));
}

#[tokio::test]
async fn a_disk_goes_when_the_broker_has_moved_everything_off_it() {
    let world = two_disks(true).await;
    let take_away = || {
        world
            .api
            .edit(POOL, |p| p["spec"]["storage"]["volumes"] = json!([]));
    };
    take_away();
    say(&world, &[0, 1], &[], false, true);
    world.look().await.unwrap();
    assert_eq!(standing(&world, 0), Some("leaving".into()));
    let moved = told(&world);
    assert_eq!(
        moved[..2],
        [
            "cordon 1 disks of broker 0",
            "move 2 replicas between disks of broker 0"
        ]
    );
    assert_eq!(world.condition("Progressing")["reason"], "ChangingDisks");
    let words = message(&world);
    assert!(
        words.contains("disk 1 of broker 0 goes when its 2 replicas are on others"),
        "{words}"
    );
    assert_eq!(world.pods().len(), 3);

    // Copied, and not yet swapped.
    say(&world, &[1], &[1], true, true);
    world.settle().await;
    assert_eq!(world.pods().len(), 3, "a replica is on it");
    assert_eq!(standing(&world, 0), Some("leaving".into()));

    say(&world, &[], &[], false, true);
    world.look().await.unwrap();
    assert_eq!(
        standing(&world, 0),
        Some("leaving".into()),
        "it could get another"
    );

    say(&world, &[], &[], true, true);
    for _ in 0..3 {
        world.settle().await;
        world.make_ready();
    }
    assert!((0..3).all(|id| !mounts(&world, &format!("demo-all-{id}"))));
    assert_eq!(
        world.api.paths(CLAIMS).len(),
        6,
        "the brokers have not said anything"
    );
    told(&world);
    say(&world, &[], &[], true, false);
    world.look().await.unwrap();
    assert_eq!(told(&world)[0], "cordon 0 disks of broker 0");
    say(&world, &[], &[], false, false);
    world.settle().await;
    assert_eq!(
        world.api.paths(CLAIMS).len(),
        3,
        "deleteClaim says that they go"
    );
    assert_eq!(world.condition("Progressing")["reason"], "Stable");
    world.look().await.unwrap();
    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_claim_of_a_disk_that_is_gone_stays_unless_the_pool_says_otherwise() {
    let world = two_disks(false).await;
    world
        .api
        .edit(POOL, |p| p["spec"]["storage"]["volumes"] = json!([]));
    say(&world, &[], &[], true, true);
    for _ in 0..4 {
        world.settle().await;
        world.make_ready();
    }
    say(&world, &[], &[], false, false);
    world.settle().await;
    assert_eq!(world.api.paths(CLAIMS).len(), 6);
    assert_eq!(standing(&world, 0), Some("left".into()));

    // And its number can be used again, but not for a disk of another kind.
    let volume = |class: &str| json!([{ "id": 1, "size": "2Gi", "class": class }]);
    let claim = format!("{CLAIMS}data-1-demo-all-0");
    world
        .api
        .edit(&claim, |c| c["spec"]["storageClassName"] = json!("slow"));
    world
        .api
        .edit(POOL, |p| p["spec"]["storage"]["volumes"] = volume("fast"));
    world.look().await.unwrap();
    let ready = world.condition("Ready");
    assert_eq!(ready["reason"], "Conflict");
    assert!(
        ready["message"]
            .as_str()
            .unwrap()
            .contains("use another id, or delete the claim")
    );
    world.api.edit(POOL, |p| {
        p["spec"]["storage"]["volumes"] = json!([{ "id": 1, "size": "2Gi" }]);
    });
    world.settle().await;
    assert_eq!(standing(&world, 0), Some(Value::Null));
}

#[tokio::test]
async fn a_disk_is_kept_while_its_broker_does_not_answer() {
    let world = two_disks(true).await;
    world
        .api
        .edit(POOL, |p| p["spec"]["storage"]["volumes"] = json!([]));
    world.settle().await;
    assert!(message(&world).contains("broker 0 cannot be asked what is on its disks"));
    assert_eq!(world.pods().len(), 3);
    assert!(mounts(&world, "demo-all-0"));
    world.api.edit(CLUSTER, |c| {
        c["spec"]["config"] = json!({ "num.partitions": 9 });
    });
    world.look().await.unwrap();
    world.settle().await;
    let pods = world.pods();
    assert!(
        pods.iter().all(|pod| mounts(&world, pod)),
        "a roll keeps it, too"
    );
}

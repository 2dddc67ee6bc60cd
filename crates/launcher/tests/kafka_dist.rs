//! Kafka fetched from nothing: through Maven, checked, once for everybody.

use std::fs;
use std::sync::Mutex;
use std::thread;

use tubeway_launcher::kafka_dist::{DEFAULT_VERSION, KafkaDist};

#[test]
fn two_at_once_fetch_once_and_damage_is_repaired() {
    let cache = tempfile::tempdir().expect("a temporary folder");
    let said = Mutex::new(Vec::new());
    let ensure = || {
        KafkaDist::ensure(cache.path(), DEFAULT_VERSION, |line| {
            said.lock().expect("no panic").push(line.to_owned());
        })
        .expect("Kafka")
    };
    let count = |start: &str| {
        let said = said.lock().expect("no panic");
        said.iter().filter(|line| line.starts_with(start)).count()
    };

    let dists = thread::scope(|scope| {
        let both = [scope.spawn(ensure), scope.spawn(ensure)];
        both.map(|one| one.join().expect("no panic"))
    });
    assert_eq!(dists[0], dists[1]);
    assert_eq!(count("fetching Kafka 4.3.1 through Maven"), 1);
    dists[0].verify().expect("stock jars");

    fs::write(dists[0].libs.join("extra.jar"), "not Kafka's").expect("written");
    let difference = dists[0].verify().expect_err("a jar too many").to_string();
    assert!(
        difference.contains("extra.jar does not belong"),
        "{difference}"
    );
    ensure().verify().expect("stock jars again");
    assert_eq!(count("fetching Kafka 4.3.1 again:"), 1);
}

//! Zones of callers that change under open connections.

use std::time::{Duration, Instant};

use tubeway_config::Zones;
use tubeway_policy::rules::AccessRules;

use crate::alone;
use crate::authority::{Authority, BILLING, CHECKOUT};
use crate::broker::{Broker, anywhere};
use crate::client::Client;
use crate::node::{Node, allowing};
use crate::process::until;
use crate::rules::is_denied;
use crate::sizes::limit;
use crate::wire::produce;

const SETTLE: Duration = Duration::from_secs(60);

/// CHECKOUT may do something in `z1` only, BILLING anywhere.
fn rules() -> AccessRules {
    let mut rules = allowing(&[CHECKOUT, BILLING]);
    for rule in &mut rules.rules {
        if rule.acl.principal.ends_with(CHECKOUT) {
            rule.zones.insert("z1".to_owned());
        }
    }
    rules
}

/// That these tests' clients are in `zone`, or nobody knows where.
fn here(zone: Option<&str>) -> Zones {
    let client = [127, 0, 0, 1].into();
    let zones = zone.map(|zone| (zone.to_owned(), [client].into()));
    Zones {
        cluster: "kafka/demo".parse().expect("a cluster's name"),
        zones: zones.into_iter().collect(),
    }
}

#[test]
fn a_caller_s_new_zone_counts_at_once_on_its_open_connection() {
    alone(async {
        let authority = Authority::new();
        let broker = Broker::start(anywhere()).await;
        let node = Node::start(&authority, &broker, rules()).await;
        let connect = async |id| {
            let config = authority.client(id);
            let client = Client::connect(&config, node.address, "zones").await;
            client.expect("a connection")
        };
        let mut bystander = connect(BILLING).await;
        let denied = async |client: &mut Client| {
            let answer = client.call(&produce(100)).await;
            is_denied(&answer.expect("no connection ends")).expect("an answer")
        };
        assert!(!denied(&mut bystander).await, "its zone does not matter");
        // Where it is becomes known while it waits to be let in.
        let mut client = connect(CHECKOUT).await;
        let (first, ()) = tokio::join!(denied(&mut client), async {
            until(SETTLE, "it is there", async || node.open() == 2).await;
            node.zones.replace(&here(Some("z1")));
        });
        assert!(!first, "it is in z1");
        let mut slowest = Duration::ZERO;
        for (zone, refused) in [
            (Some("z2"), true),
            (Some("z1"), false),
            (None, true),
            (Some("z1"), false),
        ] {
            let changed = Instant::now();
            assert!(node.zones.replace(&here(zone)));
            assert_eq!(denied(&mut client).await, refused, "in {zone:?}");
            slowest = slowest.max(changed.elapsed());
            assert!(!denied(&mut bystander).await, "{zone:?} is not its matter");
        }
        println!("4 changes of zone: in force {slowest:?} later at the latest");
        assert!(slowest <= limit(Duration::from_secs(1), Duration::from_secs(10)));
        broker.assert_unharmed();
    });
}

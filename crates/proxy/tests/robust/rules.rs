//! Rules that change under load (figure P9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::alone;
use crate::authority::{Authority, BILLING, CHECKOUT};
use crate::broker::{Broker, anywhere};
use crate::client::Client;
use crate::node::{Node, allowing};
use crate::process::until;
use crate::sizes::{limit, size};
use crate::wire::{Request, Wanted, fetch, produce};
use tubeway_protocol::value::Struct;

/// Kafka's TOPIC_AUTHORIZATION_FAILED.
const DENIED: i64 = 29;
/// Milliseconds between two requests of a connection.
const PACE: u64 = 100;
const SETTLE: Duration = Duration::from_secs(60);

/// What all connections of a test share.
struct Load {
    /// Changes of the rules that have begun, and those that are over.
    begun: AtomicU64,
    changes: AtomicU64,
    /// When they did last.
    changed: std::sync::Mutex<Instant>,
    stop: AtomicBool,
}

/// One connection's work, and what it has seen of the changes.
struct Worker {
    client: Client,
    /// Whether it is of the ones that the changes are about.
    concerned: bool,
    /// Changes that have been seen in an answer, and how late the latest was.
    seen: Arc<AtomicU64>,
    slowest: Duration,
    calls: u64,
}

#[test]
fn a_change_of_rules_is_felt_at_once_by_who_it_is_about_and_by_nobody_else() {
    let (connections, changes) = (size("RULE_CONNECTIONS", 100), size("CHANGES", 10));
    alone(change(connections, changes));
}

async fn change(connections: usize, changes: usize) {
    let authority = Authority::new();
    let broker = Broker::start(anywhere()).await;
    let node = Node::start(&authority, &broker, allowing(&[CHECKOUT, BILLING])).await;
    let configs = [CHECKOUT, BILLING].map(|id| authority.client(id));
    let load = Arc::new(Load {
        begun: AtomicU64::new(0),
        changes: AtomicU64::new(0),
        changed: std::sync::Mutex::new(Instant::now()),
        stop: AtomicBool::new(false),
    });
    let (mut working, mut seen) = (Vec::new(), Vec::new());
    for i in 0..connections {
        let concerned = i % 2 == 0;
        let config = &configs[i % 2];
        let client = Client::connect(config, node.address, "rules").await;
        let worker = Worker {
            client: client.expect("a connection"),
            concerned,
            seen: Arc::default(),
            slowest: Duration::ZERO,
            calls: 0,
        };
        if concerned {
            seen.push(worker.seen.clone());
        }
        working.push(tokio::spawn(worker.work(load.clone(), i as u64)));
    }
    for change in 1..=changes as u64 {
        // Taken away with every other change, given back with the next.
        let allowed: &[&str] = match change % 2 {
            1 => &[BILLING],
            _ => &[CHECKOUT, BILLING],
        };
        *load.changed.lock().unwrap() = Instant::now();
        load.begun.store(change, Ordering::SeqCst);
        assert!(node.rules.replace(allowing(allowed)));
        load.changes.store(change, Ordering::SeqCst);
        let all = async || {
            seen.iter()
                .all(|seen| seen.load(Ordering::SeqCst) == change)
        };
        until(SETTLE, "all have felt the change", all).await;
    }
    load.stop.store(true, Ordering::SeqCst);
    let done: Vec<Worker> = join_all(working)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let slowest = done.iter().map(|worker| worker.slowest).max();
    let slowest = slowest.unwrap_or_default();
    let (concerned, others): (Vec<_>, Vec<_>) = done.iter().partition(|worker| worker.concerned);
    let calls = |of: &[&Worker]| of.iter().map(|worker| worker.calls).sum::<u64>();
    println!(
        "{changes} changes under {connections} connections: felt after {slowest:?} at the latest, \
         in {} calls; {} calls of {} others undisturbed",
        calls(&concerned),
        calls(&others),
        others.len()
    );
    assert!(slowest <= limit(Duration::from_secs(1), Duration::from_secs(10)));
    broker.assert_unharmed();
}

// === impl Worker ===

impl Worker {
    /// Asks until the end. Half of the requests wait at the broker for a while,
    /// so that changes come while they are under way.
    async fn work(mut self, load: Arc<Load>, number: u64) -> Self {
        let late = fetch(Wanted {
            after: PACE as i32,
            ..Wanted::default()
        });
        let soon = produce(100);
        tokio::time::sleep(Duration::from_millis(number * 7 % PACE)).await;
        while !load.stop.load(Ordering::SeqCst) {
            self.ask(&load, &late).await;
            self.ask(&load, &soon).await;
            tokio::time::sleep(Duration::from_millis(PACE)).await;
        }
        self
    }

    async fn ask(&mut self, load: &Load, request: &Request) {
        let before = load.changes.load(Ordering::SeqCst);
        let answer = self.client.call(request).await;
        let denied = is_denied(&answer.expect("no connection ends"));
        self.calls += 1;
        if !self.concerned {
            assert_eq!(denied, Some(false), "not what the change was about");
            return;
        }
        if load.begun.load(Ordering::SeqCst) != before {
            // Under way while the rules changed: either is right.
            return;
        }
        assert_eq!(denied, Some(before % 2 == 1), "sent after change {before}");
        if self.seen.swap(before, Ordering::SeqCst) != before {
            let changed = *load.changed.lock().unwrap();
            self.slowest = self.slowest.max(changed.elapsed());
        }
    }
}

/// Whether the one partition in a Produce's or Fetch's response was denied. None
/// where it is not there: a fetch that was under way while the rules changed.
pub fn is_denied(answer: &Struct) -> Option<bool> {
    let topics = answer.structs("Responses");
    let codes: Vec<i64> = topics
        .flat_map(|topic| {
            let produced = topic.structs("PartitionResponses");
            produced.chain(topic.structs("Partitions"))
        })
        .map(|partition| partition.int("ErrorCode"))
        .collect();
    match codes[..] {
        [] => None,
        [0] => Some(false),
        [DENIED] => Some(true),
        _ => panic!("{codes:?} for the one partition asked for"),
    }
}

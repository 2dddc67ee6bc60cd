//! One pump between two pipes, where a moment can be chosen that a network
//! meets by chance.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller};
use tubeway_protocol::Direction;
use tubeway_protocol::value::Value;
use tubeway_proxy::node::names::TopicNames;
use tubeway_proxy::pump::{End, Surroundings, pump};
use tubeway_session::access::Questions;
use tubeway_session::{Answers, Guard, Observe, Routes, Session, Topic};
use tubeway_telemetry::Shutdown;

use crate::authority::NODE;
use crate::wire::{Call, heartbeat, metadata, response};

/// Less than any response.
const NARROW: usize = 8;
const WIDE: usize = 64 * 1024;
/// Long enough for all that can happen to have happened: time stands still
/// unless everybody waits.
const MOMENT: Duration = Duration::from_millis(1);

/// Knows nothing, and says so to every question.
struct Ignorant;

/// Counts nothing.
struct Blind;

/// A pump and what is at its ends.
struct Pumped {
    client: DuplexStream,
    broker: DuplexStream,
    shutdown: Shutdown,
    pump: JoinHandle<End>,
}

// === impl Pumped ===

impl Pumped {
    fn start(session: Session, to_client: usize) -> Self {
        let (client, near) = duplex(to_client);
        let (far, broker) = duplex(WIDE);
        let shutdown = Shutdown::default();
        let until = shutdown.clone();
        let pump =
            tokio::spawn(async move { pump(near, far, session, Blind, &Ignorant, &until).await });
        Self {
            client,
            broker,
            shutdown,
            pump,
        }
    }

    fn beside_a_client(to_client: usize) -> Self {
        let routes = Routes {
            host: "127.0.0.1".to_owned(),
            brokers_from: 9_100,
        };
        Self::start(Session::client(routes, None), to_client)
    }

    /// Sends a request and takes it from the other end.
    async fn ask(&mut self, correlation_id: i32) {
        let frame = heartbeat().frame(correlation_id, "pumped");
        let mut taken = vec![0; frame.len()];
        let (written, forwarded) = tokio::join!(
            self.client.write_all(&frame),
            self.broker.read_exact(&mut taken)
        );
        assert!(written.is_ok() && forwarded.is_ok());
    }

    async fn answer(&mut self, correlation_id: i32) {
        let frame = answer(heartbeat().call, correlation_id);
        self.broker.write_all(&frame).await.expect("written");
    }
}

fn answer(call: Call, correlation_id: i32) -> Vec<u8> {
    let body = call.message(Direction::Response).expect("a known call");
    response(call, correlation_id, &body).expect("a response")
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_being_written_is_written_before_a_drain_ends() {
    let mut pumped = Pumped::beside_a_client(NARROW);
    pumped.ask(1).await;
    pumped.answer(1).await;
    sleep(MOMENT).await;
    pumped.shutdown.begin();
    sleep(MOMENT).await;
    let mut received = Vec::new();
    pumped.client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, answer(heartbeat().call, 1));
    drop(pumped.client);
    assert!(matches!(pumped.pump.await.unwrap(), End::Drained));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_with_the_last_answer_though_a_request_waits() {
    let mut pumped = Pumped::beside_a_client(WIDE);
    for id in 1..=2 {
        pumped.ask(id).await;
    }
    pumped.shutdown.begin();
    sleep(MOMENT).await;
    let late = heartbeat().frame(3, "pumped");
    pumped.client.write_all(&late).await.unwrap();
    let begun = Instant::now();
    for id in 1..=2 {
        sleep(MOMENT).await;
        pumped.answer(id).await;
    }
    let mut received = Vec::new();
    pumped.client.read_to_end(&mut received).await.unwrap();
    let both = [1, 2].map(|id| answer(heartbeat().call, id)).concat();
    assert_eq!(received, both);
    drop(pumped.client);
    assert!(matches!(pumped.pump.await.unwrap(), End::Drained));
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_ten_minutes_is_let_go() {
    let mut pumped = Pumped::beside_a_client(NARROW);
    pumped.ask(1).await;
    pumped.answer(1).await;
    drop(pumped.broker);
    let begun = Instant::now();
    let end = tokio::time::timeout(Duration::from_secs(3600), pumped.pump).await;
    let end = end.expect("let go").unwrap();
    assert!(matches!(end, End::Client), "{end}");
    assert!(begun.elapsed() < Duration::from_secs(610));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_say_what_it_is_asked_is_not_asked_for_ever() {
    let caller = Caller {
        principal: format!("User:{NODE}").into(),
        host: [127, 0, 0, 1].into(),
        zone: None,
    };
    let rules = Arc::new(Authorizer::new(AccessRules::default()));
    let guard = Guard::new(caller, rules, Arc::new(TopicNames::default()));
    let mut pumped = Pumped::start(Session::node(guard), WIDE);
    let mut request = metadata();
    if let Some(Value::Array(topics)) = request.body.get_mut("Topics")
        && let [Value::Struct(topic)] = &mut topics[..]
    {
        topic.set("TopicId", Value::Uuid([9; 16]));
        topic.set("Name", Value::Null);
    }
    let frame = request.frame(1, "pumped");
    pumped.client.write_all(&frame).await.unwrap();
    let mut received = Vec::new();
    pumped.client.read_to_end(&mut received).await.unwrap();
    assert!(received.is_empty());
    drop(pumped.client);
    let end = pumped.pump.await.unwrap();
    assert!(matches!(end, End::Refused(_)), "{end}");
}

// === impl Ignorant ===

#[async_trait]
impl Surroundings for Ignorant {
    fn token(&self) -> Option<String> {
        Some("token".to_owned())
    }

    async fn ask(&self, _: Questions) -> Option<Answers> {
        // As if it had been asked over a network.
        sleep(MOMENT).await;
        Some(Answers::default())
    }

    fn newer_rules(&self, _: &Arc<Authorizer>) -> Option<Arc<Authorizer>> {
        None
    }
}

// === impl Blind ===

impl Observe for Blind {
    fn produced(&mut self, _: &Topic, _: u64, _: u64) {}
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
}

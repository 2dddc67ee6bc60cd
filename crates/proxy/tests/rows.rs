//! The pump's part of the checklist of what breaks proxies: in memory, with no
//! socket and no broker. The session's part is in `crates/session/tests/rows`.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use rustls_pki_types::{ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tubeway_identity::IdentityStore;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::tls::{Expected, client_config, server_config};
use tubeway_policy::SpiffeId;
use tubeway_policy::rules::{AccessRules, Authorizer, Caller};
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_proxy::pump::{End, Surroundings, pump};
use tubeway_session::access::{Exists, NameOf, Names, Questions};
use tubeway_session::{Answers, Guard, Observe, Routes, Session, Topic};
use tubeway_telemetry::Shutdown;

/// What an end of the pipes holds; the most that waits outside the pump.
const PIPE: usize = 4096;
const PRINCIPAL: &str = "User:spiffe://cluster.local/ns/shop/sa/checkout";

/// A client and a broker with a pump between them.
struct Between {
    client: DuplexStream,
    broker: DuplexStream,
    pump: JoinHandle<End>,
    shutdown: Shutdown,
}

struct Uncounted;

impl Observe for Uncounted {
    fn produced(&mut self, _: &Topic, _: u64, _: u64) {}
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
}

/// Signs anything, and knows of no topic.
struct Around;

#[async_trait]
impl Surroundings for Around {
    fn token(&self) -> Option<String> {
        Some("token".to_owned())
    }

    async fn ask(&self, _: Questions) -> Option<Answers> {
        Some(Answers::default())
    }

    fn newer_rules(&self, _: &Arc<Authorizer>) -> Option<Arc<Authorizer>> {
        None
    }
}

impl Names for Around {
    fn name_of(&self, _: &[u8; 16]) -> NameOf {
        NameOf::NotAsked
    }

    fn exists(&self, _: &str) -> Exists {
        Exists::NotAsked
    }
}

// === impl Between ===

impl Between {
    fn of(session: Session) -> Self {
        let (client, near) = tokio::io::duplex(PIPE);
        let (broker, far) = tokio::io::duplex(PIPE);
        let shutdown = Shutdown::default();
        let begun = shutdown.clone();
        let pump =
            tokio::spawn(async move { pump(near, far, session, Uncounted, &Around, &begun).await });
        Self {
            client,
            broker,
            pump,
            shutdown,
        }
    }

    /// Beside a client, and in front of a broker that has taken the login.
    async fn both() -> [Self; 2] {
        let routes = Routes {
            host: "127.0.0.1".to_owned(),
            brokers_from: 20_000,
        };
        let principal: Arc<str> = PRINCIPAL.into();
        let rules = AccessRules {
            super_users: [PRINCIPAL.to_owned()].into(),
            rules: Vec::new(),
        };
        let caller = Caller {
            principal,
            host: Ipv4Addr::new(192, 0, 2, 7).into(),
            zone: None,
        };
        let guard = Guard::new(caller, Arc::new(Authorizer::new(rules)), Arc::new(Around));
        let mut node = Self::of(Session::node(guard));
        node.client.write_all(&heartbeat(0)).await.unwrap();
        for (id, api) in [(0, ApiKey::SASL_HANDSHAKE), (1, ApiKey::SASL_AUTHENTICATE)] {
            frame(&mut node.broker).await.unwrap();
            let taken = response(id, api, 1);
            node.broker.write_all(&taken).await.unwrap();
        }
        frame(&mut node.broker).await.unwrap();
        node.broker.write_all(&beaten(0)).await.unwrap();
        frame(&mut node.client).await.unwrap();
        [Self::of(Session::client(routes, None)), node]
    }
}

/// The next whole frame without its length, or none at the stream's end.
async fn frame(from: &mut DuplexStream) -> Option<Vec<u8>> {
    let length = from.read_i32().await.ok()?;
    let mut frame = vec![0; length as usize];
    from.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

fn message(api: ApiKey, version: i16, direction: Direction) -> Struct {
    Struct::message(Schemas::get().layout(api, version, direction).unwrap())
}

fn framed(mut head: Vec<u8>, body: &Struct) -> Vec<u8> {
    body.encode(&mut head).unwrap();
    [&(head.len() as i32).to_be_bytes()[..], &head].concat()
}

fn request(correlation_id: i32, body: &Struct) -> Vec<u8> {
    let mut out = Vec::new();
    let header = RequestHeader {
        api: body.layout().api(),
        version: body.layout().version(),
        correlation_id,
        client_id: None,
        length: 0,
    };
    header.write(&mut out).unwrap();
    framed(out, body)
}

fn response(correlation_id: i32, api: ApiKey, version: i16) -> Vec<u8> {
    let mut out = Vec::new();
    ResponseHeader::write(&mut out, api, version, correlation_id).unwrap();
    framed(out, &message(api, version, Direction::Response))
}

fn heartbeat(id: i32) -> Vec<u8> {
    request(id, &message(ApiKey::HEARTBEAT, 4, Direction::Request))
}

/// The answer to a heartbeat.
fn beaten(id: i32) -> Vec<u8> {
    response(id, ApiKey::HEARTBEAT, 4)
}

/// A request of a megabyte that streams: RenewDelegationToken.
fn renewal(id: i32) -> Vec<u8> {
    let mut body = message(ApiKey(39), 2, Direction::Request);
    body.set("Hmac", Value::Bytes(vec![7; 1 << 20].into()));
    request(id, &body)
}

/// Writes until nothing more goes in, while `task` has had every chance to take
/// it; how many bytes went in.
async fn fill(into: &mut DuplexStream, bytes: &[u8]) -> usize {
    let mut written = 0;
    let mut idle = 0;
    while written < bytes.len() && idle < 100 {
        let mut once = std::pin::pin!(into.write(&bytes[written..]));
        let n = std::future::poll_fn(|cx| {
            Poll::Ready(match once.as_mut().poll(cx) {
                Poll::Ready(n) => n.unwrap(),
                Poll::Pending => 0,
            })
        });
        match n.await {
            0 => idle += 1,
            n => (written, idle) = (written + n, 0),
        }
        // The pump runs on this thread too.
        tokio::task::yield_now().await;
    }
    written
}

/// What a share consumer has acquired is bound to its connection: when the
/// client goes, so does the connection to the broker, and nothing else.
#[tokio::test]
async fn row_20_the_brokers_connection_ends_with_the_clients() {
    for mut between in Between::both().await {
        between.client.write_all(&heartbeat(1)).await.unwrap();
        frame(&mut between.broker).await.unwrap();
        drop(between.client);
        assert_eq!(between.broker.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(matches!(between.pump.await.unwrap(), End::Client));
    }
    // One that is left open stays.
    let [mut one, mut other] = Between::both().await;
    drop(one.client);
    assert_eq!(one.broker.read(&mut [0; 1]).await.unwrap(), 0);
    other.client.write_all(&heartbeat(1)).await.unwrap();
    assert!(frame(&mut other.broker).await.is_some());
}

/// A drain lets the broker answer what it has been asked, and ends both sides
/// then; what is asked later is left to another connection.
#[tokio::test]
async fn row_23_a_drain_gives_the_answers_that_are_due() {
    for mut between in Between::both().await {
        between.client.write_all(&heartbeat(1)).await.unwrap();
        let asked = frame(&mut between.broker).await.unwrap();
        assert_eq!(asked[4..8], 1_i32.to_be_bytes());
        between.shutdown.begin();
        tokio::task::yield_now().await;
        between.broker.write_all(&beaten(1)).await.unwrap();
        let answer = frame(&mut between.client).await.unwrap();
        assert_eq!(answer[..4], 1_i32.to_be_bytes());
        assert!(frame(&mut between.client).await.is_none(), "closed");
        assert!(frame(&mut between.broker).await.is_none(), "closed");
        assert!(matches!(between.pump.await.unwrap(), End::Drained));
    }
}

/// A client that goes on asking does not hold the drain up: it is over with the
/// last answer.
#[tokio::test]
async fn row_23_a_drain_is_over_with_the_last_answer() {
    for mut between in Between::both().await {
        for id in 1..=2 {
            between.client.write_all(&heartbeat(id)).await.unwrap();
            frame(&mut between.broker).await.unwrap();
        }
        between.shutdown.begin();
        tokio::task::yield_now().await;
        between.client.write_all(&heartbeat(3)).await.unwrap();
        for id in 1..=2 {
            tokio::task::yield_now().await;
            between.broker.write_all(&beaten(id)).await.unwrap();
            frame(&mut between.client).await.unwrap();
        }
        let ends = tokio::time::timeout(Duration::from_secs(5), between.pump);
        let end = ends.await.expect("no time-out has to end it").unwrap();
        assert!(matches!(end, End::Drained));
    }
}

/// A name that a client verifies is not what says who a broker is: it is the
/// SPIFFE id in the certificate, whatever the address; another id is refused.
#[tokio::test]
async fn row_28_a_broker_is_known_by_its_spiffe_id() {
    let day = Duration::from_hours(24);
    let ca = CertificateAuthority::generate("cluster.local", day, UnixTime::now()).unwrap();
    let id = |account| SpiffeId::of_service_account("cluster.local", "kafka", account).unwrap();
    let store = |account| {
        let names = ["some.name.of.its.own".to_owned()];
        let svid = ca
            .issue(&id(account), &names, day, UnixTime::now())
            .unwrap();
        let store = IdentityStore::new("cluster.local");
        store.install(svid).unwrap();
        store
    };
    let (node, client) = (store("demo-node"), store("checkout"));
    for (expected, succeeds) in [("demo-node", true), ("other-node", false)] {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let server = server_config(&node, Expected::InTrustDomain, &[]);
        let client = client_config(&client, Expected::only(id(expected)), &[]);
        let name = ServerName::IpAddress(Ipv4Addr::new(10, 1, 2, 3).into());
        let (dialled, _) = tokio::join!(
            TlsConnector::from(client).connect(name, near),
            TlsAcceptor::from(server).accept(far),
        );
        assert_eq!(dialled.is_ok(), succeeds, "{expected}");
    }
}

/// Who closes what is idle is the broker or the client, each by its own time:
/// the other side is closed at once, so that nobody keeps half a connection.
#[tokio::test]
async fn row_29_an_idle_connection_ends_on_both_sides() {
    for mut between in Between::both().await {
        drop(between.broker);
        assert!(frame(&mut between.client).await.is_none());
        assert!(matches!(between.pump.await.unwrap(), End::Broker));
    }
    for mut between in Between::both().await {
        drop(between.client);
        assert!(frame(&mut between.broker).await.is_none());
        assert!(matches!(between.pump.await.unwrap(), End::Client));
    }
}

/// The same with a request or a response half-way through, and with answers due.
#[tokio::test]
async fn row_29_half_a_frame_ends_on_both_sides() {
    let (asked, answered) = (heartbeat(1), beaten(1));
    for sent in 0..=asked.len() {
        for mut between in Between::both().await {
            between.client.write_all(&asked[..sent]).await.unwrap();
            between.broker.shutdown().await.unwrap();
            assert_eq!(rest(&mut between.client).await, 0, "{sent} bytes");
            // The pump waits a moment for a client that does not close.
            drop(between.client);
            assert!(matches!(between.pump.await.unwrap(), End::Broker));
        }
    }
    for sent in 0..answered.len() {
        for mut between in Between::both().await {
            between.client.write_all(&asked).await.unwrap();
            frame(&mut between.broker).await.unwrap();
            between.broker.write_all(&answered[..sent]).await.unwrap();
            between.broker.shutdown().await.unwrap();
            assert!(rest(&mut between.client).await <= sent);
            // The pump waits a moment for a client that does not close.
            drop(between.client);
            assert!(matches!(between.pump.await.unwrap(), End::Broker));
        }
    }
}

/// How many bytes come until the end.
async fn rest(from: &mut (impl AsyncRead + Unpin)) -> usize {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.unwrap();
    bytes.len()
}

/// A broker that does not read holds its client back: of a large request no
/// more is taken in than the buffers between them hold, and it goes on, whole,
/// when the broker does.
#[tokio::test]
async fn row_30_a_slow_broker_holds_its_client_back() {
    for mut between in Between::both().await {
        let sent = renewal(1);
        let written = fill(&mut between.client, &sent).await;
        assert!(written < 64 * 1024, "{written} bytes went in");
        let (mut into, rest) = (between.client, sent[written..].to_vec());
        let writes = tokio::spawn(async move {
            into.write_all(&rest).await.unwrap();
            into
        });
        let got = frame(&mut between.broker).await.unwrap();
        assert_eq!(got, sent[4..]);
        writes.await.unwrap();
    }
}

/// The same the other way: a client that does not read holds its broker back.
#[tokio::test]
async fn row_30_a_slow_client_holds_its_broker_back() {
    for mut between in Between::both().await {
        let mut fetched = message(ApiKey::FETCH, 11, Direction::Response);
        let mut topic = fetched.child("Responses").unwrap();
        let mut partition = topic.child("Partitions").unwrap();
        let mut batch = vec![0; 1 << 20];
        batch[8..12].copy_from_slice(&((1 << 20) - 12_i32).to_be_bytes());
        batch[16] = 2;
        partition.set("Records", Value::Records(batch.into()));
        topic.set("Partitions", vec![partition]);
        fetched.set("Responses", vec![topic]);
        let mut header = Vec::new();
        ResponseHeader::write(&mut header, ApiKey::FETCH, 11, 1).unwrap();
        let answer = framed(header, &fetched);

        let fetch = request(1, &message(ApiKey::FETCH, 11, Direction::Request));
        between.client.write_all(&fetch).await.unwrap();
        frame(&mut between.broker).await.unwrap();
        let written = fill(&mut between.broker, &answer).await;
        assert!(written < 64 * 1024, "{written} bytes went in");
        // Requests go on meanwhile.
        between.client.write_all(&heartbeat(2)).await.unwrap();
        let asked = frame(&mut between.broker).await.unwrap();
        assert_eq!(asked[4..8], 2_i32.to_be_bytes());
        let (mut into, rest) = (between.broker, answer[written..].to_vec());
        let writes = tokio::spawn(async move {
            into.write_all(&rest).await.unwrap();
            into
        });
        let got = frame(&mut between.client).await.unwrap();
        assert_eq!(got, answer[4..]);
        writes.await.unwrap();
    }
}

/// A frame that is refused closes both sides, and nothing of it has passed.
#[tokio::test]
async fn row_30_a_refused_frame_closes_both_sides() {
    for mut between in Between::both().await {
        let over = (100 * 1024 * 1024 + 1_i32).to_be_bytes();
        between.client.write_all(&over).await.unwrap();
        assert_eq!(rest(&mut between.broker).await, 0);
        assert_eq!(rest(&mut between.client).await, 0);
        let end = between.pump.await.unwrap();
        assert!(matches!(end, End::Refused(_)), "{end}");
    }
}

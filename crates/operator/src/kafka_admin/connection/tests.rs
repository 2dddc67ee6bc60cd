//! Against a peer that says what a test wants it to say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::DuplexStream;

use super::*;
use crate::kafka_admin::{Admin, Fault};

/// What the peer does with each request: its correlation id in, bytes to send
/// out; none closes the connection.
type Script = Arc<dyn Fn(Asked) -> Option<Vec<u8>> + Send + Sync>;

struct Asked {
    key: i16,
    version: i16,
    id: [u8; 4],
}

/// Connections to peers that follow a script.
struct Scripted {
    script: Script,
    opened: Arc<AtomicUsize>,
}

impl Connect for Scripted {
    fn connect<'a>(
        &'a self,
        _: &'a BrokerAddress,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(follow(theirs, Arc::clone(&self.script)));
        async move { Ok(Box::new(ours) as Box<dyn ByteStream>) }.boxed()
    }
}

async fn follow(mut stream: DuplexStream, script: Script) -> io::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await?;
        let asked = Asked {
            key: i16::from_be_bytes([frame[0], frame[1]]),
            version: i16::from_be_bytes([frame[2], frame[3]]),
            id: [frame[4], frame[5], frame[6], frame[7]],
        };
        match script(asked) {
            Some(bytes) => stream.write_all(&bytes).await?,
            None => return Ok(()),
        }
    }
}

fn frame(id: [u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &id, body].concat()
}

/// ApiVersions 3: no error, these APIs, no throttling, no tagged fields.
fn versions(asked: &Asked, apis: &[(i16, i16, i16)]) -> Vec<u8> {
    let mut body = vec![0, 0, u8::try_from(apis.len() + 1).unwrap()];
    for (key, min, max) in apis {
        for field in [key, min, max] {
            body.extend(field.to_be_bytes());
        }
        body.push(0);
    }
    body.extend([0, 0, 0, 0, 0]);
    frame(asked.id, &body)
}

const DESCRIBE_CLUSTER: (i16, i16, i16) = (60, 0, 0);

/// DescribeCluster 0: no error, id `c`, no brokers.
const CLUSTER: [u8; 20] = [
    0, // header's tagged fields
    0, 0, 0, 0, // throttle time
    0, 0, // error
    0, // message: null
    2, b'c', // cluster id
    0, 0, 0, 1, // controller
    1, // brokers: none
    0x80, 0, 0, 0, // authorized operations: not asked for
    0, // tagged fields
];

fn admin(
    script: impl Fn(Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (Admin, Arc<AtomicUsize>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let connect = Scripted {
        script: Arc::new(script),
        opened: Arc::clone(&opened),
    };
    let limits = Limits {
        connect: Duration::from_secs(1),
        request: Duration::from_secs(1),
        total: Duration::from_secs(2),
        frame: 1000,
    };
    let broker = BrokerAddress::new("n1", 9092);
    (Admin::with_limits(connect, vec![broker], limits), opened)
}

/// A peer that agrees on versions and answers everything else with this.
fn answering(answer: impl Fn(Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Admin {
    let script = move |asked: Asked| match asked.key {
        18 => Some(versions(&asked, &[DESCRIBE_CLUSTER])),
        _ => answer(asked),
    };
    admin(script).0
}

#[tokio::test]
async fn an_answer_is_read() {
    let admin = answering(|asked| Some(frame(asked.id, &CLUSTER)));
    assert_eq!(admin.describe_cluster().await.unwrap().id, "c");
}

#[tokio::test]
async fn what_the_protocol_does_not_say_is_an_error_and_is_not_tried_again() {
    let mut long = CLUSTER.to_vec();
    long.push(7);
    for (what, answer) in [
        ("cut short", CLUSTER[..10].to_vec()),
        ("too long", long),
        ("empty", Vec::new()),
    ] {
        let asked_for = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked_for);
        let admin = answering(move |asked| {
            count.fetch_add(1, Ordering::Relaxed);
            Some(frame(asked.id, &answer))
        });
        let error = admin.describe_cluster().await.unwrap_err();
        assert!(
            matches!(error, AdminError::Malformed { .. }),
            "{what}: {error}"
        );
        assert_eq!(asked_for.load(Ordering::Relaxed), 1, "{what}");
    }
}

#[tokio::test]
async fn an_answer_to_another_request_is_refused() {
    let admin = answering(|_| Some(frame([9, 9, 9, 9], &CLUSTER)));
    let error = admin.describe_cluster().await.unwrap_err();
    assert!(error.to_string().contains("correlation id"), "{error}");
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
    let admin = answering(|_| Some(1001_u32.to_be_bytes().to_vec()));
    let error = admin.describe_cluster().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a frame of 1001 bytes, more than 1000"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_given_up_on() {
    let admin = answering(|_| Some(Vec::new()));
    let error = admin.describe_cluster().await.unwrap_err();
    assert!(
        matches!(
            error,
            AdminError::Timeout {
                api: "DescribeCluster",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.fault(), Fault::Network);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ended_while_idle_costs_nothing() {
    // Every connection answers one request after the handshake, then ends.
    let left = Arc::new(Mutex::new(0));
    let (admin, opened) = admin(move |asked| {
        let mut left = left.lock().unwrap();
        if asked.key == 18 {
            *left = 1;
            return Some(versions(&asked, &[DESCRIBE_CLUSTER]));
        }
        *left -= 1;
        (*left >= 0).then(|| frame(asked.id, &CLUSTER))
    });
    let before = tokio::time::Instant::now();
    for _ in 0..3 {
        admin.describe_cluster().await.unwrap();
    }
    assert_eq!(opened.load(Ordering::Relaxed), 3);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn versions_out_of_reach_are_said() {
    for (apis, theirs) in [(vec![(60, 7, 9)], Some((7, 9))), (vec![], None)] {
        let (admin, _) = admin(move |asked| Some(versions(&asked, &apis)));
        let error = admin.describe_cluster().await.unwrap_err();
        assert_eq!(error.fault(), Fault::Ours);
        let AdminError::Version {
            ours, theirs: said, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((ours, said), ((0, 2), theirs));
    }
}

#[tokio::test]
async fn an_old_broker_is_asked_in_version_zero() {
    let admin = admin(|asked| {
        Some(match (asked.key, asked.version) {
            // UNSUPPORTED_VERSION, and no APIs, as version 0 writes it.
            (18, 3) => frame(asked.id, &[0, 35, 0, 0, 0, 0]),
            (18, _) => frame(asked.id, &[0, 0, 0, 0, 0, 1, 0, 60, 0, 0, 0, 0]),
            _ => frame(asked.id, &CLUSTER),
        })
    });
    assert_eq!(admin.0.describe_cluster().await.unwrap().id, "c");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_may_pass_is_waited_for() {
    let count = AtomicUsize::new(0);
    let admin = answering(move |asked| {
        let mut body = CLUSTER;
        if count.fetch_add(1, Ordering::Relaxed) < 3 {
            body[6] = 41; // NOT_CONTROLLER
        }
        Some(frame(asked.id, &body))
    });
    admin.describe_cluster().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_brokers_there_is_nobody_to_ask() {
    let admin = Admin::new(crate::kafka_admin::PlainConnect, Vec::new());
    let error = admin.describe_cluster().await.unwrap_err();
    assert!(matches!(error, AdminError::NoBrokers), "{error}");
}

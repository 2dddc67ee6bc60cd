//! Made captures, and real ones: TLS by rustls, plain text by a real broker.

use std::net::SocketAddr;
use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tubeway_testing::broker::{BrokerOptions, TestBroker};
use tubeway_testing::capture::{Capture, Evidence, TlsFault, Verdict};
use tubeway_testing::clients::{Client, Target};
use tubeway_testing::records::Workload;
use tubeway_testing::tools::Tools;

const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 40000);
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 9092);
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// One segment from the client, or to it, in an Ethernet frame in a capture record.
fn packet(from_client: bool, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to) = if from_client {
        (CLIENT, SERVER)
    } else {
        (SERVER, CLIENT)
    };
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((40 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend(from.0);
    frame.extend(to.0);
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend(seq.to_be_bytes());
    frame.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    let len = (frame.len() as u32).to_le_bytes();
    [&[0; 8], &len[..], &len, &frame].concat()
}

fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 8]);
    file.extend([0, 0, 4, 0, 1, 0, 0, 0]);
    file.extend(packets.concat());
    file
}

fn read(packets: &[Vec<u8>], markers: &[&str]) -> Evidence {
    Evidence::read(capture(packets).as_slice(), markers).expect("a capture")
}

fn opened(seq: u32) -> Vec<Vec<u8>> {
    vec![
        packet(true, seq, SYN, b""),
        packet(false, 500, SYN | ACK, b""),
    ]
}

#[test]
fn plain_text_is_found_by_its_first_byte_and_its_marker() {
    let mut packets = opened(0);
    packets.push(packet(true, 1, ACK, b"\0\0\0\x20\0\0 the card number"));
    let evidence = read(&packets, &["card number", "password"]);
    let one = &evidence.connections[0];
    assert_eq!(one.client, SocketAddr::from(CLIENT));
    assert_eq!(one.server, SocketAddr::from(SERVER));
    assert_eq!(one.readable, ["card number"]);
    assert_eq!(
        one.verdict,
        Verdict::Fault {
            by_client: true,
            fault: TlsFault::NotTls {
                bytes: vec![0, 0, 0, 0x20, 0]
            }
        }
    );
    assert_eq!(
        evidence.to_string(),
        "1 connections, 0 of them TLS 1.3, 22 bytes\n  192.0.2.1:40000 -> 192.0.2.2:9092: \
         the client sent bytes that begin no TLS record: 00 00 00 20 00; \"card number\" is readable"
    );
}

#[test]
fn what_was_not_captured_in_whole_proves_nothing() {
    let mut gap = opened(0);
    gap.push(packet(true, 2, ACK, &[0x16, 3, 1]));
    let midway = vec![packet(true, 7, ACK, &[0x17, 3, 3, 0, 1, 0])];
    for packets in [gap, midway] {
        let evidence = read(&packets, &[]);
        assert_eq!(evidence.connections[0].verdict, Verdict::Incomplete);
    }
}

#[test]
fn a_marker_in_a_connection_that_began_before_is_found() {
    let packets = [
        packet(false, 7, ACK, b"the card num"),
        packet(false, 19, ACK, b"ber"),
    ];
    let evidence = read(&packets, &["card number"]);
    assert_eq!(evidence.connections[0].readable, ["card number"]);
}

#[test]
fn ports_that_are_used_again_are_another_connection() {
    let mut packets = opened(0);
    packets.extend(opened(9000));
    packets.push(packet(true, 9001, ACK, b"x"));
    let evidence = read(&packets, &[]);
    let verdicts: Vec<_> = evidence
        .connections
        .iter()
        .map(|one| &one.verdict)
        .collect();
    assert_eq!(*verdicts[0], Verdict::Silent);
    assert!(matches!(verdicts[1], Verdict::Fault { .. }), "{evidence}");
}

#[test]
fn other_files_are_refused() {
    let mut other_link = capture(&[]);
    other_link[20] = 9;
    let mut cut = capture(&[packet(true, 0, SYN, b"")]);
    cut[24 + 8] -= 1;
    for file in [&b"not a capture"[..], &[0; 24], &other_link, &cut] {
        Evidence::read(file, &[]).expect_err("no capture");
    }
}

#[test]
#[should_panic(expected = "0 connections")]
fn a_quiet_wire_proves_nothing() {
    read(&[], &[]).assert_encrypted(1);
}

proptest! {
    /// Whatever becomes of segments on their way, the stream is the same one.
    #[test]
    fn a_marker_is_found_across_segments_in_any_order_and_twice(
        start: u32,
        cuts in prop::collection::btree_set(1_usize..60, 0..12),
        order in any::<prop::sample::Selector>(),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let text = b"____________________the marker to be found__________________";
        let mut edges: Vec<usize> = cuts.into_iter().collect();
        edges.insert(0, 0);
        edges.push(text.len());
        let segment = |from: usize, to: usize| {
            packet(true, start.wrapping_add(1 + from as u32), ACK, &text[from..to])
        };
        let mut segments: Vec<_> = edges.windows(2).map(|edge| segment(edge[0], edge[1])).collect();
        for index in again {
            let from = index.index(text.len());
            segments.push(segment(from, text.len()));
        }
        let mut packets = opened(start);
        let mut left: Vec<usize> = (0..segments.len()).collect();
        while !left.is_empty() {
            let next = *order.select(&left);
            left.retain(|&one| one != next);
            packets.push(segments[next].clone());
        }
        let evidence = read(&packets, &["the marker to be found"]);
        prop_assert_eq!(evidence.connections.len(), 1);
        prop_assert_eq!(evidence.connections[0].readable.len(), 1);
        let found = matches!(evidence.connections[0].verdict, Verdict::Fault { .. });
        prop_assert!(found, "{}", evidence);
    }

    #[test]
    fn any_file_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut file = capture(&[]);
        file.extend(bytes);
        let _ = Evidence::read(file.as_slice(), &["x"]);
    }
}

/// A TLS conversation on `listener` in which `text` is sent both ways.
async fn tls(listener: &TcpListener, version: &'static SupportedProtocolVersion, text: &str) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).expect("a root");
    let private = PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .expect("a server");
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();

    let address = listener.local_addr().expect("an address");
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a client");
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let mut stream = acceptor.accept(stream).await.expect("a handshake");
        let mut said = vec![0; text.len()];
        stream.read_exact(&mut said).await.expect("what was said");
        stream.write_all(&said).await.expect("an echo");
        stream.shutdown().await.expect("an end");
    };
    let ask = async {
        let stream = TcpStream::connect(address).await.expect("a server");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, stream).await.expect("a handshake");
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut echo = String::new();
        stream.read_to_string(&mut echo).await.expect("an echo");
        assert_eq!(echo, text);
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn real_tls_1_3_is_told_from_1_2() {
    let tools = Tools::ensure().expect("tools");
    let new = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let old = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listeners = [&new, &old].map(|one| one.local_addr().expect("an address"));
    let capture = Capture::start(&tools, &listeners).await.expect("tcpdump");

    let secret = "a secret that fills some segments ".repeat(10_000);
    tls(&new, &rustls::version::TLS13, &secret).await;
    tls(&old, &rustls::version::TLS12, &secret).await;

    let evidence = capture.stop(&["a secret that"]).await.expect("evidence");
    let [new, old] = &evidence.connections[..] else {
        panic!("{evidence}");
    };
    assert_eq!((&new.verdict, new.readable.len()), (&Verdict::Tls13, 0));
    assert!(
        matches!(
            &old.verdict,
            Verdict::Fault {
                fault: TlsFault::OtherVersion,
                ..
            }
        ),
        "{evidence}"
    );
    assert!(evidence.bytes > 4 * secret.len() as u64, "{evidence}");
}

#[tokio::test]
async fn a_broker_without_a_mesh_is_found_out() {
    let tools = Tools::ensure().expect("tools");
    let options = BrokerOptions::default().with_property("auto.create.topics.enable", "true");
    let broker = TestBroker::start(&tools, &options).await.expect("a broker");
    let capture = Capture::start(&tools, &[broker.bootstrap()])
        .await
        .expect("tcpdump");

    let workload = Workload::new(1, 100);
    let target = Target::new(broker.bootstrap(), "cards");
    let produced = Client::Kcat.produce(&tools, &target, &workload).await;
    assert!(produced.expect("the producer ends").errors.is_empty());

    let record = workload.value(42);
    let evidence = capture.stop(&[&record, "cards"]).await.expect("evidence");
    let readable = evidence.connections.iter().flat_map(|one| &one.readable);
    let mut readable: Vec<_> = readable.collect();
    readable.sort();
    readable.dedup();
    assert_eq!(readable, [&record, "cards"], "{evidence}");
    assert_eq!(evidence.tls13(), 0, "{evidence}");
}

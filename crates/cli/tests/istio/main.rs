//! A cluster whose certificates are Istio's: a real istiod on a real API server,
//! our operator, sidecars and Kafka as processes, and a change of Istio's root
//! under open connections.

mod peer;
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use peer::{ask, certificate, connect};
use rustls::pki_types::UnixTime;
use tubeway_identity::accept::{ISTIO, ISTIO_PEER_EXCHANGE};
use tubeway_identity::ca::CertificateAuthority;
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, Target, Until};
use tubeway_testing::kubernetes::istio::Authority;
use tubeway_testing::records::Workload;
use tubeway_testing::tools::Tools;
use world::{TRUST_DOMAIN, World};

/// How long sidecars may take to follow Istio.
const FOLLOWED: Duration = Duration::from_secs(60);
/// Goes on for longer than the change of the root takes.
const RATE: u32 = 100;
const RECORDS: u64 = 2500;

#[tokio::test(flavor = "multi_thread")]
async fn istio_s_certificates_carry_a_cluster_through_a_change_of_root() -> Result<()> {
    let tools = Tools::ensure()?;
    let (old, new) = (Authority::new("old")?, Authority::new("new")?);
    let world = World::start(&tools, &old).await?;
    world.apply(CLUSTER).await?;
    world.wait("kafka", "kafkacluster/demo", "Ready").await?;
    // Made by the operator through the node's sidecar.
    world.wait("shop", "kafkatopic/orders", "Ready").await?;
    world
        .wait("kafka", "kafkacluster/demo", "AccessApplied")
        .await?;
    let (host, port) = world.client_pod("checkout").await?;
    let node = world.pod_ip("kafka", "demo-all-0").await?;

    let billing = certificate(&world, "billing").await?;
    ensure!(billing.id().as_str() == "spiffe://cluster.local/ns/shop/sa/billing");
    alpn(node, &billing, old.root())?;
    strangers(node, &billing, old.root())?;

    let mut open = connect(node, &billing, old.root(), &[ISTIO])?;
    let mut plain = peer::tcp(SocketAddr::from((host, port)))?;
    ask(&mut plain)?;
    let mut target = Target::new(format!("{host}:{port}"), "orders");
    target.timeout = Duration::from_secs(300);
    let workload = Workload::new(1, RECORDS).at_rate(RATE);
    let load = Client::JavaVerifiable.produce(&tools, &target, &workload);
    let changes = async {
        change_root(&world, node, &old, &new).await?;
        ask(&mut open).context("the connection without a sidecar was dropped")?;
        ask(&mut plain).context("the connection through the sidecar was dropped")?;
        Ok::<_, anyhow::Error>(())
    };
    let (load, changes) = tokio::join!(load, changes);
    changes.with_context(|| format!("istiod's log ends:\n{}", world.istiod.log_end()))?;
    let load = load?;
    ensure!(load.errors.is_empty(), "the producer saw {:?}", load.errors);

    // Who has only the old root's certificate is nobody now.
    let both = [old.root(), new.root()].concat();
    ensure!(connect(node, &billing, &both, &[]).is_err());
    // The operator and the client's sidecar go on with the new one.
    world.apply(SECOND_TOPIC).await?;
    world.wait("shop", "kafkatopic/second", "Ready").await?;
    let until = Until::Records(workload.count);
    let sessions = Client::JavaVerifiable
        .consume(&tools, &target, until)
        .await?;
    let history = History {
        sent: load.sent,
        sessions,
    };
    let report = history.check();
    ensure!(report.is_clean(), "{report}");
    principal(&world)
}

/// What Istio's proxies offer, and others, is accepted; only what is spoken is
/// agreed to.
fn alpn(node: Ipv4Addr, shown: &tubeway_identity::Svid, roots: &str) -> Result<()> {
    for (offered, agreed) in [
        (&[][..], None),
        (&[ISTIO_PEER_EXCHANGE][..], None),
        (&[ISTIO_PEER_EXCHANGE, ISTIO], Some(ISTIO)),
    ] {
        let stream = connect(node, shown, roots, offered)?;
        ensure!(stream.conn.alpn_protocol() == agreed, "{offered:?}");
    }
    Ok(())
}

/// The same name by another authority is nobody.
fn strangers(node: Ipv4Addr, known: &tubeway_identity::Svid, roots: &str) -> Result<()> {
    let day = Duration::from_hours(24);
    let other = CertificateAuthority::generate(TRUST_DOMAIN, day, UnixTime::now())?;
    let stranger = other.issue(known.id(), &[], day, UnixTime::now())?;
    match connect(node, &stranger, roots, &[ISTIO_PEER_EXCHANGE]) {
        Ok(_) => bail!("a certificate of another root was accepted"),
        // The alert by which the node says that it does not know the issuer.
        Err(error) if format!("{error:#}").contains("UnknownCA") => Ok(()),
        Err(error) => Err(error.context("refused, but not for its root")),
    }
}

/// Both roots are trusted before the new one signs, and the old one is taken away last.
async fn change_root(
    world: &World,
    node: Ipv4Addr,
    old: &Authority,
    new: &Authority,
) -> Result<()> {
    world.istiod.replace(old, &[old, new])?;
    until("both roots are told", || async {
        let told = peer::roots(world).await?;
        ensure!(told.contains(new.root()), "istiod tells {told}");
        Ok(())
    })
    .await?;
    world.istiod.replace(new, &[old, new])?;
    until("the new root's certificates are accepted", || async {
        let renewed = certificate(world, "billing").await?;
        ensure!(signed_by(&renewed, new), "istiod signs with the old root");
        connect(node, &renewed, &[old.root(), new.root()].concat(), &[]).map(drop)
    })
    .await?;
    world.istiod.replace(new, &[new])?;
    until("the node has a certificate of the new root", || async {
        let renewed = certificate(world, "billing").await?;
        connect(node, &renewed, new.root(), &[]).map(drop)
    })
    .await
}

fn signed_by(svid: &tubeway_identity::Svid, authority: &Authority) -> bool {
    tubeway_identity::TrustBundle::from_pem(authority.root().as_bytes())
        .is_ok_and(|bundle| svid.with_bundle(bundle).verify(UnixTime::now()).is_ok())
}

/// What the broker's own authorizer called the client.
fn principal(world: &World) -> Result<()> {
    let name = "Principal = User:spiffe://cluster.local/ns/shop/sa/checkout is Allowed";
    let log = world.logs("kafka")?;
    ensure!(log.contains(name), "no {name:?} in the broker's log");
    Ok(())
}

/// Tries until it succeeds: nothing of Istio's tells when it has happened.
async fn until<F>(what: &str, mut check: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let begun = Instant::now();
    loop {
        match check().await {
            Ok(()) => return Ok(()),
            Err(error) if begun.elapsed() > FOLLOWED => {
                return Err(error.context(format!("not within {FOLLOWED:?}: {what}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: kafka}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kafka.tubeway.dev/inject: enabled}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: checkout, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: billing, namespace: shop}
---
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaCluster
metadata: {name: demo, namespace: kafka}
spec:
  version: 4.3.1
  mesh: {provider: istio}
  allowedNamespaces: {from: All}
---
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaNodePool
metadata: {name: all, namespace: kafka}
spec:
  cluster: demo
  replicas: 1
  roles: [broker, controller]
  storage: {size: 1Gi}
  jvm: {heap: 256m, options: ['-XX:+UseSerialGC']}
  loggers: {kafka.authorizer.logger: DEBUG}
---
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: orders, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  partitions: 3
  replicas: 1
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: orders, namespace: shop}
rules:
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatopics], resourceNames: [orders], verbs: [produce, consume]}
- {apiGroups: [kafka.tubeway.dev], resources: [kafkagroups], verbs: [join]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: orders, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: orders}
subjects:
- {kind: ServiceAccount, name: checkout, namespace: shop}
";

const SECOND_TOPIC: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: second, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  partitions: 1
  replicas: 1
";

//! The one broker behind every pair: a stock Kafka with a listener for each,
//! whose advertised address leads back through that pair.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tokio::net::TcpStream;
use tubeway_config::ports;
use tubeway_identity::jwt::{AUDIENCE, ISSUER, LoginSigner};
use tubeway_testing::tools::Tools;

use crate::process::Process;
use crate::route::{Kind, Route};

/// Its heap; nothing else of the JVM is set.
pub const HEAP: &str = "-Xmx512m";

/// The running broker.
#[derive(Debug)]
pub struct Broker {
    /// Its process.
    pub process: Process,
    /// Its listener without a pair.
    pub plain: SocketAddr,
}

// === impl Broker ===

impl Broker {
    /// Formats and starts it in `folder`, and waits until it answers. Logins
    /// are signed by keys in the JWK set `jwks`, which sidecars replace.
    pub async fn start(tools: &Tools, folder: &Path, jwks: &Path) -> Result<Self> {
        std::fs::write(jwks, LoginSigner::generate()?.jwks())?;
        let config = folder.join("server.properties");
        std::fs::write(&config, properties(folder, jwks))?;
        let logging = folder.join("log4j2.properties");
        std::fs::write(&logging, LOGGING)?;
        let logging = format!("-Dlog4j2.configurationFile={}", logging.display());
        let storage = "kafka.tools.StorageTool";
        let formatted = tools
            .kafka(storage)
            .args(["format", "--standalone", "--cluster-id"])
            .args(["dHViZXdheS1iZW5jaC0wMQ", "--config"])
            .arg(&config)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&formatted.stderr);
        ensure!(formatted.status.success(), "{storage}: {said}");
        let allowed = format!(
            "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{}",
            jwks.display()
        );
        let options = [HEAP, &logging, &allowed];
        let mut command = tools.dist.command(&tools.java, &options, "kafka.Kafka");
        let mut process = Process::start("broker", command.arg(&config), folder)?;
        let plain = Route::new(Kind::Plain).broker();
        process.until(async |_| listens(plain).await).await?;
        Ok(Self { process, plain })
    }

    /// Makes a topic of one partition.
    pub async fn create_topic(&self, tools: &Tools, name: &str) -> Result<()> {
        let mut create = tools.kafka("org.apache.kafka.tools.TopicCommand");
        let output = create
            .args(["--create", "--topic", name, "--partitions", "1"])
            .args(["--bootstrap-server", &self.plain.to_string()])
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "topic {name}: {said}");
        Ok(())
    }
}

/// Whether somebody takes connections there.
pub async fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

/// Kafka's own producer.
pub fn producer(tools: &Tools) -> Command {
    let main = "org.apache.kafka.tools.ProducerPerformance";
    let options = [HEAP, "-Dlog4j2.level=WARN"];
    tools.dist.command(&tools.java, &options, main)
}

fn properties(folder: &Path, jwks: &Path) -> String {
    let routes = Kind::ALL.map(Route::new);
    let controller = (routes[0].node.loopback, ports::CONTROLLER);
    let controller = SocketAddr::from(controller);
    let list = |one: &dyn Fn(&Route) -> String| routes.each_ref().map(one).join(",");
    let listeners = list(&|route| format!("{}://{}", route.listener(), route.broker()));
    let advertised = list(&|route| format!("{}://{}", route.listener(), advertised(route)));
    let protocols = list(&|route| format!("{}:{}", route.listener(), protocol(route)));
    let mut text = format!(
        "\
node.id=0
process.roles=broker,controller
log.dirs={data}
listeners={listeners},CONTROLLER://{controller}
advertised.listeners={advertised}
listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT
inter.broker.listener.name={plain}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={controller}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
log.segment.bytes=134217728
log.retention.bytes=268435456
log.retention.check.interval.ms=5000
log.segment.delete.delay.ms=1000
log.cleaner.dedupe.buffer.size=8388608
",
        data = folder.join("data").display(),
        plain = routes[0].listener(),
    );
    text.push_str(&logins(jwks));
    text
}

/// Where the client is sent back to. The client's sidecar makes its own of it.
fn advertised(route: &Route) -> SocketAddr {
    match route.kind {
        Kind::Tubeway => route.mesh(),
        _ => route.entry(),
    }
}

fn protocol(route: &Route) -> &'static str {
    match route.kind {
        Kind::Tubeway => "SASL_PLAINTEXT",
        _ => "PLAINTEXT",
    }
}

/// As a node's broker takes the logins of its sidecar.
fn logins(jwks: &Path) -> String {
    let listener = Route::new(Kind::Tubeway).listener().to_lowercase();
    let prefix = format!("listener.name.{listener}");
    let package = "org.apache.kafka.common.security.oauthbearer";
    let mut text = String::new();
    let lines = [
        ("sasl.enabled.mechanisms", "OAUTHBEARER".to_owned()),
        (
            "oauthbearer.sasl.server.callback.handler.class",
            format!("{package}.OAuthBearerValidatorCallbackHandler"),
        ),
        (
            "oauthbearer.sasl.jaas.config",
            format!("{package}.OAuthBearerLoginModule required ;"),
        ),
        (
            "oauthbearer.sasl.oauthbearer.jwks.endpoint.url",
            format!("file://{}", jwks.display()),
        ),
        (
            "oauthbearer.sasl.oauthbearer.expected.audience",
            AUDIENCE.to_owned(),
        ),
        (
            "oauthbearer.sasl.oauthbearer.expected.issuer",
            ISSUER.to_owned(),
        ),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "{prefix}.{name}={value}");
    }
    text
}

/// Where a node's sidecar that keeps its files in `folder` writes its keys.
pub fn jwks(folder: &Path) -> PathBuf {
    folder.join("jwks.json")
}

/// Warnings and worse, on standard output.
const LOGGING: &str = "\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
";

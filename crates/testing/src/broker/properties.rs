//! The `server.properties` of a test's node.

use std::fmt::Write as _;
use std::path::Path;

use tubeway_identity::jwt::{AUDIENCE, ISSUER};

use super::BrokerOptions;

/// The ports of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) sasl: u16,
    pub(super) controller: u16,
}

/// A combined node that is quick to start and quick to settle.
pub(super) fn server_properties(folder: &Path, ports: Ports, options: &BrokerOptions) -> String {
    let Ports {
        plain,
        sasl,
        controller,
    } = ports;
    let mut text = format!(
        "\
node.id=1
process.roles=broker,controller
log.dirs={data}
listeners=PLAIN://127.0.0.1:{plain},USERS://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},USERS://127.0.0.1:{sasl}
listener.security.protocol.map=PLAIN:PLAINTEXT,USERS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listener.name.users.sasl.enabled.mechanisms={mechanisms}
listener.name.users.plain.sasl.jaas.config={jaas}
super.users=User:ANONYMOUS
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
",
        data = folder.join("data").display(),
        mechanisms = match options.jwks {
            Some(_) => "PLAIN,OAUTHBEARER",
            None => "PLAIN",
        },
        jaas = jaas(&options.users),
    );
    if options.acls {
        text.push_str(
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n",
        );
    }
    if let Some(jwks) = &options.jwks {
        text.push_str(&oauth(jwks));
    }
    // The last of several lines for one name is the one that counts.
    for (name, value) in &options.properties {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// Who the broker takes a token for is in the token (claim `sub`).
fn oauth(jwks: &Path) -> String {
    let prefix = "listener.name.users.oauthbearer.sasl";
    let package = "org.apache.kafka.common.security.oauthbearer";
    format!(
        "\
{prefix}.server.callback.handler.class={package}.OAuthBearerValidatorCallbackHandler
{prefix}.jaas.config={package}.OAuthBearerLoginModule required ;
{prefix}.oauthbearer.jwks.endpoint.url=file://{jwks}
{prefix}.oauthbearer.expected.audience={AUDIENCE}
{prefix}.oauthbearer.expected.issuer={ISSUER}
",
        jwks = jwks.display(),
    )
}

fn jaas(users: &[String]) -> String {
    let mut text = "org.apache.kafka.common.security.plain.PlainLoginModule required".to_owned();
    for user in users {
        let _ = write!(text, " user_{user}=\"{user}\"");
    }
    text.push(';');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_of_the_test_comes_last() {
        let ports = Ports {
            plain: 1,
            sasl: 2,
            controller: 3,
        };
        let options = BrokerOptions::default()
            .with_acls()
            .with_user("alice")
            .with_property("auto.create.topics.enable", "true");
        let text = server_properties(Path::new("/tmp/x"), ports, &options);
        assert!(text.contains("user_alice=\"alice\";\n"));
        assert!(text.contains("StandardAuthorizer\n"));
        assert!(text.ends_with("auto.create.topics.enable=true\n"));
    }
}

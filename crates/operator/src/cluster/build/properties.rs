//! A node's `server.properties`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tubeway_api::NodeRole;
use tubeway_config::ports;

use super::NodeInputs;
use super::pod::disk_variable;
use crate::cluster::names;

/// Below this heap the log cleaner's default buffer (128 MB) would take most
/// of it.
const SMALL_HEAP: u64 = 1 << 30;

/// The options in the order in which people look for them. `$(NAME)` stands
/// for a variable that the launcher knows.
pub(super) fn render(node: NodeInputs<'_>) -> String {
    let mut text = String::new();
    section(&mut text, "The mesh: set by the operator", mesh(node));
    let of_node = node.pool.node_options.get(&node.id).cloned();
    let sections = [
        (
            "Defaults: a KafkaCluster's spec.config overrides them",
            defaults(node),
        ),
        (
            "The KafkaCluster's spec.config",
            node.all.cluster.options.clone(),
        ),
        ("The KafkaNodePool's spec.config", node.pool.options.clone()),
        (
            "This node's config in the KafkaNodePool's spec.nodes",
            of_node.unwrap_or_default(),
        ),
    ];
    for (i, (title, options)) in sections.iter().enumerate() {
        let overridden = |option: &str| {
            let mut later = sections[i + 1..].iter();
            later.any(|(_, options)| options.contains_key(option))
        };
        let options = options.iter().filter(|(option, _)| !overridden(option));
        let options = options.map(|(option, value)| (option.clone(), value.clone()));
        section(&mut text, title, options);
    }
    text
}

fn section(text: &mut String, title: &str, options: impl IntoIterator<Item = (String, String)>) {
    let mut options = options.into_iter().peekable();
    if options.peek().is_none() {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "# {title}");
    for (option, value) in options {
        let _ = writeln!(text, "{option}={}", escaped(&value));
    }
}

fn mesh(node: NodeInputs<'_>) -> Vec<(String, String)> {
    let host = names::host(&node.all.cluster.key, &node.pod_name());
    let roles: Vec<_> = node.pool.roles.iter().map(|role| role.as_str()).collect();
    let listeners = listeners(node);
    let each = |address: &str| -> String {
        let listeners = listeners.iter();
        let listeners: Vec<_> = listeners
            .map(|(name, port)| format!("{name}://{address}:{port}"))
            .collect();
        listeners.join(",")
    };
    let mut options = vec![
        ("process.roles", roles.join(",")),
        ("node.id", node.id.to_string()),
        ("listeners", each("$(TUBEWAY_LOOPBACK)")),
        ("advertised.listeners", each(&host)),
        (
            "listener.security.protocol.map",
            "CLIENT:SASL_PLAINTEXT,INTERNAL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT".to_owned(),
        ),
        ("inter.broker.listener.name", "INTERNAL".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "controller.quorum.bootstrap.servers",
            bootstrap_servers(node),
        ),
        ("log.dirs", log_dirs(node)),
    ];
    if !node.disks().is_empty() {
        // On the disk that stays, whichever others come and go.
        options.push(("metadata.log.dir", first_log_dir()));
    }
    options.extend(access(node));
    let options = options.into_iter();
    options
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn first_log_dir() -> String {
    format!("$(TUBEWAY_DATA_DIR)/{}", names::log_folder(0))
}

fn log_dirs(node: NodeInputs<'_>) -> String {
    let more = node.disks().into_iter().map(|disk| {
        let variable = disk_variable(disk);
        format!("$({variable})/{}", names::log_folder(disk))
    });
    let dirs: Vec<_> = std::iter::once(first_log_dir()).chain(more).collect();
    dirs.join(",")
}

/// Who may log in how, and who may do what.
fn access(node: NodeInputs<'_>) -> Vec<(&'static str, String)> {
    let cluster = node.all.cluster;
    // The sidecars speak for peers, for the operator, and, to learn what topic
    // ids are called, for the node itself.
    let super_users = format!(
        "User:peer;{};{}",
        cluster.operator.principal(),
        cluster.identity.principal()
    );
    let mut options = vec![
        ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
        ("sasl.mechanism.controller.protocol", "PLAIN"),
        ("listener.name.internal.sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.controller.sasl.enabled.mechanisms", "PLAIN"),
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", &super_users),
        ("allow.everyone.if.no.acl.found", "false"),
    ];
    if node.has(NodeRole::Broker) {
        options.extend(CLIENT_LOGIN);
    }
    let options = options.into_iter();
    options
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

/// Clients come with a token whose subject is their mesh identity, signed by
/// this pod's own sidecar. Where its public key is, the launcher adds.
const CLIENT_LOGIN: [(&str, &str); 5] = [
    (
        "listener.name.client.sasl.enabled.mechanisms",
        "OAUTHBEARER",
    ),
    (
        "listener.name.client.oauthbearer.sasl.server.callback.handler.class",
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
    ),
    (
        "listener.name.client.oauthbearer.sasl.jaas.config",
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required ;",
    ),
    (
        "listener.name.client.oauthbearer.sasl.oauthbearer.expected.issuer",
        "tubeway",
    ),
    (
        "listener.name.client.oauthbearer.sasl.oauthbearer.expected.audience",
        "kafka",
    ),
];

fn listeners(node: NodeInputs<'_>) -> Vec<(&'static str, u16)> {
    let mut listeners = Vec::new();
    if node.has(NodeRole::Broker) {
        listeners.push(("CLIENT", ports::CLIENT));
        listeners.push(("INTERNAL", ports::REPLICATION));
    }
    if node.has(NodeRole::Controller) {
        listeners.push(("CONTROLLER", ports::CONTROLLER));
    }
    listeners
}

/// The first controllers: enough to find the others, and the same for ever, so
/// that adding controllers restarts nobody.
fn bootstrap_servers(node: NodeInputs<'_>) -> String {
    let controllers = node.all.founding.initial_controllers.iter();
    let servers: Vec<_> = controllers
        .map(|controller| format!("{}:{}", controller.host, ports::CONTROLLER))
        .collect();
    servers.join(",")
}

fn defaults(node: NodeInputs<'_>) -> BTreeMap<String, String> {
    let cluster = node.all.cluster;
    let replicas = cluster.count(NodeRole::Broker).min(3).to_string();
    let in_sync = cluster.min_in_sync();
    let mut defaults = vec![
        // Topics are Kubernetes resources; a typing error must not make one.
        ("auto.create.topics.enable", "false"),
        ("default.replication.factor", &replicas),
        ("min.insync.replicas", in_sync),
        ("offsets.topic.replication.factor", &replicas),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", in_sync),
        (
            "share.coordinator.state.topic.replication.factor",
            &replicas,
        ),
        ("share.coordinator.state.topic.min.isr", in_sync),
        // Long enough for a group that starts together, short for one alone.
        ("group.initial.rebalance.delay.ms", "500"),
        ("controlled.shutdown.enable", "true"),
    ];
    if heap(node).is_some_and(|bytes| bytes < SMALL_HEAP) {
        defaults.push(("log.cleaner.dedupe.buffer.size", "8388608"));
    }
    let defaults = defaults.into_iter();
    defaults
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn heap(node: NodeInputs<'_>) -> Option<u64> {
    let mut flags = node.pool.jvm_flags.iter();
    let heap = flags.find_map(|flag| flag.strip_prefix("-Xmx"))?;
    let (number, unit) = heap.split_at(heap.len().checked_sub(1)?);
    let factor = match unit {
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A value as Java's property files write it.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (i, c) in value.chars().enumerate() {
        match c {
            '\\' => text.push_str("\\\\"),
            ' ' if i == 0 => text.push_str("\\ "),
            c if c.is_ascii() => text.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_java_s_way_of_reading_them() {
        assert_eq!(escaped("a=b:c#d"), "a=b:c#d");
        assert_eq!(escaped("C:\\logs"), "C:\\\\logs");
        assert_eq!(escaped(" x y"), "\\ x y");
        assert_eq!(escaped("ü😀"), "\\u00fc\\ud83d\\ude00");
    }
}

//! Kafka options that users may set, and those that make up the mesh.

use std::collections::BTreeMap;

use tubeway_api::ConfigValue;

use super::Problems;
use crate::cluster::dynamic::is_dynamic;

/// Options that belong to the operator. One that ends in `.` or `*` stands for
/// all that begin so.
pub const OWNED_OPTIONS: [&str; 26] = [
    "advertised.listeners",
    "allow.everyone.if.no.acl.found",
    "authorizer.class.name",
    "broker.id",
    "broker.id.generation.enable",
    "config.providers*",
    "control.plane.listener.name",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "early.start.listeners",
    "inter.broker.listener.name",
    "inter.broker.protocol.version",
    "listener.",
    "listeners",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "node.id",
    "principal.builder.class",
    "process.roles",
    "sasl.",
    "security.",
    "ssl.",
    "super.users",
    "zookeeper.",
];

/// Whether an option belongs to the operator.
pub fn is_owned(option: &str) -> bool {
    OWNED_OPTIONS.iter().any(|owned| {
        if let Some(prefix) = owned.strip_suffix('*') {
            option.starts_with(prefix)
        } else if owned.ends_with('.') {
            option.starts_with(owned)
        } else {
            option == *owned
        }
    })
}

/// The options as text, where each may be set and can be written in one line.
pub(super) fn check(
    problems: &mut Problems,
    at: &str,
    config: &BTreeMap<String, ConfigValue>,
) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for (name, value) in config {
        let field = format!("{at}[{name:?}]");
        let fine = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !fine {
            problems.add(
                field,
                name,
                "option names of a-z, A-Z, 0-9, '.', '_' and '-'",
            );
        } else if is_owned(name) {
            problems.add(
                field,
                name,
                "options other than those that make up the mesh, which the operator sets",
            );
        } else if let Some(text) = value.text() {
            if text.contains(char::is_control) || text.contains("$(") {
                problems.add(field, text, "text in one line, without \"$(\"");
            } else {
                options.insert(name.clone(), text);
            }
        } else {
            problems.add(field, &value.0, "a string, a number or a boolean");
        }
    }
    options
}

/// The options of a pool or a node. What brokers take while they run is set for
/// all of them in Kafka, and would be in force over these.
pub(super) fn check_own(
    problems: &mut Problems,
    at: &str,
    config: &BTreeMap<String, ConfigValue>,
) -> BTreeMap<String, String> {
    let options = check(problems, at, config);
    for name in options.keys().filter(|name| is_dynamic(name)) {
        problems.add(
            format!("{at}[{name:?}]"),
            name,
            "options that brokers read at their start; this one is set in the KafkaCluster's \
             spec.config",
        );
    }
    options
}

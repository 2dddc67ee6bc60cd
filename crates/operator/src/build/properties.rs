//! `server.properties` of one node, as far as it is known outside the pod.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tubeway_config::ports;
use tubeway_policy::SpiffeId;

use crate::validate::{ValidatedCluster, ValidatedNode};

/// The node's options, the user's among them. `$(NAME)` is for the launcher.
pub fn server_properties(
    cluster: &ValidatedCluster,
    node: &ValidatedNode,
    nodes_id: &SpiffeId,
    operator_id: &SpiffeId,
) -> String {
    let mut options = defaults(cluster);
    options.extend(cluster.config.clone());
    options.extend(owned(cluster, node, nodes_id, operator_id));
    let mut text = String::new();
    for (option, value) in options {
        let _ = writeln!(text, "{option}={value}");
    }
    text
}

/// What a user may set otherwise.
fn defaults(cluster: &ValidatedCluster) -> BTreeMap<String, String> {
    let brokers = cluster.nodes.values().filter(|node| node.broker).count();
    let replicas = brokers.clamp(1, 3);
    let min_in_sync = if replicas == 3 { 2 } else { 1 };
    [
        ("auto.create.topics.enable", "false".to_owned()),
        ("default.replication.factor", replicas.to_string()),
        ("min.insync.replicas", min_in_sync.to_string()),
        ("offsets.topic.replication.factor", replicas.to_string()),
        (
            "transaction.state.log.replication.factor",
            replicas.to_string(),
        ),
        ("transaction.state.log.min.isr", min_in_sync.to_string()),
        (
            "share.coordinator.state.topic.replication.factor",
            replicas.to_string(),
        ),
        (
            "share.coordinator.state.topic.min.isr",
            min_in_sync.to_string(),
        ),
        // The default of 128 MB does not fit into a small heap.
        ("log.cleaner.dedupe.buffer.size", "8388608".to_owned()),
    ]
    .into_iter()
    .map(|(option, value)| (option.to_owned(), value))
    .collect()
}

/// What makes the node a part of the mesh.
fn owned(
    cluster: &ValidatedCluster,
    node: &ValidatedNode,
    nodes_id: &SpiffeId,
    operator_id: &SpiffeId,
) -> BTreeMap<String, String> {
    let host = cluster.names.host(&node.pod);
    let roles = match (node.broker, node.controller) {
        (true, true) => "broker,controller",
        (true, false) => "broker",
        _ => "controller",
    };
    let mut listeners = Vec::new();
    if node.broker {
        listeners.push(("CLIENT", ports::CLIENT));
        listeners.push(("INTERNAL", ports::REPLICATION));
    }
    if node.controller {
        listeners.push(("CONTROLLER", ports::CONTROLLER));
    }
    let at = |address: &str| {
        listeners
            .iter()
            .map(|(name, port)| format!("{name}://{address}:{port}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let voters: Vec<String> = cluster
        .nodes
        .values()
        .filter(|node| node.controller)
        .map(|node| format!("{}:{}", cluster.names.host(&node.pod), ports::CONTROLLER))
        .collect();
    const OAUTH: &str = "listener.name.client.oauthbearer.sasl";
    let mut options: BTreeMap<String, String> = [
        ("process.roles", roles.to_owned()),
        ("node.id", node.id.to_string()),
        ("log.dirs", "$(TUBEWAY_DATA_DIR)/log".to_owned()),
        ("listeners", at("$(TUBEWAY_LOOPBACK)")),
        ("advertised.listeners", at(&host)),
        (
            "listener.security.protocol.map",
            "CLIENT:SASL_PLAINTEXT,INTERNAL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT".to_owned(),
        ),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("controller.quorum.bootstrap.servers", voters.join(",")),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN".to_owned()),
        ("sasl.mechanism.controller.protocol", "PLAIN".to_owned()),
        (
            "listener.name.client.sasl.enabled.mechanisms",
            "OAUTHBEARER".to_owned(),
        ),
        (
            "listener.name.internal.sasl.enabled.mechanisms",
            "PLAIN".to_owned(),
        ),
        (
            "listener.name.controller.sasl.enabled.mechanisms",
            "PLAIN".to_owned(),
        ),
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        ),
        ("allow.everyone.if.no.acl.found", "false".to_owned()),
        (
            // The sidecars speak for peers, for the node, and for the operator.
            "super.users",
            format!(
                "User:peer;{};{}",
                nodes_id.principal(),
                operator_id.principal()
            ),
        ),
    ]
    .into_iter()
    .map(|(option, value)| (option.to_owned(), value))
    .collect();
    options.insert(
        format!("{OAUTH}.server.callback.handler.class"),
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
            .to_owned(),
    );
    options.insert(
        format!("{OAUTH}.oauthbearer.expected.audience"),
        "kafka".to_owned(),
    );
    options.insert(
        format!("{OAUTH}.oauthbearer.expected.issuer"),
        "tubeway".to_owned(),
    );
    options.insert(
        "inter.broker.listener.name".to_owned(),
        "INTERNAL".to_owned(),
    );
    if !node.broker {
        options.retain(|option, _| !option.starts_with("listener.name.client"));
    }
    options
}

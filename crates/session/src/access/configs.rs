//! Configurations of topics, groups, brokers, loggers and client metrics.

use std::collections::{HashMap, HashSet};

use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::listed::{Place, PutBack};
use super::refusals::{self, CLUSTER_DENIED, GROUP_DENIED, INVALID_REQUEST, TOPIC_DENIED};
use super::{Access, Case, Verdict, tree};

/// Kafka's codes of what can be configured.
const TOPIC: i64 = 2;
const BROKER: i64 = 4;
const BROKER_LOGGER: i64 = 8;
const CLIENT_METRICS: i64 = 16;
const GROUP: i64 = 32;

/// Taking a configuration away, among incremental changes.
const DELETE: i64 = 1;

/// DescribeConfigs.
pub(super) fn describe(case: &Case<'_>) -> Verdict {
    let known = |resource: &Struct| {
        let kinds = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
        kinds.contains(&resource.int("ResourceType"))
    };
    let blank = case.blank();
    if !case.request.structs("Resources").all(known) {
        let mut answer = blank;
        for resource in case.request.structs("Resources") {
            let mut entry = about(&answer, "Results", resource);
            refusals::say(&mut entry, INVALID_REQUEST);
            tree::push(&mut answer, "Results", entry);
        }
        return Verdict::Answer(answer);
    }
    let mut refused = PutBack::new("Results", Place::Last);
    let mut kept = Vec::new();
    for (at, resource) in case.request.structs("Resources").enumerate() {
        match refusal(&case.access, Operation::DescribeConfigs, resource) {
            None => kept.push(resource.clone().into()),
            Some(code) => {
                let mut entry = about(&blank, "Results", resource);
                refusals::say(&mut entry, code);
                refused.push(at, entry);
            }
        }
    }
    case.cut("Resources", kept, refused, Vec::new())
}

/// AlterConfigs and IncrementalAlterConfigs. What a broker checks before it
/// looks at access is checked here too, as far as the request alone shows it.
pub(super) fn alter(case: &Case<'_>) -> Verdict {
    let blank = case.blank();
    let what = |of: &Struct| (of.int("ResourceType"), tree::bytes(of, "ResourceName"));
    let mut times: HashMap<_, usize> = HashMap::new();
    for resource in case.request.structs("Resources") {
        *times.entry(what(resource)).or_default() += 1;
    }
    let mut refused = PutBack::new("Responses", Place::AsAsked);
    let mut kept = Vec::new();
    for (at, resource) in case.request.structs("Resources").enumerate() {
        let Some(code) = refusal(&case.access, Operation::AlterConfigs, resource) else {
            kept.push(Value::from(resource.clone()));
            continue;
        };
        let malformed = match times[&what(resource)] {
            1 => malformed(resource),
            _ => Some("Each resource must appear at most once.".to_owned()),
        };
        let mut entry = about(&blank, "Responses", resource);
        match malformed {
            Some(message) => {
                entry.set("ErrorCode", INVALID_REQUEST);
                entry.set("ErrorMessage", message.as_str());
            }
            None if resource.int("ResourceType") == BROKER_LOGGER => {
                refusals::quietly(&mut entry, code);
            }
            None => refusals::say(&mut entry, code),
        }
        refused.push(at, entry);
    }
    case.cut("Resources", kept, refused, Vec::new())
}

/// The error of a resource that the caller may not use. What is not a resource
/// is for the broker to refuse, and so are loggers to the older API.
fn refusal(access: &Access<'_>, operation: Operation, resource: &Struct) -> Option<i16> {
    let name = tree::bytes(resource, "ResourceName");
    let (allowed, code) = match resource.int("ResourceType") {
        TOPIC => (access.topic(operation, &name), TOPIC_DENIED),
        GROUP => (access.group(operation, &name), GROUP_DENIED),
        BROKER_LOGGER if resource.layout().api().0 == 33 => return None,
        BROKER | BROKER_LOGGER | CLIENT_METRICS => (access.cluster(operation), CLUSTER_DENIED),
        _ => return None,
    };
    (!allowed).then_some(code)
}

/// What is wrong with the changes to a resource.
fn malformed(resource: &Struct) -> Option<String> {
    let mut names = HashSet::new();
    for config in resource.structs("Configs") {
        if !names.insert(tree::bytes(config, "Name")) {
            return Some("Error due to duplicate config keys".to_owned());
        }
    }
    let null = |config: &&Struct| {
        tree::is_null(config, "Value") && config.int("ConfigOperation") != DELETE
    };
    let nulls: Vec<_> = resource
        .structs("Configs")
        .filter(null)
        .map(|config| config.str("Name").unwrap_or_default())
        .collect();
    (!nulls.is_empty()).then(|| format!("Null value not supported for : {}", nulls.join(", ")))
}

/// An entry of a response about this resource.
fn about(blank: &Struct, array: &str, resource: &Struct) -> Struct {
    let mut entry = tree::element(blank, array);
    for field in ["ResourceType", "ResourceName"] {
        entry.set(field, resource.get(field).cloned().unwrap_or_default());
    }
    entry
}

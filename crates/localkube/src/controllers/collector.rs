//! Garbage collection by owner references.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::api::status::{Reply, Status};
use crate::api::{Api, key_of};
use crate::objects::{
    Deletion, FOREGROUND, ORPHAN, Propagation, drop_finalizer, ending, finalizers,
};
use crate::resource::{Catalog, Resource};
use crate::store::{Key, Stored};

/// An object with its kind.
struct Node {
    resource: Arc<Resource>,
    key: Key,
    object: Arc<Stored>,
}

/// All objects, by uid and by owner.
struct Graph {
    nodes: Vec<Node>,
    by_uid: HashMap<String, usize>,
    dependents: HashMap<String, Vec<usize>>,
}

/// What the owners of an object amount to.
#[derive(Default)]
struct Owners {
    /// Uids of owners that are there to stay.
    solid: HashSet<String>,
    /// Uids of owners that are gone.
    absent: HashSet<String>,
    /// Uids of owners that wait for their dependents to go.
    waiting: HashSet<String>,
    /// Whether an owner is of a kind that is not served: nobody can tell whether it is gone.
    unknown: bool,
}

/// Deletes objects whose owners are gone, and sees to owners that wait for their dependents.
pub(super) fn collect(api: &Api) -> Reply<()> {
    let catalog = api.registry.catalog();
    let graph = Graph::read(api, &catalog);
    for node in &graph.nodes {
        orphan_dependents(api, &graph, node)?;
        release(api, &graph, node)?;
    }
    for node in graph
        .nodes
        .iter()
        .filter(|node| references(node).next().is_some())
    {
        collect_one(api, &catalog, &graph, node)?;
    }
    Ok(())
}

fn references(node: &Node) -> impl Iterator<Item = &Value> {
    node.object.value["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
}

fn uid(value: &Value) -> &str {
    value["uid"].as_str().unwrap_or_default()
}

// === impl Graph ===

impl Graph {
    fn read(api: &Api, catalog: &Catalog) -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            by_uid: HashMap::new(),
            dependents: HashMap::new(),
        };
        for resource in catalog.stored() {
            for object in api.store.list(&resource.storage, None).1 {
                let at = graph.nodes.len();
                graph
                    .by_uid
                    .insert(uid(&object.value["metadata"]).to_owned(), at);
                let node = Node {
                    resource: resource.clone(),
                    key: key_of(&resource.storage, &object),
                    object,
                };
                for owner in references(&node) {
                    graph
                        .dependents
                        .entry(uid(owner).to_owned())
                        .or_default()
                        .push(at);
                }
                graph.nodes.push(node);
            }
        }
        graph
    }

    fn dependents(&self, node: &Node) -> impl Iterator<Item = &Node> {
        let list = self.dependents.get(uid(&node.object.value["metadata"]));
        list.into_iter().flatten().map(|&at| &self.nodes[at])
    }

    fn owners(&self, catalog: &Catalog, node: &Node) -> Owners {
        let mut owners = Owners::default();
        for reference in references(node) {
            let uid = uid(reference).to_owned();
            let owner = self.by_uid.get(&uid).map(|&at| &self.nodes[at]);
            match owner {
                Some(owner)
                    if owner.key.namespace.is_empty()
                        || owner.key.namespace == node.key.namespace =>
                {
                    let waits = ending(&owner.object.value)
                        && finalizers(&owner.object.value).contains(&FOREGROUND);
                    if waits {
                        owners.waiting.insert(uid)
                    } else {
                        owners.solid.insert(uid)
                    };
                }
                // A namespaced owner of a cluster-scoped object: a mistake that nobody can act on.
                Some(_) if node.key.namespace.is_empty() => owners.unknown = true,
                Some(_) => drop(owners.absent.insert(uid)),
                None => {
                    let version = reference["apiVersion"].as_str().unwrap_or_default();
                    let group = version.split_once('/').map_or("", |(group, _)| group);
                    let kind = reference["kind"].as_str().unwrap_or_default();
                    if catalog.by_kind(group, kind).is_some() {
                        owners.absent.insert(uid);
                    } else {
                        owners.unknown = true;
                    }
                }
            }
        }
        owners
    }
}

/// Makes the dependents of an owner that is to be orphaned forget it.
fn orphan_dependents(api: &Api, graph: &Graph, owner: &Node) -> Reply<()> {
    if !ending(&owner.object.value) || !finalizers(&owner.object.value).contains(&ORPHAN) {
        return Ok(());
    }
    let gone = HashSet::from([uid(&owner.object.value["metadata"]).to_owned()]);
    for dependent in graph.dependents(owner) {
        forget(api, &dependent.key, &gone)?;
    }
    api.adjust(&owner.key, |owner| {
        ending(owner) && drop_finalizer(owner, ORPHAN)
    })
    .map_err(Status::internal)
}

/// Lets an owner go that waits for dependents of which none is left that it must wait for.
fn release(api: &Api, graph: &Graph, owner: &Node) -> Reply<()> {
    if !ending(&owner.object.value) || !finalizers(&owner.object.value).contains(&FOREGROUND) {
        return Ok(());
    }
    let own = uid(&owner.object.value["metadata"]);
    let blocking = graph.dependents(owner).any(|dependent| {
        let blocks =
            references(dependent).any(|r| uid(r) == own && r["blockOwnerDeletion"] == true);
        blocks && api.store.get(&dependent.key).is_some()
    });
    if blocking {
        return Ok(());
    }
    api.adjust(&owner.key, |owner| {
        ending(owner) && drop_finalizer(owner, FOREGROUND)
    })
    .map_err(Status::internal)
}

fn collect_one(api: &Api, catalog: &Catalog, graph: &Graph, node: &Node) -> Reply<()> {
    let owners = graph.owners(catalog, node);
    if owners.unknown || ending(&node.object.value) {
        return Ok(());
    }
    if !owners.solid.is_empty() {
        let gone: HashSet<String> = owners.absent.union(&owners.waiting).cloned().collect();
        return if gone.is_empty() {
            Ok(())
        } else {
            forget(api, &node.key, &gone)
        };
    }
    let propagation = if owners.waiting.is_empty() {
        None
    } else if graph.dependents(node).next().is_some() {
        Some(Propagation::Foreground)
    } else {
        Some(Propagation::Background)
    };
    let deletion = Deletion {
        uid: Some(uid(&node.object.value["metadata"]).to_owned()),
        // Somebody may have given it another owner just now.
        resource_version: Some(node.object.rv.to_string()),
        propagation,
        ..Deletion::default()
    };
    match api.discard(&node.resource, &node.key, &deletion) {
        Err(status) if !matches!(status.reason, "NotFound" | "Conflict") => Err(status),
        _ => Ok(()),
    }
}

/// Removes references to owners.
fn forget(api: &Api, key: &Key, gone: &HashSet<String>) -> Reply<()> {
    let changed = api.adjust(key, |object| {
        let Some(metadata) = object["metadata"].as_object_mut() else {
            return false;
        };
        let Some(list) = metadata
            .get_mut("ownerReferences")
            .and_then(Value::as_array_mut)
        else {
            return false;
        };
        let before = list.len();
        list.retain(|reference| !gone.contains(uid(reference)));
        let changed = list.len() < before;
        if list.is_empty() {
            metadata.remove("ownerReferences");
        }
        changed
    });
    changed.map_err(Status::internal)
}

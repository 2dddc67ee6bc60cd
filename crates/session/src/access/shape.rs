//! Refusals that name every topic and partition of the request.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tubeway_protocol::value::{Struct, Value};

use super::{Case, refusals, tree};

/// One result per directory and topic, as brokers have it.
pub(super) fn alter_replica_log_dirs(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    for dir in case.request.structs("Dirs") {
        for topic in dir.structs("Topics") {
            let mut result = tree::element(&response, "Results");
            result.set("TopicName", tree::text(&tree::bytes(topic, "Name")));
            for index in tree::ints(topic, "Partitions") {
                let mut partition = tree::element(&result, "Partitions");
                partition.set("PartitionIndex", index);
                partition.set("ErrorCode", code);
                tree::push(&mut result, "Partitions", partition);
            }
            tree::push(&mut response, "Results", result);
        }
    }
    response
}

pub(super) fn elect_leaders(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    response.set("ErrorCode", code);
    for topic in case.request.structs("TopicPartitions") {
        let mut result = tree::element(&response, "ReplicaElectionResults");
        result.set("Topic", tree::text(&tree::bytes(topic, "Topic")));
        for index in tree::ints(topic, "Partitions") {
            let mut partition = tree::element(&result, "PartitionResult");
            partition.set("PartitionId", index);
            refusals::say(&mut partition, code);
            tree::push(&mut result, "PartitionResult", partition);
        }
        tree::push(&mut response, "ReplicaElectionResults", result);
    }
    response
}

pub(super) fn alter_partition_reassignments(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    refusals::say(&mut response, code);
    for topic in case.request.structs("Topics") {
        let mut result = tree::element(&response, "Responses");
        result.set("Name", tree::text(&tree::bytes(topic, "Name")));
        for asked in topic.structs("Partitions") {
            let mut partition = tree::element(&result, "Partitions");
            partition.set("PartitionIndex", asked.int("PartitionIndex") as i32);
            refusals::say(&mut partition, code);
            tree::push(&mut result, "Partitions", partition);
        }
        tree::push(&mut response, "Responses", result);
    }
    response
}

/// The partitions are named, and nothing is said of them.
pub(super) fn list_partition_reassignments(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    refusals::say(&mut response, code);
    for topic in case.request.structs("Topics") {
        let mut result = tree::element(&response, "Topics");
        result.set("Name", tree::text(&tree::bytes(topic, "Name")));
        for index in tree::ints(topic, "PartitionIndexes") {
            let mut partition = tree::element(&result, "Partitions");
            partition.set("PartitionIndex", index);
            tree::push(&mut result, "Partitions", partition);
        }
        tree::push(&mut response, "Topics", result);
    }
    response
}

/// The five APIs between brokers that keep the state of share groups (KIP-932).
pub(super) fn share_state(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    for topic in case.request.structs("Topics") {
        let mut result = tree::element(&response, "Results");
        result.set("TopicId", Value::Uuid(tree::uuid(topic, "TopicId")));
        for asked in topic.structs("Partitions") {
            let mut partition = tree::element(&result, "Partitions");
            partition.set("Partition", asked.int("Partition") as i32);
            refusals::say(&mut partition, code);
            tree::push(&mut result, "Partitions", partition);
        }
        tree::push(&mut response, "Results", result);
    }
    response
}

/// The transaction markers of a broker; those of one producer are one entry.
pub(super) fn write_txn_markers(case: &Case<'_>, code: i16) -> Struct {
    let mut response = case.blank();
    let mut results: Vec<Struct> = Vec::new();
    let mut producers = HashMap::new();
    for marker in case.request.structs("Markers") {
        let mut result = tree::element(&response, "Markers");
        result.set("ProducerId", marker.int("ProducerId"));
        for topic in marker.structs("Topics") {
            let mut of_topic = tree::element(&result, "Topics");
            of_topic.set("Name", tree::text(&tree::bytes(topic, "Name")));
            for index in tree::ints(topic, "PartitionIndexes") {
                let mut partition = tree::element(&of_topic, "Partitions");
                partition.set("PartitionIndex", index);
                partition.set("ErrorCode", code);
                tree::push(&mut of_topic, "Partitions", partition);
            }
            tree::push(&mut result, "Topics", of_topic);
        }
        // A later marker of the same producer takes the place of an earlier one.
        match producers.entry(marker.int("ProducerId")) {
            Entry::Occupied(place) => results[*place.get()] = result,
            Entry::Vacant(place) => {
                place.insert(results.len());
                results.push(result);
            }
        }
    }
    response.set("Markers", results);
    response
}

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kafka_admin::PartitionDescription;

fn spec(spec: &serde_json::Value) -> KafkaTopic {
    let mut topic = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": {"namespace": "shop", "name": "orders"},
        "spec": {"cluster": {"name": "main"}},
    });
    for (field, value) in spec.as_object().unwrap() {
        topic["spec"][field] = value.clone();
    }
    serde_json::from_value(topic).unwrap()
}

fn wanted(value: &serde_json::Value) -> WantedTopic {
    WantedTopic::of(&spec(value)).unwrap()
}

fn entry(value: &str, source: ConfigSource) -> ConfigEntry {
    ConfigEntry {
        value: Some(value.to_owned()),
        source,
        read_only: false,
    }
}

fn actual(partitions: i32, replicas: i32, config: &[(&str, &str, ConfigSource)]) -> ActualTopic {
    let partition = |index| PartitionDescription {
        index,
        leader: Some(1),
        leader_epoch: 0,
        replicas: (1..=replicas).collect(),
        in_sync: Vec::new(),
        offline: Vec::new(),
    };
    let config = config
        .iter()
        .map(|(n, v, s)| ((*n).to_owned(), entry(v, *s)));
    ActualTopic {
        topic: TopicDescription {
            id: Uuid::nil(),
            internal: false,
            partitions: (0..partitions).map(partition).collect(),
        },
        config: config.collect(),
    }
}

fn changes(wanted: &WantedTopic, actual: &ActualTopic) -> (Option<i32>, Vec<String>, Vec<String>) {
    let Change {
        partitions,
        config,
        unsupported,
    } = wanted.change(actual);
    let config = config.iter().map(|(name, change)| match change {
        ConfigChange::Set(value) => format!("{name}={value}"),
        ConfigChange::Delete => format!("-{name}"),
    });
    (partitions, config.collect(), unsupported)
}

#[test]
fn a_missing_topic_is_made_as_the_spec_says() {
    let wanted = wanted(&json!({"partitions": 6, "config": {"retention.ms": 1000}}));
    let new = wanted.creation();
    assert_eq!(
        (new.name.as_str(), new.partitions, new.replicas),
        ("orders", Some(6), None)
    );
    assert_eq!(new.config["retention.ms"], "1000");
}

#[test]
fn a_topic_that_is_there_is_adopted() {
    let wanted = wanted(&json!({}));
    assert_eq!(changes(&wanted, &actual(7, 3, &[])), (None, vec![], vec![]));
}

#[test]
fn partitions_only_grow() {
    let four = wanted(&json!({"partitions": 4}));
    assert_eq!(changes(&four, &actual(3, 1, &[])).0, Some(4));
    assert_eq!(changes(&four, &actual(4, 1, &[])), (None, vec![], vec![]));
    let (partitions, _, unsupported) = changes(&four, &actual(5, 1, &[]));
    assert_eq!(partitions, None);
    assert!(
        unsupported[0].contains("set spec.partitions to 5 (not 4)"),
        "{unsupported:?}"
    );
}

#[test]
fn options_follow_the_spec_and_what_tools_set_stays() {
    use ConfigSource::{Default, Static, Topic};
    let wanted = wanted(&json!({"config": {
        "same": "1", "other": "2", "pinned": "3", "new": true,
    }}));
    let actual = actual(
        1,
        1,
        &[
            ("same", "1", Topic),
            ("other", "1", Topic),
            ("pinned", "3", Default),
            ("foreign", "x", Topic),
            ("cluster-wide", "x", Static),
            ("leader.replication.throttled.replicas", "0:1", Topic),
        ],
    );
    assert_eq!(
        changes(&wanted, &actual).1,
        ["-foreign", "new=true", "other=2", "pinned=3"]
    );
}

#[test]
fn one_value_written_in_two_ways_is_no_change() {
    for (now, wanted, same) in [
        ("1", " 1 ", true),
        ("0.5", "0.50", true),
        ("1000", "1e3", true),
        ("true", "TRUE", true),
        ("true", "false", false),
        ("compact,delete", "compact, delete", true),
        ("compact,delete", "delete,compact", false),
        ("9007199254740993", "9007199254740992", false),
        ("", "x", false),
        ("a", "A", false),
    ] {
        assert_eq!(same_value(now, wanted), same, "{now:?} {wanted:?}");
    }
}

#[test]
fn what_no_topic_has_is_refused() {
    for (value, said) in [
        (
            json!({"topicName": "__x"}),
            "topic \"__x\" is not allowed: names that begin with \"__\" are Kafka's own",
        ),
        (
            json!({"partitions": 0}),
            "spec.partitions is 0; it must be from 1 to 100000",
        ),
        (
            json!({"replicas": 1001}),
            "spec.replicas is 1001; it must be from 1 to 1000",
        ),
        (
            json!({"config": {"x": [1]}}),
            "spec.config.x is not allowed: the value must be a string, a number or a boolean",
        ),
    ] {
        let error = WantedTopic::of(&spec(&value)).unwrap_err();
        assert_eq!(error.to_string(), said);
    }
}

proptest! {
    /// What was applied is what a second look finds: no plan after the plan.
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        config in proptest::collection::btree_map("[a-d]", "[xy1]{1,2}", 0..4),
        now in proptest::collection::btree_map("[a-d]", ("[xy1]{1,2}", any::<bool>()), 0..4),
        partitions in proptest::option::of(3..9_i32),
    ) {
        let wanted = WantedTopic { name: "t".to_owned(), partitions, replicas: None, config };
        let mut actual = actual(3, 1, &[]);
        for (name, (value, own)) in now {
            let source = if own { ConfigSource::Topic } else { ConfigSource::Default };
            actual.config.insert(name, entry(&value, source));
        }
        let Change { partitions, config, unsupported } = wanted.change(&actual);
        prop_assert!(unsupported.is_empty());
        for (name, change) in config {
            match change {
                ConfigChange::Set(value) => {
                    actual.config.insert(name, entry(&value, ConfigSource::Topic));
                }
                ConfigChange::Delete => {
                    actual.config.remove(&name);
                }
            }
        }
        if let Some(count) = partitions {
            let last = actual.topic.partitions.last().cloned().unwrap();
            actual.topic.partitions.resize(usize::try_from(count).unwrap(), last);
        }
        prop_assert_eq!(wanted.change(&actual), Change::default());
    }
}

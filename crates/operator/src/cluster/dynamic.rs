//! Options that brokers take while they run. Pure.
//!
//! They are set for all brokers in Kafka and are not in `server.properties`:
//! what is in both would be in force again, as it was when the broker was
//! started, once it is taken out of one.

use std::collections::BTreeMap;

use crate::kafka_admin::ConfigChange;

/// Kafka refuses to be without it where it knows eligible leader replicas
/// (KIP-966), so it is always set.
pub const MIN_IN_SYNC: &str = "min.insync.replicas";

/// Options that can be set for all brokers while they run, in every release that
/// is supported (`DynamicBrokerConfig` of Kafka 3.9.1 and 4.3.1). The sizes of
/// thread pools are left out: Kafka lets them at most double or halve at a time.
pub const DYNAMIC_OPTIONS: [&str; 43] = [
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleanup.policy",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.local.retention.bytes",
    "log.local.retention.ms",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.preallocate",
    "log.retention.bytes",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "log.segment.delete.delay.ms",
    "max.connection.creation.rate",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    "message.max.bytes",
    "min.insync.replicas",
    "producer.id.expiration.ms",
    "remote.fetch.max.wait.ms",
    "remote.log.index.file.cache.total.size.bytes",
    "remote.log.manager.copy.max.bytes.per.second",
    "remote.log.manager.fetch.max.bytes.per.second",
    "transaction.partition.verification.enable",
    "unclean.leader.election.enable",
];

/// Whether brokers take this option while they run.
pub fn is_dynamic(option: &str) -> bool {
    DYNAMIC_OPTIONS.binary_search(&option).is_ok()
}

/// What to change so that these options, and no others of their kind, are set.
pub fn changes(
    wanted: &BTreeMap<String, String>,
    set: &BTreeMap<String, String>,
) -> BTreeMap<String, ConfigChange> {
    let to_set = wanted
        .iter()
        .filter(|(option, value)| set.get(*option) != Some(*value));
    let to_set = to_set.map(|(option, value)| (option.clone(), ConfigChange::Set(value.clone())));
    let to_delete = set.keys().filter(|option| {
        // What others have set for reasons of their own is theirs.
        is_dynamic(option) && !wanted.contains_key(*option)
    });
    let to_delete = to_delete.map(|option| (option.clone(), ConfigChange::Delete));
    to_set.chain(to_delete).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(options: &[(&str, &str)]) -> BTreeMap<String, String> {
        let options = options.iter();
        options
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(DYNAMIC_OPTIONS.is_sorted());
        assert!(is_dynamic("log.retention.ms"));
        assert!(!is_dynamic("num.io.threads"));
    }

    #[test]
    fn what_drifted_is_put_back_and_what_is_others_is_left() {
        let wanted = options(&[("log.retention.ms", "1000"), ("message.max.bytes", "7")]);
        let set = options(&[
            ("message.max.bytes", "7"),
            ("log.segment.bytes", "9"),
            ("num.io.threads", "4"),
        ]);
        let changes = changes(&wanted, &set);
        let expected = [
            (
                "log.retention.ms".to_owned(),
                ConfigChange::Set("1000".to_owned()),
            ),
            ("log.segment.bytes".to_owned(), ConfigChange::Delete),
        ];
        assert_eq!(changes, expected.into());
        assert!(super::changes(&wanted, &wanted).is_empty());
    }
}

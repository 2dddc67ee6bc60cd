//! Flags for a node's Java runtime.

use std::collections::BTreeMap;

use tubeway_api::{Jvm, LogLevel};

use super::Problems;

/// Flags that decide what code runs, or that make up the mesh.
const OWNED_FLAGS: [&str; 9] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-jar",
    "-Xbootclasspath",
    "-Xmx",
    "-Xms",
    "-Djdk.net.hosts.file",
    "-Dorg.apache.kafka.sasl.oauthbearer",
];

/// The flags that the launcher starts the runtime with.
pub(super) fn flags(problems: &mut Problems, pool: &str, jvm: &Jvm) -> Vec<String> {
    let at = |field: &str| format!("KafkaNodePool/{pool} spec.jvm.{field}");
    if !is_heap(&jvm.heap) {
        problems.add(at("heap"), &jvm.heap, "a size as in 256m or 4g");
    }
    for (i, option) in jvm.options.iter().enumerate() {
        let at = at(&format!("options[{i}]"));
        if !option.starts_with('-') || option.contains(|c: char| c.is_whitespace() || c == '\0') {
            problems.add(at, option, "one flag that begins with '-' and has no space");
        } else if let Some(owned) = OWNED_FLAGS.iter().find(|o| option.starts_with(*o)) {
            problems.add(
                at,
                option,
                format!("flags that the operator does not set itself, as it does {owned}"),
            );
        }
    }
    let heap = &jvm.heap;
    [
        format!("-Xms{heap}"),
        format!("-Xmx{heap}"),
        // A node out of memory must not linger half alive: it restarts.
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
    ]
    .into_iter()
    .chain(jvm.options.iter().cloned())
    .collect()
}

/// The levels as the launcher reads them: `logger=LEVEL`.
pub(super) fn loggers(
    problems: &mut Problems,
    pool: &str,
    loggers: &BTreeMap<String, LogLevel>,
) -> Vec<String> {
    let mut levels = Vec::new();
    for (logger, level) in loggers {
        let fine = !logger.is_empty()
            && logger
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'$'));
        if fine {
            levels.push(format!("{logger}={level}"));
        } else {
            problems.add(
                format!("KafkaNodePool/{pool} spec.loggers[{logger:?}]"),
                logger,
                "names of loggers, as in kafka.authorizer.logger",
            );
        }
    }
    levels
}

fn is_heap(text: &str) -> bool {
    text.strip_suffix(['k', 'm', 'g', 'K', 'M', 'G'])
        .is_some_and(|number| {
            !number.starts_with('0') && number.len() <= 9 && number.parse::<u32>().is_ok()
        })
}

//! What the launcher is told by its environment (`docs/pods.md`).

use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The launcher's environment, read and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// ConfigMap volume with `server.properties` and `quorum.json`.
    pub config_dir: PathBuf,
    /// Folder shared with the sidecar.
    pub run_dir: PathBuf,
    /// The node's volume.
    pub data_dir: PathBuf,
    /// Where the broker's own listeners are.
    pub loopback: Ipv4Addr,
    /// Folder of Kafka's jars.
    pub libs: PathBuf,
    /// The `java` program.
    pub java: PathBuf,
    /// Heap and further JVM flags, split at white space.
    pub jvm_options: Vec<String>,
    /// `logger=LEVEL` pairs above the default of INFO.
    pub log_levels: Vec<(String, String)>,
}

/// A variable that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name} {problem}")]
pub struct SettingsError {
    /// Name of the variable.
    pub name: &'static str,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

// === impl Settings ===

impl Settings {
    /// Reads the settings through `get`, which answers for one variable.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let required = |name: &'static str| {
            get(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| SettingsError {
                    name,
                    problem: "is not set; the pod spec must give it (docs/pods.md)".to_owned(),
                })
        };
        let or = |name: &str, default: &str| get(name).unwrap_or_else(|| default.to_owned());
        let loopback = or("TUBEWAY_LOOPBACK", "127.0.0.1");
        Ok(Self {
            config_dir: required("TUBEWAY_CONFIG_DIR")?.into(),
            run_dir: required("TUBEWAY_RUN_DIR")?.into(),
            data_dir: required("TUBEWAY_DATA_DIR")?.into(),
            loopback: loopback
                .parse()
                .ok()
                .filter(Ipv4Addr::is_loopback)
                .ok_or_else(|| SettingsError {
                    name: "TUBEWAY_LOOPBACK",
                    problem: format!("is {loopback:?}; it must be an address in 127.0.0.0/8"),
                })?,
            libs: or("KAFKA_LIBS", "/opt/kafka/libs").into(),
            java: or("JAVA", "java").into(),
            jvm_options: or("KAFKA_JVM_OPTS", "-Xmx1g")
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            log_levels: levels(&or("KAFKA_LOG_LEVELS", ""))?,
        })
    }
}

fn levels(text: &str) -> Result<Vec<(String, String)>, SettingsError> {
    const LEVELS: [&str; 6] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE", "OFF"];
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            pair.split_once('=')
                .filter(|(logger, level)| {
                    !logger.is_empty()
                        && logger.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_')
                        && LEVELS.contains(level)
                })
                .map(|(logger, level)| (logger.to_owned(), level.to_owned()))
                .ok_or_else(|| SettingsError {
                    name: "KAFKA_LOG_LEVELS",
                    problem: format!(
                        "has {pair:?}; it takes logger=LEVEL pairs, separated by commas, with a level of {}",
                        LEVELS.join(", ")
                    ),
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| {
            let (_, value) = pairs.iter().find(|(n, _)| *n == name)?;
            Some((*value).to_owned())
        }
    }

    const DIRS: [(&str, &str); 3] = [
        ("TUBEWAY_CONFIG_DIR", "/etc/tubeway"),
        ("TUBEWAY_RUN_DIR", "/run/tubeway"),
        ("TUBEWAY_DATA_DIR", "/var/lib/kafka"),
    ];

    #[test]
    fn three_folders_are_enough() {
        let settings = Settings::read(env(&DIRS)).unwrap();
        assert_eq!(settings.loopback, Ipv4Addr::LOCALHOST);
        assert_eq!(settings.jvm_options, ["-Xmx1g"]);
        assert_eq!(settings.libs, PathBuf::from("/opt/kafka/libs"));
    }

    #[test]
    fn a_missing_or_wrong_variable_is_named() {
        let error = Settings::read(env(&DIRS[1..])).unwrap_err();
        assert_eq!(error.name, "TUBEWAY_CONFIG_DIR");
        for (name, value) in [
            ("TUBEWAY_LOOPBACK", "10.0.0.1"),
            ("KAFKA_LOG_LEVELS", "kafka=LOUD"),
            ("KAFKA_LOG_LEVELS", "DEBUG"),
            ("KAFKA_LOG_LEVELS", "a b=INFO"),
        ] {
            let pairs = [DIRS.as_slice(), &[(name, value)]].concat();
            let error = Settings::read(env(&pairs)).unwrap_err();
            assert_eq!(error.name, name, "{value}");
            assert!(error.problem.contains(value), "{error}");
        }
    }
}

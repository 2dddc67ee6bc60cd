//! From settings to the JVM's command line.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::logging;
use crate::properties::{ExpandError, Properties};
use crate::quorum::Quorum;
use crate::settings::Settings;

/// How long the sidecar may take to write its files.
const SIDECAR_WAIT: Duration = Duration::from_secs(120);
const CONTROLLER_PORT: u16 = 9094;
const RACK: &str = "broker.rack";

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A file of the pod cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The rendered configuration cannot be used.
    #[error(transparent)]
    Properties(#[from] ExpandError),
    /// The rendered configuration lacks what the launcher relies on.
    #[error("server.properties has no usable {0}; the operator must render it")]
    Option(&'static str),
    /// `quorum.json` cannot be read.
    #[error("quorum.json is not what the operator writes: {0}")]
    Quorum(#[from] serde_json::Error),
    /// The sidecar did not write its part of the agreement.
    #[error(
        "waited {}s for the sidecar to write {}; look at the log of container `sidecar`",
        SIDECAR_WAIT.as_secs(), path.display()
    )]
    NoSidecar {
        /// The file that is missing.
        path: PathBuf,
    },
}

/// What is to be run: first `format`, if there is one, then `kafka`.
#[derive(Debug)]
pub struct Plan {
    /// Formats the node's empty volume.
    pub format: Option<Command>,
    /// The broker.
    pub kafka: Command,
}

/// Waits until the sidecar has written the files that a broker needs at start.
pub fn wait_for_sidecar(run_dir: &Path) -> Result<(), LaunchError> {
    let begun = Instant::now();
    for name in ["jwks.json", "peer-secret", "hosts"] {
        let path = run_dir.join(name);
        while !path.exists() {
            if begun.elapsed() > SIDECAR_WAIT {
                return Err(LaunchError::NoSidecar { path });
            }
            // No runtime here: the launcher is one thread that becomes the JVM.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Writes the node's files and says what to run.
pub fn prepare(
    settings: &Settings,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Plan, LaunchError> {
    let template = read(&settings.config_dir.join("server.properties"))?;
    let secret = read(&settings.run_dir.join("peer-secret"))?;
    let quorum: Quorum = serde_json::from_str(&read(&settings.config_dir.join("quorum.json"))?)?;
    let mut properties = Properties::expand(&template, env)?;
    let jwks = format!("file://{}", settings.run_dir.join("jwks.json").display());
    add_logins(&mut properties, &jwks, secret.trim());
    add_rack(&mut properties, &settings.run_dir);
    let config = settings.run_dir.join("server.properties");
    write(&config, &properties.render())?;
    for (name, text) in logging::files(&settings.log_levels) {
        write(&settings.run_dir.join(name), &text)?;
    }

    let format = if formatted(&properties)? {
        None
    } else {
        let node_id = properties
            .get("node.id")
            .and_then(|id| id.parse().ok())
            .ok_or(LaunchError::Option("node.id"))?;
        let controller = properties
            .get("process.roles")
            .ok_or(LaunchError::Option("process.roles"))?
            .contains("controller");
        let mut command = java(
            settings,
            "kafka.tools.StorageTool",
            &["-Xmx128m", "-XX:TieredStopAtLevel=1"],
        );
        command
            .args([
                "format",
                "--ignore-formatted",
                "--cluster-id",
                &quorum.cluster_id,
            ])
            .arg("--config")
            .arg(&config)
            .args(quorum.format_arguments(node_id, controller, CONTROLLER_PORT));
        Some(command)
    };
    let hosts = format!(
        "-Djdk.net.hosts.file={}",
        settings.run_dir.join("hosts").display()
    );
    let allowed = format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks}");
    let mut flags: Vec<&str> = settings.jvm_options.iter().map(String::as_str).collect();
    flags.extend([hosts.as_str(), allowed.as_str()]);
    let mut kafka = java(settings, "kafka.Kafka", &flags);
    kafka.arg(&config);
    Ok(Plan { format, kafka })
}

/// The logins that need the pod's own secret and paths.
///
/// Clients log in to the CLIENT listener with tokens that the sidecar signs.
/// On the two internal listeners the sidecar logs in as `peer`, for a node
/// whose certificate it has checked; the broker's own way out is its sidecar,
/// to which it says the same secret.
fn add_logins(properties: &mut Properties, jwks: &str, secret: &str) {
    const OAUTH: &str = "listener.name.client.oauthbearer";
    const MODULES: &str = "org.apache.kafka.common.security";
    properties.set(
        &format!("{OAUTH}.sasl.jaas.config"),
        format!("{MODULES}.oauthbearer.OAuthBearerLoginModule required ;"),
    );
    properties.set(&format!("{OAUTH}.sasl.oauthbearer.jwks.endpoint.url"), jwks);
    for listener in ["internal", "controller"] {
        properties.set(
            &format!("listener.name.{listener}.plain.sasl.jaas.config"),
            format!(
                "{MODULES}.plain.PlainLoginModule required username=\"node\" password=\"{secret}\" user_peer=\"{secret}\";"
            ),
        );
    }
}

/// The node's zone as the sidecar knows it, unless the configuration says
/// another. Not every node has a zone.
fn add_rack(properties: &mut Properties, run_dir: &Path) {
    let rack = fs::read_to_string(run_dir.join("rack")).unwrap_or_default();
    let rack = rack.lines().next().unwrap_or_default().trim();
    if !rack.is_empty() && properties.get(RACK).is_none() {
        properties.set(RACK, rack);
    }
}

/// Whether every log directory has been formatted. Kafka writes
/// `meta.properties` last, so a format that was cut short is done again.
fn formatted(properties: &Properties) -> Result<bool, LaunchError> {
    let dirs = properties
        .get("log.dirs")
        .ok_or(LaunchError::Option("log.dirs"))?;
    Ok(dirs
        .split(',')
        .chain(properties.get("metadata.log.dir"))
        .all(|dir| Path::new(dir.trim()).join("meta.properties").exists()))
}

fn java(settings: &Settings, main: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(&settings.java);
    command
        .args(flags)
        .args(logging::flags(&settings.run_dir))
        .arg("-cp")
        .arg(settings.libs.join("*"))
        .arg(main);
    command
}

fn read(path: &Path) -> Result<String, LaunchError> {
    fs::read_to_string(path).map_err(|source| LaunchError::File {
        what: "read",
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that holds secrets: for this user alone, and whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), LaunchError> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| LaunchError::File {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(dir: &Path) -> Settings {
        for sub in ["config", "run", "data"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        fs::write(
            dir.join("config/server.properties"),
            "node.id=1\nprocess.roles=broker,controller\nlog.dirs=$(TUBEWAY_DATA_DIR)/log\n",
        )
        .unwrap();
        fs::write(
            dir.join("config/quorum.json"),
            r#"{"clusterId":"c","initialControllers":[{"id":1,"host":"h","directoryId":"d"}]}"#,
        )
        .unwrap();
        fs::write(dir.join("run/peer-secret"), "s3cret\n").unwrap();
        let path = |name: &str| Some(dir.join(name).display().to_string());
        Settings::read(|name| match name {
            "TUBEWAY_CONFIG_DIR" => path("config"),
            "TUBEWAY_RUN_DIR" => path("run"),
            "TUBEWAY_DATA_DIR" => path("data"),
            "KAFKA_JVM_OPTS" => Some("-Xmx256m -XX:+UseSerialGC".to_owned()),
            _ => None,
        })
        .unwrap()
    }

    fn args(command: &Command) -> Vec<String> {
        command
            .get_args()
            .map(|a| a.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn an_empty_volume_is_formatted_and_a_formatted_one_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let settings = node(dir.path());
        let data = settings.data_dir.display().to_string();
        let env = |name: &str| (name == "TUBEWAY_DATA_DIR").then(|| data.clone());
        let plan = prepare(&settings, env).unwrap();
        let format = args(&plan.format.unwrap());
        assert!(format.contains(&"1@h:9094:d".to_owned()), "{format:?}");
        assert!(args(&plan.kafka).contains(&"-XX:+UseSerialGC".to_owned()));

        fs::create_dir_all(dir.path().join("data/log")).unwrap();
        fs::write(dir.path().join("data/log/meta.properties"), "").unwrap();
        assert!(prepare(&settings, env).unwrap().format.is_none());
    }

    #[test]
    fn the_secret_is_in_a_file_of_this_user_and_not_on_a_command_line() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let settings = node(dir.path());
        let plan = prepare(&settings, |_| Some(String::new())).unwrap();
        let file = dir.path().join("run/server.properties");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.matches("user_peer=\"s3cret\"").count(), 2);
        let commands = [args(&plan.kafka), args(&plan.format.unwrap())].concat();
        assert!(!commands.iter().any(|arg| arg.contains("s3cret")));
    }

    #[test]
    fn the_zone_that_the_sidecar_knows_is_the_rack_unless_another_is_configured() {
        let dir = tempfile::tempdir().unwrap();
        let settings = node(dir.path());
        let rendered = || {
            prepare(&settings, |_| Some(String::new())).unwrap();
            fs::read_to_string(dir.path().join("run/server.properties")).unwrap()
        };
        assert!(!rendered().contains(RACK));
        fs::write(dir.path().join("run/rack"), "eu-1a").unwrap();
        assert!(rendered().contains("broker.rack=eu-1a\n"));
        let template = dir.path().join("config/server.properties");
        let text = fs::read_to_string(&template).unwrap() + "broker.rack=own\n";
        fs::write(template, text).unwrap();
        assert!(rendered().contains("broker.rack=own\n") && !rendered().contains("eu-1a"));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let settings = node(dir.path());
        fs::remove_file(dir.path().join("config/quorum.json")).unwrap();
        let error = prepare(&settings, |_| Some(String::new())).unwrap_err();
        assert!(error.to_string().contains("config/quorum.json"), "{error}");
    }
}

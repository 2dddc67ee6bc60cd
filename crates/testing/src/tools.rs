//! The programs that tests run: Kafka's own, kcat, Python with its Kafka clients.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command as BlockingCommand;

use tokio::process::Command;

use tubeway_launcher::kafka_dist::{
    DEFAULT_VERSION, DistError, JavaError, JavaInfo, KafkaDist, default_cache_dir, find_java,
};

/// What kafka-python needs, pinned with hashes.
const REQUIREMENTS: &str = include_str!("../python/requirements.txt");
/// The same for confluent-kafka, which is librdkafka. On its own: there are
/// wheels for some Pythons only.
const CONFLUENT: &str = include_str!("../python/confluent.txt");

/// Small, quick to start, quiet: several of these run next to each other.
const JVM_OPTIONS: &[&str] = &[
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dlog4j2.level=WARN",
];

/// The programs that tests run.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Kafka's jars.
    pub dist: KafkaDist,
    /// The Java that runs them.
    pub java: JavaInfo,
    cache_dir: PathBuf,
}

/// A program that tests need and that is not there.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// No Kafka.
    #[error(transparent)]
    Kafka(#[from] DistError),
    /// No Java.
    #[error(transparent)]
    Java(#[from] JavaError),
    /// A Debian package is missing.
    #[error(
        "{program} is not on the PATH; run scripts/setup-test-tools as root, or: apt-get install {package}"
    )]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A Python package could not be installed.
    #[error("could not install what a Python client needs: {step}: {detail}")]
    Python {
        /// What was run.
        step: String,
        /// What it said.
        detail: String,
    },
}

// === impl Tools ===

impl Tools {
    /// Kafka and Java, fetched if need be; blocks, for seconds when something
    /// has to be fetched. Progress goes to standard error.
    pub fn ensure() -> Result<Self, ToolsError> {
        Self::of_release(DEFAULT_VERSION)
    }

    /// The same, with one of the releases that [`KafkaDist::manifest`] knows.
    pub fn of_release(version: &str) -> Result<Self, ToolsError> {
        let cache_dir = default_cache_dir();
        Ok(Self {
            java: find_java()?,
            dist: KafkaDist::ensure(&cache_dir, version, |line| eprintln!("{line}"))?,
            cache_dir,
        })
    }

    /// The compiler that belongs to the Java, or one on the `PATH`.
    pub fn javac(&self) -> Result<PathBuf, ToolsError> {
        let beside = fs::canonicalize(&self.java.path)
            .ok()
            .map(|java| java.with_file_name("javac"));
        match beside.filter(|javac| javac.is_file()) {
            Some(javac) => Ok(javac),
            None => on_path("javac", "openjdk-17-jdk-headless"),
        }
    }

    /// A command that runs one of Kafka's main classes, killed when it is dropped.
    pub fn kafka(&self, main: &str) -> Command {
        let mut command = Command::from(self.dist.command(&self.java, JVM_OPTIONS, main));
        command.kill_on_drop(true);
        command
    }

    /// Where `kcat` is.
    pub fn kcat(&self) -> Result<PathBuf, ToolsError> {
        on_path("kcat", "kcat")
    }

    /// Where `tcpdump` is.
    pub fn tcpdump(&self) -> Result<PathBuf, ToolsError> {
        on_path("tcpdump", "tcpdump")
    }

    /// A Python that has kafka-python; blocks, for seconds the first time.
    pub fn python(&self) -> Result<PathBuf, ToolsError> {
        self.python_with("python", REQUIREMENTS)
    }

    /// A Python that has confluent-kafka; blocks, for seconds the first time.
    pub fn confluent(&self) -> Result<PathBuf, ToolsError> {
        self.python_with("confluent", CONFLUENT)
    }

    fn python_with(&self, name: &str, requirements: &str) -> Result<PathBuf, ToolsError> {
        // The folder's name follows from what is in it: a new pin is a new folder.
        let pins = crc32c::crc32c(requirements.as_bytes());
        let venv = self.cache_dir.join(format!("{name}-{pins:08x}"));
        let python = venv.join("bin/python");
        let done = venv.join("installed");
        let _lock = lock(&venv.with_extension("lock"))
            .map_err(|error| failed("lock the folder", &error.to_string()))?;
        if done.exists() {
            return Ok(python);
        }
        on_path("python3", "python3")?;
        if venv.exists() {
            fs::remove_dir_all(&venv)
                .map_err(|error| failed("remove what was left", &error.to_string()))?;
        }
        run(BlockingCommand::new("python3")
            .args(["-m", "venv"])
            .arg(&venv))?;
        let pinned = venv.join("requirements.txt");
        fs::write(&pinned, requirements)
            .map_err(|error| failed("write the requirements", &error.to_string()))?;
        run(BlockingCommand::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(["--require-hashes", "-r"])
            .arg(&pinned))?;
        File::create(&done).map_err(|error| failed("finish", &error.to_string()))?;
        Ok(python)
    }
}

fn failed(step: &str, detail: &str) -> ToolsError {
    ToolsError::Python {
        step: step.to_owned(),
        detail: detail.to_owned(),
    }
}

fn run(command: &mut BlockingCommand) -> Result<(), ToolsError> {
    let step = format!("{command:?}");
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Err(failed(&step, String::from_utf8_lossy(&said).trim()))
        }
        Err(error) => Err(failed(&step, &error.to_string())),
    }
}

fn on_path(program: &'static str, package: &'static str) -> Result<PathBuf, ToolsError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or(ToolsError::Missing { program, package })
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.lock()?;
    Ok(file)
}

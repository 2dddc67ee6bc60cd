//! Container images without a container engine: OCI archives, each a tar file
//! that `ctr images import`, `podman load`, `docker load` and `skopeo copy
//! oci-archive:…` take.
//!
//! An image has what its program needs and nothing else: no shell, no package
//! manager. Its program runs as user 10001, on a root file system that may be
//! read-only. The same inputs give the same bytes.

mod archive;
mod java;
mod rootfs;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tubeway_launcher::kafka_dist::{DEFAULT_VERSION, KafkaDist};

use archive::Image;
use rootfs::Rootfs;

/// Where programs lie in an image; in every image's `PATH`.
const PROGRAMS: &str = "/usr/local/bin";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of the programs, built with --release.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// Folder for the images, one `<name>.tar` each.
    #[arg(long, default_value = "target/images")]
    out: PathBuf,
    /// The images are called `<registry>/operator`, `/proxy` and `/kafka`.
    #[arg(long, default_value = "tubeway.dev")]
    registry: String,
    /// Tag of the operator's and the sidecars' images.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Kafka's version, which is the tag of its image.
    #[arg(long, default_value = DEFAULT_VERSION)]
    kafka: String,
    /// Where Kafka's jars are kept between two runs.
    #[arg(long, default_value = "target/kafka")]
    kafka_cache: PathBuf,
    /// Images to make.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Name::Operator, Name::Proxy, Name::Kafka])]
    only: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    Operator,
    Proxy,
    Kafka,
}

/// Makes the images and says where they are.
pub fn run(arguments: &Arguments) -> Result<()> {
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make {}", arguments.out.display()))?;
    for name in &arguments.only {
        match name {
            Name::Operator => arguments.of_program("operator", "tubeway-operator")?,
            Name::Proxy => arguments.of_program("proxy", "tubeway-proxy")?,
            Name::Kafka => arguments.of_kafka()?,
        }
    }
    Ok(())
}

// === impl Arguments ===

impl Arguments {
    /// One program and the libraries that it is linked with.
    fn of_program(&self, name: &str, program: &str) -> Result<()> {
        let mut root = Rootfs::base();
        root.program(&self.program(program)?, PROGRAMS)?;
        self.write(&Image {
            name: format!("{}/{name}:{}", self.registry, self.tag),
            layers: vec![root],
            path: PROGRAMS.to_owned(),
            entrypoint: vec![program.to_owned()],
        })
    }

    /// A Java runtime, Kafka's jars as published, and the launcher.
    fn of_kafka(&self) -> Result<()> {
        let say = |line: &str| eprintln!("{line}");
        // Maven runs in a folder of its own.
        let cache = std::path::absolute(&self.kafka_cache)?;
        let dist = KafkaDist::ensure(&cache, &self.kafka, say)
            .with_context(|| format!("Kafka {} is not to be had", self.kafka))?;
        let mut runtime = Rootfs::base();
        let _runtime = java::add(&mut runtime)?;
        let mut jars = Rootfs::default();
        jars.folder(&dist.libs, "/opt/kafka/libs")?;
        let mut launcher = Rootfs::default();
        launcher.program(&self.program("tubeway-launcher")?, PROGRAMS)?;
        self.write(&Image {
            name: format!("{}/kafka:{}", self.registry, self.kafka),
            // What changes least comes first: a new launcher is a small layer.
            layers: vec![runtime, jars, launcher],
            path: format!("{PROGRAMS}:{}/bin", java::HOME),
            entrypoint: vec!["tubeway-launcher".to_owned(), "run".to_owned()],
        })
    }

    fn write(&self, image: &Image) -> Result<()> {
        let to = self.out.join(format!("{}.tar", image.short_name()));
        let megabytes = image.write(&to)? as f64 / 1e6;
        println!("{}  {megabytes:.1} MB  {}", image.name, to.display());
        Ok(())
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.programs.join(name);
        ensure!(
            path.is_file(),
            "{} is not there; `make build` builds it",
            path.display()
        );
        Ok(path)
    }
}

/// Reads a file, or says which it was.
fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

//! An image as an OCI archive: the image layout of the OCI image specification
//! 1.0 in one tar file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

use super::rootfs::Rootfs;

/// The user that programs run as.
const USER: &str = "10001:10001";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image to be written.
#[derive(Debug)]
pub struct Image {
    /// `<registry>/<name>:<tag>`.
    pub name: String,
    /// The lowest first.
    pub layers: Vec<Rootfs>,
    /// `PATH` of its programs.
    pub path: String,
    /// What is started, where nothing else is asked for.
    pub entrypoint: Vec<String>,
}

/// A layer as it goes into the archive.
struct Packed {
    bytes: Vec<u8>,
    /// Of the tar before it was compressed.
    diff_id: String,
}

/// Writes through, and sums up what was written.
struct Summing<W> {
    to: W,
    sum: Sha256,
}

// === impl Image ===

impl Image {
    /// The name without registry and tag.
    pub fn short_name(&self) -> &str {
        let name = self.name.rsplit('/').next().unwrap_or(&self.name);
        name.split(':').next().unwrap_or(name)
    }

    /// Writes the archive; its size in bytes.
    pub fn write(&self, to: &Path) -> Result<u64> {
        let layers = self.layers.iter().map(pack).collect::<Result<Vec<_>>>()?;
        let config = self.config(&layers).to_string().into_bytes();
        let manifest = manifest(&config, &layers).to_string().into_bytes();
        let index = self.index(&manifest).to_string();
        let layout = json!({"imageLayoutVersion": "1.0.0"}).to_string();
        // It takes its name only when it is whole.
        let staged = to.with_extension("new");
        let file =
            File::create(&staged).with_context(|| format!("cannot write {}", staged.display()))?;
        let mut tar = Builder::new(file);
        add(&mut tar, "oci-layout", layout.as_bytes())?;
        add(&mut tar, "index.json", index.as_bytes())?;
        let blobs = layers.iter().map(|layer| &layer.bytes);
        for blob in blobs.chain([&config, &manifest]) {
            add(&mut tar, &format!("blobs/sha256/{}", sum(blob)), blob)?;
        }
        let file = tar.into_inner()?;
        file.sync_all()?;
        std::fs::rename(&staged, to)?;
        Ok(file.metadata()?.len())
    }

    fn config(&self, layers: &[Packed]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": USER,
                "Env": [format!("PATH={}", self.path)],
                "Entrypoint": self.entrypoint,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
    }

    fn index(&self, manifest: &[u8]) -> Value {
        let mut entry = descriptor(MANIFEST, manifest);
        let tag = self.name.rsplit(':').next();
        entry["annotations"] = json!({
            // The first is for containerd, the second for the others.
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": tag,
        });
        json!({"schemaVersion": 2, "manifests": [entry]})
    }
}

// === impl Summing ===

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn pack(root: &Rootfs) -> Result<Packed> {
    let summing = Summing {
        to: GzEncoder::new(Vec::new(), Compression::default()),
        sum: Sha256::new(),
    };
    let Summing { to, sum } = root.write(summing)?;
    Ok(Packed {
        bytes: to.finish()?,
        diff_id: format!("sha256:{sum:x}", sum = sum.finalize()),
    })
}

fn manifest(config: &[u8], layers: &[Packed]) -> Value {
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| descriptor(LAYER, &layer.bytes))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": layers,
    })
}

fn descriptor(kind: &str, blob: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{}", sum(blob)), "size": blob.len()})
}

fn sum(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// As images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn add(tar: &mut Builder<File>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    Ok(tar.append_data(&mut header, name, bytes)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::process::Command;

    use super::*;

    fn image() -> Image {
        let mut root = Rootfs::base();
        let program = Path::new("/usr/bin/env");
        root.program(program, "/usr/local/bin").unwrap();
        Image {
            name: "tubeway.dev/test:1.2.3".to_owned(),
            layers: vec![root],
            path: "/usr/local/bin".to_owned(),
            entrypoint: vec!["env".to_owned()],
        }
    }

    fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut tar = tar::Archive::new(archive);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        };
        tar.entries().unwrap().map(read).collect()
    }

    fn blob<'a>(entries: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let digest = descriptor["digest"].as_str().unwrap();
        let blob = &entries[&format!("blobs/{}", digest.replace(':', "/"))];
        assert_eq!(format!("sha256:{}", sum(blob)), digest);
        assert_eq!(descriptor["size"], blob.len());
        blob
    }

    #[test]
    fn every_blob_is_what_the_index_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.tar");
        let size = image().write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(size, bytes.len() as u64);
        let entries = entries(&bytes);
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = json(&entries["index.json"]);
        let annotations = &index["manifests"][0]["annotations"];
        assert_eq!(
            annotations["io.containerd.image.name"],
            "tubeway.dev/test:1.2.3"
        );
        let manifest = json(blob(&entries, &index["manifests"][0]));
        let config = json(blob(&entries, &manifest["config"]));
        assert_eq!(config["config"]["User"], USER);
        let layer = blob(&entries, &manifest["layers"][0]);
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(layer)
            .read_to_end(&mut tar)
            .unwrap();
        let diff_id = &config["rootfs"]["diff_ids"][0];
        assert_eq!(diff_id.as_str().unwrap(), format!("sha256:{}", sum(&tar)));
        image().write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the same bytes again");
    }

    /// Alone in its file system a program has all that it is linked with.
    #[test]
    fn a_program_runs_in_its_image_s_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let tar = image().layers[0].write(Vec::new()).unwrap();
        tar::Archive::new(&tar[..]).unpack(dir.path()).unwrap();
        // Who is not root may be it in a namespace.
        let is_root = std::fs::metadata(dir.path()).unwrap().uid() == 0;
        let mut command = Command::new(if is_root { "chroot" } else { "unshare" });
        if !is_root {
            command.args(["--user", "--map-root-user", "chroot"]);
        }
        let output = command
            .arg(dir.path())
            .args(["/usr/local/bin/env", "-i", "WHO=me"])
            .args(["/usr/local/bin/env"])
            .output()
            .expect("chroot is of Debian's package coreutils, unshare of util-linux");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "WHO=me\n");
    }
}

//! `Codec.java` as a child process.

use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;
use tubeway_protocol::Direction;
use tubeway_testing::tools::Tools;

const SOURCE: &str = include_str!("Codec.java");

/// Releases, and where each keeps its records classes.
pub(crate) const RELEASES: [(&str, &str); 2] = [
    ("3.9.1", "org.apache.kafka.common.record"),
    ("4.3.1", "org.apache.kafka.common.record.internal"),
];

/// One version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    pub(crate) api: i16,
    pub(crate) version: i16,
    pub(crate) direction: Direction,
}

/// One release's serializers.
pub(crate) struct Kafka {
    pub(crate) release: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _classes: TempDir,
}

// === impl Kafka ===

impl Kafka {
    /// Every release's serializers, compiled and started.
    pub(crate) fn all() -> Vec<Self> {
        RELEASES
            .iter()
            .map(|(release, package)| Self::start(release, package))
            .collect()
    }

    fn start(release: &'static str, package: &str) -> Self {
        let tools = Tools::of_release(release).unwrap_or_else(|error| panic!("{error}"));
        let javac = tools.javac().unwrap_or_else(|error| panic!("{error}"));
        let classes = tempfile::tempdir().expect("a temporary folder");
        let jars = tools.dist.libs.join("*");
        compile(&javac, &jars, classes.path(), package);
        let class_path = std::env::join_paths([classes.path(), &jars]).expect("a class path");
        let mut child = Command::new(&tools.java.path)
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-cp"])
            .arg(class_path)
            .arg("Codec")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Java starts");
        Self {
            release,
            input: child.stdin.take().expect("a pipe"),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            _classes: classes,
        }
    }

    /// What this release knows.
    pub(crate) fn forms(&mut self) -> Vec<Form> {
        let answer = self.ask(&[0]);
        let forms = answer.chunks_exact(5).map(|form| Form {
            api: i16::from_be_bytes([form[0], form[1]]),
            version: i16::from_be_bytes([form[2], form[3]]),
            direction: match form[4] {
                0 => Direction::Request,
                _ => Direction::Response,
            },
        });
        forms.collect()
    }

    /// What Kafka writes after reading each of `bodies`.
    pub(crate) fn rewrite(
        &mut self,
        form: Form,
        bodies: &[Vec<u8>],
    ) -> Vec<Result<Vec<u8>, String>> {
        let mut request = vec![1];
        request.extend(form.api.to_be_bytes());
        request.extend(form.version.to_be_bytes());
        request.push(u8::from(form.direction == Direction::Response));
        request.extend((bodies.len() as u32).to_be_bytes());
        for body in bodies {
            request.extend((body.len() as u32).to_be_bytes());
            request.extend(body);
        }
        let answer = self.ask(&request);
        let mut rest = &answer[..];
        bodies.iter().map(|_| result(&mut rest)).collect()
    }

    /// A records field as Kafka writes it; `request` as `Codec.java` says.
    pub(crate) fn write_records(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        let answer = self.ask(&[&[2], request].concat());
        result(&mut &answer[..])
    }

    /// What Kafka reads in a records field, once its checksums are right, as text.
    pub(crate) fn read_records(&mut self, field: &[u8]) -> Result<String, String> {
        let answer = self.ask(&[&[3], field].concat());
        let text = result(&mut &answer[..])?;
        Ok(String::from_utf8(text).expect("text"))
    }

    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        let mut ask = || {
            self.input
                .write_all(&(request.len() as u32).to_be_bytes())?;
            self.input.write_all(request)?;
            self.input.flush()?;
            let mut length = [0; 4];
            self.output.read_exact(&mut length)?;
            let mut answer = vec![0; u32::from_be_bytes(length) as usize];
            self.output.read_exact(&mut answer)?;
            Ok(answer)
        };
        ask().unwrap_or_else(|error: std::io::Error| {
            panic!(
                "Kafka {}'s serializers do not answer: {error}",
                self.release
            )
        })
    }
}

/// It ends by itself when its input does, but not before it has been waited for.
impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn compile(javac: &Path, jars: &Path, classes: &Path, package: &str) {
    let source = classes.join("Codec.java");
    std::fs::write(&source, SOURCE.replace("RECORDS", package)).expect("written");
    let output = Command::new(javac)
        .arg("-cp")
        .arg(jars)
        .arg("-d")
        .arg(classes)
        .arg(&source)
        .output()
        .expect("javac runs");
    assert!(
        output.status.success(),
        "javac: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A length and that many bytes; below zero, the length of an error turned.
fn result(rest: &mut &[u8]) -> Result<Vec<u8>, String> {
    let (length, bytes) = rest.split_first_chunk::<4>().expect("a length");
    let length = i32::from_be_bytes(*length);
    let (bytes, after) = bytes.split_at(length.unsigned_abs() as usize);
    *rest = after;
    if length < 0 {
        return Err(String::from_utf8_lossy(bytes).into_owned());
    }
    Ok(bytes.to_vec())
}

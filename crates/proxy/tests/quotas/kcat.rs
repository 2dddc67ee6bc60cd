//! kcat, the command-line client on librdkafka, fed with lines without end.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use crate::world::{Credentials, World};

/// A kcat that produces as fast as it is let; dropped, it ends.
pub struct Kcat {
    lines: Child,
    kcat: Child,
}

// === impl Kcat ===

impl Kcat {
    /// Sends lines of `size` letters, with these properties of librdkafka's.
    pub fn produce(
        world: &World,
        topic: &str,
        size: usize,
        properties: &str,
        as_whom: &Credentials,
    ) -> Self {
        let mut lines = Command::new("yes")
            .arg("x".repeat(size))
            .stdout(Stdio::piped())
            .spawn()
            .expect("yes, of coreutils");
        let program = world.tools.kcat().unwrap_or_else(|error| panic!("{error}"));
        let (key, roots) = (as_whom.key.display(), as_whom.roots.display());
        let tls = format!(
            "security.protocol=ssl ssl.endpoint.identification.algorithm=none \
             ssl.certificate.location={key} ssl.key.location={key} ssl.ca.location={roots}"
        );
        let mut command = Command::new(program);
        command.args(["-P", "-b", &world.bootstrap(), "-t", topic]);
        for property in tls.split_whitespace().chain(properties.split_whitespace()) {
            command.args(["-X", property]);
        }
        let log = world.scratch().join(format!("kcat-{topic}.log"));
        let kcat = command
            .stdin(lines.stdout.take().expect("a pipe"))
            .stdout(Stdio::null())
            .stderr(File::create(log).expect("a file"))
            .spawn()
            .expect("kcat starts");
        Self { lines, kcat }
    }
}

impl Drop for Kcat {
    fn drop(&mut self) {
        for child in [&mut self.kcat, &mut self.lines] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

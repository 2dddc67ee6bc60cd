//! A program that ends with its owner.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

/// Lines of a log that an error or a failed test shows.
const LOG_LINES: usize = 40;

/// A running program, killed when this is dropped and when this process ends in whatever way.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    // Lets the thread end that started the child.
    _keeper: SyncSender<()>,
}

// === impl Process ===

impl Process {
    /// Starts `program`; what it writes goes to the file `log`.
    pub(super) fn start(
        name: &'static str,
        program: &Path,
        arguments: impl Iterator<Item = String>,
        log: PathBuf,
    ) -> io::Result<Self> {
        let output = File::create(&log)?;
        // setpriv becomes the program, after it has asked the system for a signal.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdout(output.try_clone()?)
            .stderr(output);
        // The signal comes when the thread ends that has started the child, and a thread of
        // a runtime may end any time; this one stays.
        let (keeper, until_dropped) = sync_channel(0);
        let (started, result) = sync_channel(1);
        thread::Builder::new()
            .name(format!("keeper of {name}"))
            .spawn(move || {
                let _ = started.send(command.spawn());
                let _: Result<(), _> = until_dropped.recv();
            })?;
        let child = result.recv().map_err(io::Error::other)??;
        Ok(Self {
            name,
            child,
            log,
            _keeper: keeper,
        })
    }

    /// The program's name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it wrote.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The last lines that it wrote.
    pub(super) fn log_end(&self) -> String {
        let text = self.log();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// The ends of all their logs, each under its program's name.
pub(super) fn log_ends<'a>(all: impl Iterator<Item = &'a Process>) -> String {
    let ends = all.map(|process| format!("--- {}:\n{}", process.name(), process.log_end()));
    ends.collect::<Vec<_>>().join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing of it is kept, so it need not end well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let arguments = ["-c", "echo begun; exec sleep 1000"].map(str::to_owned);
        let process =
            Process::start("sh", Path::new("/bin/sh"), arguments.into_iter(), log).unwrap();
        let entry = PathBuf::from(format!("/proc/{}", process.child.id()));
        assert!(entry.exists());
        drop(process);
        assert!(!entry.exists());
    }

    #[test]
    fn what_a_program_wrote_last_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let arguments = ["-c", "seq 100; exit 3"].map(str::to_owned);
        let mut process =
            Process::start("sh", Path::new("/bin/sh"), arguments.into_iter(), log).unwrap();
        assert_eq!(process.child.wait().unwrap().code(), Some(3));
        assert!(process.ended().unwrap().is_some());
        assert!(process.log_end().starts_with("61\n") && process.log_end().ends_with("100"));
    }
}

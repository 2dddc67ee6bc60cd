//! Processes of the bench, and what the kernel says they have used.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Longest time until a process serves.
const START: Duration = Duration::from_mins(1);
/// Between two looks at one that does not serve yet.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a log that an error shows.
const LOG_LINES: usize = 30;
/// `/proc` counts processor time in these, on every architecture that Linux
/// has users on (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// A running process; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

// === impl Process ===

impl Process {
    /// Starts it; what it says goes to `<name>.log` in `folder`.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Waits until `ready` says so; an error if the process ends before or
    /// takes too long.
    pub async fn until(&mut self, mut ready: impl AsyncFnMut(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if ready(&log).await {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let lines: Vec<&str> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
                bail!(
                    "{} does not serve ({ended:?}); its log ends:\n{end}",
                    self.name
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Processor time that all of its threads have had, in seconds: to a
    /// hundredth.
    pub fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        cpu_of(&stat).with_context(|| format!("/proc stat of {} reads {stat:?}", self.name))
    }

    /// Resident memory in MB (10⁶ bytes).
    pub fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
            .with_context(|| format!("/proc status of {} has no VmRSS", self.name))?;
        Ok(kib * 1024.0 / 1e6)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// utime and stime, fields 14 and 15. The name, in brackets, may hold anything.
pub fn cpu_of(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "12 (a) b 3) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 3 0 99 0 0";
        assert_eq!(cpu_of(stat), Some(3.0));
        assert_eq!(cpu_of("nothing"), None);
    }

    #[test]
    fn our_own_process_has_memory() {
        let mut sleep = Command::new("sleep");
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start("sleep", sleep.arg("60"), folder.path()).unwrap();
        assert!(process.cpu().unwrap() < 10.0);
        assert!(process.resident().unwrap() >= 0.0);
    }
}

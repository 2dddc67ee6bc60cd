//! Processes of an agent that died: found again by what it wrote down, and ended.
//!
//! Each container's process is recorded with its start time, so that a process id which meanwhile
//! means somebody else is recognised. What a record misses — a process started in the instant
//! before the agent died, or one that left its group — is found by its `HOME`, which lies in the
//! agent's own folder.

use super::files;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The processes an agent has running, on disk.
#[derive(Debug)]
pub(crate) struct ProcessRecords {
    dir: PathBuf,
}

/// One process, removed from disk when dropped.
#[derive(Debug)]
pub(crate) struct Recorded {
    file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: i32,
    /// In clock ticks since the machine started.
    start_time: u64,
    /// Which start of the machine that was.
    boot_id: String,
    pod: String,
    container: String,
}

/// A process as `/proc` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    group: i32,
    start_time: u64,
    zombie: bool,
}

// === impl ProcessRecords ===

impl ProcessRecords {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes a process down until the returned value is dropped.
    pub(crate) fn add(&self, pid: Pid, pod: &str, container: &str) -> io::Result<Recorded> {
        let pid = pid.as_raw_nonzero().get();
        let file = self.dir.join(format!("{pid}.json"));
        let seen = look(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        // One that has ended already needs no record.
        let Ok(seen) = seen else {
            return Ok(Recorded { file });
        };
        let record = Record {
            pid,
            start_time: seen.start_time,
            boot_id: boot_id(),
            pod: pod.to_owned(),
            container: container.to_owned(),
        };
        let bytes = serde_json::to_vec(&record)?;
        files::write_atomically(&file, &bytes, 0o600)?;
        Ok(Recorded { file })
    }

    /// Ends every process an earlier agent left: SIGTERM, and SIGKILL after `grace`. Blocks.
    /// `homes` is the folder under which every container has its `HOME`.
    pub(crate) fn end_leftovers(&self, homes: &Path, grace: Duration) -> io::Result<usize> {
        let boot = boot_id();
        let mut files = Vec::new();
        let mut leftovers = BTreeMap::new();
        for entry in fs::read_dir(&self.dir)? {
            let file = entry?.path();
            let record = fs::read(&file).ok();
            let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
            if let Some(record) = record.filter(|record| record.boot_id == boot) {
                leftovers.extend(members(&record));
            }
            files.push(file);
        }
        leftovers.extend(living_in(homes));
        end(&leftovers, grace);
        for file in files {
            fs::remove_file(file)?;
        }
        Ok(leftovers.len())
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // A record that stays is checked against /proc by whoever reads it.
        let _ = fs::remove_file(&self.file);
    }
}

/// Kills what still lives with its `HOME` under `home`; returns how many there were.
pub(crate) fn kill_all_in(home: &Path) -> usize {
    let leftovers = living_in(home);
    end(&leftovers, Duration::ZERO);
    leftovers.len()
}

/// The processes of the recorded group, if it still is the recorded one.
fn members(record: &Record) -> BTreeMap<i32, u64> {
    match look(record.pid) {
        // The id means somebody else now, so nobody of the old group is left: an id is not given
        // out again while a group has it.
        Some(seen) if seen.start_time != record.start_time => BTreeMap::new(),
        // The leader has ended; members that are left show up by their HOME.
        None => BTreeMap::new(),
        Some(_) => processes()
            .filter(|(_, seen)| seen.group == record.pid && !seen.zombie)
            .map(|(pid, seen)| (pid, seen.start_time))
            .collect(),
    }
}

/// Processes whose `HOME` is `dir` or below.
fn living_in(dir: &Path) -> BTreeMap<i32, u64> {
    processes()
        .filter(|(pid, seen)| {
            !seen.zombie && home_of(*pid).is_some_and(|home| home.starts_with(dir))
        })
        .map(|(pid, seen)| (pid, seen.start_time))
        .collect()
}

fn home_of(pid: i32) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    // Not readable: another user's, so none of ours.
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let home = variables.find_map(|variable| variable.strip_prefix(b"HOME="))?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(home)))
}

fn end(processes: &BTreeMap<i32, u64>, grace: Duration) {
    let alive = |(pid, start): (&i32, &u64)| {
        look(*pid).is_some_and(|seen| seen.start_time == *start && !seen.zombie)
    };
    let signal_all = |signal| {
        for (pid, _) in processes.iter().filter(|process| alive(*process)) {
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = kill_process(pid, signal);
            }
        }
    };
    if !grace.is_zero() {
        signal_all(Signal::TERM);
        let deadline = Instant::now() + grace;
        while processes.iter().any(alive) && Instant::now() < deadline {
            // They are not our children: there is nothing to wait on but the clock.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    signal_all(Signal::KILL);
}

fn processes() -> impl Iterator<Item = (i32, Seen)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, look(pid)?)))
}

fn look(pid: i32) -> Option<Seen> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/<pid>/stat`; the command in it may hold spaces and brackets.
fn parse_stat(stat: &str) -> Option<Seen> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Seen {
        zombie: matches!(*fields.first()?, "Z" | "X"),
        group: fields.get(2)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, Command};

    fn sleeper(home: &Path) -> (Child, Pid) {
        let mut command = Command::new("/bin/sleep");
        command.arg("1000").env("HOME", home).process_group(0);
        let child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    #[test]
    fn stat_with_an_evil_name() {
        let tail = "S 1 77 3 0 -1 4 5 6 7 8 9 10 11 12 13 14 15 16 4711 18";
        let seen = parse_stat(&format!("42 (a) b) {tail}")).unwrap();
        let expected = Seen {
            group: 77,
            start_time: 4711,
            zombie: false,
        };
        assert_eq!(seen, expected);
        assert_eq!(
            look(std::process::id().cast_signed()).map(|seen| seen.zombie),
            Some(false)
        );
    }

    #[test]
    fn leftovers_are_ended_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let homes = dir.path().join("pods");
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        let records = ProcessRecords::new(run.clone());

        let (mut recorded, pid) = sleeper(Path::new("/"));
        std::mem::forget(records.add(pid, "u", "c").unwrap());
        let (mut unrecorded, _) = sleeper(&homes.join("u/home"));
        let (mut foreign, foreign_pid) = sleeper(Path::new("/"));
        // A record of an id that somebody else has by now.
        std::mem::forget(records.add(foreign_pid, "u", "d").unwrap());
        let file = run.join(format!("{}.json", foreign_pid.as_raw_nonzero()));
        let mut record: Record = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        record.start_time -= 1;
        fs::write(&file, serde_json::to_vec(&record).unwrap()).unwrap();

        let ended = records
            .end_leftovers(&homes, Duration::from_secs(10))
            .unwrap();
        assert_eq!(ended, 2);
        assert_eq!(recorded.wait().unwrap().signal(), Some(15));
        assert_eq!(unrecorded.wait().unwrap().signal(), Some(15));
        assert_eq!(foreign.try_wait().unwrap(), None, "not ours");
        foreign.kill().unwrap();
        foreign.wait().unwrap();
        assert_eq!(fs::read_dir(&run).unwrap().count(), 0);
    }
}

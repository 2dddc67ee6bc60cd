//! `tubeway up --detach`: the same `up`, as a process of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::state::State;

/// Starts `up` in the background, shows what it prints until it is ready, and
/// leaves it running.
pub async fn run(state: &State) -> Result<()> {
    // Taken and given back: who has it is told here rather than in a log.
    drop(state.lock()?);
    let log = state.log();
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments.retain(|a| a != "--detach" && a != "-d");
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .arg("--quiet")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .context("cannot start in the background")?;
    let mut lines = BufReader::new(File::open(&log)?);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        show(&mut lines)?;
        if let Some(status) = child.try_wait()? {
            show(&mut lines)?;
            bail!(
                "`tubeway up` ended ({status}); its output is in {}",
                log.display()
            );
        }
        if state.running()?.is_some_and(|running| running.ready) {
            show(&mut lines)?;
            println!(
                "\nruns in the background; `tubeway status` shows it, `tubeway down` stops it"
            );
            return Ok(());
        }
    }
}

fn show(lines: &mut BufReader<File>) -> Result<()> {
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if !line.ends_with('\n') {
            // Half a line: it is read again when the rest is there.
            lines.seek_relative(-(line.len() as i64))?;
            break;
        }
        print!("{line}");
        line.clear();
    }
    Ok(())
}

//! `tubeway down` and `tubeway reset`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::progress::Progress;
use crate::state::State;

/// Longer than the brokers' grace periods one after the other.
const STOP_WITHIN: Duration = Duration::from_secs(240);

/// What `tubeway reset` takes.
#[derive(Debug, clap::Args)]
pub struct ResetOptions {
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Stops the `up` that runs, and waits until it has.
pub async fn down(state: &State) -> Result<()> {
    let Some(running) = state.running()? else {
        println!("nothing runs on {}", state.root().display());
        return Ok(());
    };
    let pid = Pid::from_raw(running.pid).context("the run file names no process")?;
    kill_process(pid, Signal::TERM)
        .with_context(|| format!("cannot signal process {}", running.pid))?;
    let progress = Progress::default();
    progress.step("stopping, one broker after the other");
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while state.running()?.is_some() {
        tick.tick().await;
        if begun.elapsed() > STOP_WITHIN {
            bail!(
                "process {} still runs after {} s; its log is {}",
                running.pid,
                STOP_WITHIN.as_secs(),
                state.log().display()
            );
        }
    }
    progress.done();
    println!(
        "stopped; the data is kept in {} (`tubeway up` goes on with it, `tubeway reset` deletes it)",
        state.root().display()
    );
    Ok(())
}

/// Deletes the installation.
pub async fn reset(state: &State, options: &ResetOptions) -> Result<()> {
    if !state.root().exists() {
        println!("there is nothing at {}", state.root().display());
        return Ok(());
    }
    if !options.yes && !confirmed(state)? {
        println!("nothing was deleted");
        return Ok(());
    }
    down(state).await?;
    let lock = state.lock()?;
    for part in [state.kube(), state.node()] {
        remove(&part)?;
    }
    for file in [state.kubeconfig(), state.log()] {
        let _ = std::fs::remove_file(file);
    }
    drop(lock);
    println!("deleted {}", state.root().display());
    Ok(())
}

fn remove(dir: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot delete {}", dir.display())),
    }
}

fn confirmed(state: &State) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("this deletes all topics and records; say --yes where nobody can be asked");
    }
    print!(
        "Delete the local installation in {} with all topics and records? [y/N] ",
        state.root().display()
    );
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

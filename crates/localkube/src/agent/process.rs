//! A container's process: started in a group of its own, watched, signalled, and gone for good.

use super::env::Launch;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};

/// A running process and everything it started that stayed in its group.
///
/// The group is killed when its leader ends, and when this value is dropped, as the processes of a
/// container end with its first one.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    /// Signals that some child of this process ended.
    deaths: UnixSignal,
    ended: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit code, 128 plus the number of the signal that ended it.
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
}

// === impl Process ===

impl Process {
    /// Starts `launch`; standard output and error come out of the returned pipe, in order.
    pub(crate) fn start(launch: &Launch) -> io::Result<(Self, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        let deaths = signal(SignalKind::child())?;
        let child = Command::new(&launch.program)
            .args(&launch.args)
            .env_clear()
            .envs(&launch.env)
            .current_dir(&launch.cwd)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            // A group of its own: a Ctrl-C in the agent's terminal is the agent's to handle.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .ok_or_else(|| io::Error::other("the process ended before it was started"))?;
        let process = Self {
            child,
            pid,
            deaths,
            ended: false,
        };
        Ok((process, pipe::Receiver::from_owned_fd(reader.into())?))
    }

    /// The process id, also the id of its group.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it ends and the rest of its group is killed. May be called again.
    pub(crate) async fn exit(&mut self) -> io::Result<Exit> {
        if !self.ended {
            while !self.has_ended()? {
                self.deaths.recv().await;
            }
            // Not reaped yet, so the id still means this group and no other.
            kill_group(self.pid);
            self.ended = true;
        }
        self.child.wait().await.map(Exit::from)
    }

    /// Whether it has ended, leaving it to be reaped.
    fn has_ended(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.pid), options)?.is_some())
    }

    /// Sends a signal to the process, not to what it started: that is its own business.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.ended {
            // It may have ended this moment.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Kills the whole group.
    pub(crate) fn kill(&self) {
        if !self.ended {
            kill_group(self.pid);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kill_group(pid: Pid) {
    // No such group: all of it has ended.
    let _ = kill_process_group(pid, Signal::KILL);
}

// === impl Exit ===

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        let signal = status.signal();
        let code = status.code().unwrap_or(128 + signal.unwrap_or(127));
        Self { code, signal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    fn shell(script: &str) -> Launch {
        Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: [("GREETING".to_owned(), "hello".to_owned())].into(),
            cwd: "/".into(),
        }
    }

    async fn finish(script: &str) -> (Exit, String) {
        let (mut process, mut output) = Process::start(&shell(script)).unwrap();
        let exit = process.exit().await.unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).await.unwrap();
        (exit, text)
    }

    #[tokio::test]
    async fn both_outputs_come_in_order_from_a_clean_environment() {
        let (exit, text) = finish("echo $GREETING; echo $HOME >&2; echo end; exit 3").await;
        assert_eq!(
            exit,
            Exit {
                code: 3,
                signal: None
            }
        );
        assert_eq!(text, "hello\n\nend\n");
    }

    #[tokio::test]
    async fn a_signal_shows_in_the_exit_code() {
        let (exit, _) = finish("kill -9 $$").await;
        assert_eq!(
            exit,
            Exit {
                code: 137,
                signal: Some(9)
            }
        );
    }

    #[tokio::test]
    async fn children_end_with_their_leader() {
        // The pipe ends only once nobody holds it, so reading to the end proves it.
        let (exit, text) = finish("sleep 1000 & echo started").await;
        assert_eq!((exit.code, text.as_str()), (0, "started\n"));
    }

    #[tokio::test]
    async fn dropping_kills_the_group() {
        let (process, mut output) =
            Process::start(&shell("echo up; sleep 1000 & sleep 1000")).unwrap();
        let mut first = [0; 3];
        output.read_exact(&mut first).await.unwrap();
        drop(process);
        assert_eq!(output.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
}

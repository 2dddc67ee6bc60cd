//! One shutdown that every task of a program can wait for.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells tasks that the program is to end. Clones share one state.
#[derive(Debug, Clone)]
pub struct Shutdown {
    sender: watch::Sender<bool>,
}

// === impl Shutdown ===

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            sender: watch::Sender::new(false),
        }
    }
}

impl Shutdown {
    /// Begins the shutdown. Doing it again changes nothing.
    pub fn begin(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the shutdown has begun.
    pub fn begun(&self) -> bool {
        *self.sender.borrow()
    }

    /// Resolves once the shutdown begins, at once if it has.
    pub async fn wait(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = receiver.wait_for(|begun| *begun).await;
    }
}

/// A shutdown that SIGTERM, SIGINT or the end of the terminal (SIGHUP) begins.
///
/// # Panics
/// Outside a Tokio runtime.
pub fn on_signal() -> std::io::Result<Shutdown> {
    let shutdown = Shutdown::default();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let begins = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
        begins.begin();
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_sees_the_one_shutdown() {
        let shutdown = Shutdown::default();
        let other = shutdown.clone();
        assert!(!other.begun());
        let waits = tokio::spawn(async move { other.wait().await });
        shutdown.begin();
        waits.await.unwrap();
        shutdown.wait().await;
        assert!(shutdown.begun());
    }
}

//! Steps on the terminal: what is being done, what it waits for, how long it took.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Prints steps; clones print to the same place.
#[derive(Debug, Clone)]
pub struct Progress {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    terminal: bool,
    step: Option<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    begun: Instant,
    waits_for: String,
}

// === impl Progress ===

impl Default for Progress {
    fn default() -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                begun: Instant::now(),
                terminal: std::io::stdout().is_terminal(),
                step: None,
            })),
        }
    }
}

impl Progress {
    /// Ends the step before and begins the next.
    pub fn step(&self, name: &str) {
        self.done();
        let mut shared = self.lock();
        shared.step = Some(Step {
            name: name.to_owned(),
            begun: Instant::now(),
            waits_for: String::new(),
        });
        if shared.terminal {
            print!("  … {name}");
            flush();
        } else {
            println!("  … {name}");
        }
    }

    /// Says what the step under way waits for.
    pub fn waits_for(&self, what: &str) {
        let mut shared = self.lock();
        let terminal = shared.terminal;
        let Some(step) = shared.step.as_mut().filter(|step| step.waits_for != what) else {
            return;
        };
        what.clone_into(&mut step.waits_for);
        if terminal {
            print!("\r\x1b[2K  … {}: {what}", step.name);
            flush();
        } else {
            println!("      {what}");
        }
    }

    /// Ends the step under way.
    pub fn done(&self) {
        let mut shared = self.lock();
        let terminal = shared.terminal;
        if let Some(step) = shared.step.take() {
            let took = seconds(step.begun.elapsed());
            let clear = if terminal { "\r\x1b[2K" } else { "" };
            println!("{clear}  ✓ {} ({took})", step.name);
        }
    }

    /// How long ago the first step began.
    pub fn elapsed(&self) -> Duration {
        self.lock().begun.elapsed()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A duration as people read it.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn flush() {
    // A closed terminal is no reason to stop what is being started.
    let _ = std::io::stdout().flush();
}

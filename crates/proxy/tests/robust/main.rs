//! That a node's sidecar holds: many connections, clients that break off at any
//! point, slow ones, hostile ones; rules, certificates and sidecars that change
//! under load. The broker is a scripted one, the TLS and everything between is
//! real. Every test prints its figures; how much each does is set by
//! `TUBEWAY_ROBUST_*` (see `sizes`), and `make soak` sets them to the full.

mod authority;
mod broker;
mod client;
mod cycles;
mod drains;
mod held;
mod malformed;
mod node;
mod panics;
mod process;
mod pumped;
mod rotations;
mod rules;
mod sidecar;
mod sizes;
mod stalls;
mod wire;
mod zones;

use std::sync::{Mutex, PoisonError};

/// Runs a test alone: descriptors and memory are the whole process's, and
/// times are of the whole machine.
fn alone<T>(test: impl Future<Output = T>) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    panics::watch();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let before = panics::seen();
    let result = runtime.block_on(test);
    assert_eq!(panics::seen(), before, "a task of the sidecar panicked");
    result
}

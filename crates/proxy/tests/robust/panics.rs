//! Panics anywhere in this process, also in tasks that nobody waits for.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static SEEN: AtomicU64 = AtomicU64::new(0);

/// Counts panics from now on.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            SEEN.fetch_add(1, Ordering::SeqCst);
            before(panic);
        }));
    });
}

/// How many there have been.
pub fn seen() -> u64 {
    SEEN.load(Ordering::SeqCst)
}

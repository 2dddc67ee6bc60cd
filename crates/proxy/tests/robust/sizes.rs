//! How much each test does.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The variable `TUBEWAY_ROBUST_<name>`, or what fits into a test run.
pub fn size(name: &str, default: usize) -> usize {
    let name = format!("TUBEWAY_ROBUST_{name}");
    std::env::var(&name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}; it must be a number"))
    })
}

/// A debug build on a busy machine may take `debug`, a release build `release`.
pub fn limit(release: Duration, debug: Duration) -> Duration {
    if cfg!(debug_assertions) {
        debug
    } else {
        release
    }
}

/// Lets this process, and those it starts, have so many descriptors.
pub fn need_descriptors(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        wanted <= most,
        "this needs {wanted} descriptors a process, and the hard limit is {most} (ulimit -Hn)"
    );
    if limit.current.is_some_and(|now| now < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).expect("a limit below the hard one can be set");
    }
}

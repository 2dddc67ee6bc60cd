//! A quiet client beside a noisy one, which its quota slows down.

use std::time::Duration;

use tubeway_policy::quota::Dimension;

use crate::java::{Java, Sample};
use crate::quotas::{Limit, document};
use crate::world::World;

pub const ACCOUNTS: [&str; 2] = ["quiet", "noisy"];
const NOISE: Limit = Limit {
    account: "noisy",
    dimension: Dimension::ProducedBytes,
    per_second: 1024.0 * 1024.0,
};
/// One record of 1 KB at a time, acknowledged by the leader.
const QUIET: &str = "pace Topic=neighbours Size=1000 Rate=50 acks=1";
/// Producers of the noisy client, each with five requests at a time.
const NOISES: [&str; 3] = ["noise-1", "noise-2", "noise-3"];
const NOISY: &str = "produce Topic=neighbours Size=1000 acks=1 buffer.memory=1048576";
/// Rounds of both, so that a slow moment of the machine does not decide.
const ROUNDS: usize = 3;
/// In which the noisy one's burst is used up.
const SETTLE: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(3);
const START: Duration = Duration::from_secs(60);
/// What the quiet one's times may rise by.
const FACTOR: u32 = 2;
const ALLOWANCE: Duration = Duration::from_millis(5);

/// Half of the round trips and 99 % of them took no longer.
#[derive(Debug, Clone, Copy)]
struct Times {
    p50: Duration,
    p99: Duration,
}

/// Runs of the quiet client while the noisy one is as named.
struct Neighbours<'a> {
    world: &'a World,
    quiet: Java,
    noisy: Java,
}

pub async fn are_left_alone(world: &World) {
    let mut on = Neighbours::start(world).await;
    let (mut alone, mut limited, mut unlimited) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(on.measure().await);
        world.node.take(&document(&[NOISE]));
        limited.push(on.beside_noise().await);
        world.node.take(&document(&[]));
        unlimited.push(on.beside_noise().await);
    }
    let [alone, beside, unlimited] = [alone, limited, unlimited].map(|all| Times::median(&all));
    println!("quiet client alone:                   {alone}");
    println!("beside a noisy one with a quota:      {beside}");
    println!("beside the same one without a quota:  {unlimited}");
    let unharmed = |of: fn(&Times) -> Duration| of(&beside) <= of(&alone) * FACTOR + ALLOWANCE;
    let halves = unharmed(|times| times.p50);
    assert!(halves, "p50 beside: {beside}, alone: {alone}");
    let nearly_all = unharmed(|times| times.p99);
    assert!(nearly_all, "p99 beside: {beside}, alone: {alone}");
}

// === impl Neighbours ===

impl<'a> Neighbours<'a> {
    /// Starts both clients' processes, and the quiet client.
    async fn start(world: &'a World) -> Self {
        let mut quiet = Java::start(world, "quiet");
        let credentials = world.credentials("quiet");
        quiet.load("quiet", QUIET, &world.bootstrap(), &credentials);
        let noisy = Java::start(world, "noisy");
        let mut neighbours = Self {
            world,
            quiet,
            noisy,
        };
        neighbours.quiet.begun("quiet", START).await;
        // Both have run all their code.
        neighbours.beside_noise().await;
        neighbours
    }

    /// What the quiet one's round trips take from now on.
    async fn measure(&self) -> Times {
        let before = self.quiet.samples("quiet").len();
        tokio::time::sleep(MEASURED).await;
        Times::of(&self.quiet.samples("quiet")[before..])
    }

    async fn beside_noise(&mut self) -> Times {
        let credentials = self.world.credentials("noisy");
        let at = self.world.bootstrap();
        for name in NOISES {
            self.noisy.load(name, NOISY, &at, &credentials);
        }
        tokio::time::sleep(SETTLE).await;
        let times = self.measure().await;
        for name in NOISES {
            self.noisy.stop(name);
        }
        for name in NOISES {
            self.noisy.ended(name, START).await;
        }
        times
    }
}

// === impl Times ===

impl Times {
    fn of(samples: &[Sample]) -> Self {
        let mut times: Vec<_> = samples.iter().map(|sample| sample.value).collect();
        times.sort_unstable();
        assert!(!times.is_empty(), "the quiet client has stopped");
        let at = |percent| Duration::from_nanos(times[times.len() * percent / 100]);
        Self {
            p50: at(50),
            p99: at(99),
        }
    }

    fn median(all: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> Duration| {
            let mut times: Vec<_> = all.iter().map(of).collect();
            times.sort_unstable();
            times[times.len() / 2]
        };
        Self {
            p50: middle(|times| times.p50),
            p99: middle(|times| times.p99),
        }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let (p50, p99) = (milliseconds(self.p50), milliseconds(self.p99));
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

//! Where the figures were taken.

use std::fmt::Write as _;

use tubeway_testing::tools::Tools;

use crate::envoy;

/// The machine, as a list in Markdown.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |m| m.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "- machine: {cores} cores ({model}), Linux {}, load {load} before the start\n",
        kernel.trim()
    )
}

/// The programs between which bytes go.
pub fn programs(tools: &Tools, with_envoy: bool) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "- Kafka {}, one node, Java {}, {} for broker and producer each",
        tools.dist.version,
        tools.java.version,
        crate::broker::HEAP
    );
    if with_envoy {
        let _ = writeln!(text, "- Envoy {}, two workers a process", envoy::VERSION);
    }
    text
}

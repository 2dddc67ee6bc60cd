use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Runtime;
use tubeway_testing::kubernetes::Node;

/// The node, and how to use it.
pub struct Stage {
    node: Node,
    runtime: Runtime,
}

impl Stage {
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let begun = Instant::now();
        let node = runtime.block_on(Node::start())?;
        println!("a node was ready in {:.1} s", begun.elapsed().as_secs_f64());
        Ok(Self { node, runtime })
    }

    pub fn report(&self) -> String {
        self.runtime.block_on(self.node.report(&["kube-system"]))
    }

    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = self.node.kubectl();
        let output = command.as_std_mut().args(args).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

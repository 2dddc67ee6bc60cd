//! One installation on a real Kubernetes with a node: everything that has to hold
//! there, while clients in pods write and read.

mod stage;

use stage::Stage;

fn main() {
    let stage = Stage::start().unwrap_or_else(|error| panic!("{error:#}"));
    println!("{}", stage.report());
    println!(
        "{}",
        stage
            .kubectl(&["get", "all,pv", "-A", "-o", "wide"])
            .unwrap()
    );
}

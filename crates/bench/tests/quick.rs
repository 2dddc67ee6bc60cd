//! That the bench runs; its figures are nobody's to assert.

use std::process::Command;

/// The rows of the table whose header begins with `figure`, without the header.
fn rows<'a>(printed: &'a str, figure: &str) -> Vec<&'a str> {
    let table = printed
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {figure}:")));
    table
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect()
}

#[test]
fn what_needs_no_broker_prints_its_tables() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench-proxy"))
        .args(["--quick", "--rounds", "1", "--only", "d6,d7"])
        .output()
        .expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // Four kinds of exchange by two numbers of rules; three kinds of request
    // and three of response by two numbers of partitions.
    assert_eq!(rows(&printed, "D6").len(), 8, "{printed}");
    assert_eq!(rows(&printed, "D7").len(), 12, "{printed}");
}

#[test]
fn a_way_that_is_none_is_refused_with_those_that_are() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench-proxy"))
        .args(["--ways", "haproxy"])
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("plain, relay64, relay256, envoy, tubeway"),
        "{said}"
    );
}

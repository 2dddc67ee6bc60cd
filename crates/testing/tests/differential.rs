//! Two brokers, answer by answer (`tubeway_testing::differential`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tokio::sync::Mutex;
use tubeway_testing::differential::report::{Outcome, Report};
use tubeway_testing::differential::suite::{Filter, Second, compare};

/// One pair of brokers at a time: two pairs would only be in each other's way.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Runs the suite and leaves what it found in `target/differential/<name>.txt`.
async fn run(name: &str, second: Second, filter: &Filter) -> Report {
    let _alone = ALONE.lock().await;
    let report = compare(second, filter).await.expect("the suite runs");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../differential");
    let text = format!("{report}\ncovered:\n{}", report.coverage_list());
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(format!("{name}.txt")), text).expect("a file");
    println!("{}", report.summary());
    report
}

/// The harness is quiet: what it calls a difference is one.
#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_with_the_same_acls_answer_alike() {
    let mut filter = Filter::from_env();
    filter.operations = Some(false);
    // What the harness forgives does not depend on the version.
    filter.newest_only = true;
    let different = different("native", Second::Native, filter, |_| true).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The harness sees: of a broker at which everybody may do everything, nearly
/// every API answers otherwise to somebody who may do nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_rules_answers_otherwise() {
    let mut filter = Filter::from_env();
    filter.newest_only = true;
    filter.scenarios = Some(vec!["denied".to_owned()]);
    let report = run("open", Second::Open, &filter).await;
    let blind: Vec<_> = report.apis_without_difference().collect();
    assert_eq!(blind, NO_RULES, "APIs whose answers are alike");
}

/// A sidecar with the same rules answers as the broker that has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_with_the_same_rules_answers_alike() {
    let mut filter = Filter::from_env();
    // Those of single operations take as long again: `make differential`.
    filter.operations.get_or_insert(false);
    let counts = |outcome: &Outcome| !is_on_purpose(outcome);
    let different = different("sidecar", Second::Sidecar, filter, counts).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Where the two sides differ, of what `counts`. On a busy machine brokers take
/// their time, each its own, over groups and new topics: what differs is asked
/// again of two new ones, and counts if it differs again.
async fn different(
    name: &str,
    second: Second,
    mut filter: Filter,
    counts: impl Fn(&Outcome) -> bool,
) -> Vec<String> {
    let report = run(name, second, &filter).await;
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    let apis: BTreeSet<i16> = report
        .different()
        .filter(|outcome| counts(outcome))
        .map(|outcome| outcome.api.0)
        .collect();
    if apis.is_empty() {
        return Vec::new();
    }
    println!("asking again of {apis:?}");
    filter.apis = Some(apis.into_iter().collect());
    let report = run(&format!("{name}-again"), second, &filter).await;
    let again = report.different().filter(|outcome| counts(outcome));
    again.map(ToString::to_string).collect()
}

/// APIs that answer alike whatever the rules are.
const NO_RULES: [&str; 3] = ["SaslHandshake", "ApiVersions", "SaslAuthenticate"];
/// What a sidecar does otherwise, and why.
fn is_on_purpose(outcome: &Outcome) -> bool {
    let step = outcome.step.as_str();
    match outcome.api.0 {
        // Offered by 4.x for librdkafka's sake (KAFKA-18659), and answered by
        // closing the connection; a refusal says more, and 3.9 serves them.
        0 => outcome.version < 3,
        // A session in which everything is refused is an empty one for the
        // broker, which ends it: the client has to begin anew each time.
        1 => refuses_reading(&outcome.scenario) && step.starts_with("the session"),
        // The broker makes a streams group's internal topics, and this one has
        // no rules; those of a cluster have them as native ACLs.
        88 => ["only-read", "all-but-create"].contains(&outcome.scenario.as_str()),
        // The broker counts a page before the sidecar filters it.
        75 => step == "every topic, at most three partitions",
        // The broker gives away the id of a topic that it refuses.
        91 => {
            let hides =
                |difference: &String| difference.ends_with(&format!("| {}", "0".repeat(32)));
            outcome.differences.iter().all(hides)
        }
        api => LOGINS.contains(&api),
    }
}

/// Scenarios in which no topic at all may be read.
fn refuses_reading(scenario: &str) -> bool {
    match scenario.strip_prefix("only-") {
        Some(operation) => operation != "read",
        None => ["denied", "other-host", "all-but-read"].contains(&scenario),
    }
}

/// SaslHandshake and SaslAuthenticate. The first broker's clients log in by
/// them; a sidecar's have shown a certificate, and may not log in besides.
const LOGINS: [i16; 2] = [17, 36];

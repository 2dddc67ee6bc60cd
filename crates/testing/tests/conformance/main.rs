//! localkube answers as a kube-apiserver does: the same cases against both, and every
//! difference fails that is not listed with its reason.
//!
//! `TUBEWAY_CONFORMANCE=apply` runs the cases with that in their name only.

#![allow(
    clippy::needless_pass_by_value,
    reason = "bodies are written where they are used"
)]

mod cases;
mod compare;
mod known;
mod normal;
mod server;
mod trial;

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use serde_json::Value;

use compare::Difference;
use known::KNOWN;
use server::Server;
use trial::{Step, Trial};

/// Names a part of the names of the cases that are to run.
const FILTER: &str = "TUBEWAY_CONFORMANCE";
/// Cases at a time. Most of a case is waiting for one of the servers.
const AT_ONCE: usize = 8;
/// Longest time that a case may take on one server.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is asked of both servers.
pub struct Case {
    /// What it shows, in words joined by `_`.
    pub name: &'static str,
    /// Asks it.
    pub run: for<'t> fn(&'t mut Trial<'_>) -> BoxFuture<'t, ()>,
}

/// What became of a case.
struct Outcome {
    case: &'static str,
    requests: usize,
    differences: Vec<Difference>,
    surprises: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localkube_answers_as_a_kube_apiserver_does() {
    let begun = Instant::now();
    let (real, local) = tokio::join!(Server::real(), Server::local());
    let started = begun.elapsed();
    let wanted = std::env::var(FILTER).unwrap_or_default();
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| case.name.contains(&wanted))
        .collect();
    let outcomes: Vec<Outcome> = futures::stream::iter(&cases)
        .map(|case| compare_servers(case, &real, &local))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let report = report(outcomes, wanted.is_empty());
    println!(
        "{} cases in {:.1} s, of which both servers took {:.1} s to start",
        cases.len(),
        begun.elapsed().as_secs_f64(),
        started.as_secs_f64()
    );
    assert!(report.is_empty(), "{report}");
}

async fn compare_servers(case: &Case, real: &Server, local: &Server) -> Outcome {
    let (expected, found) = tokio::join!(run(case, real), run(case, local));
    Outcome {
        case: case.name,
        requests: expected.0.len(),
        differences: compare::transcripts(&expected.0, &found.0),
        // What localkube answers differently is a difference already.
        surprises: expected.1,
    }
}

async fn run(case: &Case, server: &Server) -> (Vec<Step>, Vec<String>) {
    let namespace: String = case.name.replace('_', "-").chars().take(60).collect();
    let mut trial = Trial::begin(server, namespace.trim_end_matches('-')).await;
    if tokio::time::timeout(PATIENCE, (case.run)(&mut trial))
        .await
        .is_err()
    {
        trial.note("the end, not reached in time", Value::Null);
        trial.surprises.push(format!("took {PATIENCE:?}"));
    }
    (trial.steps, trial.surprises)
}

/// What is wrong, a line each; empty if nothing is.
fn report(outcomes: Vec<Outcome>, is_whole: bool) -> String {
    let mut lines = Vec::new();
    let mut used = vec![false; KNOWN.len()];
    let mut requests = 0;
    for outcome in outcomes {
        let case = outcome.case;
        requests += outcome.requests;
        let surprises = outcome.surprises.iter();
        lines.extend(surprises.map(|text| format!("{case}: the real server surprises: {text}")));
        for difference in outcome.differences {
            let known = known::find(case, &difference);
            if known.is_empty() {
                lines.push(format!("{case}: {difference}"));
            }
            for at in known {
                used[at] = true;
            }
        }
    }
    for (known, _) in KNOWN
        .iter()
        .zip(&used)
        .filter(|(_, used)| is_whole && !**used)
    {
        lines.push(format!(
            "{}: the known difference at {} of {} is gone; take it off the list",
            known.case, known.path, known.step
        ));
    }
    println!(
        "{requests} requests and notes, {} known differences",
        KNOWN.len()
    );
    lines.sort();
    lines.join("\n")
}

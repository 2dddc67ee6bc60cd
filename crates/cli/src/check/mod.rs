//! `tubeway check`: looks at a cluster and the installation on it, and says what
//! is wrong and what to do.

mod cluster;
mod facts;
mod installation;
mod report;
mod resources;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::sleep;
use tubeway_operator::config::duration;

use crate::state::State;
use crate::target::Target;
use facts::Facts;
use report::{Outcome, Report};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What `tubeway check` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Before an installation: whether the cluster and your rights suffice.
    #[arg(long)]
    pre: bool,
    /// How long to look again while something is wrong.
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration)]
    wait: Duration,
    /// The form of what is printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs: a list of checks.
    Json,
}

/// Looks, until all is well or for as long as it may wait, prints what it saw last,
/// and fails where something is wrong.
pub async fn run(state: &State, options: &Options) -> Result<()> {
    let begun = Instant::now();
    let report = loop {
        let report = look(state, options).await?;
        if report.is_well() || begun.elapsed() >= options.wait {
            break report;
        }
        sleep(LOOK_EVERY).await;
    };
    match options.output {
        Form::Text => print!("{report}"),
        Form::Json => println!("{:#}", report.json()),
    }
    let failed = report.count(|outcome| matches!(outcome, Outcome::Failed { .. }));
    match failed {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        n => bail!("{n} checks failed"),
    }
}

async fn look(state: &State, options: &Options) -> Result<Report> {
    let (client, url) = options.target.client(state).await?;
    let facts = Facts::gather(&client, url, options.pre).await;
    let mut report = Report::default();
    cluster::check(&facts, &mut report);
    if options.pre {
        cluster::check_rights(&facts, &mut report);
    } else if report.is_well() {
        // Without an API there is nothing to say about what is in it.
        installation::check(&facts, &mut report);
        resources::check(&facts, &mut report);
    }
    Ok(report)
}

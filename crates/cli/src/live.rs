//! The live view: who produces to and consumes from what, refreshed each second.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::Client;
use tubeway_telemetry::Shutdown;

use crate::flows::{self, Flows, Rate};

/// Where the output is no terminal, a table is printed this often.
const PLAIN_EVERY: u32 = 10;

/// Shows rates until the shutdown.
pub async fn run(client: &Client, shutdown: &Shutdown) -> Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut before: (Instant, Flows) = (Instant::now(), Flows::new());
    let mut lines = 0;
    let mut looks = 0;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.wait() => return Ok(()),
        }
        let Ok(now) = flows::collect(client).await else {
            continue;
        };
        let at = Instant::now();
        let rates = flows::rates(&before.1, &now, at - before.0);
        looks += 1;
        if terminal {
            let text = table(&rates);
            let up = if lines == 0 {
                String::new()
            } else {
                format!("\x1b[{lines}A\x1b[J")
            };
            lines = text.lines().count();
            print!("{up}{text}");
            std::io::stdout().flush()?;
            before = (at, now);
        } else if looks % PLAIN_EVERY == 0 {
            print!("{}", table(&rates));
            before = (at, now);
        }
    }
}

/// The rates as a table of fixed width.
fn table(rates: &[Rate]) -> String {
    let mut text = format!(
        "\n  {:<24} {:<16} {:>12} {:>12} {:>12} {:>12} {:>8}\n",
        "PRINCIPAL",
        "TOPIC",
        "RECORDS IN/S",
        "BYTES IN/S",
        "RECORDS OUT/S",
        "BYTES OUT/S",
        "DENIED"
    );
    if rates.is_empty() {
        text.push_str("  no client has used a topic yet\n");
    }
    for rate in rates {
        let (principal, topic) = &rate.key;
        let _ = writeln!(
            text,
            "  {:<24} {:<16} {:>12.1} {:>12} {:>13.1} {:>12} {:>8}",
            short(principal),
            topic,
            rate.produced_records,
            size(rate.produced_bytes),
            rate.consumed_records,
            size(rate.consumed_bytes),
            rate.denied
        );
    }
    text
}

/// `shop/checkout` for a service account's SPIFFE id, others whole.
fn short(principal: &str) -> String {
    principal
        .parse::<tubeway_policy::SpiffeId>()
        .ok()
        .and_then(|id| {
            id.service_account()
                .map(|(namespace, account)| format!("{namespace}/{account}"))
        })
        .unwrap_or_else(|| principal.to_owned())
}

fn size(bytes: f64) -> String {
    match bytes {
        b if b >= 1e9 => format!("{:.1} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_the_service_account_and_its_rates() {
        let rate = Rate {
            key: (
                "spiffe://cluster.local/ns/shop/sa/checkout".to_owned(),
                "orders".to_owned(),
            ),
            produced_records: 50.0,
            produced_bytes: 12_345.0,
            consumed_records: 0.0,
            consumed_bytes: 0.0,
            denied: 3,
        };
        let text = table(&[rate]);
        let row = text.lines().last().unwrap();
        for part in ["shop/checkout", "orders", "50.0", "12.3 kB", " 3"] {
            assert!(row.contains(part), "{row}");
        }
    }
}

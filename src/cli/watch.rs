//! `tiebeam watch NODE`: nodes coming and going, as a node sees them.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;

use super::session::Session;
use super::{Global, output};
use crate::term::{Atom, Term};

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The node, name@host.
    node: String,
    /// Look every so many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    interval: u64,
}

/// Watches by asking for `nodes()` again and again: a node that is no BEAM process' own cannot subscribe for another.
pub(super) async fn run(global: &Global, args: WatchArgs) -> anyhow::Result<ExitCode> {
    let session = Session::open(global, &args.node).await?;
    let rpc = session.node.rpc(session.peer.atom()).timeout(Duration::from_secs(10));
    let mut seen: Option<BTreeSet<Atom>> = None;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    loop {
        let visible = vec![Term::atom("visible")];
        let nodes = rpc.call_term(Atom::new("erlang"), Atom::new("nodes"), visible).await;
        let nodes = match nodes {
            Ok(nodes) => nodes,
            Err(error) => {
                say(global, "nodedown", session.peer.atom());
                return Err(anyhow::Error::new(error).context("the watched node is gone"));
            }
        };
        let now: BTreeSet<Atom> =
            nodes.as_list().context("nodes() is no list")?.iter().filter_map(|node| node.as_atom()).collect();
        let before = seen.unwrap_or_default();
        now.difference(&before).for_each(|up| say(global, "nodeup", *up));
        before.difference(&now).for_each(|down| say(global, "nodedown", *down));
        seen = Some(now);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(args.interval)) => {}
            _ = interrupt.recv() => break,
        }
    }
    session.close().await;
    Ok(ExitCode::SUCCESS)
}

fn say(global: &Global, event: &str, node: Atom) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if global.json {
        let time = now.as_millis() as f64 / 1000.0;
        output::line(&output::object([("time", time.into()), ("event", event.into()), ("node", node.as_str().into())]));
    } else {
        let (day, time) = (now.as_secs() / 86_400, now.as_secs() % 86_400);
        let (year, month, date) = civil(day);
        let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
        let millis = now.subsec_millis();
        let stamp = format!("{year:04}-{month:02}-{date:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z");
        output::line(&format!("{stamp} {event} {}", node.as_str()));
    }
}

/// The date of a day counted from 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from the first of March of year 0, so that leap days come last.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_are_dates_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_781), (2026, 11, 24));
    }
}

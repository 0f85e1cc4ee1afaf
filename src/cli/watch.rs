//! `tiebeam watch NODE`: nodes coming and going, as a node sees them.
//!
//! The node is asked to tell: a tiebeam node by `tiebeam:watch_nodes/1`; a BEAM, where only its own processes can
//! subscribe, by a process that `erl_eval` runs there, which subscribes, forwards and ends with this command. Only where
//! neither is to be had is `nodes()` asked for again and again, which sees no node that came back in between.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Args;

use super::session::Session;
use super::{Global, output};
use crate::process::{Mail, Process};
use crate::rpc::Rpc;
use crate::term::{Atom, Ref, Term, atom::known};

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The node, name@host.
    node: String,
    /// Look every so many milliseconds, where the node cannot be asked to tell.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    interval: u64,
}

/// What a process on a BEAM does for us. Events that come before the list of nodes are told after it.
const FORWARDER: &str = "Ref = monitor(process, To), \
    ok = net_kernel:monitor_nodes(true, [nodedown_reason]), \
    To ! {watching, nodes()}, \
    Forward = fun Loop() -> receive {'DOWN', Ref, _, _, _} -> ok; Event -> To ! Event, Loop() end end, \
    Forward().";

/// How long the node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn run(global: &Global, args: WatchArgs) -> anyhow::Result<ExitCode> {
    let session = Session::open(global, &args.node).await?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut shown = Shown { global, nodes: BTreeSet::new() };
    tokio::select! {
        gone = watch(&session, Duration::from_millis(args.interval), &mut shown) => {
            say(global, "nodedown", session.peer.atom(), None);
            return Err(gone.context("the watched node is gone"));
        }
        _ = interrupt.recv() => {}
    }
    session.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Shows events until the node is gone.
async fn watch(session: &Session, interval: Duration, shown: &mut Shown<'_>) -> anyhow::Error {
    let rpc = session.node.rpc(session.peer.atom()).timeout(ANSWER_WITHIN);
    let mut me = session.node.process();
    match subscribe(&rpc, &mut me, shown).await {
        Ok(subscription) => {
            if let Err(gone) = follow(&mut me, subscription, shown).await {
                return gone;
            }
            tracing::warn!("the subscription has ended: asks for nodes() from now on");
        }
        Err(why) => tracing::info!("asks for nodes() again and again, as it cannot subscribe: {why:#}"),
    }
    loop {
        match nodes(&rpc).await {
            Ok(nodes) => shown.are(nodes),
            Err(gone) => return gone,
        }
        tokio::time::sleep(interval).await;
    }
}

/// Has the node tell this process, and shows which nodes are there; the monitor of what tells.
async fn subscribe(rpc: &Rpc, me: &mut Process, shown: &mut Shown<'_>) -> anyhow::Result<Ref> {
    let ours = vec![me.pid().into()];
    if let Ok(watcher) = rpc.call_term(Atom::new("tiebeam"), Atom::new("watch_nodes"), ours).await {
        let watcher = watcher.as_tuple().and_then(|ok| ok.get(1)?.as_pid()).context("watch_nodes gave no pid")?;
        let subscription = me.monitor(watcher)?;
        shown.are(nodes(rpc).await?);
        return Ok(subscription);
    }
    let subscription = forwarder(rpc, me).await.context("erl_eval does not forward")?;
    let list = tokio::time::timeout(ANSWER_WITHIN, me.receive_match(|mail| watching(mail, subscription)));
    let list = list.await.context("the forwarding process says nothing")??;
    shown.are(names(&list.context("the forwarding process has ended")?)?);
    Ok(subscription)
}

/// Spawns [`FORWARDER`] on a BEAM.
async fn forwarder(rpc: &Rpc, me: &mut Process) -> anyhow::Result<Ref> {
    let ok = |tuple: Term| tuple.as_tuple().and_then(|ok| ok.get(1).cloned()).context("no answer of a BEAM's");
    let code = vec![crate::term::List::from_text(FORWARDER).into()];
    let tokens = ok(rpc.call_term(Atom::new("erl_scan"), Atom::new("string"), code).await?)?;
    let parsed = ok(rpc.call_term(Atom::new("erl_parse"), Atom::new("parse_exprs"), vec![tokens]).await?)?;
    let bindings = Term::list(vec![Term::tuple([Term::atom("To"), me.pid().into()])]);
    let (_pid, subscription) = rpc.spawn_monitor(me, "erl_eval", "exprs", (parsed, bindings)).await?;
    Ok(subscription)
}

/// `{watching, Nodes}`; `Some(None)` once the forwarding process has ended.
fn watching(mail: &Mail, subscription: Ref) -> Option<Option<Term>> {
    match mail {
        Mail::Message(message) => match message.term().ok()?.as_tuple()? {
            [watching, nodes] if watching.is_atom("watching") => Some(Some(nodes.clone())),
            _ => None,
        },
        Mail::Down(down) if down.reference == subscription => Some(None),
        Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
    }
}

/// Shows what comes until the subscription ends; an error if that is because the node is gone.
async fn follow(me: &mut Process, subscription: Ref, shown: &mut Shown<'_>) -> anyhow::Result<()> {
    loop {
        match me.receive().await? {
            Mail::Down(down) if down.reference == subscription => {
                if down.reason.is_atom("noconnection") {
                    bail!("the connection was lost");
                }
                return Ok(());
            }
            mail => shown.event(&mail.term().unwrap_or_default()),
        }
    }
}

async fn nodes(rpc: &Rpc) -> anyhow::Result<BTreeSet<Atom>> {
    names(&rpc.call_term(known::erlang(), Atom::new("nodes"), vec![Term::atom("visible")]).await?)
}

fn names(list: &Term) -> anyhow::Result<BTreeSet<Atom>> {
    Ok(list.as_list().context("nodes() is no list")?.iter().filter_map(|node| node.as_atom()).collect())
}

/// The nodes that are said to be up.
struct Shown<'a> {
    global: &'a Global,
    nodes: BTreeSet<Atom>,
}

impl Shown<'_> {
    /// These are up, and no other.
    fn are(&mut self, now: BTreeSet<Atom>) {
        now.difference(&self.nodes).for_each(|up| say(self.global, "nodeup", *up, None));
        self.nodes.difference(&now).for_each(|down| say(self.global, "nodedown", *down, None));
        self.nodes = now;
    }

    /// `{nodeup, Node, _}` or `{nodedown, Node, [{nodedown_reason, Why}]}`. What is known already is not said again:
    /// an event may have come between subscription and list.
    fn event(&mut self, event: &Term) {
        let Some([kind, Term::Atom(node), details]) = event.as_tuple() else { return };
        if kind.is_atom("nodeup") && self.nodes.insert(*node) {
            say(self.global, "nodeup", *node, None);
        } else if kind.is_atom("nodedown") && self.nodes.remove(node) {
            say(self.global, "nodedown", *node, reason(details));
        }
    }
}

fn reason(details: &Term) -> Option<String> {
    let why = details.as_list()?.iter().find_map(|detail| match detail.as_tuple()? {
        [key, why] if key.is_atom("nodedown_reason") => Some(why.clone()),
        _ => None,
    })?;
    Some(why.as_atom().map_or_else(|| why.to_string(), |why| why.as_str().to_owned()))
}

fn say(global: &Global, event: &str, node: Atom, reason: Option<String>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if global.json {
        let time = now.as_millis() as f64 / 1000.0;
        let always = [("time", time.into()), ("event", event.into()), ("node", node.as_str().into())];
        let known = reason.map(|reason| ("reason", reason.into()));
        output::line(&output::object(always.into_iter().chain(known)));
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

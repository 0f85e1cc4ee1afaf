//! `tiebeam:info/0`: the node's own account of itself.

use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use super::answer;
use super::system::resident;
use crate::net::Connection;
use crate::node::Node;
use crate::term::{Map, Term};

pub(super) fn export(node: &Node) {
    answer(node, "tiebeam", "info", 0, |context, _| Ok(info(&context.node)));
}

fn map<const N: usize>(pairs: [(&str, Term); N]) -> Term {
    Term::Map(pairs.into_iter().map(|(key, value)| (Term::atom(key), value)).collect::<Map>())
}

fn info(node: &Node) -> Term {
    let peers: Vec<(Term, Term)> =
        node.connections().iter().map(|connection| (connection.peer().name.into(), peer(connection))).collect();
    let cells = node.router().cells();
    let oldest = cells.iter().map(|cell| cell.started).min().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    map([
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("node", node.name().into()),
        ("uptime_ms", node.uptime().as_millis().into()),
        ("started", oldest.unwrap_or_default().as_secs().into()),
        ("memory", resident().into()),
        ("processes", cells.len().into()),
        ("links", cells.iter().map(|cell| cell.lock().links.len()).sum::<usize>().into()),
        ("monitors", cells.iter().map(|cell| cell.lock().monitors.len()).sum::<usize>().into()),
        ("monitored_by", cells.iter().map(|cell| cell.lock().watchers.len()).sum::<usize>().into()),
        ("signals", node.router().reductions().into()),
        ("rpc_calls", node.exported_calls().into()),
        ("exports", node.exports().len().into()),
        ("peers", Term::Map(peers.into_iter().collect::<Map>())),
        ("replicas", Term::nil()),
    ])
}

fn peer(connection: &Connection) -> Term {
    let traffic = &connection.traffic;
    map([
        ("hidden", connection.peer().hidden.into()),
        ("creation", connection.peer().creation.0.into()),
        ("bytes_in", traffic.bytes_in.load(Ordering::Relaxed).into()),
        ("bytes_out", traffic.bytes_out.load(Ordering::Relaxed).into()),
        ("messages_in", traffic.signals_in.load(Ordering::Relaxed).into()),
        ("messages_out", traffic.signals_out.load(Ordering::Relaxed).into()),
        ("queued_bytes", connection.queued_bytes().into()),
        ("flags", connection.flags().bits().into()),
    ])
}

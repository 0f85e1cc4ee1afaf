//! Does what the formation says: one task that hears the sources and starts the attempts.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Hooks;
use super::state::{Formation, Jitter};
use crate::node::{Node, NodeEvent};
use crate::term::NodeName;

/// What a source has found out.
#[derive(Debug)]
pub(super) enum Report {
    /// All that it names now.
    Listed(usize, BTreeSet<NodeName>),
    /// A node has announced itself.
    Heard(NodeName),
}

pub(super) async fn form(
    node: Node,
    hooks: Arc<dyn Hooks>,
    mut formation: Formation,
    mut reports: mpsc::UnboundedReceiver<Report>,
) {
    let (mut stopping, mut events) = (node.stopping(), node.monitor_nodes());
    let (ended, mut outcomes) = mpsc::unbounded_channel();
    let started = Instant::now();
    loop {
        let connected: BTreeSet<_> = hooks.connected(&node).into_iter().collect();
        for peer in formation.poll_connect(&connected, started.elapsed()) {
            let (node, hooks, ended) = (node.clone(), Arc::clone(&hooks), ended.clone());
            node.clone().spawn_task(async move {
                let outcome = hooks.connect(&node, peer).await;
                // Nobody listens any more when the node ends.
                let _ended_too = ended.send((peer, outcome));
            });
        }
        let next = formation.poll_timeout(&connected).map(|at| started + at);
        let mut left = Vec::new();
        tokio::select! {
            Some(report) = reports.recv() => match report {
                Report::Heard(peer) => formation.handle_heard(peer),
                Report::Listed(source, peers) => left = formation.handle_listed(source, peers),
            },
            Some((peer, outcome)) = outcomes.recv() => {
                let pause = formation.handle_outcome(peer, outcome.is_ok(), started.elapsed(), jitter());
                match (outcome, pause) {
                    (Err(error), Some(pause)) => tracing::info!(%peer, %error, "cannot connect; not again before {pause:?}"),
                    _ => tracing::info!(%peer, "found"),
                }
            }
            event = events.next() => if let NodeEvent::Down(peer, _) = event {
                formation.handle_down(peer.name, started.elapsed(), jitter());
            },
            () = sleep_until(next.unwrap_or(started)), if next.is_some() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        for peer in left {
            tracing::info!(%peer, "left: no strategy names it any more");
            hooks.disconnect(&node, peer).await;
        }
    }
}

fn jitter() -> Jitter {
    Jitter(getrandom::u32().unwrap_or_default().to_be_bytes()[0])
}

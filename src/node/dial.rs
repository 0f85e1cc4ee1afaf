//! Connecting to peers: because somebody asked, or because somebody sends.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::slots::{Attempt, Outcome, Wish};
use super::{Config, Node, up};
use crate::dflags::DFlags;
use crate::handshake::{Challenge, Established, HandshakeError, Local, TOTAL_FACTOR};
use crate::net::dial::Introduction;
use crate::net::{DialError, Stream, dial};
use crate::process::router::Identity;
use crate::term::{Atom, NodeName};

/// Connects, or waits for whoever is at it.
pub(super) async fn connect(node: &Node, peer: Atom) -> Result<(), DialError> {
    loop {
        if *node.stopping().borrow() {
            return Err(DialError::ShuttingDown);
        }
        match node.0.slots.want(peer) {
            Wish::Connected => return Ok(()),
            Wish::Closing(connection) => connection.gone().await,
            Wish::Wait(outcome) => match settled(outcome).await {
                Some(Err(DialError::Superseded)) | None => {}
                Some(result) => return result,
            },
            // A task of its own, so that the attempt does not depend on who asked.
            Wish::Dial(attempt) => node.spawn_task(run_attempt(node.clone(), attempt)),
        }
    }
}

/// How an attempt went; `None` where it vanished with its task.
async fn settled(mut outcome: watch::Receiver<Outcome>) -> Option<Result<(), DialError>> {
    outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
}

/// Connects to whichever nodes are sent to.
pub(super) async fn connect_on_demand(node: Node, mut wishes: mpsc::UnboundedReceiver<Atom>) {
    let mut stopping = node.stopping();
    loop {
        let peer = tokio::select! {
            wish = wishes.recv() => wish,
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        let Some(peer) = peer else { return };
        let node = node.clone();
        node.clone().spawn_task(async move {
            if let Err(error) = connect(&node, peer).await {
                tracing::debug!(peer = peer.as_str(), %error, "cannot connect");
            }
        });
    }
}

/// Connects again whenever the connection is lost.
pub(super) async fn keep_connected(node: Node, peer: NodeName) {
    const FIRST_PAUSE: Duration = Duration::from_millis(250);
    const LONGEST_PAUSE: Duration = Duration::from_secs(30);
    let mut stopping = node.stopping();
    let mut pause = FIRST_PAUSE;
    let keep = async {
        loop {
            match connect(&node, peer.atom()).await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    if let Some(connection) = node.0.slots.up(peer.atom()) {
                        connection.gone().await;
                    }
                }
                Err(error) => tracing::info!(%peer, %error, "cannot connect; trying again in {pause:?}"),
            }
            // Nodes that lost each other at the same moment should not all come back at the same moment.
            let jitter = getrandom::u32().unwrap_or_default() % 100;
            tokio::time::sleep(pause + pause * jitter / 200).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    tokio::select! {
        () = keep => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

async fn run_attempt(node: Node, attempt: Attempt) {
    let mut stopping = node.stopping();
    let last = Instant::now() + node.config().setup_time * TOTAL_FACTOR;
    let error = loop {
        let dialled = tokio::select! {
            dialled = dial_peer(&node, &attempt) => dialled,
            () = attempt.cancelled.notified() => Err(DialError::Superseded),
            _ = stopping.wait_for(|stopping| *stopping) => Err(DialError::ShuttingDown),
        };
        match dialled {
            Ok((stream, established)) => {
                return up::bring_up(&node, &attempt, stream, established, &[]).await;
            }
            // The peer has an attempt that is to survive (`nok`): its own takes over this one, or is late. One of ours
            // that it has not cleared away yet never comes: then it is time to dial again.
            Err(DialError::Handshake(HandshakeError::Simultaneous)) => {
                if timeout(PEERS_TURN, attempt.cancelled.notified()).await.is_ok() {
                    break DialError::Superseded;
                }
                if Instant::now() > last {
                    break DialError::TimedOut("the peer said that it connects to us, and did not");
                }
            }
            Err(error) => break error,
        }
    };
    let peer = attempt.peer;
    node.0.slots.fail(attempt, error, || node.0.router.node_down(peer));
}

/// How long a peer that says it dials us is left alone.
const PEERS_TURN: Duration = Duration::from_millis(250);

async fn dial_peer(node: &Node, attempt: &Attempt) -> Result<(Stream, Established), DialError> {
    let peer = NodeName::new(attempt.peer.as_str()).map_err(|_bad| DialError::BadName(attempt.peer))?;
    let Identity { node: ours, .. } = node.0.router.identity();
    if ours == peer.atom() {
        return Err(DialError::Ourselves);
    }
    let config = node.config();
    let address = dial::locate(peer, config.ports, config.ipv6).await?;
    let tcp = dial::open(address, config.setup_time).await?;
    let mut stream = config.transport.dialled(tcp, peer.host(), config.setup_time).await?;
    let introduction = (Introduction::Named(local(node)?), peer, node.get_cookie_for(attempt.peer));
    let still_pending = || node.0.slots.is_current(attempt);
    let established =
        dial::introduce(&mut stream, introduction, challenge()?, config.setup_time, still_pending).await?;
    Ok((stream, established))
}

/// What we say about ourselves.
pub(super) fn local(node: &Node) -> Result<Local, DialError> {
    let Identity { node: name, creation } = node.0.router.identity();
    let name = NodeName::new(name.as_str()).map_err(|_nameless| DialError::ShuttingDown)?;
    Ok(Local { name, creation, flags: node.config().flags() })
}

/// A challenge that nobody can predict.
pub(super) fn challenge() -> Result<Challenge, DialError> {
    getrandom::u32().map(Challenge).map_err(|_no_generator| DialError::Io(std::io::ErrorKind::Other))
}

/// Asks `peer` for a name, as a node of `config`'s host: what the name is, and the connection over which it came.
pub(crate) async fn be_named(config: &Config, peer: NodeName) -> Result<(Stream, Established), DialError> {
    let address = dial::locate(peer, config.ports, config.ipv6).await?;
    let tcp = dial::open(address, config.setup_time).await?;
    let mut stream = config.transport.dialled(tcp, peer.host(), config.setup_time).await?;
    let cookie = config.cookie_for(peer.atom()).clone();
    let introduction = (Introduction::Nameless(config.name.host(), DFlags::default_hidden()), peer, cookie);
    // A name that nobody had before has no connection that could be alive.
    let established = dial::introduce(&mut stream, introduction, challenge()?, config.setup_time, || true).await?;
    Ok((stream, established))
}

/// Makes the connection over which a node got its name the first one it has.
pub(crate) async fn adopt(node: &Node, stream: Stream, established: Established) {
    if let Wish::Dial(attempt) = node.0.slots.want(established.peer.atom()) {
        up::bring_up(node, &attempt, stream, established, &[]).await;
    }
}

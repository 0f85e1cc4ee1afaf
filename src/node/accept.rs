//! Peers that dial us.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::slots::{Attempt, Contender, Incoming};
use super::{Node, dial, up};
use crate::handshake::{Acceptor, Established, HandshakeError, Incoming as Calling, Step, Verdict, dynamic_name};
use crate::net::{Closed, Connection, DialError, Greeting, Stream};
use crate::term::{Creation, NodeName};

/// So many callers may be in their handshake at once; more wait in the listener's queue.
const GREETED_AT_ONCE: usize = 256;

/// Accepts callers until the node shuts down.
pub(crate) async fn accept_peers(node: Node, listener: TcpListener) {
    let mut stopping = node.stopping();
    let room = Arc::new(Semaphore::new(GREETED_AT_ONCE));
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&listener, &room) => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: they come back.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let greeting = greet(node.clone(), stream);
        node.spawn_task(async move {
            greeting.await;
            drop(permit);
        });
    }
}

async fn accept_one(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _from) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn greet(node: Node, stream: TcpStream) {
    let from = stream.peer_addr().ok();
    let mut role = Role::default();
    let mut stopping = node.stopping();
    let greeted = tokio::select! {
        greeted = answer(&node, stream, &mut role) => greeted,
        _ = stopping.wait_for(|stopping| *stopping) => Err(DialError::ShuttingDown),
    };
    match greeted {
        Ok((stream, established, ack)) => admit(&node, stream, role, established, &ack).await,
        Err(error) => {
            tracing::info!(?from, %error, "handshake of a caller failed");
            if let Some(attempt) = role.attempt {
                let peer = attempt.peer;
                node.0.slots.fail(attempt, error, || node.0.router.node_down(peer));
            }
        }
    }
}

/// What a caller's handshake holds of the node's slots.
#[derive(Default)]
struct Role {
    attempt: Option<Attempt>,
    /// The connection that the caller said is dead, and its place as the one who may say so.
    replaced: Option<(Arc<Connection>, Arc<Contender>)>,
}

async fn answer(node: &Node, tcp: TcpStream, role: &mut Role) -> Result<(Stream, Established, Vec<u8>), DialError> {
    let setup_time = node.config().setup_time;
    let mut stream = node.config().transport.accepted(tcp, setup_time).await?;
    let prefix = stream.prefix();
    let mut machine = Acceptor::new(dial::local(node)?, prefix);
    let mut greeting = Greeting::new(&mut stream, prefix, setup_time);
    loop {
        let Some(body) = greeting.receive().await? else { return Err(machine.closed().into()) };
        let mut step = machine.handle(&body)?;
        if let Step::Decide(calling) = step {
            step = decide(node, role, calling)?;
        }
        match step {
            Step::Continue { send, next } => {
                greeting.send(&send).await?;
                machine = next;
            }
            Step::Refused { send, error } => {
                greeting.send(&send).await?;
                return Err(error.into());
            }
            Step::Established { send, established } => return Ok((stream, established, send)),
            Step::Decide(_) => return Err(HandshakeError::Refused.into()),
        }
    }
}

fn decide(node: &Node, role: &mut Role, calling: Calling) -> Result<Step<Acceptor, Calling>, DialError> {
    let challenge = dial::challenge()?;
    match calling {
        Calling::Named(caller) => {
            let peer = caller.name();
            let Incoming { verdict, attempt, alive } = node.0.slots.incoming(&node.name(), &peer);
            role.attempt = attempt;
            role.replaced = alive;
            Ok(caller.answer(verdict, node.get_cookie_for(peer.atom()), challenge))
        }
        Calling::Nameless(nameless) => {
            let random = || getrandom::u64().map_err(|_no_generator| DialError::Io(std::io::ErrorKind::Other));
            let Some(name) = dynamic_name(random()?, nameless.host()) else { return Ok(nameless.refuse()) };
            let Incoming { verdict, attempt, .. } = node.0.slots.incoming(&node.name(), &name);
            if verdict != Verdict::Ok {
                return Ok(nameless.refuse());
            }
            role.attempt = attempt;
            // "avoid 1..3": those are the creations of before OTP 23.
            let creation = Creation((random()? as u32) | 4);
            Ok(nameless.name_it(name, creation, node.get_cookie_for(name.atom()), challenge))
        }
    }
}

/// The caller has proved itself: its connection takes its slot, and only then learns of it.
async fn admit(node: &Node, stream: Stream, role: Role, established: Established, ack: &[u8]) {
    let peer: NodeName = established.peer;
    if let Some((dead, _contender)) = &role.replaced {
        dead.close(Closed::Replaced);
        dead.gone().await;
    }
    let attempt = match role.attempt {
        Some(attempt) => attempt,
        None => node.0.slots.successor(peer.atom()),
    };
    up::bring_up(node, &attempt, stream, established, ack).await;
}

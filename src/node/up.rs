//! The life of a connection, from the moment both sides have proved themselves.
//!
//! `nodeup` is told before any traffic of the connection is looked at, `nodedown` after all of it, and a connection
//! keeps its slot until everybody has been told: so the `nodedown` of an old connection precedes the `nodeup` of
//! the next.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tracing::Instrument;

use super::slots::Attempt;
use super::{Node, NodeEvent};
use crate::handshake::Established;
use crate::net::{Connection, Link, Peer, Stream};

/// Makes a proved stream the connection to its peer. `ack` is what a caller still waits for.
pub(super) async fn bring_up(node: &Node, attempt: &Attempt, stream: Stream, established: Established, ack: &[u8]) {
    let config = node.config();
    let peer = Peer {
        name: established.peer,
        creation: established.peer_creation,
        hidden: !established.is_visible(),
        connection_id: node.next_connection_id(),
    };
    let outbox = node.router().attach(peer.name.atom());
    let link = Link {
        flags: established.flags,
        net_ticktime: config.net_ticktime,
        tick_intensity: config.tick_intensity,
        max_frame: config.max_frame,
    };
    let connection = Arc::new(Connection::new(peer, link, outbox));
    if !node.0.slots.activate(attempt, Arc::clone(&connection)) {
        return tracing::debug!(%peer.name, "another connection was faster");
    }
    // Health checks and one-shots come and go.
    if peer.hidden {
        tracing::debug!(%peer.name, "hidden nodeup");
    } else {
        tracing::info!(%peer.name, "nodeup");
    }
    tell(node, &NodeEvent::Up(peer));
    let span = tracing::info_span!("connection", node = %node.name(), peer = %peer.name, id = peer.connection_id);
    node.spawn_task(serve(node.clone(), connection, stream, ack.to_vec()).instrument(span));
}

async fn serve(node: Node, connection: Arc<Connection>, mut stream: Stream, ack: Vec<u8>) {
    let peer = *connection.peer();
    let acknowledged = async {
        stream.write_all(&ack).await?;
        stream.flush().await
    };
    let closed = match acknowledged.await {
        Ok(()) => connection.run(stream, node.router()).await,
        Err(error) => crate::net::Closed::Io(error.kind()),
    };
    if peer.hidden {
        tracing::debug!(%peer.name, reason = %closed, "hidden nodedown");
    } else {
        tracing::info!(%peer.name, reason = %closed, "nodedown");
    }
    connection.close(closed.clone());
    // From here on `nodes()` does not have it: whoever hears of `nodedown` finds that it is so.
    connection.set_down();
    node.router().node_down(peer.name.atom());
    tell(&node, &NodeEvent::Down(peer, closed));
    node.0.slots.remove(&connection);
    connection.set_gone();
}

/// Tells services first, then processes and streams of the program's.
fn tell(node: &Node, event: &NodeEvent) {
    node.0.events.publish(event);
    node.0.subscribers.tell(event, node.router());
}

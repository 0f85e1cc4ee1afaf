//! A one-shot's own node: hidden, unlisted, with a name that no other has, gone with the command.

use std::time::Duration;

use super::{Global, exit};
use crate::node::Node;
use crate::term::NodeName;

/// How long a one-shot tries to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// A node connected to the one that the command is about.
pub(crate) struct Session {
    pub(crate) node: Node,
    pub(crate) peer: NodeName,
}

impl Session {
    /// Starts a node and connects it.
    pub(crate) async fn open(global: &Global, peer: &str) -> anyhow::Result<Self> {
        let peer = NodeName::new(peer)?;
        let node = start(global, peer).await?;
        match tokio::time::timeout(CONNECT_WITHIN, node.connect(peer.atom())).await {
            Ok(Ok(())) => Ok(Self { node, peer }),
            Ok(Err(error)) => Err(exit::explain(error, peer.as_str())),
            Err(_elapsed) => {
                let error = crate::node::DialError::TimedOut("no connection within 30 seconds");
                Err(exit::explain(error, peer.as_str()))
            }
        }
    }

    /// Lets what was sent go out, and leaves.
    pub(crate) async fn close(self) {
        self.node.shutdown().await;
    }
}

/// A hidden node that nobody can dial, of the peer's host so that host and domain look alike to it.
pub(crate) async fn start(global: &Global, peer: NodeName) -> anyhow::Result<Node> {
    let random = getrandom::u32()?;
    let name = format!("tiebeam-{}-{random:08x}@{}", std::process::id(), peer.host());
    let builder = Node::builder(name).cookie(global.cookie()?).hidden().unlisted();
    Ok(global.transport.apply(builder)?.start().await?)
}

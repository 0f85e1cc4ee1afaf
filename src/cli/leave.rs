//! A node's last words: its names and memberships are given back while it is still connected, so that nobody calls what is
//! about to end.

use std::time::Duration;

use crate::node::Node;

/// How long others may take to agree that a name is free. Without an answer they find out by themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// Frees the cluster's names that processes of this node have, and leaves all groups.
pub(super) async fn cluster(node: &Node) {
    node.leave_pg();
    let (global, here) = (node.global(), node.name().atom());
    let free = async {
        for name in global.names() {
            if global.whereis(name.clone()).is_some_and(|pid| pid.node == here) {
                if let Err(error) = global.unregister(name.clone()).await {
                    tracing::debug!(%name, %error, "a name was not freed");
                }
            }
        }
    };
    if tokio::time::timeout(PATIENCE, free).await.is_err() {
        tracing::warn!("not all names were freed in time");
    }
}

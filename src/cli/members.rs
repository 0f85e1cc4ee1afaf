//! What `tiebeam node` logs of its cluster: members and registered names, whenever they change.

use std::time::Duration;

use crate::node::Node;

/// How long a change may go unseen.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Logs until it is dropped.
pub(super) async fn log(node: &Node) {
    let mut seen = None;
    loop {
        let mut members: Vec<String> = node.nodes().iter().map(ToString::to_string).collect();
        members.push(node.name().to_string());
        members.sort_unstable();
        let mut names: Vec<String> = node.global().names().iter().map(ToString::to_string).collect();
        names.sort_unstable();
        let now = (members, names);
        if seen.as_ref() != Some(&now) {
            tracing::info!(members = now.0.join(", "), global_names = now.1.join(", "), "cluster");
            seen = Some(now);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

//! Recorded exchanges of Elixir's replicas, replayed; simulated replicas that lose, repeat and reorder messages; the process.

mod data;
mod laden;
mod process;
mod recorded;
mod simulated;
#[cfg(feature = "storage")]
mod stored;

use crate::node::EpmdMode;
use crate::{Cookie, Node};

/// A node that no other sees.
async fn node(name: &str) -> Node {
    let builder = Node::builder(format!("{name}@127.0.0.1")).cookie(Cookie::new("secret").unwrap());
    builder.epmd(EpmdMode::Off).start().await.unwrap()
}

//! Phoenix.PubSub: what Phoenix broadcasts is received here, and the other way.
//!
//! A pubsub of one name runs on every node. Its *workers*, one a group, are members of `pg`'s scope `Phoenix.PubSub` and
//! registered under the names of their groups. A broadcast chooses one group by the hash of the sender's pid, goes to the
//! members of that group on all other nodes as `{forward_to_local, Topic, Message, Dispatcher}`, and is handed to the
//! sender's own node's subscribers by the sender (`Phoenix.PubSub.PG2`). So a node gets what is sent to groups that it
//! has: all nodes need as many groups as the node that broadcasts to most. `pool_size` says how many a node listens to,
//! `broadcast_pool_size` among how many it chooses; those of Phoenix.PubSub 2.0 have one.
//!
//! ```no_run
//! # async fn example(node: tiebeam::Node) -> Result<(), Box<dyn std::error::Error>> {
//! let pubsub = node.pubsub("MyApp.PubSub").start()?;
//! let mut users = pubsub.subscribe("users")?;
//! pubsub.broadcast("users", ("joined", 7)).await?; // {<<"joined">>, 7} to every subscriber of every node
//! while let Some(Ok(message)) = users.next().await {
//!     println!("{}", message.term()?);
//! }
//! # Ok(())
//! # }
//! ```

mod builder;
mod client;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod topics;
mod wire;

use std::sync::Arc;

pub use self::builder::PubSubBuilder;
pub use self::client::{Broadcast, Subscribing};
pub use self::stream::{Lagged, Subscription};
pub use self::topics::{Dispatcher, Entry, Subscriber};

use self::server::Shared;
use crate::node::Node;
use crate::process::{Process, RegisterError, SendError};
use crate::term::{Atom, Pid};

/// A pubsub on this node, and in whose name it is used. Clones are the same.
///
/// It runs until [`PubSub::stop`] or the end of the node, whether or not a handle is kept.
#[derive(Debug, Clone)]
pub struct PubSub {
    shared: Arc<Shared>,
    /// Broadcasts are sent by it, so all of them reach a subscriber in order.
    sender: Arc<Process>,
    /// Which of the groups the sender's pid chooses.
    group: usize,
    dispatcher: Atom,
}

/// A pubsub could not be started or used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PubSubError {
    /// Phoenix refuses it too: who is sent to a group that nobody listens to gets nothing.
    #[error("pool_size must be at least 1, and at least broadcast_pool_size (1 or more)")]
    PoolSize,
    /// Its groups' names would be too long for atoms.
    #[error("the name is too long: those of the groups made of it must have at most 255 characters")]
    Name,
    /// One of its names is that of another process, such as the same pubsub's.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// Only processes of this node subscribe here.
    #[error("{0:?} is no process of this node")]
    NoLocal(Pid),
    /// The pubsub, or the process in whose name it is used, has ended.
    #[error("the pubsub has ended")]
    Ended,
    /// The message is no term.
    #[error(transparent)]
    Serde(#[from] crate::serde::Error),
    /// The message was not sent.
    #[error(transparent)]
    Send(SendError),
}

impl Node {
    /// Sets up a pubsub of this name: as `{Phoenix.PubSub, name: MyApp.PubSub}`, where the name is an atom, with or without
    /// Elixir's prefix.
    pub fn pubsub(&self, name: impl AsRef<str>) -> PubSubBuilder {
        PubSubBuilder::new(self.clone(), name.as_ref())
    }
}

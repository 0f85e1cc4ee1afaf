//! Starting a pubsub: the options of `Phoenix.PubSub.child_spec/1`.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use super::server::{self, Setup};
use super::{Dispatcher, PubSub, PubSubError, wire};
use crate::node::Node;
use crate::pg::Pg;
use crate::process::RegisterError;
use crate::term::Atom;

/// Sets a pubsub up; made by [`Node::pubsub`].
#[must_use = "a pubsub starts with `start`"]
pub struct PubSubBuilder {
    node: Node,
    name: String,
    pool_size: usize,
    broadcast_pool_size: Option<usize>,
    first_is_numbered: bool,
    dispatchers: HashMap<Atom, Arc<dyn Dispatcher>>,
}

impl std::fmt::Debug for PubSubBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PubSubBuilder").field("name", &self.name).field("pool_size", &self.pool_size).finish()
    }
}

/// Keeps two pubsubs that start at once from both starting the scope.
#[derive(Debug, Default)]
struct Starting(Mutex<()>);

impl PubSubBuilder {
    pub(super) fn new(node: Node, name: &str) -> Self {
        Self {
            node,
            name: name.into(),
            pool_size: 1,
            broadcast_pool_size: None,
            first_is_numbered: false,
            dispatchers: HashMap::new(),
        }
    }

    /// How many groups this node listens to; 1, as in Phoenix, otherwise. It should be that of the other nodes: what they
    /// send to groups that this one has not, it does not get.
    pub fn pool_size(mut self, groups: usize) -> Self {
        self.pool_size = groups;
        self
    }

    /// Among how many groups broadcasts are spread; the `pool_size` otherwise. While a cluster's pools grow, the size that
    /// all nodes have already.
    pub fn broadcast_pool_size(mut self, groups: usize) -> Self {
        self.broadcast_pool_size = Some(groups);
        self
    }

    /// Names the first group as Phoenix.PubSub 2.1.0 does: `…Adapter_1`. In 2.0 and from 2.1.1 on it is `…Adapter`.
    pub fn first_group_numbered(mut self) -> Self {
        self.first_is_numbered = true;
        self
    }

    /// How messages are handed out on this node whose broadcast names this module (`Elixir.MyApp.Dispatcher`). Those that
    /// name a module that is not known here are delivered as they are.
    pub fn dispatcher(mut self, module: impl Into<Atom>, dispatcher: impl Dispatcher + 'static) -> Self {
        self.dispatchers.insert(module.into(), Arc::new(dispatcher));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`PubSubError`], above all where this node has a pubsub of that name.
    pub fn start(self) -> Result<PubSub, PubSubError> {
        let broadcast_pool_size = self.broadcast_pool_size.unwrap_or(self.pool_size);
        if broadcast_pool_size == 0 || self.pool_size < broadcast_pool_size {
            return Err(PubSubError::PoolSize);
        }
        let adapter = wire::adapter_name(&self.name).ok_or(PubSubError::Name)?;
        let groups = wire::groups(adapter, self.pool_size, self.first_is_numbered).ok_or(PubSubError::Name)?;
        let starting = self.node.extension::<Starting>();
        let _one_after_the_other = starting.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pg = scope(&self.node)?;
        let setup = Setup { node: self.node, pg, groups, broadcast_pool_size, dispatchers: self.dispatchers };
        Ok(PubSub::new(server::start(setup, adapter)?))
    }
}

fn scope(node: &Node) -> Result<Pg, RegisterError> {
    match node.running_pg(wire::SCOPE) {
        Some(pg) => Ok(pg),
        None => node.start_pg(wire::SCOPE),
    }
}

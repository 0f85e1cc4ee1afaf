//! `:global`: names that the whole cluster knows, and locks that hold in all of it; protocol version 8.
//!
//! Every node has the whole table. Two nodes that meet take a lock in both of their clusters, exchange their names,
//! decide whose clashing names stay, and tell each other's friends. A name is registered on every node under the lock
//! `global`, and goes when its process does: each node watches for itself. Nothing in the protocol ever times out, so
//! a node that answers a part of it only would stop everybody: this one answers all of it, or is not there.

mod client;
mod locker;
mod resolve;
mod server;
mod singleton;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

pub use self::client::{Global, GlobalError, GlobalName, Lock};
pub(crate) use self::client::{Registering, all_nodes, release, set_lock};
pub use self::singleton::Singleton;

use self::state::{Act, Settings, State};
use crate::node::Node;
use crate::process::RegisterError;
use crate::term::Atom;

/// What the server and its clients share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Grows with each thing that happened.
    changed: watch::Sender<u64>,
    /// One registration at a time: nodes should not contend with themselves.
    registrar: tokio::sync::Mutex<()>,
    started: Instant,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The place of a node's `:global`.
#[derive(Debug, Default)]
struct Place(OnceLock<Arc<Shared>>);

impl Node {
    /// The names and locks of the cluster.
    #[must_use]
    pub fn global(&self) -> Global {
        Global::new(self.clone(), self.extension::<Place>().0.get().cloned())
    }
}

/// Starts `global_name_server`.
pub(crate) fn start(node: &Node, connect_all: bool, prevent_overlapping_partitions: bool) -> Result<(), RegisterError> {
    let (gns, locker) = (node.process(), node.process());
    let settings = Settings {
        me: node.name().atom(),
        locker: locker.pid(),
        connect_all,
        prevent_overlapping_partitions,
        seed: getrandom::u64().unwrap_or_else(|_none| u64::from(node.creation().0)),
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(State::new(settings)),
        changed: watch::channel(0).0,
        registrar: tokio::sync::Mutex::new(()),
        started: Instant::now(),
    });
    gns.register(Atom::new("global_name_server"))?;
    // A node starts its services once.
    let _first = node.extension::<Place>().0.set(Arc::clone(&shared));
    resolve::export(node);
    node.add_registry("global", Arc::new(node.global()));
    server::start(node, shared, gns, locker);
    Ok(())
}

fn name_server() -> Atom {
    Atom::new("global_name_server")
}

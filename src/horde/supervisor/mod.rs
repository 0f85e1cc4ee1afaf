//! A member of a `Horde.DynamicSupervisor`: children that run on one member each, and on another when that one ends.
//!
//! Its processes are named as Horde's: `NAME` takes requests from any node and hands them on to the member that is
//! chosen, `NAME.Crdt` is the replica, and children are linked to `NAME.ProcessesSupervisor`.
//!
//! A Rust member runs children whose `start` function this node exports. As an *observer* it takes part without being
//! chosen: the way to be a member of a supervisor whose children only BEAMs can run. A full member that is chosen for a
//! child it cannot run answers `{error, {not_exported, {M, F, Arity}, Node}}`; children of a dead member that it cannot
//! run stay in the map.

mod builder;
mod children;
mod client;
mod exports;
mod server;
mod state;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use hashbrown::HashMap;

pub use self::builder::HordeSupervisorBuilder;
use self::children::Order;
pub use self::client::ChildInfo;
use self::state::{Act, State};
use crate::delta_crdt::{DeltaCrdt, Diff};
use crate::node::{Node, NodeEvent, Observer};
use crate::process::reason;
use crate::signal::{Signal, Target};
use crate::term::{Atom, Pid, Term};

/// A member of a `Horde.DynamicSupervisor` that this node runs. Clones are the same member.
#[derive(Debug, Clone)]
pub struct HordeSupervisor {
    node: Node,
    shared: Arc<Shared>,
}

/// What the two processes, the handles and the replica's callback share.
struct Shared {
    state: Mutex<State>,
    node: Node,
    me: Pid,
    children: Pid,
    orders: Mutex<VecDeque<Order>>,
    crdt: OnceLock<DeltaCrdt>,
    told: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, pid: Pid) {
        let body = reason::of(&Term::atom("act"));
        self.node.router().deliver(Signal::Message { from: None, to: Target::Pid(pid), body });
    }

    /// Changes the state, and has the process do what follows.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        if !self.told.swap(true, Ordering::AcqRel) {
            self.wake(self.me);
        }
        result
    }

    fn take_acts(&self) -> Vec<Act> {
        self.told.store(false, Ordering::Release);
        self.state().take_acts()
    }

    fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.wake(self.children);
    }

    fn next_order(&self) -> Option<Order> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The node's and the replica's way to a member; it does not keep it alive.
#[derive(Debug)]
struct Watcher(Weak<Shared>);

impl Watcher {
    fn diffs(&self, diffs: &[Diff]) {
        if let Some(shared) = self.0.upgrade() {
            shared.change(|state| state.handle_diffs(diffs));
        }
    }
}

impl Observer for Watcher {
    fn node_event(&self, event: &NodeEvent) {
        let Some(shared) = self.0.upgrade() else { return };
        match event {
            NodeEvent::Up(peer) if !peer.hidden => shared.change(|state| state.node_up(peer.name.atom())),
            NodeEvent::Down(peer, _) if !peer.hidden && !*shared.node.stopping().borrow() => {
                shared.change(|state| state.node_down(peer.name.atom()));
            }
            NodeEvent::Up(_) | NodeEvent::Down(..) => {}
        }
    }
}

/// The supervisors of one node, by name.
#[derive(Debug, Default)]
struct Supervisors(Mutex<HashMap<Atom, HordeSupervisor>>);

impl Supervisors {
    fn lock(&self) -> MutexGuard<'_, HashMap<Atom, HordeSupervisor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Sets up a member of the `Horde.DynamicSupervisor` of this name.
    pub fn horde_supervisor(&self, name: impl Into<Atom>) -> HordeSupervisorBuilder {
        HordeSupervisorBuilder::new(self.clone(), name.into())
    }

    /// The members of supervisors that this node runs.
    #[must_use]
    pub fn horde_supervisors(&self) -> Vec<HordeSupervisor> {
        self.extension::<Supervisors>().lock().values().cloned().collect()
    }
}

/// The name of the process that a member's children are linked to.
fn children_name(name: Atom) -> Option<Atom> {
    Atom::try_new(&format!("{}.ProcessesSupervisor", name.as_str())).ok()
}

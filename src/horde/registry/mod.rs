//! A member of a `Horde.Registry`: names that all members know, on whichever node their processes run.
//!
//! Its processes are named as Horde's: `NAME` answers the calls of a registry, `NAME.Crdt` is the replica that members
//! sync with. What was registered on this node is found here at once, and by the others a moment later.
//!
//! Two processes may get the same name where the members could not see each other. One of them keeps it, the same for
//! all members; the other gets the exit signal `{name_conflict, {Key, Value}, Registry, Winner}`. A process that traps
//! exits reads it with [`NameConflict::parse`] and can hand its state to the winner.

mod builder;
mod client;
mod exports;
mod server;
mod state;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use hashbrown::HashMap;
use tokio::sync::mpsc;

pub(crate) use self::builder::Members;
pub use self::builder::{HordeRegistryBuilder, MemberOf, StartError};
use self::state::{Act, Entry, State};
use crate::delta_crdt::{DeltaCrdt, DeltaCrdtError, Diff, Operation};
use crate::node::{Node, NodeEvent, Observer};
use crate::process::{Answer, ExitSignal, Registry, reason};
use crate::signal::{Signal, Target};
use crate::term::{Atom, Pid, Term};

/// Something happened to a name, as Horde's listeners are told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A process has the name now, or another value under it.
    Registered {
        /// The name.
        key: Term,
        /// Who has it.
        pid: Pid,
        /// With this value.
        value: Term,
    },
    /// A process has the name no more.
    Unregistered {
        /// The name.
        key: Term,
        /// Who had it.
        pid: Pid,
    },
    /// The name has gone from one process to another, which had registered it too.
    Conflict {
        /// The name.
        key: Term,
        /// The loser's value.
        value: Term,
        /// Who had it.
        loser: Pid,
        /// Who has it.
        winner: Pid,
    },
}

/// Why a process is told to end that has lost its name: `{name_conflict, {Key, Value}, Registry, Winner}`.
#[derive(Debug, Clone, PartialEq)]
pub struct NameConflict {
    /// The name.
    pub key: Term,
    /// The value that was registered with it.
    pub value: Term,
    /// The registry.
    pub registry: Atom,
    /// Who has the name now.
    pub winner: Pid,
}

impl NameConflict {
    /// Reads the reason of an exit signal.
    #[must_use]
    pub fn parse(signal: &ExitSignal) -> Option<Self> {
        let reason = signal.reason.term().ok()?;
        let [tag, lost, Term::Atom(registry), Term::Pid(winner)] = reason.as_tuple()? else { return None };
        let [key, value] = lost.as_tuple()? else { return None };
        tag.is_atom("name_conflict").then(|| Self {
            key: key.clone(),
            value: value.clone(),
            registry: *registry,
            winner: *winner,
        })
    }
}

/// A registry could not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A living process has the name.
    #[error("{0:?} is registered under that name")]
    AlreadyRegistered(Pid),
    /// The member has ended, or the key cannot be replicated.
    #[error(transparent)]
    Crdt(#[from] DeltaCrdtError),
    /// A key or value is no term, or not of the type asked for.
    #[error(transparent)]
    Serde(#[from] crate::serde::Error),
}

/// A member of a `Horde.Registry` that this node runs. Clones are the same member.
#[derive(Debug, Clone)]
pub struct HordeRegistry {
    node: Node,
    shared: Arc<Shared>,
}

/// What the process, the handles and the replica's callback share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    node: Node,
    me: Pid,
    crdt: OnceLock<DeltaCrdt>,
    /// The process knows already that there are acts to do.
    told: AtomicBool,
    /// One registration at a time: that a name is free is still true when it is taken.
    registrar: Mutex<()>,
    streams: Mutex<Vec<mpsc::UnboundedSender<Event>>>,
    started: Instant,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Changes the state, and has the process do what follows.
    fn change<T>(&self, change: impl FnOnce(&mut State, u64) -> T) -> T {
        let result = change(&mut self.state(), self.now());
        if !self.told.swap(true, Ordering::AcqRel) {
            let body = reason::of(&Term::atom("act"));
            self.node.router().deliver(Signal::Message { from: None, to: Target::Pid(self.me), body });
        }
        result
    }

    /// What the process has to do.
    fn take_acts(&self) -> Vec<Act> {
        self.told.store(false, Ordering::Release);
        self.state().take_acts()
    }

    fn write(&self, operations: Vec<Operation>) -> Result<(), DeltaCrdtError> {
        self.crdt.get().ok_or(DeltaCrdtError::Ended)?.mutate_all(operations)
    }

    fn tell(&self, event: &Event) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream| stream.send(event.clone()).is_ok());
    }
}

/// The node's and the replica's way to a member; it does not keep it alive.
#[derive(Debug)]
struct Watcher(Weak<Shared>);

impl Watcher {
    fn diffs(&self, diffs: &[Diff]) {
        if let Some(shared) = self.0.upgrade() {
            shared.change(|state, now| state.handle_diffs(diffs, now));
        }
    }
}

impl Observer for Watcher {
    fn node_event(&self, event: &NodeEvent) {
        let Some(shared) = self.0.upgrade() else { return };
        match event {
            NodeEvent::Up(peer) if !peer.hidden => shared.change(|state, now| state.node_up(peer.name.atom(), now)),
            NodeEvent::Down(peer, _) if !peer.hidden && !*shared.node.stopping().borrow() => {
                shared.change(|state, now| state.node_down(peer.name.atom(), now));
            }
            NodeEvent::Up(_) | NodeEvent::Down(..) => {}
        }
    }
}

/// The registries of one node, by name.
#[derive(Debug, Default)]
struct Registries(Mutex<HashMap<Atom, HordeRegistry>>);

impl Registries {
    fn lock(&self) -> MutexGuard<'_, HashMap<Atom, HordeRegistry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `{Registry, Key}` or `{Registry, Key, Value}`.
    fn of_name(&self, name: &Term) -> Option<(HordeRegistry, Term, Term)> {
        let (registry, key, value) = match name.as_tuple()? {
            [Term::Atom(registry), key] => (*registry, key.clone(), Term::atom("nil")),
            [Term::Atom(registry), key, value] => (*registry, key.clone(), value.clone()),
            _ => return None,
        };
        Some((self.lock().get(&registry)?.clone(), key, value))
    }
}

/// `{via, 'Elixir.Horde.Registry', {Registry, Key}}`.
impl Registry for Registries {
    fn register_name(&self, name: Term, pid: Pid) -> Answer<'_, bool> {
        Box::pin(async move {
            let Some((registry, key, value)) = self.of_name(&name) else { return false };
            registry.register_term(key, pid, value).await.is_ok()
        })
    }

    fn unregister_name(&self, name: Term) -> Answer<'_, ()> {
        Box::pin(async move {
            if let Some((registry, key, _)) = self.of_name(&name) {
                let _has_ended = registry.unregister_term(&key);
            }
        })
    }

    fn whereis_name(&self, name: Term) -> Answer<'_, Option<Pid>> {
        let found = self.of_name(&name).and_then(|(registry, key, _)| registry.whereis_term(&key));
        Box::pin(std::future::ready(found))
    }
}

impl Node {
    /// Sets up a member of the `Horde.Registry` of this name.
    pub fn horde_registry(&self, name: impl Into<Atom>) -> HordeRegistryBuilder {
        HordeRegistryBuilder::new(self.clone(), name.into())
    }

    /// The members of registries that this node runs.
    #[must_use]
    pub fn horde_registries(&self) -> Vec<HordeRegistry> {
        self.extension::<Registries>().lock().values().cloned().collect()
    }
}

/// A stream of what happens to names.
#[derive(Debug)]
pub struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    /// The next event; `None` once the member has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl futures_core::Stream for Events {
    type Item = Event;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Event>> {
        self.0.poll_recv(cx)
    }
}

//! Starting a member of a registry: `Horde.Registry.start_link/1` with its options.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::server::Server;
use super::state::meta_key;
use super::{HordeRegistry, Registries, RegistryError, Shared, State, Watcher, exports};
use crate::delta_crdt::Operation;
use crate::horde::{MemberName, SYNC_INTERVAL, crdt_name};
use crate::node::{Node, Observer};
use crate::process::RegisterError;
use crate::serde::to_term;
use crate::term::{Atom, Term};

/// Who the first members are.
#[derive(Debug, Clone)]
pub(crate) enum Members {
    /// This one alone, until somebody says otherwise.
    Alone,
    /// All visible nodes, always.
    Auto,
    These(Vec<MemberName>),
}

/// A member could not be started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// One of its names is taken on this node.
    #[error(transparent)]
    Name(#[from] RegisterError),
    /// Its replica cannot start.
    #[error(transparent)]
    Replica(#[from] crate::delta_crdt::StartError),
    /// A name would be too long for an atom.
    #[error("{0} is too long a name")]
    TooLong(String),
    /// What the registry starts with cannot be written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Sets a member of a registry up; made by `Node::horde_registry`.
#[derive(Debug)]
#[must_use = "a member starts with `start`"]
pub struct HordeRegistryBuilder {
    node: Node,
    name: Atom,
    members: Members,
    sync_interval: Duration,
    max_sync_size: Option<usize>,
    listeners: Vec<Atom>,
    meta: Vec<(Term, Term)>,
    failed: Option<RegistryError>,
}

impl HordeRegistryBuilder {
    pub(super) fn new(node: Node, name: Atom) -> Self {
        Self {
            node,
            name,
            members: Members::Alone,
            sync_interval: SYNC_INTERVAL,
            max_sync_size: None,
            listeners: Vec::new(),
            meta: Vec::new(),
            failed: None,
        }
    }

    /// All visible nodes are members, as they come and go: `members: :auto`. Connect to the cluster first: a registry
    /// of Elixir's removes members that it does not see.
    pub fn members_auto(mut self) -> Self {
        self.members = Members::Auto;
        self
    }

    /// These are members, and this node. Each is the registry of the same name on that node, or
    /// [`MemberName`] says which.
    pub fn members<M: Into<MemberOf>>(mut self, members: impl IntoIterator<Item = M>) -> Self {
        let name = self.name;
        let members = members.into_iter().map(|member| member.into().of(name));
        self.members = Members::These(members.collect());
        self
    }

    /// How often replicas compare; 300 ms. Small changes do not wait for it.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// How many keys one message between replicas carries at most.
    pub fn max_sync_size(mut self, keys: usize) -> Self {
        self.max_sync_size = Some(keys);
        self
    }

    /// A process of this name is sent `{register, Registry, Key, Pid, Value}` and `{unregister, Registry, Key, Pid}`.
    pub fn listener(mut self, name: impl Into<Atom>) -> Self {
        self.listeners.push(name.into());
        self
    }

    /// A pair that the registry keeps beside its names.
    pub fn meta(mut self, key: impl Serialize, value: impl Serialize) -> Self {
        match (to_term(&key), to_term(&value)) {
            (Ok(key), Ok(value)) => self.meta.push((key, value)),
            (Err(error), _) | (_, Err(error)) => self.failed = Some(error.into()),
        }
        self
    }

    /// Starts it: when this returns, others can find it.
    ///
    /// # Errors
    /// [`StartError`].
    #[expect(clippy::unused_async, reason = "members of other nodes may be asked before the start")]
    pub async fn start(self) -> Result<HordeRegistry, StartError> {
        self.start_now()
    }

    pub(crate) fn start_now(self) -> Result<HordeRegistry, StartError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let node = self.node;
        let me = MemberName { name: self.name, node: node.name().atom() };
        let crdt_name = crdt_name(self.name).ok_or_else(|| StartError::TooLong(self.name.as_str().to_owned()))?;
        let process = node.process();
        process.register(self.name)?;
        let (auto, stays) = match &self.members {
            Members::Alone => (false, false),
            Members::Auto => (true, true),
            Members::These(_) => (false, true),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(me, auto, stays)),
            node: node.clone(),
            me: process.pid(),
            crdt: OnceLock::new(),
            told: AtomicBool::new(false),
            registrar: Mutex::new(()),
            streams: Mutex::default(),
            started: Instant::now(),
        });
        let watcher = Arc::new(Watcher(Arc::downgrade(&shared)));
        let telling = Arc::clone(&watcher);
        let mut crdt = node.delta_crdt(crdt_name.as_str()).sync_interval(self.sync_interval);
        crdt = crdt.on_diffs(move |diffs| telling.diffs(diffs));
        if let Some(keys) = self.max_sync_size {
            crdt = crdt.max_sync_size(keys);
        }
        let crdt = crdt.start()?;
        // It was made a moment ago.
        let _set_once = shared.crdt.set(crdt.clone());
        let registry = HordeRegistry { node: node.clone(), shared: Arc::clone(&shared) };
        node.observe(watcher as Arc<dyn Observer>);
        Server::start(registry.clone(), crdt, process, self.listeners, self.sync_interval);
        let meta = self.meta.into_iter().map(|(key, value)| Operation::Add(meta_key(&key), value)).collect();
        shared.write(meta).map_err(RegistryError::from)?;
        let mut members = vec![me];
        match self.members {
            Members::Alone => {}
            Members::Auto => members.extend(node.nodes().into_iter().map(|peer| MemberName::new(me.name, peer))),
            Members::These(these) => members.extend(these),
        }
        shared.change(|state, _| state.add_members(&members));
        let registries = node.extension::<Registries>();
        if registries.lock().insert(self.name, registry.clone()).is_none() {
            node.add_registry("Elixir.Horde.Registry", registries);
        }
        exports::export(&node);
        crate::horde::cluster::export(&node);
        Ok(registry)
    }
}

/// A member, as [`HordeRegistryBuilder::members`] takes it.
#[derive(Debug, Clone)]
pub struct MemberOf(Result<MemberName, Atom>);

impl MemberOf {
    /// Names the member; a node alone means the one of that name there.
    pub(crate) fn of(self, name: Atom) -> MemberName {
        self.0.unwrap_or_else(|node| MemberName { name, node })
    }
}

impl From<&str> for MemberOf {
    fn from(node: &str) -> Self {
        Self(Err(Atom::new(node)))
    }
}

impl From<Atom> for MemberOf {
    fn from(node: Atom) -> Self {
        Self(Err(node))
    }
}

impl From<MemberName> for MemberOf {
    fn from(member: MemberName) -> Self {
        Self(Ok(member))
    }
}

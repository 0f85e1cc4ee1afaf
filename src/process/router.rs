//! Who is where on this node, and the way of every signal: to a local process, or to a peer's outbox.
//!
//! The router never waits. A signal to a node that is not connected is queued in a new outbox and the
//! node's name is posted to whoever makes connections.

use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use hashbrown::HashMap;
use tokio::sync::mpsc;

use super::cell::{AliasMode, Cell, Effects, ExitKind, Replies, Watcher};
use super::mail::{Mail, SpawnReply};
use super::outbox::Outbox;
use super::reason;
use super::via::Registry;
use crate::etf::Encoded;
use crate::signal::{Signal, SpawnRequest, Target};
use crate::term::{Atom, Creation, Pid, Ref, atom::known};

/// The tables of a node.
#[derive(Debug)]
pub(crate) struct Router {
    identity: Identity,
    cells: Table<(u32, u32), Arc<Cell>>,
    names: Table<Atom, Pid>,
    registries: Table<Atom, Arc<dyn Registry>>,
    aliases: Table<Ref, Pid>,
    outboxes: Table<Atom, Arc<Outbox>>,
    next_pid: AtomicU64,
    next_ref: AtomicU64,
    /// Makes refs of two runs of the same creation differ.
    ref_salt: u32,
    busy_limit: usize,
    connect: mpsc::UnboundedSender<Atom>,
    spawner: OnceLock<Box<dyn Spawner>>,
    reductions: AtomicU64,
    ended: AtomicU32,
}

/// The name and incarnation that go into pids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) node: Atom,
    pub(crate) creation: Creation,
}

/// Runs what peers ask to have spawned.
pub(crate) trait Spawner: Send + Sync + std::fmt::Debug {
    /// Starts the process; the answer and all that follows is its business.
    fn spawn(&self, request: SpawnRequest);
}

/// The name or the process cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another process has that name.
    #[error("the name is taken")]
    Taken,
    /// The process has a name already.
    #[error("the process has another name")]
    HasName,
    /// There is no such process, or it has ended.
    #[error("no process")]
    NoProcess,
    /// `undefined` is no name.
    #[error("undefined cannot be registered")]
    Undefined,
}

impl Router {
    pub(crate) fn new(
        identity: Identity,
        ref_salt: u32,
        busy_limit: usize,
        connect: mpsc::UnboundedSender<Atom>,
    ) -> Self {
        Self {
            identity,
            cells: Table::default(),
            names: Table::default(),
            registries: Table::default(),
            aliases: Table::default(),
            outboxes: Table::default(),
            next_pid: AtomicU64::new(1),
            next_ref: AtomicU64::new(1),
            ref_salt,
            busy_limit,
            connect,
            spawner: OnceLock::new(),
            reductions: AtomicU64::new(0),
            ended: AtomicU32::new(0),
        }
    }

    /// Names whom SPAWN_REQUESTs go to. Once.
    pub(crate) fn serve_spawns(&self, spawner: Box<dyn Spawner>) {
        let _already_served = self.spawner.set(spawner);
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// A new process; nobody knows of it yet.
    pub(crate) fn spawn_cell(&self, group_leader: Option<Pid>, initial_call: (Atom, Atom, u8)) -> Arc<Cell> {
        let pid = self.make_pid();
        let cell = Arc::new(Cell::new(pid, group_leader.unwrap_or(pid), initial_call));
        self.cells.insert((pid.id, pid.serial), Arc::clone(&cell));
        cell
    }

    fn make_pid(&self) -> Pid {
        // 28 bits of number, then the serial, as the emulator counts.
        let n = self.next_pid.fetch_add(1, Ordering::Relaxed);
        let Identity { node, creation } = self.identity();
        Pid { node, id: (n & 0x0FFF_FFFF) as u32, serial: (n >> 28) as u32, creation }
    }

    /// A reference that no other call returns.
    pub(crate) fn make_ref(&self) -> Ref {
        let n = self.next_ref.fetch_add(1, Ordering::Relaxed);
        let Identity { node, creation } = self.identity();
        // "first < 2^18" holds for the first word of every reference.
        let words = [(n & 0x3_FFFF) as u32, (n >> 18) as u32, self.ref_salt];
        Ref::new(node, creation, &words).expect("three words make a reference")
    }

    /// Whether a pid is of this node and this incarnation.
    pub(crate) fn is_ours(&self, pid: Pid) -> bool {
        let Identity { node, creation } = self.identity();
        pid.node == node && pid.creation == creation
    }

    /// The process of a pid of ours, while it lives.
    pub(crate) fn cell(&self, pid: Pid) -> Option<Arc<Cell>> {
        if !self.is_ours(pid) {
            return None;
        }
        self.cells.get(&(pid.id, pid.serial))
    }

    /// All processes.
    pub(crate) fn cells(&self) -> Vec<Arc<Cell>> {
        self.cells.values()
    }

    /// Registers a local process under a name.
    pub(crate) fn register(&self, name: Atom, pid: Pid) -> Result<(), RegisterError> {
        if name == known::undefined() {
            return Err(RegisterError::Undefined);
        }
        let cell = self.cell(pid).ok_or(RegisterError::NoProcess)?;
        let mut state = cell.live().map_err(|_ended| RegisterError::NoProcess)?;
        if state.name.is_some() {
            return Err(RegisterError::HasName);
        }
        if !self.names.insert_new(name, pid) {
            return Err(RegisterError::Taken);
        }
        state.name = Some(name);
        Ok(())
    }

    /// Frees a name; the process that had it.
    pub(crate) fn unregister(&self, name: Atom) -> Option<Pid> {
        let pid = self.names.remove(&name)?;
        if let Some(cell) = self.cell(pid) {
            cell.lock().name = None;
        }
        Some(pid)
    }

    pub(crate) fn whereis(&self, name: Atom) -> Option<Pid> {
        self.names.get(&name)
    }

    /// Lets `module` keep names: `{via, Module, Name}`.
    pub(crate) fn add_registry(&self, module: Atom, registry: Arc<dyn Registry>) {
        self.registries.insert(module, registry);
    }

    /// The module that keeps names under this name.
    pub(crate) fn registry(&self, module: Atom) -> Option<Arc<dyn Registry>> {
        self.registries.get(&module)
    }

    /// All registered names.
    pub(crate) fn registered(&self) -> Vec<Atom> {
        self.names.keys()
    }

    /// Makes a reference of `owner` an address.
    pub(crate) fn add_alias(&self, owner: &Cell, alias: Ref, mode: AliasMode) {
        let Ok(mut state) = owner.live() else { return };
        state.aliases.insert(alias, mode);
        self.aliases.insert(alias, owner.pid);
    }

    /// Ends an alias; whether there was one.
    pub(crate) fn remove_alias(&self, owner: &Cell, alias: Ref) -> bool {
        self.aliases.remove(&alias);
        owner.lock().aliases.remove(&alias).is_some()
    }

    /// Sends a signal on its way: to a process here, or to the outbox of its node.
    pub(crate) fn send(&self, sender: Pid, node: Atom, signal: Signal) {
        if node == self.identity().node {
            self.deliver(signal);
        } else {
            self.outbox(node).push(sender, signal);
        }
    }

    /// As [`Router::send`], but never connects: erlang's `noconnect`. False where nobody was sent anything.
    pub(crate) fn send_noconnect(&self, sender: Pid, node: Atom, signal: Signal) -> bool {
        if node == self.identity().node {
            self.deliver(signal);
            return true;
        }
        let outbox = self.outboxes.get(&node);
        outbox.map(|outbox| outbox.push(sender, signal)).is_some()
    }

    /// Whether something sent to a node goes out at once.
    pub(crate) fn is_connected(&self, node: Atom) -> bool {
        node == self.identity().node || self.outboxes.get(&node).is_some()
    }

    /// The outbox of a node; a new one, and a request to connect, where there is none.
    pub(crate) fn outbox(&self, node: Atom) -> Arc<Outbox> {
        if let Some(outbox) = self.outboxes.get(&node) {
            return outbox;
        }
        let (outbox, is_new) = self.outboxes.get_or_insert_with(node, || Arc::new(Outbox::new(self.busy_limit)));
        if is_new {
            // Without a receiver the node is shutting down, and drops all outboxes.
            let _no_longer_connecting = self.connect.send(node);
        }
        outbox
    }

    /// The outbox of a node that has connected: the one that was filled while it did, or a new one.
    pub(crate) fn attach(&self, node: Atom) -> Arc<Outbox> {
        self.outboxes.get_or_insert_with(node, || Arc::new(Outbox::new(self.busy_limit))).0
    }

    /// Sends all effects of a signal.
    pub(crate) fn send_all(&self, effects: Effects) {
        for (sender, node, signal) in effects {
            self.send(sender, node, signal);
        }
    }

    /// Ends a process, whoever runs it.
    pub(crate) fn end(&self, cell: &Cell, why: &Encoded) {
        let Some((effects, remains)) = cell.end(why) else { return };
        self.cells.remove(&(cell.pid.id, cell.pid.serial));
        if let Some(name) = remains.name {
            self.names.remove(&name);
        }
        for alias in remains.aliases {
            self.aliases.remove(&alias);
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.send_all(effects);
    }

    /// Gives a signal to the local process it addresses.
    pub(crate) fn deliver(&self, signal: Signal) {
        self.reductions.fetch_add(1, Ordering::Relaxed);
        match signal {
            Signal::Message { from, to, body } => self.deliver_message(from, to, body),
            Signal::Link { from, to } => self.deliver_link(from, to),
            Signal::Unlink { id, from, to } => self.deliver_unlink(id, from, to),
            Signal::UnlinkAck { id, from, to } => self.deliver_unlink_ack(id, from, to),
            Signal::Exit { from, to, reason } => self.deliver_exit(from, to, &reason, ExitKind::Link),
            Signal::Exit2 { from, to, reason } => {
                if let Some(pid) = self.resolve(to) {
                    self.deliver_exit(from, pid, &reason, ExitKind::Exit2);
                }
            }
            Signal::Monitor { from, to, reference } => self.deliver_monitor(from, to, reference),
            Signal::Demonitor { to, reference, .. } => self.deliver_demonitor(to, reference),
            Signal::Down { from, to, reference, reason } => {
                let Some(cell) = self.cell(to) else { return };
                cell.handle_down(from, reference, reason);
                if cell.lock().aliases.get(&reference).is_some_and(|mode| mode.ends_with_monitor()) {
                    self.remove_alias(&cell, reference);
                }
            }
            Signal::GroupLeader { leader, to } => {
                if let Some(cell) = self.cell(to) {
                    cell.lock().group_leader = leader;
                }
            }
            Signal::SpawnRequest(request) => self.deliver_spawn_request(*request),
            Signal::SpawnReply { id, to, linked, monitored, result } => {
                if !self.deliver_spawn_reply(id, to, linked, result) {
                    self.disown(id, to, linked, monitored, result);
                }
            }
        }
    }

    fn resolve(&self, target: Target) -> Option<Pid> {
        match target {
            Target::Pid(pid) => Some(pid),
            Target::Name(name) => self.whereis(name),
            Target::Alias(alias) => self.aliases.get(&alias),
        }
    }

    fn deliver_message(&self, from: Option<Pid>, to: Target, body: Encoded) {
        let Some(cell) = self.resolve(to).and_then(|pid| self.cell(pid)) else {
            tracing::trace!(?to, "message to nobody");
            return;
        };
        let alias = if let Target::Alias(alias) = to { Some(alias) } else { None };
        let effects = cell.handle_message(body, alias, from);
        if let Some(alias) = alias {
            if !cell.lock().aliases.contains_key(&alias) {
                self.aliases.remove(&alias);
            }
        }
        self.send_all(effects);
    }

    fn deliver_link(&self, from: Pid, to: Pid) {
        if let Some(cell) = self.cell(to) {
            if let Ok(mut state) = cell.live() {
                // An entry that is there already stays as it is, active or not.
                state.links.entry(from).or_insert(super::cell::Link { active: true, unlink_id: 0 });
                return;
            }
        }
        self.send(to, from.node, Signal::Exit { from: to, to: from, reason: reason::noproc() });
    }

    fn deliver_unlink(&self, id: u64, from: Pid, to: Pid) {
        if let Some(cell) = self.cell(to) {
            let mut state = cell.lock();
            if state.links.get(&from).is_some_and(|link| link.active) {
                state.links.remove(&from);
            }
        }
        self.send(to, from.node, Signal::UnlinkAck { id, from: to, to: from });
    }

    fn deliver_unlink_ack(&self, id: u64, from: Pid, to: Pid) {
        let Some(cell) = self.cell(to) else { return };
        let mut state = cell.lock();
        if state.links.get(&from).is_some_and(|link| !link.active && link.unlink_id == id) {
            state.links.remove(&from);
        }
    }

    fn deliver_exit(&self, from: Pid, to: Pid, why: &Encoded, kind: ExitKind) {
        let Some(cell) = self.cell(to) else { return };
        if let Err(reason) = cell.handle_exit(from, why, kind) {
            self.end(&cell, &reason);
        }
    }

    fn deliver_monitor(&self, from: Pid, to: Target, reference: Ref) {
        if let Some(cell) = self.resolve(to).and_then(|pid| self.cell(pid)) {
            if let Ok(mut state) = cell.live() {
                state.watchers.insert(reference, Watcher { pid: from, known_as: to });
                return;
            }
        }
        let down = Signal::Down { from: to, to: from, reference, reason: reason::noproc() };
        let sender = if let Target::Pid(pid) = to { pid } else { from };
        self.send(sender, from.node, down);
    }

    fn deliver_demonitor(&self, to: Target, reference: Ref) {
        if let Some(cell) = self.resolve(to).and_then(|pid| self.cell(pid)) {
            if cell.lock().watchers.remove(&reference).is_some() {
                return;
            }
        }
        // A name may have passed to another process since the monitor was taken.
        if let Target::Name(_) = to {
            for cell in self.cells() {
                cell.lock().watchers.remove(&reference);
            }
        }
    }

    fn deliver_spawn_request(&self, request: SpawnRequest) {
        if let Some(spawner) = self.spawner.get() {
            return spawner.spawn(request);
        }
        let SpawnRequest { id, from, .. } = request;
        let refusal =
            Signal::SpawnReply { id, to: from, linked: false, monitored: false, result: Err(known::notsup()) };
        self.send(self.root(), from.node, refusal);
    }

    /// Gives the answer to whoever asked; false if nobody waits for it any more.
    fn deliver_spawn_reply(&self, id: Ref, to: Pid, linked: bool, result: Result<Pid, Atom>) -> bool {
        let Some(cell) = self.cell(to) else { return false };
        let Ok(mut state) = cell.live() else { return false };
        let Some(spawning) = state.spawns.remove(&id) else { return false };
        match result {
            Ok(pid) => {
                if linked {
                    state.link_to(pid);
                }
                if let Some(monitor) = state.monitors.get_mut(&id) {
                    monitor.target = Target::Pid(pid);
                }
            }
            Err(_) => drop(state.monitors.remove(&id)),
        }
        drop(state);
        if result.is_ok() && spawning.replies == Replies::Errors {
            return true;
        }
        cell.post(Mail::SpawnReply(SpawnReply { reference: id, result })).is_ok()
    }

    /// A process was spawned for one that has ended, or has stopped waiting: its monitor is taken back, and its
    /// link carries the end of the parent.
    fn disown(&self, id: Ref, parent: Pid, linked: bool, monitored: bool, result: Result<Pid, Atom>) {
        let Ok(child) = result else { return };
        if monitored {
            let to = Target::Pid(child);
            self.send(parent, child.node, Signal::Demonitor { from: parent, to, reference: id });
        }
        if linked {
            let reason = reason::noproc();
            self.send(parent, child.node, Signal::Exit { from: parent, to: child, reason });
        }
    }

    /// A pid of ours that no process has, in whose name the node itself speaks.
    pub(crate) fn root(&self) -> Pid {
        let Identity { node, creation } = self.identity();
        Pid { node, id: 0, serial: 0, creation }
    }

    /// A node is gone: its outbox is dropped, and every link, monitor and request to it answered
    /// with `noconnection`, in the emulator's order.
    pub(crate) fn node_down(&self, node: Atom) {
        if let Some(outbox) = self.outboxes.remove(&node) {
            outbox.close();
        }
        let cells = self.cells();
        for cell in &cells {
            self.break_links(cell, node);
        }
        for cell in &cells {
            self.break_monitors(cell, node);
        }
        for cell in &cells {
            cell.handle_nodedown(node);
        }
    }

    fn break_links(&self, cell: &Cell, node: Atom) {
        let peers: Vec<Pid> = cell.lock().links.keys().filter(|peer| peer.node == node).copied().collect();
        for peer in peers {
            if let Err(reason) = cell.handle_exit(peer, &reason::noconnection(), ExitKind::Link) {
                self.end(cell, &reason);
            }
        }
    }

    fn break_monitors(&self, cell: &Cell, node: Atom) {
        let (lost, spawns): (Vec<(Ref, Target)>, Vec<Ref>) = {
            let mut state = cell.lock();
            state.watchers.retain(|_, watcher| watcher.pid.node != node);
            let spawns: Vec<Ref> = state.spawns.iter().filter(|(_, on)| on.node == node).map(|(id, _)| *id).collect();
            let lost = state.monitors.iter().filter(|(id, monitor)| monitor.node == node && !spawns.contains(id));
            (lost.map(|(id, monitor)| (*id, monitor.target)).collect(), spawns)
        };
        for (reference, target) in lost {
            self.deliver(Signal::Down { from: target, to: cell.pid, reference, reason: reason::noconnection() });
        }
        for id in spawns {
            let _parent_has_ended = self.deliver_spawn_reply(id, cell.pid, false, Err(known::noconnection()));
        }
    }

    /// Signals delivered so far: what we count where the emulator counts reductions.
    pub(crate) fn reductions(&self) -> u64 {
        self.reductions.load(Ordering::Relaxed)
    }
}

impl AliasMode {
    fn ends_with_monitor(self) -> bool {
        matches!(self, Self::ReplyDemonitor)
    }
}

/// A map that many tasks read and few write.
#[derive(Debug)]
struct Table<K, V>(RwLock<HashMap<K, V>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(RwLock::new(HashMap::new()))
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Table<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn insert(&self, key: K, value: V) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }

    /// Inserts unless the key is there; whether it did.
    fn insert_new(&self, key: K, value: V) -> bool {
        self.get_or_insert_with(key, || value).1
    }

    fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> (V, bool) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = map.get(&key) {
            return (value.clone(), false);
        }
        let value = make();
        map.insert(key, value.clone());
        (value, true)
    }

    fn remove(&self, key: &K) -> Option<V> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    fn keys(&self) -> Vec<K> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn values(&self) -> Vec<V> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

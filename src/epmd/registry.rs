//! The names that an EPMD knows: those of running nodes, and the last ones of dead nodes.
//!
//! A dead name is remembered for its creation only: a node that comes back under it gets the next one,
//! so that its peers do not take its processes for those of the dead incarnation.

use std::collections::{BTreeMap, HashMap};

use crate::epmd::Registration;
use crate::epmd::reply::DumpEntry;

/// All names, in the order of their registration, or death.
#[derive(Debug)]
pub(crate) struct Registry {
    active: BTreeMap<Slot, Active>,
    active_by_name: HashMap<String, Slot>,
    dead: BTreeMap<Slot, Dead>,
    dead_by_name: HashMap<String, Slot>,
    next_slot: u64,
    capacity: usize,
    remembered: usize,
}

/// One registration, until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u64);

/// Why a name was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRegistered {
    /// A running node has the name. There is no take-over.
    InUse,
    /// There are as many registrations as the daemon can hold.
    Full,
    /// No node can have such a name, or such extra data.
    Unregistrable,
}

impl Registry {
    /// Holds `capacity` names at once and remembers that many dead ones.
    pub(crate) fn new(capacity: usize, remembered: usize) -> Self {
        Self {
            active: BTreeMap::new(),
            active_by_name: HashMap::new(),
            dead: BTreeMap::new(),
            dead_by_name: HashMap::new(),
            next_slot: 0,
            capacity,
            remembered,
        }
    }

    /// Takes a name in. `fd` is told in dumps; `now` is the wall clock in seconds.
    pub(crate) fn register(&mut self, node: Registration, fd: i32, now: u32) -> Result<(Slot, u32), NotRegistered> {
        if self.active_by_name.contains_key(&node.name) {
            return Err(NotRegistered::InUse);
        }
        if self.is_full() {
            return Err(NotRegistered::Full);
        }
        let counter = next_counter(self.recall(&node.name).map_or(now, |dead| dead.counter));
        let creation = if node.highest >= Registration::VERSION { counter } else { counter % 3 + 1 };
        let slot = self.fresh_slot();
        self.active_by_name.insert(node.name.clone(), slot);
        self.active.insert(slot, Active { node, fd, counter });
        Ok((slot, creation))
    }

    /// Ends a registration; `false` if it had ended before.
    pub(crate) fn unregister(&mut self, slot: Slot) -> bool {
        let Some(Active { node, fd, counter }) = self.active.remove(&slot) else { return false };
        self.active_by_name.remove(&node.name);
        self.remember(Dead { name: node.name, port: node.port, fd, counter });
        true
    }

    /// The registration that holds this name.
    pub(crate) fn slot_of(&self, name: &str) -> Option<Slot> {
        self.active_by_name.get(name).copied()
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<&Registration> {
        Some(&self.active.get(&self.slot_of(name)?)?.node)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.active.len() >= self.capacity
    }

    /// All running nodes, the newest first.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Registration> {
        self.active.values().rev().map(|active| &active.node)
    }

    /// The same, for a dump.
    pub(crate) fn active_entries(&self) -> impl Iterator<Item = DumpEntry<'_>> {
        self.active.values().rev().map(|Active { node, fd, .. }| DumpEntry {
            name: &node.name,
            port: node.port,
            fd: *fd,
        })
    }

    /// The dead names, the one that died first first.
    pub(crate) fn dead_entries(&self) -> impl Iterator<Item = DumpEntry<'_>> {
        self.dead.values().map(|dead| DumpEntry { name: &dead.name, port: dead.port, fd: dead.fd })
    }

    fn recall(&mut self, name: &str) -> Option<Dead> {
        let slot = self.dead_by_name.remove(name)?;
        self.dead.remove(&slot)
    }

    fn remember(&mut self, dead: Dead) {
        let slot = self.fresh_slot();
        self.dead_by_name.insert(dead.name.clone(), slot);
        self.dead.insert(slot, dead);
        while self.dead.len() > self.remembered {
            let Some((_, oldest)) = self.dead.pop_first() else { break };
            self.dead_by_name.remove(&oldest.name);
        }
    }

    fn fresh_slot(&mut self) -> Slot {
        self.next_slot += 1;
        Slot(self.next_slot)
    }
}

#[derive(Debug)]
struct Active {
    node: Registration,
    fd: i32,
    counter: u32,
}

#[derive(Debug)]
struct Dead {
    name: String,
    port: u16,
    fd: i32,
    counter: u32,
}

/// 0 to 3 are what nodes of old had for creations, and are never given again.
fn next_counter(counter: u32) -> u32 {
    counter.wrapping_add(1).max(4)
}

#[cfg(test)]
mod tests;

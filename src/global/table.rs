//! The names and the locks of one node's `:global`, and whose deaths end them.

use std::collections::BTreeMap;

use super::Act;
use crate::term::{Atom, Pid, Term};

/// Who has a name, and the fun that decides if two have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: Pid,
    /// Opaque: passed on as it came.
    pub(crate) method: Term,
}

/// A change to the names, as nodes tell each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Insert(Term, Entry),
    Delete(Term),
}

/// Names and locks.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(super) names: BTreeMap<Term, Entry>,
    /// Names of C nodes, with the node that registered them.
    pub(super) ext: BTreeMap<Term, Atom>,
    locks: BTreeMap<Term, Lock>,
    /// How often each process is needed.
    watched: BTreeMap<Pid, usize>,
    /// The lock of `global` vanished because its holder died: what that holder still has under way is void.
    global_lock_down: bool,
}

#[derive(Debug)]
struct Lock {
    requester: Term,
    holders: Vec<Pid>,
}

/// Who says that a name is to be inserted, and so whose lock must hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum By<'a> {
    Holder(Pid),
    Requester(&'a Term),
    Anybody,
}

impl Table {
    /// Takes a lock for `pid`, or shares it with its requester; false where another requester has it. Never waits.
    pub(super) fn set_lock(&mut self, resource: Term, requester: Term, pid: Pid, acts: &mut Vec<Act>) -> bool {
        if resource.is_atom("global") && !self.locks.contains_key(&resource) {
            self.global_lock_down = false;
        }
        let lock = self.locks.entry(resource).or_insert_with(|| Lock { requester: requester.clone(), holders: vec![] });
        if lock.requester != requester {
            return false;
        }
        if !lock.holders.contains(&pid) {
            lock.holders.push(pid);
            self.watch(pid, acts);
        }
        true
    }

    pub(super) fn del_lock(&mut self, resource: &Term, requester: &Term, pid: Pid, acts: &mut Vec<Act>) {
        let Some(lock) = self.locks.get_mut(resource).filter(|lock| lock.requester == *requester) else { return };
        let held = lock.holders.len();
        lock.holders.retain(|holder| *holder != pid);
        let was_held = lock.holders.len() < held;
        if lock.holders.is_empty() {
            self.locks.remove(resource);
        }
        if was_held {
            self.unwatch(pid, acts);
        }
    }

    /// Whether somebody else than `requester` has the lock of `global` here.
    pub(super) fn global_locked_by_another(&self, requester: &Term) -> bool {
        self.locks.get(&Term::atom("global")).is_some_and(|lock| lock.requester != *requester)
    }

    pub(super) fn global_is_locked(&self) -> bool {
        self.locks.contains_key(&Term::atom("global"))
    }

    fn is_valid(&self, by: By<'_>) -> bool {
        match (self.locks.get(&Term::atom("global")), by) {
            (_, By::Anybody) => true,
            (Some(lock), By::Holder(pid)) => lock.holders.contains(&pid),
            (Some(lock), By::Requester(requester)) => lock.requester == *requester,
            (None, By::Holder(_) | By::Requester(_)) => !self.global_lock_down,
        }
    }

    /// Inserts a name or replaces it. Where the lock that it was sent under is gone, the name goes too: its sender's
    /// node went down in between, and came up again.
    pub(super) fn insert(&mut self, name: Term, entry: Entry, by: By<'_>, acts: &mut Vec<Act>) {
        self.delete(&name, acts);
        if self.is_valid(by) {
            self.watch(entry.pid, acts);
            self.names.insert(name, entry);
        }
    }

    pub(super) fn delete(&mut self, name: &Term, acts: &mut Vec<Act>) {
        self.ext.remove(name);
        if let Some(entry) = self.names.remove(name) {
            self.unwatch(entry.pid, acts);
        }
    }

    pub(super) fn apply(&mut self, ops: Vec<Op>, by: By<'_>, acts: &mut Vec<Act>) {
        for op in ops {
            match op {
                Op::Insert(name, entry) => self.insert(name, entry, by, acts),
                Op::Delete(name) => self.delete(&name, acts),
            }
        }
    }

    /// Says which names are of C nodes, for those that are here under the same pid.
    pub(super) fn mark_ext(&mut self, ext: Vec<(Term, Pid, Atom)>) {
        for (name, pid, registrar) in ext {
            if self.names.get(&name).is_some_and(|entry| entry.pid == pid) {
                self.ext.insert(name, registrar);
            }
        }
    }

    /// A process has ended: its names and locks go with it.
    pub(super) fn pid_down(&mut self, pid: Pid, acts: &mut Vec<Act>) {
        let gone = |p: Pid| p == pid;
        self.forget(gone, |_| false, acts);
        self.watched.remove(&pid);
    }

    /// A node is gone: so are the names and locks of its processes, and the names that it registered for C nodes.
    pub(super) fn node_down(&mut self, node: Atom, acts: &mut Vec<Act>) {
        self.forget(|pid| pid.node == node, |registrar| registrar == node, acts);
    }

    fn forget(&mut self, gone: impl Fn(Pid) -> bool, unregistered: impl Fn(Atom) -> bool, acts: &mut Vec<Act>) {
        let is_lost = |name: &Term, entry: &Entry| {
            gone(entry.pid) || self.ext.get(name).is_some_and(|registrar| unregistered(*registrar))
        };
        let lost = self.names.iter().filter(|(name, entry)| is_lost(name, entry));
        let lost: Vec<Term> = lost.map(|(name, _)| name.clone()).collect();
        for name in lost {
            self.delete(&name, acts);
        }
        let mut free = Vec::new();
        let mut released = Vec::new();
        for (resource, lock) in &mut self.locks {
            released.extend(lock.holders.iter().copied().filter(|pid| gone(*pid)));
            lock.holders.retain(|pid| !gone(*pid));
            if lock.holders.is_empty() {
                free.push(resource.clone());
            }
        }
        for resource in free {
            self.global_lock_down |= resource.is_atom("global");
            self.locks.remove(&resource);
        }
        for pid in released {
            self.unwatch(pid, acts);
        }
    }

    fn watch(&mut self, pid: Pid, acts: &mut Vec<Act>) {
        let count = self.watched.entry(pid).or_insert(0);
        *count += 1;
        if *count == 1 {
            acts.push(Act::Watch(pid));
        }
    }

    fn unwatch(&mut self, pid: Pid, acts: &mut Vec<Act>) {
        let Some(count) = self.watched.get_mut(&pid) else { return };
        *count -= 1;
        if *count == 0 {
            self.watched.remove(&pid);
            acts.push(Act::Unwatch(pid));
        }
    }
}

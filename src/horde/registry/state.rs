//! What a member of a registry knows, and what follows when the replicated map changes.
//!
//! The map holds `{member, {Name, Node}} => 1`, `{key, Key} => {Member, Pid, Value}` and `{registry, MetaKey} => Value`.
//! The tables here follow it. Only the member that owns a registration, or whose process it is, frees it when the process
//! ends; everybody drops the keys of a member that was removed; who sees a key change hands tells the loser by an exit
//! signal. A member that the others have removed puts itself and its living registrations back, where Elixir's would
//! lose them.

use std::collections::{BTreeMap, HashSet};

use hashbrown::HashMap;

use super::Event;
use crate::delta_crdt::Diff;
use crate::horde::MemberName;
use crate::term::{Atom, Pid, Term};

/// A registration: `{Member, Pid, Value}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) member: MemberName,
    pub(crate) pid: Pid,
    pub(crate) value: Term,
}

/// What the process of the registry has to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// Write these pairs to the map.
    Write(Vec<(Term, Term)>),
    /// Remove these keys from it.
    Drop(Vec<Term>),
    /// The map's neighbours are those of these members.
    Neighbours(Vec<MemberName>),
    /// Make all visible nodes members, and this one too.
    Join(Atom),
    Watch(Pid),
    Unwatch(Pid),
    /// A process of this node has lost its name.
    Exit(Pid, Term),
    /// A process elsewhere has lost its name: if both were there at once, it is told, a little later than its own node
    /// would.
    Contest {
        key: Term,
        loser: Entry,
        reason: Term,
    },
    Tell(Event),
}

/// How long after a partition the loss of a key is taken for its consequence.
const GRACE: u64 = 30_000;

/// A member's tables.
#[derive(Debug)]
pub(super) struct State {
    me: MemberName,
    /// Members are the visible nodes.
    auto: bool,
    /// It was told to be a member, by itself or in a list: when it is removed, it comes back.
    stays: bool,
    members: BTreeMap<(Atom, Atom), MemberName>,
    keys: HashMap<Term, Entry>,
    pids: HashMap<Pid, Vec<Term>>,
    meta: HashMap<Term, Term>,
    /// The registrations made here whose processes live, whatever the map says at the moment.
    ours: HashMap<Term, (Pid, Term)>,
    /// It has given its names back, and takes no more.
    left: bool,
    /// Some of `ours` may be missing in the map.
    missing: bool,
    /// Nodes of members that were lost once.
    lost: HashSet<Atom>,
    grace_until: u64,
    acts: Vec<Act>,
}

impl State {
    pub(super) fn new(me: MemberName, auto: bool, stays: bool) -> Self {
        Self {
            me,
            auto,
            stays,
            members: BTreeMap::new(),
            keys: HashMap::new(),
            pids: HashMap::new(),
            meta: HashMap::new(),
            ours: HashMap::new(),
            left: false,
            missing: false,
            lost: HashSet::new(),
            grace_until: 0,
            acts: Vec::new(),
        }
    }

    pub(super) fn me(&self) -> MemberName {
        self.me
    }

    pub(super) fn members(&self) -> impl Iterator<Item = MemberName> {
        self.members.values().copied()
    }

    pub(super) fn is_member(&self, member: MemberName) -> bool {
        self.members.contains_key(&order(member))
    }

    /// The registration of a key, of whoever is a member.
    pub(super) fn lookup(&self, key: &Term) -> Option<&Entry> {
        self.keys.get(key).filter(|entry| self.is_member(entry.member))
    }

    /// The registration of a key, also one of no member.
    pub(super) fn entry(&self, key: &Term) -> Option<&Entry> {
        self.keys.get(key)
    }

    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = (&Term, &Entry)> {
        self.keys.iter()
    }

    /// The keys of a process, the latest first.
    pub(super) fn keys_of(&self, pid: Pid) -> &[Term] {
        self.pids.get(&pid).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn meta(&self, key: &Term) -> Option<&Term> {
        self.meta.get(key)
    }

    pub(super) fn take_acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// The map has changed.
    pub(super) fn handle_diffs(&mut self, diffs: &[Diff], now: u64) {
        let parsed = diffs.iter().filter_map(Change::parse);
        let (members, others): (Vec<_>, Vec<_>) = parsed.partition(|change| matches!(change, Change::Member(..)));
        let mut joined = false;
        for change in members {
            match change {
                Change::Member(member, true) => joined |= self.member_added(member),
                Change::Member(member, false) => self.member_removed(member, now),
                Change::Key(..) | Change::Meta(..) => {}
            }
        }
        if joined {
            self.set_neighbours();
        }
        for change in others {
            match change {
                Change::Key(key, Some(entry)) => self.key_added(key, entry),
                Change::Key(key, None) => self.key_removed(key, now),
                Change::Meta(key, Some(value)) => drop(self.meta.insert(key.clone(), value.clone())),
                Change::Meta(key, None) => drop(self.meta.remove(key)),
                Change::Member(..) => {}
            }
        }
        self.restore();
    }

    /// A node came up. In a registry of all visible nodes it is a member from now on.
    pub(super) fn node_up(&mut self, node: Atom, now: u64) {
        if self.lost.contains(&node) {
            self.grace_until = now + GRACE;
        }
        if self.auto {
            self.acts.push(Act::Join(node));
        }
    }

    /// A node is gone. In a registry of all visible nodes it is no member from now on.
    pub(super) fn node_down(&mut self, node: Atom, now: u64) {
        let member = MemberName { name: self.me.name, node };
        if !self.is_member(member) {
            return;
        }
        self.lost.insert(node);
        self.grace_until = now + GRACE;
        if self.auto {
            self.acts.push(Act::Drop(vec![member_key(member)]));
            let left = self.members().filter(|other| *other != member && *other != self.me).collect();
            self.acts.push(Act::Neighbours(left));
        }
    }

    /// `set_members`: these and no others.
    pub(super) fn set_members(&mut self, wanted: &[MemberName]) {
        let wanted: BTreeMap<_, _> = wanted.iter().map(|member| (order(*member), *member)).collect();
        let gone: Vec<_> = self.members().filter(|member| !wanted.contains_key(&order(*member))).collect();
        let new: Vec<_> = wanted.values().filter(|member| !self.is_member(**member)).copied().collect();
        self.stays = self.stays && wanted.contains_key(&order(self.me));
        if !gone.is_empty() {
            self.acts.push(Act::Drop(gone.into_iter().map(member_key).collect()));
        }
        self.add_members(&new);
        self.acts.push(Act::Neighbours(wanted.values().filter(|member| **member != self.me).copied().collect()));
    }

    /// These too.
    pub(super) fn add_members(&mut self, new: &[MemberName]) {
        let new: Vec<_> =
            new.iter().filter(|member| !self.is_member(**member)).map(|m| (member_key(*m), 1.into())).collect();
        if !new.is_empty() {
            self.acts.push(Act::Write(new));
        }
    }

    /// The name is given back: a removal that follows is no loss.
    pub(super) fn unregistered(&mut self, key: &Term) {
        self.ours.remove(key);
    }

    /// Gives all names back that were registered here, and stays away: the keys to be removed.
    pub(super) fn leave(&mut self) -> Vec<Term> {
        (self.auto, self.stays, self.left) = (false, false, true);
        let ours = std::mem::take(&mut self.ours);
        ours.into_keys().map(|key| key_term(&key)).collect()
    }

    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    /// A watched process has ended, or its node is gone.
    pub(super) fn process_down(&mut self, pid: Pid) {
        self.ours.retain(|_, (owner, _)| *owner != pid);
        let Some(keys) = self.pids.remove(&pid) else { return };
        self.acts.push(Act::Drop(keys.iter().map(key_term).collect()));
        for key in keys {
            if self.keys.get(&key).is_some_and(|entry| entry.pid == pid) {
                self.keys.remove(&key);
            }
            self.acts.push(Act::Tell(Event::Unregistered { key, pid }));
        }
    }

    fn set_neighbours(&mut self) {
        self.acts.push(Act::Neighbours(self.members().filter(|member| *member != self.me).collect()));
    }

    /// Whether that is new.
    fn member_added(&mut self, member: MemberName) -> bool {
        if member == self.me {
            // What was put aside while it was no member comes back.
            self.missing = !self.ours.is_empty();
        }
        self.members.insert(order(member), member).is_none()
    }

    fn member_removed(&mut self, member: MemberName, now: u64) {
        self.members.remove(&order(member));
        if member == self.me {
            self.grace_until = now + GRACE;
            if self.stays {
                self.missing = !self.ours.is_empty();
                return self.acts.push(Act::Write(vec![(member_key(member), 1.into())]));
            }
        }
        let owned = self.keys.iter().filter(|(_, entry)| entry.member == member);
        let owned: Vec<_> = owned.map(|(key, entry)| (key.clone(), entry.pid)).collect();
        if owned.is_empty() {
            return;
        }
        self.acts.push(Act::Drop(owned.iter().map(|(key, _)| key_term(key)).collect()));
        for (key, pid) in owned {
            self.keys.remove(&key);
            self.forget_key(&key, pid);
        }
    }

    fn key_added(&mut self, key: &Term, entry: Entry) {
        let is_known = self.pids.get(&entry.pid).is_some_and(|keys| keys.contains(key));
        if !is_known {
            self.pids.entry(entry.pid).or_default().insert(0, key.clone());
        }
        // Whoever owns the registration, a process of this node is watched from here.
        if entry.member == self.me || entry.pid.node == self.me.node {
            self.acts.push(Act::Watch(entry.pid));
        }
        match self.keys.get(key).cloned() {
            Some(loser) if loser.pid != entry.pid => self.lost_to(key, loser, entry.pid),
            Some(_) | None => {}
        }
        if entry.member == self.me {
            let aside = self.ours.insert(key.clone(), (entry.pid, entry.value.clone()));
            let there = self.keys.contains_key(key);
            if let Some((loser, value)) = aside.filter(|(loser, _)| *loser != entry.pid && !there) {
                self.acts.push(Act::Exit(loser, conflict(key, &value, self.me.name, entry.pid)));
            }
        }
        let Entry { pid, value, .. } = entry.clone();
        self.keys.insert(key.clone(), entry);
        self.acts.push(Act::Tell(Event::Registered { key: key.clone(), pid, value }));
    }

    /// A key has changed hands.
    fn lost_to(&mut self, key: &Term, loser: Entry, winner: Pid) {
        let reason = conflict(key, &loser.value, self.me.name, winner);
        self.ours.remove(key);
        self.forget_key(key, loser.pid);
        let told = Event::Conflict { key: key.clone(), value: loser.value.clone(), loser: loser.pid, winner };
        self.acts.push(Act::Tell(told));
        self.acts.push(if loser.pid.node == self.me.node {
            Act::Exit(loser.pid, reason)
        } else {
            Act::Contest { key: key.clone(), loser, reason }
        });
    }

    fn key_removed(&mut self, key: &Term, now: u64) {
        let entry = self.keys.remove(key);
        if self.ours.contains_key(key) {
            // After a partition a peer drops the keys of those that it had lost; their processes live.
            if now < self.grace_until || !self.is_member(self.me) {
                self.missing = true;
            } else {
                self.ours.remove(key);
            }
        }
        if let Some(entry) = entry {
            self.forget_key(key, entry.pid);
        }
    }

    /// A process has a key less.
    fn forget_key(&mut self, key: &Term, pid: Pid) {
        if let Some(keys) = self.pids.get_mut(&pid) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.pids.remove(&pid);
                if !self.ours.values().any(|(owner, _)| *owner == pid) {
                    self.acts.push(Act::Unwatch(pid));
                }
            }
        }
        self.acts.push(Act::Tell(Event::Unregistered { key: key.clone(), pid }));
    }

    /// Writes again what was registered here and is not there any more; who has lost its name to another is told.
    fn restore(&mut self) {
        if !self.missing || !(self.stays || self.is_member(self.me)) {
            return;
        }
        self.missing = false;
        let missing: Vec<_> = self
            .ours
            .iter()
            .filter(|(key, (pid, _))| self.keys.get(*key).is_none_or(|entry| entry.pid != *pid))
            .map(|(key, (pid, value))| (key.clone(), *pid, value.clone()))
            .collect();
        let mut again = Vec::new();
        for (key, pid, value) in missing {
            if let Some(entry) = self.keys.get(&key) {
                let winner = entry.pid;
                self.ours.remove(&key);
                self.acts.push(Act::Exit(pid, conflict(&key, &value, self.me.name, winner)));
            } else {
                again.push((key_term(&key), entry_term(self.me, pid, value)));
            }
        }
        if !again.is_empty() {
            self.acts.push(Act::Write(again));
        }
    }
}

/// A change as registries read it.
enum Change<'a> {
    /// Whether it is one.
    Member(MemberName, bool),
    Key(&'a Term, Option<Entry>),
    Meta(&'a Term, Option<&'a Term>),
}

impl<'a> Change<'a> {
    /// `None` for what no registry writes.
    fn parse(diff: &'a Diff) -> Option<Self> {
        let (key, value) = match diff {
            Diff::Add(key, value) => (key, Some(value)),
            Diff::Remove(key) => (key, None),
        };
        let [Term::Atom(tag), key] = key.as_tuple()? else { return None };
        match (tag.as_str(), value) {
            ("member", value) => {
                let Term::Tuple(_) = key else { return None };
                let member = MemberName::parse(key, Atom::new(""))?;
                value.is_none_or(|value| value.as_i64() == Some(1)).then_some(Self::Member(member, value.is_some()))
            }
            ("key", Some(value)) => {
                let [member @ Term::Tuple(_), Term::Pid(pid), value] = value.as_tuple()? else { return None };
                let member = MemberName::parse(member, Atom::new(""))?;
                Some(Self::Key(key, Some(Entry { member, pid: *pid, value: value.clone() })))
            }
            ("key", None) => Some(Self::Key(key, None)),
            ("registry", value) => Some(Self::Meta(key, value)),
            _ => None,
        }
    }
}

fn order(member: MemberName) -> (Atom, Atom) {
    (member.name, member.node)
}

/// `{member, {Name, Node}}`.
pub(super) fn member_key(member: MemberName) -> Term {
    Term::tuple([Term::atom("member"), member.term()])
}

/// `{key, Key}`.
pub(super) fn key_term(key: &Term) -> Term {
    Term::tuple([Term::atom("key"), key.clone()])
}

/// `{registry, Key}`.
pub(super) fn meta_key(key: &Term) -> Term {
    Term::tuple([Term::atom("registry"), key.clone()])
}

/// `{Member, Pid, Value}`.
pub(super) fn entry_term(member: MemberName, pid: Pid, value: Term) -> Term {
    Term::tuple([member.term(), pid.into(), value])
}

/// `{name_conflict, {Key, Value}, Registry, Winner}`.
fn conflict(key: &Term, value: &Term, registry: Atom, winner: Pid) -> Term {
    let lost = Term::tuple([key.clone(), value.clone()]);
    Term::tuple([Term::atom("name_conflict"), lost, registry.into(), winner.into()])
}

#[cfg(test)]
mod tests;

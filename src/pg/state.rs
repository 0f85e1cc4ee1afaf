//! What a scope knows: its own node's members, and what each peer says of its own.

use std::mem::take;

use hashbrown::HashMap;
use tokio::sync::mpsc;

use super::wire::{Message, Update};
use crate::term::{Pid, Term};

/// Processes joined or left a group, on any node.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PgEvent {
    /// `{Ref, join, Group, Pids}`.
    Join(Term, Vec<Pid>),
    /// `{Ref, leave, Group, Pids}`.
    Leave(Term, Vec<Pid>),
}

impl PgEvent {
    fn group(&self) -> &Term {
        match self {
            Self::Join(group, _) | Self::Leave(group, _) => group,
        }
    }
}

/// What has to be done, in order.
#[derive(Debug)]
pub(super) enum Act {
    /// To another scope.
    Send(Pid, Message),
    /// A scope of another node, or a member on this one.
    Monitor(Pid),
    /// A member on this node has left every group.
    Demonitor(Pid),
}

/// Members of groups; each as often as it joined, the last first.
type Groups = HashMap<Term, Vec<Pid>>;

#[derive(Debug)]
struct Peer {
    /// Whether it takes what version 1 sends.
    version: i64,
    groups: Groups,
}

/// A scope.
#[derive(Debug)]
pub(super) struct State {
    me: Pid,
    local: Groups,
    /// How many memberships each local process has.
    joined: HashMap<Pid, usize>,
    peers: HashMap<Pid, Peer>,
    listeners: Vec<(Option<Term>, mpsc::UnboundedSender<PgEvent>)>,
    acts: Vec<Act>,
}

impl State {
    pub(super) fn new(me: Pid) -> Self {
        Self {
            me,
            local: Groups::new(),
            joined: HashMap::new(),
            peers: HashMap::new(),
            listeners: Vec::new(),
            acts: Vec::new(),
        }
    }

    /// What has to be done since the last time.
    pub(super) fn take_acts(&mut self) -> Vec<Act> {
        take(&mut self.acts)
    }

    /// Tells of every event of a group, or of all.
    pub(super) fn listen(&mut self, group: Option<Term>, listener: mpsc::UnboundedSender<PgEvent>) {
        self.listeners.push((group, listener));
    }

    /// Nobody will be told anything more.
    pub(super) fn end(&mut self) {
        self.listeners.clear();
    }

    fn tell(&mut self, event: &PgEvent) {
        self.listeners.retain(|(group, listener)| match group {
            Some(group) if group != event.group() => !listener.is_closed(),
            _ => listener.send(event.clone()).is_ok(),
        });
    }

    pub(super) fn members(&self, group: &Term) -> Vec<Pid> {
        let local = self.local.get(group).into_iter().flatten();
        local.chain(self.peers.values().filter_map(|peer| peer.groups.get(group)).flatten()).copied().collect()
    }

    pub(super) fn local_members(&self, group: &Term) -> Vec<Pid> {
        self.local.get(group).cloned().unwrap_or_default()
    }

    pub(super) fn groups(&self) -> Vec<Term> {
        let mut groups: Vec<Term> =
            self.local.keys().chain(self.peers.values().flat_map(|peer| peer.groups.keys())).cloned().collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    pub(super) fn local_groups(&self) -> Vec<Term> {
        self.local.keys().cloned().collect()
    }

    pub(super) fn all(&self) -> Vec<(Term, Vec<Pid>)> {
        self.groups().into_iter().map(|group| (group.clone(), self.members(&group))).collect()
    }

    /// Local processes join, each as often as it is listed.
    pub(super) fn join(&mut self, group: Term, pids: &[Pid]) {
        for pid in pids {
            let times = self.joined.entry(*pid).or_default();
            if *times == 0 {
                self.acts.push(Act::Monitor(*pid));
            }
            *times += 1;
        }
        add(&mut self.local, &group, pids);
        self.broadcast(&[Update { group: group.clone(), added: pids.to_vec(), removed: Vec::new() }]);
        self.tell(&PgEvent::Join(group, pids.to_vec()));
    }

    /// Local processes leave, each as often as it is listed. False if none was a member.
    pub(super) fn leave(&mut self, group: &Term, pids: &[Pid]) -> bool {
        let left = remove(&mut self.local, group, pids);
        if left.is_empty() {
            return false;
        }
        for pid in &left {
            let times = self.joined.entry(*pid).or_default();
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.joined.remove(pid);
                self.acts.push(Act::Demonitor(*pid));
            }
        }
        self.broadcast(&[Update { group: group.clone(), added: Vec::new(), removed: left.clone() }]);
        self.tell(&PgEvent::Leave(group.clone(), left));
        true
    }

    /// A monitored process ended: a member, or a peer.
    pub(super) fn down(&mut self, pid: Pid) {
        if let Some(peer) = self.peers.remove(&pid) {
            peer.groups.into_iter().for_each(|(group, pids)| self.tell(&PgEvent::Leave(group, pids)));
        } else if self.joined.remove(&pid).is_some() {
            let mut updates = Vec::new();
            self.local.retain(|group, members| {
                let before = members.len();
                members.retain(|member| *member != pid);
                if members.len() < before {
                    updates.push(Update {
                        group: group.clone(),
                        added: vec![],
                        removed: vec![pid; before - members.len()],
                    });
                }
                !members.is_empty()
            });
            self.broadcast(&updates);
            for Update { group, removed, .. } in updates {
                self.tell(&PgEvent::Leave(group, removed));
            }
        }
    }

    fn broadcast(&mut self, updates: &[Update]) {
        for (peer, Peer { version, .. }) in &self.peers {
            if *version >= 1 {
                self.acts.push(Act::Send(*peer, Message::Update(self.me, updates.to_vec())));
                continue;
            }
            for Update { group, added, removed } in updates {
                if !added.is_empty() {
                    self.acts.push(Act::Send(*peer, Message::Join(self.me, group.clone(), added.clone())));
                }
                if !removed.is_empty() {
                    self.acts.push(Act::Send(*peer, Message::Leave(self.me, removed.clone(), vec![group.clone()])));
                }
            }
        }
    }

    /// Takes what a scope of another node says.
    pub(super) fn handle(&mut self, message: Message) {
        match message {
            Message::Discover(peer, version) => self.discovered(peer, version),
            Message::Sync(peer, version, groups) => self.synced(peer, version, groups),
            Message::Join(peer, group, pids) => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    add(&mut known.groups, &group, &pids);
                    self.tell(&PgEvent::Join(group, pids));
                }
            }
            Message::Leave(peer, pids, groups) => {
                for group in groups {
                    self.peer_left(peer, group, &pids);
                }
            }
            Message::Update(peer, updates) => {
                for Update { group, added, removed } in updates {
                    if let Some(known) = self.peers.get_mut(&peer).filter(|_| !added.is_empty()) {
                        add(&mut known.groups, &group, &added);
                        self.tell(&PgEvent::Join(group.clone(), added));
                    }
                    self.peer_left(peer, group, &removed);
                }
            }
        }
    }

    fn peer_left(&mut self, peer: Pid, group: Term, pids: &[Pid]) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let left = remove(&mut known.groups, &group, pids);
        if !left.is_empty() {
            self.tell(&PgEvent::Leave(group, left));
        }
    }

    /// A scope of another node is there: it is told what is here, and asked what is there. In this order, as BEAMs do.
    fn discovered(&mut self, peer: Pid, version: i64) {
        if peer == self.me {
            return;
        }
        let groups = self.local.iter().map(|(group, pids)| (group.clone(), pids.clone())).collect();
        self.acts.push(Act::Send(peer, Message::Sync(self.me, version, groups)));
        match self.peers.get_mut(&peer) {
            Some(known) => known.version = known.version.max(version),
            None => {
                self.peers.insert(peer, Peer { version, groups: Groups::new() });
                self.acts.push(Act::Monitor(peer));
                self.acts.push(Act::Send(peer, Message::Discover(self.me, version)));
            }
        }
    }

    /// All that a peer has, in place of what was known.
    fn synced(&mut self, peer: Pid, version: i64, groups: Vec<(Term, Vec<Pid>)>) {
        if peer == self.me {
            return;
        }
        let known = self.peers.entry(peer).or_insert_with(|| {
            self.acts.push(Act::Monitor(peer));
            Peer { version, groups: Groups::new() }
        });
        let new: Groups = groups.into_iter().filter(|(_, pids)| !pids.is_empty()).collect();
        let old = std::mem::replace(&mut known.groups, new.clone());
        for (group, pids) in &new {
            let joined = beyond(pids, old.get(group).map_or(&[][..], Vec::as_slice));
            if !joined.is_empty() {
                self.tell(&PgEvent::Join(group.clone(), joined));
            }
        }
        for (group, pids) in old {
            let left = beyond(&pids, new.get(&group).map_or(&[][..], Vec::as_slice));
            if !left.is_empty() {
                self.tell(&PgEvent::Leave(group, left));
            }
        }
    }
}

fn add(groups: &mut Groups, group: &Term, pids: &[Pid]) {
    if !pids.is_empty() {
        groups.entry(group.clone()).or_default().splice(0..0, pids.iter().copied());
    }
}

/// Takes one occurrence of each out, and says which there were.
fn remove(groups: &mut Groups, group: &Term, pids: &[Pid]) -> Vec<Pid> {
    let Some(members) = groups.get_mut(group) else { return Vec::new() };
    let mut gone = Vec::new();
    for pid in pids {
        if let Some(at) = members.iter().position(|member| member == pid) {
            members.remove(at);
            gone.push(*pid);
        }
    }
    if members.is_empty() {
        groups.remove(group);
    }
    gone
}

/// What of `pids` is left when each of `others` takes one of the same away.
fn beyond(pids: &[Pid], others: &[Pid]) -> Vec<Pid> {
    let mut counts: HashMap<Pid, usize> = HashMap::new();
    others.iter().for_each(|pid| *counts.entry(*pid).or_default() += 1);
    let is_more = |pid: &&Pid| match counts.get_mut(*pid) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    pids.iter().filter(is_more).copied().collect()
}

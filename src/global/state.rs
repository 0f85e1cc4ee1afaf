//! The state machine of `global_name_server`: a session a peer until names are the same, then one table for all.
//!
//! It knows no socket and no clock: what comes in changes the state and leaves [`Act`]s to be done, in order.

use std::collections::{BTreeMap, BTreeSet};

use super::locker::{Locker, lock_id};
use super::table::{By, Entry, Op, Table};
use super::wire::{self, Ext, Message, Nodes};
use crate::term::{Atom, Pid, Term};

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// To the name server of a node.
    Send(Atom, Term),
    /// The same in the locker's name.
    LockerSend(Atom, Term),
    /// To a process.
    Tell(Pid, Term),
    /// The locker asks a node for a lock; the answer comes back with the serial.
    Ask {
        node: Atom,
        serial: u64,
        request: Term,
    },
    /// The locker gives a lock back.
    Release {
        node: Atom,
        request: Term,
    },
    Watch(Pid),
    Unwatch(Pid),
    /// Connects to a node that a peer has told of; how that went comes back.
    Join(Atom),
    Disconnect(Atom),
    /// Has the fun of our entry decide, on the node of its process, between it and the peer's.
    Resolve {
        peer: Atom,
        tag: i64,
        name: Term,
        ours: Entry,
        theirs: Entry,
    },
}

/// How a conflict ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ours,
    Theirs,
    Neither,
}

/// What is fixed when the name server starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) me: Atom,
    pub(crate) locker: Pid,
    /// Whether to be part of the mesh.
    pub(crate) connect_all: bool,
    pub(crate) prevent_overlapping_partitions: bool,
    pub(crate) seed: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(super) me: Atom,
    pub(super) locker_pid: Pid,
    settings: Settings,
    pub(super) table: Table,
    pub(super) known: BTreeMap<Atom, i64>,
    synced: BTreeSet<Atom>,
    removing: BTreeSet<Atom>,
    up: BTreeSet<Atom>,
    /// Nodes that are being connected to, with what they are to be told first.
    joining: BTreeMap<Atom, Vec<Act>>,
    pub(super) sessions: BTreeMap<Atom, Session>,
    /// What peers said before their nodeup came.
    early: BTreeMap<Atom, His>,
    /// Peers none of whose beginnings has been acknowledged since their nodeup.
    unacknowledged: BTreeSet<Atom>,
    lost: BTreeMap<(Atom, Atom), (Term, i64, u64)>,
    next_tag: i64,
    lost_number: i64,
    pub(super) locker: Locker,
    pub(super) acts: Vec<Act>,
}

/// A peer that is not in sync yet.
#[derive(Debug, Default)]
pub(super) struct Session {
    my_tag: i64,
    pub(super) his: Option<His>,
    lock_set: bool,
    exchange: Option<Vec<(Term, Entry)>>,
    exchanged: bool,
    deciding: usize,
    ops: Vec<Op>,
    res: Vec<Op>,
    sent_resolved: bool,
    resolved: Option<(Vec<Op>, Nodes, Ext)>,
}

/// What a peer said of itself.
#[derive(Debug, Clone)]
pub(super) struct His {
    pub(super) tag: Term,
    version: i64,
    pub(super) locker: Pid,
}

/// How long a lost connection is remembered, in milliseconds.
const LOST_FOR: u64 = 60 * 60 * 1000;

impl State {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            me: settings.me,
            locker_pid: settings.locker,
            settings,
            table: Table::default(),
            known: BTreeMap::new(),
            synced: BTreeSet::new(),
            removing: BTreeSet::new(),
            up: BTreeSet::new(),
            joining: BTreeMap::new(),
            sessions: BTreeMap::new(),
            early: BTreeMap::new(),
            unacknowledged: BTreeSet::new(),
            lost: BTreeMap::new(),
            next_tag: 0,
            lost_number: 0,
            locker: Locker::new(settings.seed),
            acts: Vec::new(),
        }
    }

    /// What is to be done. A node that is gone is sent nothing, as that would connect to it again; one that is still
    /// being connected to gets it then.
    pub(crate) fn take_acts(&mut self) -> Vec<Act> {
        let mut acts = Vec::with_capacity(self.acts.len());
        for act in std::mem::take(&mut self.acts) {
            match &act {
                Act::Send(node, _) | Act::LockerSend(node, _) if !self.up.contains(node) => {
                    if let Some(waiting) = self.joining.get_mut(node) {
                        waiting.push(act);
                    }
                }
                Act::Release { node, .. } if !self.can_be_asked(*node) => {}
                _ => acts.push(act),
            }
        }
        acts
    }

    /// Whether a node is connected, or about to be.
    pub(super) fn can_be_asked(&self, node: Atom) -> bool {
        self.up.contains(&node) || self.joining.contains_key(&node)
    }

    /// When [`State::fire`] wants to be called.
    pub(crate) fn wake(&self) -> Option<u64> {
        self.locker.wake
    }

    pub(crate) fn fire(&mut self, now: u64) {
        self.locker_fires(now);
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&Term, &Entry)> {
        self.table.names.iter()
    }

    pub(crate) fn whereis(&self, name: &Term) -> Option<Pid> {
        self.table.names.get(name).map(|entry| entry.pid)
    }

    /// Whether neither the name is taken nor the process has one.
    pub(crate) fn is_free(&self, name: &Term, pid: Pid) -> bool {
        !self.table.names.contains_key(name) && self.table.names.values().all(|entry| entry.pid != pid)
    }

    pub(crate) fn known(&self) -> Vec<Atom> {
        self.known.keys().copied().collect()
    }

    pub(crate) fn synced(&self) -> Vec<Atom> {
        self.synced.iter().copied().collect()
    }

    /// Whether every visible node that is connected has been synchronised with.
    pub(crate) fn is_synced(&self) -> bool {
        !self.settings.connect_all || self.up.iter().all(|node| self.synced.contains(node))
    }

    pub(super) fn queue(&self) -> Vec<Atom> {
        self.sessions.iter().filter(|(_, session)| session.his.is_some()).map(|(node, _)| *node).collect()
    }

    pub(crate) fn node_up(&mut self, node: Atom, now: u64) {
        self.up.insert(node);
        self.unacknowledged.insert(node);
        self.acts.extend(self.joining.remove(&node).unwrap_or_default());
        if self.settings.connect_all && !self.known.contains_key(&node) {
            self.begin(node);
            if let Some(his) = self.early.remove(&node) {
                self.init_connect(node, his, now);
            }
        }
    }

    pub(crate) fn node_down(&mut self, node: Atom, now: u64) {
        self.up.remove(&node);
        self.joining.remove(&node);
        if !self.removing.remove(&node) && self.guards() && self.is_partner(node) {
            self.lost_number += 1;
            let incarnation = Term::from(self.settings.seed >> 1);
            let lost = wire::lost(self.me, incarnation, self.lost_number, node);
            self.multicast(&lost, &[node]);
        }
        self.forget(node, now);
        self.early.remove(&node);
        self.table.node_down(node, &mut self.acts);
        self.locker_node_down(node, now);
    }

    /// A process whose end matters has ended.
    pub(crate) fn pid_down(&mut self, pid: Pid) {
        self.table.pid_down(pid, &mut self.acts);
    }

    /// A node that a peer told of has been connected to, or could not be.
    pub(crate) fn joined(&mut self, node: Atom, reached: bool, now: u64) {
        if reached {
            self.acts.push(Act::Send(node, wire::in_sync(self.me)));
        } else {
            self.node_down(node, now);
        }
    }

    fn begin(&mut self, node: Atom) {
        self.next_tag += 1;
        self.sessions.insert(node, Session { my_tag: self.next_tag, ..Session::default() });
        self.acts.push(Act::Send(node, wire::init_connect(self.me, self.next_tag, self.locker_pid)));
    }

    fn begin_if_idle(&mut self, node: Atom) {
        if !self.sessions.contains_key(&node) {
            self.begin(node);
        }
    }

    fn end_session(&mut self, node: Atom, well: bool, now: u64) {
        self.sessions.remove(&node);
        self.locker_forgets(node, well, now);
    }

    fn restart(&mut self, node: Atom, now: u64) {
        self.end_session(node, false, now);
        if self.up.contains(&node) && !self.known.contains_key(&node) {
            self.begin(node);
        }
    }

    /// Out of all that says we belong together.
    fn forget(&mut self, node: Atom, now: u64) {
        self.known.remove(&node);
        self.synced.remove(&node);
        self.end_session(node, false, now);
    }

    fn is_partner(&self, node: Atom) -> bool {
        self.known.contains_key(&node) || self.sessions.get(&node).is_some_and(|session| session.his.is_some())
    }

    fn guards(&self) -> bool {
        self.settings.connect_all && self.settings.prevent_overlapping_partitions
    }

    fn multicast(&mut self, message: &Term, but: &[Atom]) {
        let pending = self.queue();
        let all: BTreeSet<Atom> = self.known.keys().copied().chain(pending).collect();
        for node in all.into_iter().filter(|node| !but.contains(node)) {
            self.acts.push(Act::Send(node, message.clone()));
        }
    }

    pub(super) fn handle(&mut self, message: Message, now: u64) {
        match message {
            Message::InitConnect { node, version, tag, locker } => {
                self.init_connect(node, His { tag, version, locker }, now)
            }
            Message::Ack { node, mine, his } => {
                // Of a session that is over already: the peer has been sent the next one's tag.
                if !self.is_current(node, &mine) {
                    return;
                }
                let known = self.sessions.get(&node).and_then(|session| session.his.as_ref());
                if known.is_none_or(|known| known.tag != his) {
                    self.acts.push(Act::Send(node, wire::cancel(self.me, his)));
                    self.restart(node, now);
                }
            }
            Message::Cancel { node, tag } => {
                if self.is_current(node, &tag) {
                    self.restart(node, now);
                }
            }
            Message::LockSet { locker, set, tag } => self.lock_set(locker, set, Some(&tag), now),
            Message::Exchange { node, names, tag } => {
                if !self.is_current(node, &tag) {
                    return;
                }
                if let Some(session) = self.sessions.get_mut(&node) {
                    session.exchange = Some(names);
                }
                self.try_exchange(node, now);
            }
            Message::Resolved { node, ops, known, ext, tag } => {
                if !self.is_current(node, &tag) {
                    return;
                }
                if let Some(session) = self.sessions.get_mut(&node) {
                    session.resolved = Some((ops, known, ext));
                }
                self.try_finish(node, now);
            }
            Message::NewNodes { ops, ext, nodes, lock } => {
                self.learn(&nodes, now);
                let by = lock.as_ref().map_or(By::Anybody, By::Requester);
                self.table.apply(ops, by, &mut self.acts);
                self.table.mark_ext(ext);
            }
            Message::InSync(node) => {
                if self.up.contains(&node) {
                    self.synced.insert(node);
                }
                self.end_session(node, false, now);
            }
            Message::Lost { by, incarnation, number, node } => self.lost(by, incarnation, number, node, now),
            Message::Remove(node) => {
                if self.is_partner(node) {
                    self.remove(node, now);
                    self.acts.push(Act::Disconnect(node));
                }
            }
        }
    }

    fn is_current(&self, node: Atom, tag: &Term) -> bool {
        self.sessions.get(&node).is_some_and(|session| *tag == Term::from(session.my_tag))
    }

    /// A peer begins. Of several beginnings the last counts: those before it were sent before the peer knew that the
    /// connection was lost and made again. It has our tag, or will have, or else says that it has dropped it. A BEAM
    /// begins anew for each acknowledgement of what is over, and if each beginning were acknowledged that would go on
    /// for ever; nobody waits for one, so only the first of a connection is.
    fn init_connect(&mut self, node: Atom, his: His, now: u64) {
        if self.settings.connect_all && self.up.contains(&node) && !self.known.contains_key(&node) {
            // It was in sync, and has lost us since.
            self.begin_if_idle(node);
        }
        let Some(session) = self.sessions.get_mut(&node) else {
            // Its nodeup comes later, or it is known already and will say that it is in sync.
            self.early.insert(node, his);
            return;
        };
        let my_tag = session.my_tag;
        if session.his.is_some() {
            self.end_session(node, false, now);
        }
        if self.unacknowledged.remove(&node) {
            self.acts.push(Act::Send(node, wire::ack(self.me, his.tag.clone(), my_tag)));
        }
        self.sessions.insert(node, Session { my_tag, his: Some(his), ..Session::default() });
        self.queued(now);
    }

    /// What a peer's locker says; without a tag it came straight to ours.
    pub(super) fn lock_set(&mut self, locker: Pid, set: bool, tag: Option<&Term>, now: u64) {
        let is_his = |session: &Session| session.his.as_ref().is_some_and(|his| his.locker == locker);
        let peer = self
            .sessions
            .iter()
            .find(|(_, session)| is_his(session))
            .map(|(node, session)| (*node, tag.is_none_or(|tag| *tag == Term::from(session.my_tag))));
        match peer {
            Some((peer, true)) => self.peer_locked(peer, set, now),
            Some((_, false)) => {}
            None if set => {
                let known = self.known();
                self.acts.push(Act::Tell(locker, wire::not_locked(self.locker_pid, &known)));
            }
            None => {}
        }
    }

    /// Both lockers have the lock: names can be exchanged.
    pub(super) fn lock_is_set(&mut self, peer: Atom, now: u64) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let Some(his) = &session.his else { return };
        session.lock_set = true;
        let message = wire::exchange(self.me, self.table.names.iter(), his.tag.clone());
        self.acts.push(Act::Send(peer, message));
        // The peer's may have come before its locker's word: two processes sent them.
        self.try_exchange(peer, now);
    }

    fn try_exchange(&mut self, peer: Atom, now: u64) {
        let Some(session) = self.sessions.get_mut(&peer).filter(|session| session.lock_set) else { return };
        let Some(names) = session.exchange.take() else { return };
        for (name, theirs) in names {
            match self.table.names.get(&name) {
                None => session.ops.push(Op::Insert(name, theirs)),
                Some(ours) if ours.pid == theirs.pid => {}
                Some(ours) if self.me < peer => {
                    session.deciding += 1;
                    let (tag, ours) = (session.my_tag, ours.clone());
                    self.acts.push(Act::Resolve { peer, tag, name, ours, theirs });
                }
                // The peer decides.
                Some(_) => {}
            }
        }
        session.exchanged = true;
        self.try_resolved(peer, now);
    }

    /// A conflict has been decided.
    pub(crate) fn decided(
        &mut self,
        (peer, tag): (Atom, i64),
        name: Term,
        entries: (Entry, Entry),
        verdict: Verdict,
        now: u64,
    ) {
        let Some(session) = self.sessions.get_mut(&peer).filter(|session| session.my_tag == tag) else { return };
        session.deciding = session.deciding.saturating_sub(1);
        let (ours, theirs) = entries;
        match verdict {
            Verdict::Ours => session.res.push(Op::Insert(name, ours)),
            Verdict::Theirs => session.ops.push(Op::Insert(name, theirs)),
            Verdict::Neither => {
                session.ops.push(Op::Delete(name.clone()));
                session.res.push(Op::Delete(name));
            }
        }
        self.try_resolved(peer, now);
    }

    fn try_resolved(&mut self, peer: Atom, now: u64) {
        let ext = self.ext();
        let known: Vec<(Atom, i64)> = self.known.iter().map(|(node, version)| (*node, *version)).collect();
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if !session.exchanged || session.deciding > 0 || session.sent_resolved {
            return;
        }
        let Some(his) = &session.his else { return };
        session.sent_resolved = true;
        let message = wire::resolved(self.me, &session.res, &known, ext, his.tag.clone());
        self.acts.push(Act::Send(peer, message));
        self.try_finish(peer, now);
    }

    fn ext(&self) -> Term {
        let pid_of = |name| self.table.names.get(name).map(|entry| entry.pid);
        let entries = self.table.ext.iter().filter_map(|(name, node)| Some((name, pid_of(name)?, *node)));
        wire::ext_list(entries)
    }

    fn try_finish(&mut self, peer: Atom, now: u64) {
        let Some(session) = self.sessions.get_mut(&peer).filter(|session| session.sent_resolved) else { return };
        let Some((his_ops, his_known, ext)) = session.resolved.take() else { return };
        let Some(his) = session.his.clone() else { return };
        let mut ops = std::mem::take(&mut session.ops);
        ops.extend(his_ops);
        let requester = self.requester(his.locker);
        let mut nodes = vec![(peer, his.version)];
        nodes.extend(his_known.iter().filter(|(node, _)| *node != self.me).copied());
        self.table.apply(ops.clone(), By::Anybody, &mut self.acts);
        self.table.mark_ext(ext.clone());
        let ext = wire::ext_list(ext.iter().map(|(name, pid, node)| (name, *pid, *node)));
        // Before anybody gives the lock back, and before we count the new ones in.
        for third in self.known() {
            let message = wire::new_nodes(self.me, &ops, ext.clone(), &nodes, lock_id(&requester));
            self.acts.push(Act::Send(third, message));
        }
        self.known.insert(peer, his.version);
        self.synced.insert(peer);
        self.end_session(peer, true, now);
        self.learn(&nodes, now);
    }

    /// Nodes that a partner is in sync with: they are partners from now on, once we are connected.
    fn learn(&mut self, nodes: &[(Atom, i64)], now: u64) {
        for (node, version) in nodes {
            if *node != self.me && self.settings.connect_all && !self.known.contains_key(node) {
                self.known.insert(*node, *version);
                if !self.up.contains(node) {
                    self.joining.entry(*node).or_default();
                }
                self.end_session(*node, false, now);
                self.acts.push(Act::Join(*node));
            }
        }
    }

    fn lost(&mut self, by: Atom, incarnation: Term, number: i64, node: Atom, now: u64) {
        if !self.guards() {
            return;
        }
        self.lost.retain(|_, (_, _, until)| *until > now);
        let seen = self.lost.get(&(by, node));
        if seen.is_some_and(|(known, last, _)| *known == incarnation && *last >= number) {
            return;
        }
        self.multicast(&wire::lost(by, incarnation.clone(), number, node), &[by]);
        self.lost.insert((by, node), (incarnation, number, now + LOST_FOR));
        let other = if node == self.me { by } else { node };
        if self.is_partner(other) {
            self.acts.push(Act::Send(other, wire::remove(self.me)));
            self.remove(other, now);
        }
    }

    fn remove(&mut self, node: Atom, now: u64) {
        self.removing.insert(node);
        self.joining.remove(&node);
        self.forget(node, now);
    }

    /// A request to the name server, from a process; `None` where it is none that we know.
    pub(crate) fn call(&mut self, from: Pid, request: &Term) -> Option<Term> {
        if let Some(kind) = request.as_atom() {
            let atoms = |nodes: Vec<Atom>| nodes.into_iter().map(Term::from).collect::<Vec<_>>().into();
            return Some(match kind.as_str() {
                "get_known" => atoms(self.known()),
                "get_synced" => atoms(self.synced()),
                "get_protocol_version" => wire::VERSION.into(),
                "get_names_ext" => self.ext(),
                _ => return None,
            });
        }
        let (kind, rest) = request.as_tuple()?.split_first()?;
        let lock = |id: &Term| match id.as_tuple() {
            Some([resource, requester]) => Some((resource.clone(), requester.clone())),
            _ => None,
        };
        Some(match (kind.as_atom()?.as_str(), rest) {
            ("set_lock", [id]) => {
                let (resource, requester) = lock(id)?;
                self.table.set_lock(resource, requester, from, &mut self.acts).into()
            }
            ("del_lock", [id]) => {
                let (resource, requester) = lock(id)?;
                self.table.del_lock(&resource, &requester, from, &mut self.acts);
                true.into()
            }
            ("register", [name, pid, method]) => {
                let entry = Entry { pid: pid.as_pid()?, method: method.clone() };
                self.table.insert(name.clone(), entry, By::Holder(from), &mut self.acts);
                Term::atom("yes")
            }
            ("register_ext", [name, pid, method, registrar]) => {
                let (pid, registrar) = (pid.as_pid()?, registrar.as_atom()?);
                let entry = Entry { pid, method: method.clone() };
                self.table.insert(name.clone(), entry, By::Holder(from), &mut self.acts);
                self.table.mark_ext(vec![(name.clone(), pid, registrar)]);
                Term::atom("yes")
            }
            ("unregister", [name]) => {
                self.table.delete(name, &mut self.acts);
                Term::atom("ok")
            }
            _ => return None,
        })
    }
}

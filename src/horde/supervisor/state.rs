//! What a member of a supervisor knows, and what follows when the replicated map changes.
//!
//! The map holds `{member, M} => 1`, `{member_node_info, M} => %Member{}` and `{process, Id} => {M, Spec, Pid}`, or
//! `{nil, Spec}` of a child that was given up: whoever is chosen starts it. All members choose alike, so each knows by
//! itself what is its own. A member that ends is marked dead by all who watched it, and its children are taken over.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::delta_crdt::Diff;
use crate::horde::{Distribution, Member, MemberName, Status};
use crate::process::From;
use crate::term::{Atom, Creation, Map, Pid, Term, atom::known};

/// What the process of the supervisor has to do.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Write(Vec<(Term, Term)>),
    Drop(Vec<Term>),
    Neighbours(Vec<MemberName>),
    /// Make all visible nodes members, and this one too.
    Join(Atom),
    Monitor(MemberName),
    Start(Map, Option<From>),
    Terminate(Term, From),
    /// End a child, which is then another member's.
    HandOver(Pid),
    /// End a child that runs elsewhere too, or should run nowhere.
    Discard(Pid),
    /// End all children here; whoever is chosen starts them.
    GiveUpAll,
    Reply(From, Term),
    Proxy {
        to: MemberName,
        operation: Term,
        from: From,
        ttl: Option<u64>,
    },
    /// The quorum is met, or not.
    Quorum(bool),
    /// Call [`State::look_again`], once members that were only out of sight have had time to say that they live.
    LookAgain,
}

/// What a member is set up with.
pub(super) struct Settings {
    pub(super) me: MemberName,
    pub(super) auto: bool,
    /// When it is removed, it comes back.
    pub(super) stays: bool,
    /// It is never chosen.
    pub(super) observer: bool,
    pub(super) distribution: Arc<dyn Distribution>,
    /// Children that belong elsewhere are handed over at once.
    pub(super) active: bool,
    /// How often a request may be handed on.
    pub(super) ttl: Option<u64>,
    /// This node's incarnation: processes of another are gone.
    pub(super) creation: Creation,
    /// Whether a node is connected.
    pub(super) sees: Box<dyn Fn(Atom) -> bool + Send>,
    /// Whether a child can run here.
    pub(super) runs: Box<dyn Fn(&Map) -> bool + Send>,
}

#[derive(Debug, Clone)]
struct Child {
    owner: MemberName,
    spec: Map,
    pid: Pid,
}

/// A member's tables.
pub(super) struct State {
    settings: Settings,
    shutting_down: bool,
    members: BTreeMap<(Atom, Atom), MemberName>,
    statuses: HashMap<MemberName, Status>,
    children: HashMap<Term, Child>,
    ids: HashMap<Pid, Term>,
    /// Children that nobody runs at the moment.
    given_up: HashMap<Term, Map>,
    starting: HashSet<Term>,
    /// What runs here, whatever the map says at the moment.
    running: HashMap<Term, Pid>,
    monitored: HashSet<MemberName>,
    /// How many [`Act::LookAgain`] there will be.
    doubts: usize,
    acts: Vec<Act>,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            shutting_down: false,
            members: BTreeMap::new(),
            statuses: HashMap::new(),
            children: HashMap::new(),
            ids: HashMap::new(),
            given_up: HashMap::new(),
            starting: HashSet::new(),
            running: HashMap::new(),
            monitored: HashSet::new(),
            doubts: 0,
            acts: Vec::new(),
        }
    }

    pub(super) fn me(&self) -> MemberName {
        self.settings.me
    }

    pub(super) fn members(&self) -> impl Iterator<Item = MemberName> {
        self.members.values().copied()
    }

    pub(super) fn take_acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// The members as strategies see them.
    pub(super) fn known(&self) -> Vec<Member> {
        let status = |name| self.statuses.get(&name).copied().unwrap_or(Status::Uninitialized);
        self.members().map(|name| Member { name, status: status(name) }).collect()
    }

    pub(super) fn has_quorum(&self) -> bool {
        self.settings.distribution.has_quorum(&self.known())
    }

    /// How many children there are, of all members and of this one.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.children.len(), self.children.values().filter(|child| child.owner == self.me()).count())
    }

    /// Whether there is a child that nobody runs and that another member will.
    pub(super) fn awaits_takers(&self) -> bool {
        let members = self.known();
        self.given_up
            .values()
            .any(|spec| self.settings.distribution.choose(spec, &members).is_ok_and(|chosen| chosen != self.me()))
    }

    pub(super) fn counts_given_up(&self) -> usize {
        self.given_up.len()
    }

    /// Tells the others that this member is there: once its process can be found.
    pub(super) fn publish(&mut self) {
        let own = Member { name: self.me(), status: self.own_status() };
        self.statuses.insert(self.me(), own.status);
        self.acts.push(Act::Write(vec![(info_key(self.me()), own.term())]));
    }

    /// It goes: its children are given up.
    pub(super) fn shut_down(&mut self) {
        (self.settings.auto, self.settings.stays, self.shutting_down) = (false, false, true);
        self.publish();
        self.acts.push(Act::GiveUpAll);
    }

    /// These too.
    pub(super) fn add_members(&mut self, new: &[MemberName]) {
        let new = new.iter().filter(|member| !self.members.contains_key(&order(**member)));
        let new: Vec<_> = new.map(|member| (member_key(*member), 1.into())).collect();
        if !new.is_empty() {
            self.acts.push(Act::Write(new));
        }
    }

    /// `set_members`: these and no others.
    pub(super) fn set_members(&mut self, wanted: &[MemberName]) {
        let wanted: BTreeMap<_, _> = wanted.iter().map(|member| (order(*member), *member)).collect();
        self.settings.stays = self.settings.stays && wanted.contains_key(&order(self.me()));
        let gone: Vec<_> = self.members().filter(|member| !wanted.contains_key(&order(*member))).collect();
        if !gone.is_empty() {
            self.acts
                .push(Act::Drop(gone.into_iter().flat_map(|member| [member_key(member), info_key(member)]).collect()));
        }
        let wanted: Vec<_> = wanted.into_values().collect();
        self.add_members(&wanted);
        self.acts.push(Act::Neighbours(wanted.into_iter().filter(|member| *member != self.me()).collect()));
    }

    pub(super) fn node_up(&mut self, node: Atom) {
        self.take_back(node);
        if self.settings.auto {
            self.acts.push(Act::Join(node));
        }
    }

    pub(super) fn node_down(&mut self, node: Atom) {
        let member = MemberName { name: self.me().name, node };
        if self.settings.auto && self.members.contains_key(&order(member)) {
            self.acts.push(Act::Drop(vec![member_key(member), info_key(member)]));
            let left = self.members().filter(|other| *other != member && *other != self.me()).collect();
            self.acts.push(Act::Neighbours(left));
        }
    }

    /// A member's node is back that was taken for dead. While it was out of sight, each side has marked the other dead; all
    /// members that read such a mark would take the other's children over, which run. So both marks are overwritten,
    /// before the others compare; the monitor that follows says so if there is no such process.
    fn take_back(&mut self, node: Atom) {
        let member = MemberName { name: self.me().name, node };
        if self.statuses.get(&member) != Some(&Status::Dead) || !self.members.contains_key(&order(member)) {
            return;
        }
        self.publish();
        let alive = Member { name: member, status: Status::Alive };
        self.acts.push(Act::Write(vec![(info_key(member), alive.term())]));
        self.doubt();
    }

    fn doubt(&mut self) {
        self.doubts += 1;
        self.acts.push(Act::LookAgain);
    }

    /// Time has gone by: who is still said to be dead is.
    pub(super) fn look_again(&mut self) {
        self.doubts = self.doubts.saturating_sub(1);
        if self.doubts == 0 {
            self.hand_over(true);
        }
    }

    /// A member's process has ended, or its node is gone.
    pub(super) fn member_down(&mut self, member: MemberName) {
        self.monitored.remove(&member);
        let dead = Member { name: member, status: Status::Dead };
        self.acts.push(Act::Write(vec![(info_key(member), dead.term())]));
    }

    /// The map has changed: first its members, then its children, then what follows.
    pub(super) fn handle_diffs(&mut self, diffs: &[Diff]) {
        let mut changed = false;
        for diff in diffs {
            changed |= self.member_changed(diff);
        }
        for diff in diffs {
            self.process_changed(diff);
        }
        if changed {
            self.monitor_members();
            self.assert_own_status();
            let quorum = self.has_quorum();
            self.acts.push(Act::Quorum(quorum));
            if !quorum && self.counts().1 > 0 {
                self.acts.push(Act::GiveUpAll);
            }
            self.acts.push(Act::Neighbours(self.members().filter(|member| *member != self.me()).collect()));
            self.hand_over(false);
        }
    }

    /// A request to start a child, from a caller or, with the hops that are left, from another member.
    pub(super) fn start_child(&mut self, mut spec: Map, id: Term, from: From, ttl: Option<u64>) {
        if self.shutting_down {
            return self.refuse(from, term_of("shutting_down", "this node is shutting down."));
        }
        spec.insert(Term::atom("id"), id);
        match self.settings.distribution.choose(&spec, &self.known()) {
            Ok(chosen) if chosen == self.me() || (ttl == Some(0) && !self.settings.observer) => {
                self.acts.push(Act::Start(spec, Some(from)));
            }
            Ok(chosen) => self.proxy(chosen, Term::tuple([Term::atom("start_child"), spec.into()]), from, ttl),
            Err(why) => self.refuse(from, why.term()),
        }
    }

    /// A request to end a child, wherever it runs.
    pub(super) fn terminate_child(&mut self, pid: Pid, from: From, ttl: Option<u64>) {
        let found = self.ids.get(&pid).and_then(|id| Some((id.clone(), self.children.get(id)?.owner)));
        match found {
            None => self.refuse(from, Term::atom("not_found")),
            Some((id, owner)) if owner == self.me() => self.acts.push(Act::Terminate(id, from)),
            Some((_, owner)) => {
                self.proxy(owner, Term::tuple([Term::atom("terminate_child"), pid.into()]), from, ttl);
            }
        }
    }

    /// The hops that a request may take that begins here.
    pub(super) fn ttl(&self) -> Option<u64> {
        self.settings.ttl
    }

    pub(super) fn child_started(&mut self, spec: &Map, pid: Pid) {
        let Some(id) = spec.get_atom("id").cloned() else { return };
        self.starting.remove(&id);
        self.running.insert(id.clone(), pid);
        self.claim(&id, spec, pid);
    }

    fn claim(&mut self, id: &Term, spec: &Map, pid: Pid) {
        let value = Term::tuple([self.me().term(), spec.clone().into(), pid.into()]);
        self.acts.push(Act::Write(vec![(process_key(id), value)]));
    }

    pub(super) fn child_failed(&mut self, id: &Term) {
        self.starting.remove(id);
    }

    /// A child has ended for good.
    pub(super) fn child_ended(&mut self, id: &Term) {
        self.running.remove(id);
        self.acts.push(Act::Drop(vec![process_key(id)]));
    }

    /// A child has ended here, and is to run elsewhere.
    pub(super) fn child_given_up(&mut self, id: &Term, spec: &Map) {
        self.running.remove(id);
        let value = Term::tuple([known::nil().into(), spec.clone().into()]);
        self.acts.push(Act::Write(vec![(process_key(id), value)]));
    }

    fn refuse(&mut self, from: From, why: Term) {
        self.acts.push(Act::Reply(from, Term::tuple([known::error().into(), why])));
    }

    fn proxy(&mut self, to: MemberName, operation: Term, from: From, ttl: Option<u64>) {
        if ttl == Some(0) {
            let kind = operation.as_tuple().and_then(|op| op.first()).and_then(Term::as_atom);
            let kind = kind.map_or("", |kind| kind.as_str());
            let text = format!("a proxied {kind} message was discard because its TTL expired");
            let reply = [known::error().into(), Term::atom("proxy_operation_ttl_expired"), text.into()];
            return self.acts.push(Act::Reply(from, Term::tuple(reply)));
        }
        if self.statuses.get(&to) == Some(&Status::Alive) && self.members.contains_key(&order(to)) {
            return self.acts.push(Act::Proxy { to, operation, from, ttl });
        }
        let text = "the node responsible for this process is shutting down or dead, try again soon";
        self.refuse(from, term_of("node_dead_or_shutting_down", text));
    }

    /// Whether members or their states have changed.
    fn member_changed(&mut self, diff: &Diff) -> bool {
        let (key, value) = parts(diff);
        let Some([Term::Atom(tag), member @ Term::Tuple(_)]) = key.as_tuple() else { return false };
        let Some(member) = MemberName::parse(member, Atom::new("")) else { return false };
        match (tag.as_str(), value) {
            ("member", Some(_)) => drop(self.members.insert(order(member), member)),
            ("member", None) => {
                self.members.remove(&order(member));
                if member == self.me() && self.settings.stays {
                    self.acts.push(Act::Write(vec![(member_key(member), 1.into())]));
                    self.publish();
                }
            }
            ("member_node_info", Some(value)) => {
                let Some(info) = Member::parse(value) else { return false };
                self.statuses.insert(member, info.status);
            }
            ("member_node_info", None) => drop(self.statuses.remove(&member)),
            _ => return false,
        }
        true
    }

    fn process_changed(&mut self, diff: &Diff) {
        let (key, value) = parts(diff);
        let Some([Term::Atom(tag), id]) = key.as_tuple() else { return };
        if *tag != "process" {
            return;
        }
        if let Some(old) = self.children.remove(id) {
            self.ids.remove(&old.pid);
        }
        self.given_up.remove(id);
        match value.and_then(Term::as_tuple) {
            Some([owner @ Term::Tuple(_), Term::Map(spec), Term::Pid(pid)]) => {
                let Some(owner) = MemberName::parse(owner, Atom::new("")) else { return };
                if owner != self.me() {
                    self.discard(id);
                }
                self.ids.insert(*pid, id.clone());
                self.children.insert(id.clone(), Child { owner, spec: spec.clone(), pid: *pid });
            }
            Some([nobody, Term::Map(spec)]) if nobody.is_atom("nil") => {
                // Another member gave it up that had it at the same time.
                if let Some(pid) = self.running.get(id).copied() {
                    return self.claim(id, spec, pid);
                }
                self.given_up.insert(id.clone(), spec.clone());
                self.take_given_up(id, spec);
            }
            _ => self.discard(id),
        }
    }

    /// Two members can have started a child that both took for theirs: the map knows whose it is.
    fn discard(&mut self, id: &Term) {
        if let Some(pid) = self.running.remove(id) {
            self.acts.push(Act::Discard(pid));
        }
    }

    /// Starts a child that nobody runs, if it belongs here.
    fn take_given_up(&mut self, id: &Term, spec: &Map) {
        let chosen = self.settings.distribution.choose(spec, &self.known());
        if chosen == Ok(self.me()) && self.can_run(spec) && self.starting.insert(id.clone()) {
            self.acts.push(Act::Start(spec.clone(), None));
        }
    }

    fn can_run(&self, spec: &Map) -> bool {
        let runs = !self.shutting_down && !self.settings.observer && (self.settings.runs)(spec);
        if !runs {
            let start = spec.get_atom("start").cloned().unwrap_or_default();
            tracing::warn!(%start, "a child that belongs here cannot run here");
        }
        runs
    }

    fn monitor_members(&mut self) {
        let alive = self.known().into_iter().filter(|member| member.status == Status::Alive);
        for Member { name, .. } in alive {
            if name != self.me() && self.monitored.insert(name) {
                self.acts.push(Act::Monitor(name));
            }
        }
    }

    fn own_status(&self) -> Status {
        if self.shutting_down || self.settings.observer { Status::ShuttingDown } else { Status::Alive }
    }

    fn assert_own_status(&mut self) {
        if self.members.contains_key(&order(self.me())) && self.statuses.get(&self.me()) != Some(&self.own_status()) {
            self.publish();
        }
    }

    /// What runs elsewhere and belongs here, here and belongs elsewhere, or nowhere. Unless it is `sure`, a dead member
    /// whose node is connected, or may be soon, is given time to object.
    fn hand_over(&mut self, sure: bool) {
        let members = self.known();
        let me = self.me();
        let children: Vec<_> = self.children.iter().map(|(id, child)| (id.clone(), child.clone())).collect();
        for (id, child) in children {
            let Ok(chosen) = self.settings.distribution.choose(&child.spec, &members) else { continue };
            // Of a former life of this node.
            let is_stale = child.owner == me && child.pid.creation != self.settings.creation;
            let is_dead = child.owner != me && self.statuses.get(&child.owner) == Some(&Status::Dead);
            let is_orphan = is_stale || is_dead;
            if chosen == me && is_dead && !sure && (self.doubts > 0 || (self.settings.sees)(child.owner.node)) {
                if self.doubts == 0 {
                    self.doubt();
                }
            } else if chosen == me && is_orphan {
                // It keeps its id: whoever takes it at the same time finds out. One that cannot run here stays the dead
                // member's, and is lost to nobody.
                if self.can_run(&child.spec) && self.starting.insert(id) {
                    self.acts.push(Act::Start(child.spec, None));
                }
            } else if child.owner == me && chosen != me && self.settings.active {
                self.acts.push(Act::HandOver(child.pid));
            }
        }
        let given_up: Vec<_> = self.given_up.iter().map(|(id, spec)| (id.clone(), spec.clone())).collect();
        for (id, spec) in given_up {
            self.take_given_up(&id, &spec);
        }
    }
}

fn parts(diff: &Diff) -> (&Term, Option<&Term>) {
    match diff {
        Diff::Add(key, value) => (key, Some(value)),
        Diff::Remove(key) => (key, None),
    }
}

fn term_of(tag: &str, text: &str) -> Term {
    Term::tuple([Term::atom(tag), text.into()])
}

fn order(member: MemberName) -> (Atom, Atom) {
    (member.name, member.node)
}

fn member_key(member: MemberName) -> Term {
    Term::tuple([Term::atom("member"), member.term()])
}

fn info_key(member: MemberName) -> Term {
    Term::tuple([Term::atom("member_node_info"), member.term()])
}

fn process_key(id: &Term) -> Term {
    Term::tuple([Term::atom("process"), id.clone()])
}

#[cfg(test)]
mod tests;

//! A cluster without sockets: name servers, lockers and clients, with a channel for each pair of them.
//!
//! Order is kept within a channel and arbitrary between channels; what is under way is lost with its connection.

mod client;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::client::{Client, Job, Step};
use super::super::state::{Act, Settings, State, Verdict};
use super::super::table::Entry;
use super::super::wire;
use crate::term::{Atom, Creation, Pid, Term};

#[derive(Debug, Clone)]
pub(super) enum Event {
    Register {
        at: usize,
        name: u32,
        process: u32,
        replace: bool,
    },
    Unregister {
        at: usize,
        name: u32,
    },
    Lock {
        at: usize,
    },
    Die {
        at: usize,
        process: u32,
    },
    Connect {
        one: usize,
        two: usize,
    },
    Cut {
        one: usize,
        two: usize,
    },
    /// Cut, and not to be connected again until unblocked.
    Block {
        one: usize,
        two: usize,
    },
    Unblock {
        one: usize,
        two: usize,
    },
    /// So many letters arrive.
    Run(usize),
    Settle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// The node itself: what comes and goes.
    Node,
    Server,
    Locker,
    Client,
    Process(u32),
}

type Channel = (usize, Who, usize, Who);

#[derive(Debug)]
enum Letter {
    Wire(Term),
    NotLocked(Pid, bool),
    Call { from: Pid, request: Term, serial: Option<u64> },
    Granted { serial: u64, node: Atom, granted: bool },
    Answer { node: usize, refused: bool },
    Up(Atom),
    Down(Atom),
    PidDown(Pid),
    Joined(Atom, bool),
    Decided { peer: Atom, tag: i64, name: Term, ours: Entry, theirs: Entry, verdict: Verdict },
}

#[derive(Debug)]
pub(super) struct World {
    states: Vec<State>,
    channels: BTreeMap<Channel, VecDeque<Letter>>,
    links: BTreeSet<(usize, usize)>,
    blocked: BTreeSet<(usize, usize)>,
    alive: BTreeSet<Pid>,
    /// How often each process has ended: the next one has another pid.
    ended: BTreeMap<(usize, u32), u32>,
    watching: BTreeSet<(Pid, usize)>,
    asked: BTreeSet<(usize, u64, usize)>,
    jobs: Vec<VecDeque<Job>>,
    clients: Vec<Option<Client>>,
    next_client: u32,
    now: u64,
    random: u64,
    holding: usize,
    pub(super) locked: usize,
    pub(super) most_at_once: usize,
}

const LOCKER: u32 = 1;
const FIRST_PROCESS: u32 = 10;
const FIRST_CLIENT: u32 = 1000;

fn node(at: usize) -> Atom {
    Atom::new(&format!("n{at}@h"))
}

fn at(node: Atom) -> usize {
    node.as_str().trim_start_matches('n').trim_end_matches("@h").parse().expect("a node of ours")
}

fn pid(at: usize, id: u32) -> Pid {
    Pid { node: node(at), id, serial: 0, creation: Creation(1) }
}

fn pair(one: usize, two: usize) -> (usize, usize) {
    (one.min(two), one.max(two))
}

impl World {
    pub(super) fn new(nodes: usize, seed: u64, guards: bool) -> Self {
        let state = |at: usize| {
            State::new(Settings {
                me: node(at),
                locker: pid(at, LOCKER),
                connect_all: true,
                prevent_overlapping_partitions: guards,
                seed: seed.wrapping_add(at as u64 * 7919),
            })
        };
        Self {
            states: (0..nodes).map(state).collect(),
            channels: BTreeMap::new(),
            links: BTreeSet::new(),
            blocked: BTreeSet::new(),
            alive: (0..nodes).map(|at| pid(at, LOCKER)).collect(),
            ended: BTreeMap::new(),
            watching: BTreeSet::new(),
            asked: BTreeSet::new(),
            jobs: vec![VecDeque::new(); nodes],
            clients: (0..nodes).map(|_| None).collect(),
            next_client: FIRST_CLIENT,
            now: 0,
            random: seed,
            holding: 0,
            locked: 0,
            most_at_once: 0,
        }
    }

    pub(super) fn names(&self, at: usize) -> usize {
        self.states[at].names().count()
    }

    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % below
    }

    fn linked(&self, one: usize, two: usize) -> bool {
        one == two || self.links.contains(&pair(one, two))
    }

    fn post(&mut self, from: (usize, Who), to: (usize, Who), letter: Letter) {
        if self.linked(from.0, to.0) {
            self.channels.entry((from.0, from.1, to.0, to.1)).or_default().push_back(letter);
        }
    }

    fn note(&mut self, at: usize, letter: Letter) {
        self.post((at, Who::Node), (at, Who::Server), letter);
    }

    /// Connects where that is possible.
    fn reach(&mut self, one: usize, two: usize) -> bool {
        if self.linked(one, two) {
            return true;
        }
        if self.blocked.contains(&pair(one, two)) {
            return false;
        }
        self.links.insert(pair(one, two));
        self.note(one, Letter::Up(node(two)));
        self.note(two, Letter::Up(node(one)));
        true
    }

    fn cut(&mut self, one: usize, two: usize) {
        if one == two || !self.links.remove(&pair(one, two)) {
            return;
        }
        self.channels.retain(|(from, _, to, _), _| pair(*from, *to) != pair(one, two));
        for (here, there) in [(one, two), (two, one)] {
            let lost = self.watching.iter().filter(|(pid, by)| *by == here && at(pid.node) == there);
            for (pid, by) in lost.copied().collect::<Vec<_>>() {
                self.watching.remove(&(pid, by));
                self.note(here, Letter::PidDown(pid));
            }
            let unanswered = self.asked.iter().filter(|(by, _, of)| (*by, *of) == (here, there));
            for (by, serial, of) in unanswered.copied().collect::<Vec<_>>() {
                self.asked.remove(&(by, serial, of));
                let letter = Letter::Granted { serial, node: node(there), granted: true };
                self.post((here, Who::Node), (here, Who::Locker), letter);
            }
            if self.clients[here].as_ref().is_some_and(|client| client.waiting.contains(&there)) {
                let letter = Letter::Answer { node: there, refused: false };
                self.post((here, Who::Node), (here, Who::Client), letter);
            }
            self.note(here, Letter::Down(node(there)));
        }
    }

    fn process(&self, at: usize, process: u32) -> Pid {
        let serial = self.ended.get(&(at, process)).copied().unwrap_or(0);
        Pid { serial, ..pid(at, FIRST_PROCESS + process) }
    }

    fn die(&mut self, pid: Pid) {
        if !self.alive.remove(&pid) {
            return;
        }
        if let Some(process) = pid.id.checked_sub(FIRST_PROCESS) {
            self.ended.insert((at(pid.node), process), pid.serial + 1);
        }
        let watchers: Vec<usize> = self.watching.iter().filter(|(of, _)| *of == pid).map(|(_, by)| *by).collect();
        for by in watchers {
            self.watching.remove(&(pid, by));
            self.post((at(pid.node), Who::Process(pid.id)), (by, Who::Server), Letter::PidDown(pid));
        }
    }

    pub(super) fn happen(&mut self, event: &Event) {
        match *event {
            Event::Register { at, name, process, replace } => {
                let process = self.process(at, process);
                self.alive.insert(process);
                self.jobs[at].push_back(Job::Register { name, process, replace });
            }
            Event::Unregister { at, name } => self.jobs[at].push_back(Job::Unregister { name }),
            Event::Lock { at } => self.jobs[at].push_back(Job::Lock),
            Event::Die { at, process } => self.die(self.process(at, process)),
            Event::Connect { one, two } => {
                self.reach(one, two);
            }
            Event::Cut { one, two } => self.cut(one, two),
            Event::Block { one, two } if one != two => {
                self.cut(one, two);
                self.blocked.insert(pair(one, two));
            }
            Event::Block { .. } => {}
            Event::Unblock { one, two } => {
                self.blocked.remove(&pair(one, two));
            }
            Event::Run(steps) => {
                for _ in 0..steps {
                    if !self.step() {
                        break;
                    }
                }
            }
            Event::Settle => self.come_to_rest(),
        }
    }

    /// Heals everything and lets all come to rest: then all must be in sync, with equal tables, and nothing locked.
    pub(super) fn settle(&mut self) {
        self.come_to_rest();
        self.compare();
    }

    /// Heals everything and lets all come to rest: nobody begins anew for ever, and nothing stays locked.
    pub(super) fn come_to_rest(&mut self) {
        self.blocked.clear();
        let nodes = self.states.len();
        for _ in 0..20 {
            for one in 0..nodes {
                for two in 0..one {
                    self.reach(one, two);
                }
            }
            let mut steps = 0;
            while self.step() {
                steps += 1;
                assert!(steps < 20_000, "it never rests: {self:?}");
            }
            if self.links.len() == nodes * (nodes - 1) / 2 {
                return self.check();
            }
        }
        panic!("it never stays connected: {self:?}");
    }

    fn compare(&self) {
        for state in &self.states {
            assert!(state.is_synced(), "{} hangs in a sync: {self:?}", state.me);
        }
        let tables: Vec<BTreeMap<Term, Pid>> = self
            .states
            .iter()
            .map(|state| state.names().map(|(name, entry)| (name.clone(), entry.pid)).collect())
            .collect();
        for table in &tables {
            assert_eq!(table, &tables[0], "tables differ: {self:?}");
        }
    }

    fn check(&mut self) {
        for at in 0..self.states.len() {
            for (_, entry) in self.states[at].names() {
                assert!(self.alive.contains(&entry.pid), "a dead process has a name: {self:?}");
            }
            let probe = |what: &str, of: &str| {
                Term::tuple([Term::atom(what), Term::tuple([Term::atom(of), Term::atom("probe")])])
            };
            for of in ["global", "resource"] {
                let by = pid(at, LOCKER);
                let free = self.states[at].call(by, &probe("set_lock", of));
                assert_eq!(free, Some(true.into()), "{of} stays locked: {self:?}");
                self.states[at].call(by, &probe("del_lock", of));
            }
            self.act(at);
        }
    }

    /// One letter arrives, or a timer fires. False where everything rests.
    fn step(&mut self) -> bool {
        for at in 0..self.states.len() {
            if self.clients[at].is_none() {
                if let Some(job) = self.jobs[at].pop_front() {
                    self.start(at, job);
                }
            }
        }
        self.channels.retain(|_, letters| !letters.is_empty());
        // What a node hears of a connection comes before what comes over it.
        let is_due = |(from, _, to, _): &Channel| {
            let noted = self.channels.get(&(*to, Who::Node, *to, Who::Server));
            let of = node(*from);
            from == to
                || !noted
                    .into_iter()
                    .flatten()
                    .any(|note| matches!(note, Letter::Up(peer) | Letter::Down(peer) if *peer == of))
        };
        let due: Vec<Channel> = self.channels.keys().copied().filter(is_due).collect();
        let holding = |client: &Option<Client>| client.as_ref().is_some_and(|client| client.step == Step::Hold);
        let holders: Vec<usize> = (0..self.clients.len()).filter(|at| holding(&self.clients[*at])).collect();
        let choices = due.len() + holders.len();
        if choices > 0 {
            let chosen = self.random(choices);
            match due.get(chosen) {
                Some(channel) => self.arrive(*channel),
                None => self.free(holders[chosen - due.len()]),
            }
            return true;
        }
        let sleeping = |client: &Option<Client>| client.as_ref().is_some_and(|client| client.step == Step::Sleep);
        let sleepers: Vec<usize> = (0..self.clients.len()).filter(|at| sleeping(&self.clients[*at])).collect();
        let next = (0..self.states.len()).filter_map(|at| Some((self.states[at].wake()?, at))).min();
        if !sleepers.is_empty() && (next.is_none() || self.random(2) == 0) {
            let at = sleepers[self.random(sleepers.len())];
            self.lock_boss(at);
            return true;
        }
        let Some((wake, at)) = next else { return false };
        self.now = self.now.max(wake);
        self.states[at].fire(self.now);
        self.act(at);
        true
    }

    fn arrive(&mut self, channel: Channel) {
        let (from, who, to, _) = channel;
        let Some(letter) = self.channels.get_mut(&channel).and_then(VecDeque::pop_front) else { return };
        let now = self.now;
        let state = &mut self.states[to];
        match letter {
            Letter::Wire(term) => {
                let message = match term.as_tuple() {
                    Some([cast, said]) if cast.is_atom("$gen_cast") => wire::read_cast(said),
                    _ => wire::read_bare(&term),
                };
                state.handle(message.expect("we send what we can read"), now);
            }
            Letter::NotLocked(locker, set) => state.lock_set(locker, set, None, now),
            Letter::Call { from: caller, request, serial } => {
                let reply = state.call(caller, &request).expect("a request that is known");
                let refused = reply.is_atom("false");
                self.act(to);
                match (who, serial) {
                    (Who::Locker, Some(serial)) => {
                        let letter = Letter::Granted { serial, node: node(to), granted: !refused };
                        self.post((to, Who::Server), (from, Who::Locker), letter);
                    }
                    (Who::Client, _) => {
                        self.post((to, Who::Server), (from, Who::Client), Letter::Answer { node: to, refused });
                    }
                    _ => {}
                }
            }
            Letter::Granted { serial, node, granted } => {
                self.asked.remove(&(to, serial, at(node)));
                state.lock_answer(serial, node, granted, now);
            }
            Letter::Answer { node, refused } => self.answered(to, node, refused),
            Letter::Up(node) => state.node_up(node, now),
            Letter::Down(node) => state.node_down(node, now),
            Letter::PidDown(pid) => state.pid_down(pid),
            Letter::Joined(node, reached) => state.joined(node, reached, now),
            Letter::Decided { peer, tag, name, ours, theirs, verdict } => {
                state.decided((peer, tag), name, (ours, theirs), verdict, now);
            }
        }
        self.act(to);
    }

    fn act(&mut self, from: usize) {
        let acts = self.states[from].take_acts();
        for act in &acts {
            if let Act::Join(to) = act {
                self.reach(from, at(*to));
            }
        }
        for act in acts {
            match act {
                Act::Send(to, message) => {
                    self.post((from, Who::Server), (at(to), Who::Server), Letter::Wire(message));
                }
                Act::LockerSend(to, message) => {
                    self.post((from, Who::Locker), (at(to), Who::Server), Letter::Wire(message));
                }
                Act::Tell(to, message) => {
                    let said = message.as_tuple().expect("a tuple").to_vec();
                    let letter = Letter::NotLocked(said[1].as_pid().expect("a locker"), false);
                    self.post((from, Who::Server), (at(to.node), Who::Locker), letter);
                }
                Act::Ask { node: to, serial, request } => {
                    let what = Term::tuple([Term::atom("set_lock"), request]);
                    if self.linked(from, at(to)) {
                        self.asked.insert((from, serial, at(to)));
                        let letter = Letter::Call { from: pid(from, LOCKER), request: what, serial: Some(serial) };
                        self.post((from, Who::Locker), (at(to), Who::Server), letter);
                    } else {
                        let letter = Letter::Granted { serial, node: to, granted: true };
                        self.post((from, Who::Node), (from, Who::Locker), letter);
                    }
                }
                Act::Release { node: to, request } => {
                    let what = Term::tuple([Term::atom("del_lock"), request]);
                    let letter = Letter::Call { from: pid(from, LOCKER), request: what, serial: None };
                    self.post((from, Who::Locker), (at(to), Who::Server), letter);
                }
                Act::Watch(pid) => {
                    let owner = at(pid.node);
                    if self.alive.contains(&pid) && self.linked(from, owner) {
                        self.watching.insert((pid, from));
                    } else {
                        self.note(from, Letter::PidDown(pid));
                    }
                }
                Act::Unwatch(pid) => {
                    self.watching.remove(&(pid, from));
                }
                Act::Join(to) => {
                    let reached = self.reach(from, at(to));
                    self.note(from, Letter::Joined(to, reached));
                }
                Act::Disconnect(to) => self.cut(from, at(to)),
                Act::Resolve { peer, tag, name, ours, theirs } => {
                    let verdict = self.resolve(from, &ours, &theirs);
                    let letter = Letter::Decided { peer, tag, name, ours, theirs, verdict };
                    self.post((from, Who::Process(0)), (from, Who::Server), letter);
                }
            }
        }
    }

    /// `random_exit_name`, on the node of our process.
    fn resolve(&mut self, here: usize, ours: &Entry, theirs: &Entry) -> Verdict {
        let (decider, other) = (at(ours.pid.node), at(theirs.pid.node));
        if !self.linked(here, decider) {
            return Verdict::Theirs;
        }
        let keeps_theirs = theirs.pid.node < ours.pid.node;
        if self.linked(decider, other) {
            self.die(if keeps_theirs { ours.pid } else { theirs.pid });
        }
        if keeps_theirs { Verdict::Theirs } else { Verdict::Ours }
    }
}

//! The locker: takes the lock of `global` for one pair of nodes at a time, as the one who begins or the one who joins.
//!
//! Both lockers of a pair compute the same lock id from their two pids, so both get the lock on every node that either
//! of them knows, and nobody else does until the names have been exchanged.

use std::collections::{BTreeSet, VecDeque};

use super::{Act, State, wire};
use crate::term::{Atom, Pid, Term};

/// What the locker is at.
#[derive(Debug, Default)]
pub(super) struct Locker {
    job: Option<Job>,
    serial: u64,
    /// When to begin with a peer that waits.
    pub(super) wake: Option<u64>,
    /// Peers that have locked, and wait for us to.
    called: VecDeque<Atom>,
    random: u64,
}

#[derive(Debug)]
struct Job {
    serial: u64,
    peer: Atom,
    requester: Term,
    begins: bool,
    boss: Atom,
    stages: VecDeque<Vec<Atom>>,
    waiting: BTreeSet<Atom>,
    asked: Vec<Atom>,
    refused: bool,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Locking,
    /// For the peer's answer.
    Waiting,
    Held,
}

impl Locker {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed | 1, ..Self::default() }
    }

    /// A number that differs from node to node.
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    pub(super) fn holds(&self, peer: Atom) -> bool {
        self.job.as_ref().is_some_and(|job| job.peer == peer && job.phase == Phase::Held)
    }
}

impl State {
    /// The requester of the lock for a pair of lockers, the same on both sides: Erlang's order of pids.
    pub(super) fn requester(&self, his: Pid) -> Term {
        let (first, second) = if self.locker_pid < his { (self.locker_pid, his) } else { (his, self.locker_pid) };
        Term::list(vec![first.into(), second.into()])
    }

    fn pause(&mut self) -> u64 {
        let known = self.known.len() as u64;
        let base = if known == 0 { 150 } else { (1000 + 100 * known).min(3000) };
        base + self.locker.random(100)
    }

    /// A peer has joined the queue.
    pub(super) fn queued(&mut self, now: u64) {
        let at = now + self.pause();
        self.locker.wake = Some(self.locker.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The time has come to begin with somebody.
    pub(super) fn locker_fires(&mut self, now: u64) {
        self.locker.wake = None;
        if self.locker.job.is_some() {
            return;
        }
        let queue = self.queue();
        if queue.is_empty() {
            return;
        }
        let at = self.locker.random(queue.len() as u64) as usize;
        match queue.get(at) {
            Some(peer) if !self.table.global_is_locked() => self.start_job(*peer, true, now),
            _ => self.queued(now),
        }
    }

    /// A peer's locker says that it has locked, or could not.
    pub(super) fn peer_locked(&mut self, peer: Atom, set: bool, now: u64) {
        let ours = self.locker.job.as_mut().filter(|job| job.peer == peer && job.phase == Phase::Waiting);
        match (ours, set) {
            (Some(job), true) => {
                job.phase = Phase::Held;
                self.lock_is_set(peer, now);
            }
            (Some(_), false) => self.drop_job(now),
            (None, true) => {
                if !self.locker.called.contains(&peer) && !self.locker.holds(peer) {
                    self.locker.called.push_back(peer);
                }
                self.go_on(now);
            }
            (None, false) => self.locker.called.retain(|called| *called != peer),
        }
    }

    /// Joins a peer that waits, if nothing else is being done.
    fn go_on(&mut self, now: u64) {
        while self.locker.job.is_none() {
            let Some(peer) = self.locker.called.pop_front() else { break };
            if self.queue().contains(&peer) {
                self.start_job(peer, false, now);
            }
        }
        if self.locker.job.is_none() && self.locker.wake.is_none() && !self.queue().is_empty() {
            self.queued(now);
        }
    }

    fn start_job(&mut self, peer: Atom, begins: bool, now: u64) {
        let Some(his) = self.sessions.get(&peer).and_then(|session| session.his.as_ref()) else { return };
        let requester = self.requester(his.locker);
        let boss = self.known.keys().copied().chain([self.me]).max().unwrap_or(self.me);
        if begins && boss != self.me && self.table.global_locked_by_another(&requester) {
            return self.queued(now);
        }
        let pair = if begins { vec![self.me, peer] } else { vec![self.me] };
        let but_boss = |nodes: Vec<Atom>| nodes.into_iter().filter(|node| *node != boss).collect::<Vec<_>>();
        let known = self.known.keys().copied().filter(|node| *node != peer).collect();
        self.locker.serial += 1;
        self.locker.job = Some(Job {
            serial: self.locker.serial,
            peer,
            requester,
            begins,
            boss,
            stages: [vec![boss], but_boss(pair), but_boss(known)].into(),
            waiting: BTreeSet::new(),
            asked: Vec::new(),
            refused: false,
            phase: Phase::Locking,
        });
        self.next_stage(now);
    }

    fn next_stage(&mut self, now: u64) {
        loop {
            // One that is not there grants everything.
            let absent = |node: &Atom| *node != self.me && !self.can_be_asked(*node);
            let next = self.locker.job.as_ref().and_then(|job| job.stages.front());
            let absent: Vec<Atom> = next.into_iter().flatten().copied().filter(absent).collect();
            let Some(job) = &mut self.locker.job else { return };
            if job.phase != Phase::Locking || !job.waiting.is_empty() {
                return;
            }
            let stage = if job.refused { None } else { job.stages.pop_front() };
            let Some(stage) = stage else { return self.locking_done(now) };
            for node in stage.into_iter().filter(|node| !absent.contains(node)) {
                job.asked.push(node);
                if node == self.me {
                    let global = Term::atom("global");
                    let requester = job.requester.clone();
                    job.refused |= !self.table.set_lock(global, requester, self.locker_pid, &mut self.acts);
                } else {
                    job.waiting.insert(node);
                    self.acts.push(Act::Ask { node, serial: job.serial, request: lock_id(&job.requester) });
                }
            }
        }
    }

    /// A node has answered whether the lock is ours there; one that has no `:global`, or is gone, does not matter.
    pub(crate) fn lock_answer(&mut self, serial: u64, node: Atom, granted: bool, now: u64) {
        let Some(job) = self.locker.job.as_mut().filter(|job| job.serial == serial) else { return };
        if job.waiting.remove(&node) {
            job.refused |= !granted;
            self.next_stage(now);
        }
    }

    fn locking_done(&mut self, now: u64) {
        let Some(job) = &mut self.locker.job else { return };
        let (peer, refused, begins) = (job.peer, job.refused, job.begins);
        let Some(his) = self.sessions.get(&peer).and_then(|session| session.his.as_ref()) else {
            return self.drop_job(now);
        };
        let known: Vec<Atom> = self.known.keys().copied().collect();
        if !(begins && refused) {
            let message = wire::lock_set(self.locker_pid, !refused, &known, his.tag.clone());
            self.acts.push(Act::LockerSend(peer, message));
        }
        if refused {
            return self.drop_job(now);
        }
        let called = self.locker.called.contains(&peer);
        self.locker.called.retain(|waiting| *waiting != peer);
        job.phase = if begins && !called { Phase::Waiting } else { Phase::Held };
        if job.phase == Phase::Held {
            self.lock_is_set(peer, now);
        }
    }

    /// Gives all locks back; goes on with whoever waits.
    fn drop_job(&mut self, now: u64) {
        let Some(job) = self.locker.job.take() else { return };
        // Behind each request that is still on its way, so that nothing stays locked; the boss last.
        let (boss, others): (Vec<Atom>, Vec<Atom>) = job.asked.iter().partition(|node| **node == job.boss);
        for node in others.into_iter().chain(boss) {
            if node == self.me {
                self.table.del_lock(&Term::atom("global"), &job.requester, self.locker_pid, &mut self.acts);
            } else {
                self.acts.push(Act::Release { node, request: lock_id(&job.requester) });
            }
        }
        self.go_on(now);
    }

    /// The session with a peer has ended, well or not.
    pub(super) fn locker_forgets(&mut self, peer: Atom, well: bool, now: u64) {
        self.locker.called.retain(|called| *called != peer);
        if self.locker.job.as_ref().is_some_and(|job| job.peer == peer) {
            if well {
                self.locker.wake = Some(now);
            }
            self.drop_job(now);
        }
    }

    /// A node is gone: it answers no more.
    pub(super) fn locker_node_down(&mut self, node: Atom, now: u64) {
        self.locker_forgets(node, false, now);
        if let Some(serial) = self.locker.job.as_ref().map(|job| job.serial) {
            self.lock_answer(serial, node, true, now);
        }
    }
}

/// `{global, Requester}`.
pub(super) fn lock_id(requester: &Term) -> Term {
    Term::tuple([Term::atom("global"), requester.clone()])
}

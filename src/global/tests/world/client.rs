//! Those that register and lock in a simulated cluster, as `client.rs` does it.

use std::collections::BTreeSet;

use super::{Letter, Who, World, at, pid};
use crate::term::{Pid, Term};

#[derive(Debug, Clone)]
pub(super) enum Job {
    Register { name: u32, process: Pid, replace: bool },
    Unregister { name: u32 },
    Lock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Sleep,
    LockBoss,
    LockRest,
    Do,
    Hold,
    FreeRest,
    FreeBoss,
}

/// One that registers or locks, as `client.rs` does it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u32,
    pub(super) job: Job,
    pub(super) step: Step,
    pub(super) nodes: Vec<usize>,
    pub(super) boss: usize,
    pub(super) waiting: BTreeSet<usize>,
    pub(super) refused: bool,
    pub(super) done: bool,
}

fn same(these: &[usize], those: &[usize]) -> bool {
    these.iter().collect::<BTreeSet<_>>() == those.iter().collect::<BTreeSet<_>>()
}

fn lock_request(what: &str, client: &Client, owner: Pid) -> Term {
    let resource = Term::atom(if matches!(client.job, Job::Lock) { "resource" } else { "global" });
    Term::tuple([Term::atom(what), Term::tuple([resource, owner.into()])])
}

impl World {
    pub(super) fn start(&mut self, at: usize, job: Job) {
        let id = self.next_client;
        self.next_client += 1;
        self.alive.insert(pid(at, id));
        let (nodes, waiting) = (Vec::new(), BTreeSet::new());
        let client = Client { id, job, step: Step::Sleep, nodes, boss: at, waiting, refused: false, done: false };
        self.clients[at] = Some(client);
        self.lock_boss(at);
    }

    fn everybody(&self, here: usize) -> Vec<usize> {
        self.states[here].known().into_iter().map(at).chain([here]).collect()
    }

    pub(super) fn lock_boss(&mut self, at: usize) {
        let nodes = self.everybody(at);
        let all_there = nodes.iter().all(|to| self.linked(at, *to));
        let Some(client) = &mut self.clients[at] else { return };
        client.boss = nodes.iter().copied().max().unwrap_or(at);
        client.nodes = nodes;
        if !all_there {
            client.step = Step::Sleep;
            return;
        }
        (client.step, client.refused) = (Step::LockBoss, false);
        let (request, boss) = (lock_request("set_lock", client, pid(at, client.id)), client.boss);
        self.ask(at, vec![boss], &request);
    }

    fn ask(&mut self, from: usize, nodes: Vec<usize>, request: &Term) {
        let Some(id) = self.clients[from].as_ref().map(|client| client.id) else { return };
        let mut asked = BTreeSet::new();
        for to in nodes {
            if self.linked(from, to) {
                asked.insert(to);
                let letter = Letter::Call { from: pid(from, id), request: request.clone(), serial: None };
                self.post((from, Who::Client), (to, Who::Server), letter);
            }
        }
        if let Some(client) = &mut self.clients[from] {
            client.waiting = asked;
            if client.waiting.is_empty() {
                self.advance(from);
            }
        }
    }

    pub(super) fn answered(&mut self, at: usize, node: usize, refused: bool) {
        let Some(client) = &mut self.clients[at] else { return };
        if client.waiting.remove(&node) {
            client.refused |= refused;
            if client.waiting.is_empty() {
                self.advance(at);
            }
        }
    }

    fn rest(&self, at: usize) -> Vec<usize> {
        let Some(client) = &self.clients[at] else { return Vec::new() };
        client.nodes.iter().copied().filter(|node| *node != client.boss).collect()
    }

    pub(super) fn advance(&mut self, at: usize) {
        let (everybody, rest) = (self.everybody(at), self.rest(at));
        let Some(client) = &mut self.clients[at] else { return };
        let owner = pid(at, client.id);
        match client.step {
            Step::LockBoss if client.refused => client.step = Step::Sleep,
            Step::LockBoss => {
                client.step = Step::LockRest;
                let request = lock_request("set_lock", client, owner);
                self.ask(at, rest, &request);
            }
            Step::LockRest if client.refused || !same(&everybody, &client.nodes) => {
                self.free(at);
            }
            Step::LockRest => {
                client.done = true;
                let name = |name: u32| Term::from(name);
                let request = match &client.job {
                    Job::Lock => {
                        client.step = Step::Hold;
                        self.holding += 1;
                        self.locked += 1;
                        self.most_at_once = self.most_at_once.max(self.holding);
                        return;
                    }
                    Job::Unregister { name: free } => Term::tuple([Term::atom("unregister"), name(*free)]),
                    Job::Register { name: taken, process, replace } => {
                        let process = *process;
                        if !replace && !self.states[at].is_free(&name(*taken), process) {
                            return self.free(at);
                        }
                        Term::tuple([Term::atom("register"), name(*taken), process.into(), Term::atom("fun")])
                    }
                };
                client.step = Step::Do;
                let nodes = client.nodes.clone();
                self.ask(at, nodes, &request);
            }
            Step::Do => self.free(at),
            Step::FreeRest => {
                client.step = Step::FreeBoss;
                let (request, boss) = (lock_request("del_lock", client, owner), client.boss);
                self.ask(at, vec![boss], &request);
            }
            Step::FreeBoss if client.done => {
                self.die(owner);
                self.clients[at] = None;
            }
            Step::FreeBoss => client.step = Step::Sleep,
            Step::Hold | Step::Sleep => {}
        }
    }

    pub(super) fn free(&mut self, at: usize) {
        let rest = self.rest(at);
        let Some(client) = &mut self.clients[at] else { return };
        if client.step == Step::Hold {
            self.holding -= 1;
        }
        client.step = Step::FreeRest;
        let request = lock_request("del_lock", client, pid(at, client.id));
        self.ask(at, rest, &request);
    }
}

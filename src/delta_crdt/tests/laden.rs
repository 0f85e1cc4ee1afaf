//! A busy replica, slower to answer than its neighbour of Elixir's is to begin comparisons, comes to an end all the same.
//!
//! The clock is simulated. A replica that answered every comparison would have more to do with every answer.

use std::collections::VecDeque;

use super::simulated::{address, pid};
use crate::crdt::{Message, Outgoing, Replica, Settings, State};
use crate::delta_crdt::wire;
use crate::term::{Pid, Term};

/// How long an answer takes, in milliseconds; longer than one is waited for at first.
const ANSWER: u64 = 700;

/// A neighbour begins a comparison so often.
const INTERVAL: u64 = 200;

/// A replica's process: it takes one message after the other.
struct Process {
    replica: Replica,
    mailbox: VecDeque<(Message, Pid)>,
    /// It is at work until then, and sends this at the end.
    free_at: u64,
    out: Vec<Outgoing>,
    /// When it began with that.
    began: u64,
}

impl Process {
    fn new(at: usize, settings: Settings) -> Self {
        let state = State::new(&Term::from((1_u64 << 33) + at as u64), 0);
        let replica = Replica::new(state, pid(at, 1), settings);
        Self { replica, mailbox: VecDeque::new(), free_at: 0, out: Vec::new(), began: 0 }
    }

    /// What it sends by `now`, where an answer takes `cost`.
    fn run(&mut self, now: u64, cost: u64) -> Vec<Outgoing> {
        let mut out = Vec::new();
        while self.free_at <= now {
            if self.free_at > self.began {
                self.replica.answered(self.began, self.free_at);
                self.began = self.free_at;
            }
            out.append(&mut self.out);
            let Some((message, from)) = self.mailbox.pop_front() else { break };
            (self.out, _) = self.replica.handle(message, Some(from), now, 0);
            self.began = now;
            self.free_at = now + if self.out.is_empty() { 0 } else { cost };
        }
        out
    }

    /// A message as this one reads it.
    fn take(&mut self, outgoing: &Outgoing, from: &Replica, sender: Pid) {
        let term = wire::term(&outgoing.message, &from.state.replicas, outgoing.flavour);
        let read = wire::read(&term, &mut self.replica.state.replicas).expect("we send what we can read");
        self.mailbox.push_back((read.message, sender));
    }
}

/// After so many milliseconds the busy one has all that the other has, and the most that waited for it.
fn until_all_is_there(neighbours: bool) -> Option<(u64, usize)> {
    let keys = 6_000;
    let mut elixir = Process::new(0, Settings { max_sync_size: 20_000, patience: 0, as_elixir: true });
    let mut busy = Process::new(1, Settings::default());
    elixir.replica.set_neighbours(vec![address(1)]);
    elixir.replica.handle_up(&address(1));
    if neighbours {
        busy.replica.set_neighbours(vec![address(0)]);
        busy.replica.handle_up(&address(0));
    }
    for key in 0..keys {
        elixir.replica.add(&Term::from(key), Term::from(key), key);
        // Keys that both have, but differently, take a comparison through all its rounds.
        if key % 2 == 0 {
            busy.replica.add(&Term::from(key), Term::from(-1 - key), -1);
        }
    }
    let mut most = 0;
    for now in (0..600_000).step_by(50) {
        let mut out = if now % INTERVAL == 0 { elixir.replica.tick(now) } else { Vec::new() };
        out.extend(elixir.run(now, 0));
        out.iter().for_each(|outgoing| busy.take(outgoing, &elixir.replica, pid(0, 1)));
        let mut back = if now % INTERVAL == 0 { busy.replica.tick(now) } else { Vec::new() };
        back.extend(busy.run(now, ANSWER));
        back.iter().for_each(|outgoing| elixir.take(outgoing, &busy.replica, pid(1, 1)));
        most = most.max(busy.mailbox.len());
        if busy.replica.state.map.len() == usize::try_from(keys).unwrap() {
            return Some((now, most));
        }
    }
    None
}

#[test]
fn a_comparison_ends_though_many_more_begin() {
    for neighbours in [false, true] {
        let (time, most) = until_all_is_there(neighbours).expect("all is there in time");
        assert!(time < 4_000 && most <= 10, "neighbours {neighbours}: {time} ms, {most} messages waited");
    }
}

//! Replicas without a network: whatever is lost, repeated, delayed or cut off, in the end all are equal, and no write that
//! nobody replaced is gone.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use crate::crdt::{Outgoing, Replica, Settings, State};
use crate::delta_crdt::wire;
use crate::term::{Atom, Creation, Pid, Term};

#[derive(Debug, Clone)]
enum Event {
    Put {
        at: usize,
        key: u8,
        value: u8,
    },
    Delete {
        at: usize,
        key: u8,
    },
    Tick {
        at: usize,
    },
    Push {
        at: usize,
    },
    /// The oldest message of a channel arrives, is lost, or arrives and stays to arrive again.
    Deliver {
        channel: usize,
    },
    Lose {
        channel: usize,
    },
    Repeat {
        channel: usize,
    },
    /// The two lose sight of each other: monitors fire, messages under way are gone.
    Part {
        one: usize,
        two: usize,
    },
    Restart {
        at: usize,
    },
}

fn events(replicas: usize) -> impl Strategy<Value = Vec<Event>> {
    let at = 0..replicas;
    let channel = 0..replicas * replicas;
    let event = prop_oneof![
        6 => (at.clone(), 0..12_u8, any::<u8>()).prop_map(|(at, key, value)| Event::Put { at, key, value }),
        2 => (at.clone(), 0..12_u8).prop_map(|(at, key)| Event::Delete { at, key }),
        4 => at.clone().prop_map(|at| Event::Tick { at }),
        4 => at.clone().prop_map(|at| Event::Push { at }),
        12 => channel.clone().prop_map(|channel| Event::Deliver { channel }),
        1 => channel.clone().prop_map(|channel| Event::Lose { channel }),
        1 => channel.prop_map(|channel| Event::Repeat { channel }),
        1 => (at.clone(), at.clone()).prop_map(|(one, two)| Event::Part { one, two }),
        1 => at.prop_map(|at| Event::Restart { at }),
    ];
    prop::collection::vec(event, 1..160)
}

struct World {
    replicas: Vec<Replica>,
    /// From one to another, in order; messages as terms, as they travel: from whom, to whom, what.
    channels: Vec<VecDeque<(Pid, Term, Term)>>,
    /// Who runs at each place now.
    pids: Vec<Pid>,
    now: u64,
    incarnation: u64,
    chunk: usize,
    /// The first so many answer as Elixir's replicas do.
    elixir: usize,
}

pub(super) fn address(at: usize) -> Term {
    Term::tuple([Term::atom("store"), Term::Atom(Atom::new(&format!("n{at}@h")))])
}

pub(super) fn pid(at: usize, incarnation: u64) -> Pid {
    Pid {
        node: Atom::new(&format!("n{at}@h")),
        id: u32::try_from(incarnation).unwrap(),
        serial: 0,
        creation: Creation(1),
    }
}

impl World {
    fn new(replicas: usize, chunk: usize, elixir: usize) -> Self {
        let mut world = Self {
            replicas: Vec::new(),
            channels: vec![VecDeque::new(); replicas * replicas],
            pids: (0..replicas).map(|at| pid(at, 0)).collect(),
            now: 0,
            incarnation: 0,
            chunk,
            elixir,
        };
        for at in 0..replicas {
            let replica = world.fresh(at, replicas);
            world.replicas.push(replica);
        }
        world
    }

    fn fresh(&mut self, at: usize, replicas: usize) -> Replica {
        self.incarnation += 1;
        let state = State::new(&Term::from((1_u64 << 33) + self.incarnation), 0);
        let settings = Settings { max_sync_size: self.chunk, patience: 50, as_elixir: at < self.elixir };
        self.pids[at] = pid(at, self.incarnation);
        let mut replica = Replica::new(state, self.pids[at], settings);
        replica.set_neighbours((0..replicas).filter(|other| *other != at).map(address).collect());
        (0..replicas).for_each(|other| replica.handle_up(&address(other)));
        replica
    }

    fn local(&self) -> i64 {
        i64::try_from(self.now).unwrap() * 1_000_000
    }

    fn send(&mut self, from: usize, out: Vec<Outgoing>) {
        for Outgoing { to, flavour, message } in out {
            let whom = to.clone();
            let node = to.as_pid().map_or_else(|| to.as_tuple().unwrap()[1].as_atom().unwrap(), |pid| pid.node);
            let to: usize = node.as_str().trim_start_matches('n').trim_end_matches("@h").parse().unwrap();
            let term = wire::term(&message, &self.replicas[from].state.replicas, flavour);
            let width = self.replicas.len();
            self.channels[from * width + to].push_back((self.pids[from], whom, term));
        }
    }

    fn deliver(&mut self, channel: usize, keep: bool) {
        let Some((sender, whom, term)) = self.channels[channel].front().cloned() else { return };
        if !keep {
            self.channels[channel].pop_front();
        }
        let to = channel % self.replicas.len();
        if whom.as_pid().is_some_and(|pid| pid != self.pids[to]) {
            return;
        }
        let (now, local) = (self.now, self.local());
        let replica = &mut self.replicas[to];
        let read = wire::read(&term, &mut replica.state.replicas).expect("we send what we can read");
        let (out, _) = replica.handle(read.message, Some(sender), now, local);
        self.send(to, out);
    }

    fn part(&mut self, one: usize, two: usize) {
        let width = self.replicas.len();
        self.channels[one * width + two].clear();
        self.channels[two * width + one].clear();
        for (at, other) in [(one, two), (two, one)] {
            self.replicas[at].handle_down(&address(other));
            // Watched again, at the latest with the next tick.
            self.replicas[at].handle_up(&address(other));
        }
    }

    fn happen(&mut self, event: Event) {
        self.now += 1;
        let (now, local) = (self.now, self.local());
        match event {
            Event::Put { at, key, value } => drop(self.replicas[at].add(&Term::from(key), Term::from(value), local)),
            Event::Delete { at, key } => drop(self.replicas[at].remove(&Term::from(key))),
            Event::Tick { at } => {
                let out = self.replicas[at].tick(now);
                self.send(at, out);
            }
            Event::Push { at } => {
                let out = self.replicas[at].push(|_| true);
                self.send(at, out);
            }
            Event::Deliver { channel } => self.deliver(channel, false),
            // What is lost on a connection takes the connection with it.
            Event::Lose { channel } => {
                let (one, two) = (channel / self.replicas.len(), channel % self.replicas.len());
                if one != two {
                    self.part(one, two);
                }
            }
            Event::Repeat { channel } => self.deliver(channel, true),
            Event::Part { one, two } if one != two => self.part(one, two),
            Event::Part { .. } => {}
            Event::Restart { at } => {
                for other in (0..self.replicas.len()).filter(|other| *other != at) {
                    self.part(at, other);
                }
                let width = self.replicas.len();
                self.replicas[at] = self.fresh(at, width);
            }
        }
    }

    /// Lets everybody talk until nothing changes.
    fn settle(&mut self) {
        for _ in 0..60 {
            self.now += 100;
            for at in 0..self.replicas.len() {
                self.happen(Event::Push { at });
                self.happen(Event::Tick { at });
            }
            while let Some(channel) = self.channels.iter().position(|channel| !channel.is_empty()) {
                self.deliver(channel, false);
            }
        }
    }

    fn read(&self, at: usize) -> BTreeMap<i64, Term> {
        let state = &self.replicas[at].state;
        state.map.iter().map(|(key, value)| (key.as_i64().unwrap(), value.value().clone())).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn replicas_converge(
        (replicas, events) in (2..6_usize).prop_flat_map(|replicas| (Just(replicas), events(replicas))),
        chunk in prop_oneof![Just(2), Just(20_000)],
        elixir in 0..3_usize,
    ) {
        let mut world = World::new(replicas, chunk, elixir);
        events.into_iter().for_each(|event| world.happen(event));
        world.settle();
        let first = world.read(0);
        for at in 1..replicas {
            prop_assert_eq!(&world.read(at), &first);
        }
        // A write now is read everywhere, and replaces what was there.
        world.happen(Event::Put { at: replicas - 1, key: 3, value: 99 });
        world.happen(Event::Delete { at: 0, key: 4 });
        world.settle();
        for at in 0..replicas {
            let read = world.read(at);
            prop_assert_eq!(read.get(&3), Some(&Term::from(99)));
            prop_assert_eq!(read.get(&4), None);
        }
    }

    /// Where each key has one writer, the model is simple: what it wrote last is what all read in the end, whatever
    /// happened on the way.
    #[test]
    fn nothing_is_lost(
        (replicas, events) in (2..6_usize).prop_flat_map(|replicas| (Just(replicas), events(replicas))),
        chunk in prop_oneof![Just(2), Just(20_000)],
        elixir in 0..3_usize,
    ) {
        let mut world = World::new(replicas, chunk, elixir);
        let mut model = BTreeMap::new();
        for event in events {
            match event {
                Event::Put { key, value, .. } => {
                    let at = usize::from(key) % replicas;
                    model.insert(i64::from(key), Term::from(value));
                    world.happen(Event::Put { at, key, value });
                }
                Event::Delete { key, .. } => {
                    let at = usize::from(key) % replicas;
                    world.happen(Event::Delete { at, key });
                    model.remove(&i64::from(key));
                }
                // One that forgets everything is another model.
                Event::Restart { .. } => {}
                event => world.happen(event),
            }
        }
        world.settle();
        for at in 0..replicas {
            prop_assert_eq!(&world.read(at), &model);
        }
    }
}

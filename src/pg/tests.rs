//! Scopes without a network: members come and go, connections break and heal, and in the end all agree.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::state::{Act, State};
use super::wire::Message;
use crate::term::{Atom, Creation, Pid, Term};

#[derive(Debug, Clone)]
enum Event {
    Join { at: usize, group: u8, process: u32, times: usize },
    Leave { at: usize, group: u8, process: u32 },
    Die { at: usize, process: u32 },
    Deliver { from: usize, to: usize },
    Part { one: usize, two: usize },
    Meet { one: usize, two: usize },
}

fn events(nodes: usize) -> impl Strategy<Value = Vec<Event>> {
    let (at, group, process) = (0..nodes, 0..3_u8, 0..4_u32);
    let event = prop_oneof![
        5 => (at.clone(), group.clone(), process.clone(), 1..3_usize)
            .prop_map(|(at, group, process, times)| Event::Join { at, group, process, times }),
        3 => (at.clone(), group, process.clone()).prop_map(|(at, group, process)| Event::Leave { at, group, process }),
        1 => (at.clone(), process).prop_map(|(at, process)| Event::Die { at, process }),
        12 => (at.clone(), at.clone()).prop_map(|(from, to)| Event::Deliver { from, to }),
        1 => (at.clone(), at.clone()).prop_map(|(one, two)| Event::Part { one, two }),
        2 => (at.clone(), at).prop_map(|(one, two)| Event::Meet { one, two }),
    ];
    prop::collection::vec(event, 1..120)
}

fn node(at: usize) -> Atom {
    Atom::new(&format!("n{at}@h"))
}

fn pid(at: usize, id: u32) -> Pid {
    Pid { node: node(at), id, serial: 0, creation: Creation(1) }
}

fn at(pid: Pid) -> usize {
    pid.node.as_str().trim_start_matches('n').trim_end_matches("@h").parse().unwrap()
}

const SCOPE: u32 = 1000;

struct World {
    scopes: Vec<State>,
    /// Whether two are connected, and what is under way from one to the other, as terms.
    connected: Vec<Vec<bool>>,
    channels: Vec<Vec<VecDeque<Term>>>,
    model: BTreeMap<(usize, u8, u32), usize>,
    /// Those that speak version 1 when they meet somebody.
    version: Vec<i64>,
}

impl World {
    fn new(nodes: usize) -> Self {
        Self {
            scopes: (0..nodes).map(|at| State::new(pid(at, SCOPE))).collect(),
            connected: vec![vec![false; nodes]; nodes],
            channels: vec![vec![VecDeque::new(); nodes]; nodes],
            model: BTreeMap::new(),
            version: (0..nodes).map(|at| i64::from(at % 2 == 1)).collect(),
        }
    }

    fn act(&mut self, from: usize) {
        for act in self.scopes[from].take_acts() {
            if let Act::Send(to, message) = act {
                let to = at(to);
                if self.connected[from][to] {
                    self.channels[from][to].push_back(message.term());
                }
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let Some(term) = self.channels[from][to].pop_front() else { return };
        let said = match term.as_tuple() {
            Some([cast, said]) if cast.is_atom("$gen_cast") => said.clone(),
            _ => term,
        };
        let message = Message::read(&said).expect("we send what we can read");
        self.scopes[to].handle(message);
        self.act(to);
    }

    fn meet(&mut self, one: usize, two: usize) {
        if one == two || self.connected[one][two] {
            return;
        }
        for (from, to) in [(one, two), (two, one)] {
            self.connected[from][to] = true;
            let hello = Message::Discover(pid(from, SCOPE), self.version[from]).term();
            self.channels[from][to].push_back(hello);
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Join { at, group, process, times } => {
                self.scopes[at].join(Term::from(group), &vec![pid(at, process); times]);
                *self.model.entry((at, group, process)).or_default() += times;
                self.act(at);
            }
            Event::Leave { at, group, process } => {
                let left = self.scopes[at].leave(&Term::from(group), &[pid(at, process)]);
                let times = self.model.entry((at, group, process)).or_default();
                assert_eq!(left, *times > 0, "who is a member can leave");
                *times = times.saturating_sub(1);
                self.act(at);
            }
            Event::Die { at, process } => {
                self.scopes[at].down(pid(at, process));
                self.model.retain(|(node, _, id), _| (*node, *id) != (at, process));
                self.act(at);
            }
            Event::Deliver { from, to } => self.deliver(from, to),
            Event::Part { one, two } if one != two && self.connected[one][two] => {
                for (from, to) in [(one, two), (two, one)] {
                    self.connected[from][to] = false;
                    self.channels[from][to].clear();
                    self.scopes[to].down(pid(from, SCOPE));
                    self.act(to);
                }
            }
            Event::Part { .. } => {}
            Event::Meet { one, two } => self.meet(one, two),
        }
    }

    fn settle(&mut self) {
        let nodes = self.scopes.len();
        for one in 0..nodes {
            for two in 0..nodes {
                self.meet(one, two);
            }
        }
        while let Some((from, to)) = (0..nodes)
            .flat_map(|from| (0..nodes).map(move |to| (from, to)))
            .find(|(from, to)| !self.channels[*from][*to].is_empty())
        {
            self.deliver(from, to);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn all_scopes_agree_in_the_end(
        (nodes, events) in (2..5_usize).prop_flat_map(|nodes| (Just(nodes), events(nodes))),
    ) {
        let mut world = World::new(nodes);
        // One listener that counts must come to the same as one that asks.
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        world.scopes[0].listen(None, sender);
        events.iter().for_each(|event| world.happen(event));
        world.settle();
        let expected = |group: u8| {
            let mut members: Vec<Pid> = world.model.iter()
                .filter(|((_, of, _), _)| *of == group)
                .flat_map(|((at, _, process), times)| vec![pid(*at, *process); *times])
                .collect();
            members.sort_unstable();
            members
        };
        for at in 0..nodes {
            for group in 0..3 {
                let mut members = world.scopes[at].members(&Term::from(group));
                members.sort_unstable();
                prop_assert_eq!(members, expected(group));
            }
        }
        let mut counted: BTreeMap<(Term, Pid), i64> = BTreeMap::new();
        while let Ok(event) = heard.try_recv() {
            let (group, pids, by) = match event {
                super::PgEvent::Join(group, pids) => (group, pids, 1),
                super::PgEvent::Leave(group, pids) => (group, pids, -1),
            };
            pids.into_iter().for_each(|pid| *counted.entry((group.clone(), pid)).or_default() += by);
        }
        counted.retain(|_, times| *times != 0);
        let mut asked: BTreeMap<(Term, Pid), i64> = BTreeMap::new();
        for (group, pids) in world.scopes[0].all() {
            pids.into_iter().for_each(|pid| *asked.entry((group.clone(), pid)).or_default() += 1);
        }
        prop_assert_eq!(counted, asked);
    }
}

//! What a replica knows of each neighbour: how far it is, how it hashes, and what is under way with it.

use hashbrown::{HashMap, HashSet};

use super::dots::{Context, Dot, Rank};
use super::hash::Flavour;
use crate::term::{Atom, Pid, Term};

/// A neighbour.
#[derive(Debug)]
pub(super) struct Neighbour {
    /// As it is addressed: a pid, a name, `{name, node}`.
    pub(super) address: Term,
    /// The process that answered under this address.
    pub(super) pid: Option<Pid>,
    /// It is watched, so that we shall hear of its end.
    pub(super) there: bool,
    /// What that process has seen, as far as it said so or we sent it; `None` until it first spoke.
    pub(super) known: Option<Context>,
    /// The root hash that it had when it last spoke of it.
    pub(super) root: Option<Option<u32>>,
    /// When the comparison that we began was sent, in milliseconds.
    pub(super) asked: Option<u64>,
    /// When the last one that we began and that it acknowledged was sent.
    pub(super) compared: Option<u64>,
    /// Our root when we sent it, as long as it asked for nothing.
    pub(super) asked_with: Option<Option<u32>>,
    /// Ticks in a row that had nothing to say; from the first one on it counts.
    pub(super) quiet: Option<u32>,
}

impl Neighbour {
    fn new(address: Term) -> Self {
        let pid = address.as_pid();
        Self {
            address,
            pid,
            there: false,
            known: None,
            root: None,
            asked: None,
            compared: None,
            asked_with: None,
            quiet: None,
        }
    }

    pub(super) fn node(&self) -> Option<Atom> {
        node_of(&self.address)
    }

    /// It is another process now, or will be.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.address.clone());
    }

    /// What was known of it may be wrong; whether it is watched is not.
    pub(super) fn doubt(&mut self) {
        *self = Self { there: self.there, ..Self::new(self.address.clone()) };
    }
}

/// The node that an address names: that of a pid, or of `{name, node}`.
pub(crate) fn node_of(address: &Term) -> Option<Atom> {
    match address {
        Term::Pid(pid) => Some(pid.node),
        Term::Tuple(tuple) => tuple.get(1)?.as_atom(),
        _ => None,
    }
}

/// The neighbours of a replica.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    pub(super) all: Vec<Neighbour>,
    /// All processes of a node run the same Elixir.
    flavours: HashMap<Atom, Flavour>,
}

impl Neighbours {
    /// Replaces the list; those that stay keep what is known of them.
    pub(super) fn set(&mut self, addresses: Vec<Term>) {
        let mut old: HashMap<Term, Neighbour> =
            self.all.drain(..).map(|neighbour| (neighbour.address.clone(), neighbour)).collect();
        let mut seen = HashSet::new();
        for address in addresses {
            if seen.insert(address.clone()) {
                self.all.push(old.remove(&address).unwrap_or_else(|| Neighbour::new(address)));
            }
        }
    }

    pub(super) fn get(&mut self, address: &Term) -> Option<&mut Neighbour> {
        self.all.iter_mut().find(|neighbour| neighbour.address == *address)
    }

    /// The neighbour that a process is.
    pub(super) fn of_pid(&mut self, pid: Pid) -> Option<&mut Neighbour> {
        self.all.iter_mut().find(|neighbour| neighbour.pid == Some(pid))
    }

    pub(super) fn flavour(&self, node: Option<Atom>) -> Flavour {
        node.and_then(|node| self.flavours.get(&node).copied()).unwrap_or_default()
    }

    pub(super) fn learn_flavour(&mut self, node: Atom, flavour: Flavour) {
        self.flavours.insert(node, flavour);
    }
}

/// Local writes that neighbours have not been told of.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) keys: Vec<Term>,
    /// The first counter among the new dots; all after it are here too.
    first_new: Option<u64>,
    /// The last of the replaced dots of each replica.
    pub(super) replaced: Context,
}

impl Pending {
    pub(super) fn add(&mut self, key: &Term, new: Option<u64>, replaced: &[Dot]) {
        self.keys.push(key.clone());
        self.first_new = self.first_new.or(new);
        replaced.iter().for_each(|dot| self.replaced.raise(*dot));
    }

    /// Whether somebody who has seen `known` may be told all of it at once: no dot may be claimed over one that it lacks.
    pub(super) fn follows(&self, known: &Context, me: Rank) -> bool {
        let own = self.first_new.is_none_or(|first| known.get(me) + 1 >= first);
        let others = self.replaced.iter().filter(|dot| dot.replica != me || self.first_new.is_none());
        own && others.into_iter().all(|dot| known.get(dot.replica) + 1 >= dot.counter)
    }

    /// What may be claimed with it, where all own dots up to `last` have been made.
    pub(super) fn claim(&self, me: Rank, last: u64) -> Context {
        let mut claim = self.replaced.clone();
        if self.first_new.is_some() {
            claim.raise(Dot { replica: me, counter: last });
        }
        claim
    }
}

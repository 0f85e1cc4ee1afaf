//! Dots, and contexts of them: which writes a replica has seen.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::term::Term;

/// A replica, by its place among those that this one has heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Rank(u32);

impl Rank {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One write of a replica, `{replica_id, counter}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Dot {
    pub(crate) replica: Rank,
    pub(crate) counter: u64,
}

/// The ids of replicas, any terms, each with a short number. A clone is cheap, and copies them when it gets a new one.
#[derive(Debug, Default, Clone)]
pub(crate) struct Replicas(Arc<Ids>);

#[derive(Debug, Default, Clone)]
struct Ids {
    ids: Vec<Term>,
    ranks: HashMap<Term, Rank>,
}

impl Replicas {
    /// The short number of an id.
    pub(crate) fn rank(&mut self, id: &Term) -> Rank {
        if let Some(rank) = self.0.ranks.get(id) {
            return *rank;
        }
        let Ids { ids, ranks } = Arc::make_mut(&mut self.0);
        let rank = Rank(u32::try_from(ids.len()).expect("each replica came in a message of its own"));
        ids.push(id.clone());
        ranks.insert(id.clone(), rank);
        rank
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.ids.len()
    }

    /// The id behind a short number, which this gave.
    pub(crate) fn id(&self, rank: Rank) -> &Term {
        &self.0.ids[rank.0 as usize]
    }
}

/// All dots of each replica up to a counter: what the states of replicas claim, `%{replica_id => counter}`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Context(Vec<u64>);

impl Context {
    /// Up to which counter.
    pub(crate) fn get(&self, replica: Rank) -> u64 {
        self.0.get(replica.0 as usize).copied().unwrap_or(0)
    }

    pub(crate) fn contains(&self, dot: Dot) -> bool {
        self.get(dot.replica) >= dot.counter
    }

    /// Takes a dot in, and with it all before it.
    pub(crate) fn raise(&mut self, dot: Dot) {
        let at = dot.replica.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] = self.0[at].max(dot.counter);
    }

    pub(crate) fn union(&mut self, other: &Self) {
        other.iter().for_each(|dot| self.raise(dot));
    }

    /// Whether it has every dot that `other` has.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.iter().all(|dot| self.contains(dot))
    }

    /// The last dot of each replica.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        let replicas = (0_u32..).map(Rank).zip(&self.0);
        replicas.filter(|(_, counter)| **counter > 0).map(|(replica, counter)| Dot { replica, counter: *counter })
    }
}

/// What a delta claims to have seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// As states do.
    Map(Context),
    /// Single dots, in a `MapSet`: deltas of local operations.
    Set(HashSet<Dot>),
}

impl Claim {
    pub(crate) fn contains(&self, dot: Dot) -> bool {
        match self {
            Self::Map(context) => context.contains(dot),
            Self::Set(dots) => dots.contains(&dot),
        }
    }

    /// What becomes of a context that takes it in: single dots bring all before them, as with every peer.
    pub(crate) fn fold_into(&self, context: &mut Context) {
        match self {
            Self::Map(claimed) => context.union(claimed),
            Self::Set(dots) => dots.iter().for_each(|dot| context.raise(*dot)),
        }
    }
}

//! `DeltaCrdt.AWLWWMap`: a map in which adds win over concurrent removes, and the last write is read.

use hashbrown::{HashMap, HashSet};

use super::dots::{Claim, Context, Dot, Rank, Replicas};
use super::elements::{Element, Elements, join};
use super::merkle::MerkleMap;
use super::stamps::Stamps;
use crate::term::Term;

/// A key whose read value changed; `None`: it is gone, or reads as `nil`, which is the same to those who are told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) key: Term,
    pub(crate) value: Option<Term>,
}

/// What a local write did, for those who are told of it.
#[derive(Debug)]
pub(crate) struct Written {
    /// The dot that it made; a removal makes none.
    pub(crate) new: Option<u64>,
    /// The dots that it replaced.
    pub(crate) replaced: Vec<Dot>,
    pub(crate) change: Option<Change>,
}

/// The state of a replica.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) me: Rank,
    pub(crate) replicas: Replicas,
    pub(crate) context: Context,
    pub(crate) map: MerkleMap,
    /// Dots that were replaced here before the context came to them: a peer's answer may run ahead of what it claims.
    /// With the time when that was first looked at.
    early: HashMap<Dot, Option<u64>>,
    stamps: Stamps,
    /// How often anything changed.
    pub(crate) changes: u64,
    /// How often a key changed, read or not: `keys_updated_count` of `[:delta_crdt, :sync, :done]`, summed.
    pub(crate) keys_updated: u64,
    /// The keys that changed since the storage last looked, where there is one.
    touched: Option<HashSet<Term>>,
}

impl State {
    /// An empty map of the replica `id`, at a local time in nanoseconds.
    pub(crate) fn new(id: &Term, local: i64) -> Self {
        let mut replicas = Replicas::default();
        let me = replicas.rank(id);
        Self {
            me,
            replicas,
            context: Context::default(),
            map: MerkleMap::default(),
            early: HashMap::new(),
            stamps: Stamps::new(local),
            changes: 0,
            keys_updated: 0,
            touched: None,
        }
    }

    /// The value that a key has.
    pub(crate) fn get(&self, key: &Term) -> Option<&Term> {
        self.map.get(key).map(Elements::value)
    }

    /// The value that a key has, as those who are told of changes know it.
    pub(crate) fn told(&self, key: &Term) -> Option<&Term> {
        read(self.map.get(key))
    }

    /// Writes a key.
    pub(crate) fn add(&mut self, key: &Term, value: Term, local: i64) -> Written {
        let slot = self.map.slot(key);
        let old = self.map.in_slot(slot);
        let stamps = old.into_iter().flat_map(|old| old.iter().map(|(element, _)| &element.stamp));
        let stamp = self.stamps.next(local, stamps);
        let new = not_nil(&value);
        let changed = read(old) != new;
        let replaced: Vec<Dot> = old.map(|old| old.dots().collect()).unwrap_or_default();
        self.replace(&replaced);
        let counter = self.context.get(self.me) + 1;
        let dot = Dot { replica: self.me, counter };
        self.context.raise(dot);
        let change = changed.then(|| Change { key: key.clone(), value: new.cloned() });
        self.touch(key);
        self.map.put_in(slot, key, Elements::One(Element { value, stamp }, dot));
        Written { new: Some(counter), replaced, change }
    }

    /// Removes a key; one that is not there is nothing.
    pub(crate) fn remove(&mut self, key: &Term) -> Option<Written> {
        let old = self.map.get(key)?;
        let replaced: Vec<Dot> = old.dots().collect();
        let change = read(Some(old)).map(|_was| Change { key: key.clone(), value: None });
        self.replace(&replaced);
        self.touch(key);
        self.map.remove(key);
        Some(Written { new: None, replaced, change })
    }

    fn replace(&mut self, dots: &[Dot]) {
        let early = dots.iter().filter(|dot| !self.context.contains(**dot));
        self.early.extend(early.map(|dot| (*dot, None)));
    }

    /// Joins what another replica says of some keys. The union of contexts is made at the end, by
    /// [`State::take_context`].
    pub(crate) fn join_key(
        &mut self,
        key: &Term,
        theirs: Option<Elements>,
        claimed: &Claim,
        local: i64,
    ) -> Option<Change> {
        let slot = self.map.slot(key);
        let mine = self.map.in_slot(slot);
        for (element, _) in theirs.iter().flat_map(Elements::iter) {
            self.stamps.see(&element.stamp, local);
        }
        let seen = |dot: Dot| self.context.contains(dot) || self.early.contains_key(&dot);
        // The frequent cases, told apart without building anything: the same on both sides, and a key that is new here.
        let joined = match (mine, theirs) {
            (Some(mine), Some(theirs)) if mine.same(&theirs) => return None,
            (None, Some(theirs @ Elements::One(_, dot))) => (!seen(dot)).then_some(theirs),
            (mine, theirs) => join(mine, seen, theirs.as_ref(), claimed),
        };
        match (mine, joined) {
            (None, None) => None,
            (Some(mine), Some(joined)) if mine.same(&joined) => None,
            (mine, Some(joined)) => {
                let new = read(Some(&joined));
                let change = (read(mine) != new).then(|| Change { key: key.clone(), value: new.cloned() });
                self.touch(key);
                self.map.put_in(slot, key, joined);
                change
            }
            (Some(mine), None) => {
                let change = read(Some(mine)).map(|_was| Change { key: key.clone(), value: None });
                self.touch(key);
                self.map.remove(key);
                change
            }
        }
    }

    /// What the other has seen counts as seen.
    pub(crate) fn take_context(&mut self, claimed: &Claim) {
        claimed.fold_into(&mut self.context);
        self.changes += 1;
        if !self.early.is_empty() {
            let context = &self.context;
            self.early.retain(|dot, _| !context.contains(*dot));
        }
    }

    /// Replaced dots that no context has come to for so long are claimed all the same, with what was before them, as
    /// peers do at once: their writer is gone, and without it the removal would never be told.
    pub(crate) fn claim_early(&mut self, now: u64, patience: u64) {
        if self.early.is_empty() {
            return;
        }
        for (dot, since) in &mut self.early {
            if now.saturating_sub(*since.get_or_insert(now)) > patience {
                self.context.raise(*dot);
                self.changes += 1;
            }
        }
        let context = &self.context;
        self.early.retain(|dot, _| !context.contains(*dot));
    }

    /// Keys with a write that `known` lacks.
    pub(crate) fn unseen_by<'a>(&'a self, known: &'a Context) -> impl Iterator<Item = (&'a Term, &'a Elements)> {
        let all = (!known.covers(&self.context)).then(|| self.map.iter());
        let unseen =
            |elements: &Elements| elements.dots().any(|dot| self.context.contains(dot) && !known.contains(dot));
        all.into_iter().flatten().filter(move |(_, elements)| unseen(elements))
    }

    pub(crate) fn update_hashes(&mut self) {
        self.map.update_hashes(&self.replicas);
    }

    /// Makes some of the hashes that are missing, of so many leaves; whether all are made.
    pub(crate) fn update_some_hashes(&mut self, leaves: usize) -> bool {
        self.map.update_some_hashes(&self.replicas, leaves)
    }

    fn touch(&mut self, key: &Term) {
        self.changes += 1;
        self.keys_updated += 1;
        if let Some(touched) = &mut self.touched {
            touched.insert(key.clone());
        }
    }
}

/// What a storage asks and says.
#[cfg(feature = "storage")]
impl State {
    /// A replica as it was stored; its keys follow, by [`State::restore_key`].
    pub(crate) fn restored(id: &Term, mut replicas: Replicas, context: Context, early: Vec<Dot>, local: i64) -> Self {
        let me = replicas.rank(id);
        let early = early.into_iter().map(|dot| (dot, None)).collect();
        Self { me, replicas, context, early, ..Self::new(id, local) }
    }

    /// What stood under a key when it was stored.
    pub(crate) fn restore_key(&mut self, key: &Term, elements: Elements, local: i64) {
        for (element, _) in elements.iter() {
            self.stamps.see(&element.stamp, local);
        }
        self.map.put(key, elements);
    }

    /// Dots that were replaced before the context came to them.
    pub(crate) fn early(&self) -> impl Iterator<Item = Dot> {
        self.early.keys().copied()
    }

    /// From now on notes which keys change, for a storage that has all so far.
    pub(crate) fn note_touched(&mut self) {
        self.touched = Some(HashSet::new());
    }

    /// The keys that changed since the last time.
    pub(crate) fn take_touched(&mut self) -> HashSet<Term> {
        self.touched.replace(HashSet::new()).unwrap_or_default()
    }

    /// These could not be stored after all.
    pub(crate) fn touch_again(&mut self, keys: impl Iterator<Item = Term>) {
        self.touched.get_or_insert_default().extend(keys);
    }
}

/// What is read of a key, as diffs have it: `nil` is nothing.
fn read(elements: Option<&Elements>) -> Option<&Term> {
    elements.map(Elements::value).and_then(not_nil)
}

fn not_nil(value: &Term) -> Option<&Term> {
    (!value.is_atom("nil")).then_some(value)
}

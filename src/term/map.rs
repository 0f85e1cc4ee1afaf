//! Maps: pairs in the order they came in, found by key.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::Term;

/// A map. Keys are told apart exactly: `1` and `1.0` are two. Pairs are kept in the order they came
/// in (a peer's map encodes again as it came) until one is taken out; order means nothing else: two
/// maps are equal in any order.
#[derive(Clone, Default)]
pub struct Map(Repr);

#[derive(Clone, Default)]
enum Repr {
    #[default]
    Empty,
    /// Key, value, key, value… of fewer than `INDEXED` pairs.
    Small(Arc<[Term]>),
    Large(Arc<Large>),
}

#[derive(Clone)]
struct Large {
    /// Key, value, key, value…
    flat: Vec<Term>,
    /// Numbers of pairs, by hash of the key.
    index: HashTable<u32>,
}

/// Below this many pairs, looking at all of them is faster than hashing.
const INDEXED: usize = 12;

impl Map {
    /// `#{}`.
    #[must_use]
    pub const fn new() -> Self {
        Self(Repr::Empty)
    }

    /// A map of these pairs. `None` if a key stands twice.
    #[must_use]
    pub fn try_from_pairs(pairs: Vec<(Term, Term)>) -> Option<Self> {
        Self::from_flat(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect())
    }

    /// Drains the end of a stack of keys and values into a map. `None` if a key stands twice.
    pub(crate) fn from_stack(stack: &mut Vec<Term>, from: usize) -> Option<Self> {
        let flat = stack.get(from..).unwrap_or_default();
        if flat.is_empty() {
            return Some(Self::new());
        }
        if flat.len() / 2 >= INDEXED {
            return Large::new(stack.drain(from..).collect()).map(|large| Self(Repr::Large(Arc::new(large))));
        }
        has_unique_keys(flat).then(|| Self(Repr::Small(stack.drain(from..).collect())))
    }

    /// A map of key, value, key, value… `None` if a key stands twice.
    pub(crate) fn from_flat(mut flat: Vec<Term>) -> Option<Self> {
        if flat.len() / 2 < INDEXED {
            return Self::from_stack(&mut flat, 0);
        }
        Large::new(flat).map(|large| Self(Repr::Large(Arc::new(large))))
    }

    /// How many pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flat().len() / 2
    }

    /// Whether it is `#{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flat().is_empty()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &Term) -> Option<&Term> {
        self.flat().get(self.position(key)? * 2 + 1)
    }

    /// The value of a key that is an atom of this text.
    #[must_use]
    pub fn get_atom(&self, key: &str) -> Option<&Term> {
        self.iter().find(|(k, _)| matches!(k, Term::Atom(atom) if atom == key)).map(|(_, value)| value)
    }

    /// Whether the key stands in it.
    #[must_use]
    pub fn contains_key(&self, key: &Term) -> bool {
        self.position(key).is_some()
    }

    /// Puts a pair, replacing and returning the value that the key had.
    pub fn insert(&mut self, key: Term, value: Term) -> Option<Term> {
        if let Some(at) = self.position(&key) {
            return Some(std::mem::replace(&mut self.flat_mut()[at * 2 + 1], value));
        }
        if let Repr::Large(large) = &mut self.0 {
            Arc::make_mut(large).push(key, value);
            return None;
        }
        let mut flat: Vec<Term> = self.flat().iter().cloned().chain([key, value]).collect();
        *self = Self::from_stack(&mut flat, 0).expect("the key is new");
        None
    }

    /// Takes a pair out, returning its value.
    pub fn remove(&mut self, key: &Term) -> Option<Term> {
        let at = self.position(key)?;
        if let Repr::Large(large) = &mut self.0 {
            return Some(Arc::make_mut(large).swap_remove(at));
        }
        let mut flat = self.flat().to_vec();
        let value = flat.drain(at * 2..at * 2 + 2).next_back();
        *self = Self::from_stack(&mut flat, 0).expect("a map without one of its keys has unique keys");
        value
    }

    /// The pairs, in the order they came in.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Term, &Term)> + Clone {
        self.flat().chunks_exact(2).map(|pair| (&pair[0], &pair[1]))
    }

    /// The keys, in the order of the pairs.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Term> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in the order of the pairs.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Term> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// Key, value, key, value…
    pub(crate) fn flat(&self) -> &[Term] {
        match &self.0 {
            Repr::Empty => &[],
            Repr::Small(flat) => flat,
            Repr::Large(large) => &large.flat,
        }
    }

    fn flat_mut(&mut self) -> &mut [Term] {
        match &mut self.0 {
            Repr::Empty => &mut [],
            Repr::Small(flat) => Arc::make_mut(flat),
            Repr::Large(large) => &mut Arc::make_mut(large).flat,
        }
    }

    /// The number of the pair with this key.
    fn position(&self, key: &Term) -> Option<usize> {
        match &self.0 {
            Repr::Large(large) => large.index.find(hash(key), |at| *large.key(*at) == *key).map(|at| *at as usize),
            Repr::Empty | Repr::Small(_) => self.keys().position(|other| other == key),
        }
    }
}

fn has_unique_keys(flat: &[Term]) -> bool {
    let keys = || flat.iter().step_by(2);
    keys().enumerate().all(|(at, key)| keys().take(at).all(|other| other != key))
}

impl Large {
    /// `None` if a key stands twice.
    fn new(flat: Vec<Term>) -> Option<Self> {
        let pairs = u32::try_from(flat.len() / 2).ok()?;
        let mut index = HashTable::with_capacity(flat.len() / 2);
        for at in 0..pairs {
            let key = key_of(&flat, at);
            match index.entry(hash(key), |other| key_of(&flat, *other) == key, |at| hash(key_of(&flat, *at))) {
                Entry::Occupied(_) => return None,
                Entry::Vacant(vacant) => vacant.insert(at),
            };
        }
        Some(Self { flat, index })
    }

    fn key(&self, at: u32) -> &Term {
        key_of(&self.flat, at)
    }

    /// Adds a pair whose key is new.
    fn push(&mut self, key: Term, value: Term) {
        let (at, hashed) = (self.flat.len() / 2, hash(&key));
        self.flat.extend([key, value]);
        let at = u32::try_from(at).expect("a map has fewer than 2^32 pairs");
        self.index.insert_unique(hashed, at, |at| hash(key_of(&self.flat, *at)));
    }

    /// Takes a pair out, puts the last one in its place, and returns its value.
    fn swap_remove(&mut self, at: usize) -> Term {
        let last = self.flat.len() / 2 - 1;
        let entry_of = |at: usize| (hash(key_of(&self.flat, at as u32)), move |other: &u32| *other as usize == at);
        let (gone, moved) = (entry_of(at), entry_of(last));
        if let Ok(entry) = self.index.find_entry(gone.0, gone.1) {
            entry.remove();
        }
        if at != last {
            if let Some(number) = self.index.find_mut(moved.0, moved.1) {
                *number = at as u32;
            }
        }
        // The last value, then the last key.
        let value = self.flat.swap_remove(at * 2 + 1);
        self.flat.swap_remove(at * 2);
        value
    }
}

fn key_of(flat: &[Term], at: u32) -> &Term {
    &flat[at as usize * 2]
}

fn hash<T: Hash>(value: &T) -> u64 {
    // One seed for the process: a map built by one thread is searched by another.
    static HASHER: LazyLock<foldhash::fast::RandomState> = LazyLock::new(Default::default);
    HASHER.hash_one(value)
}

impl FromIterator<(Term, Term)> for Map {
    /// A later pair replaces an earlier one of the same key.
    fn from_iter<I: IntoIterator<Item = (Term, Term)>>(pairs: I) -> Self {
        let mut map = Self::new();
        for (key, value) in pairs {
            map.insert(key, value);
        }
        map
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Eq for Map {}

impl Hash for Map {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Order must not matter: the pairs' own hashes are combined by a commutative operation.
        let pairs = self.iter().map(|pair| hash(&pair));
        state.write_u64(pairs.fold(self.len() as u64, u64::wrapping_add));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: std::ops::Range<i64>) -> Map {
        range.map(|n| (Term::from(n), Term::from(n * 2))).collect()
    }

    #[test]
    fn one_and_one_point_zero_are_two_keys() {
        let map: Map = [(Term::from(1), Term::from(10)), (Term::from(1.0), Term::from(20))].into_iter().collect();
        assert_eq!(map.len(), 2);
        assert_eq!(map.get(&Term::from(1.0)), Some(&Term::from(20)));
    }

    #[test]
    fn order_does_not_matter_to_equality_or_hash() {
        let forward: Map = numbers(0..100);
        let backward: Map = (0..100).rev().map(|n| (Term::from(n), Term::from(n * 2))).collect();
        assert_eq!(forward, backward);
        assert_eq!(hash(&Term::Map(forward)), hash(&Term::Map(backward)));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let twice = |n: i64| (0..n).chain([0]).map(|k| (Term::from(k), Term::from(k))).collect::<Vec<_>>();
        assert!(Map::try_from_pairs(twice(3)).is_none());
        assert!(Map::try_from_pairs(twice(100)).is_none());
    }

    #[test]
    fn pairs_come_and_go_at_every_size() {
        let mut map = Map::new();
        for n in 0..50 {
            assert_eq!(map.insert(Term::from(n), Term::from(n)), None);
            assert_eq!(map.insert(Term::from(n), Term::from(-n)), Some(Term::from(n)));
        }
        for n in (0..50).step_by(3).chain(0..50) {
            let had = map.get(&Term::from(n)).cloned();
            assert_eq!(map.remove(&Term::from(n)), had);
            assert_eq!(map.get(&Term::from(n)), None);
            assert!(map.iter().all(|(k, v)| k.as_i64() == v.as_i64().map(|v| -v)));
            assert!(map.keys().all(|key| map.get(key).is_some()));
        }
        assert!(map.is_empty());
    }
}

//! Maps: pairs in the order they came in, found by key.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use hashbrown::HashTable;

use super::Term;

/// A map. Keys are told apart exactly: `1` and `1.0` are two. The order of the pairs is kept (a
/// peer's map encodes again as it came) but means nothing: two maps are equal in any order.
#[derive(Clone, Default)]
pub struct Map(Option<Arc<Pairs>>);

#[derive(Clone, Default)]
struct Pairs {
    pairs: Vec<(Term, Term)>,
    /// Positions in `pairs` by hash of the key, from `INDEXED` pairs on.
    index: Option<HashTable<u32>>,
}

/// Below this many pairs, looking at all of them is faster than hashing.
const INDEXED: usize = 12;

impl Map {
    /// `#{}`.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// A map of these pairs. `None` if a key stands twice.
    #[must_use]
    pub fn try_from_pairs(pairs: Vec<(Term, Term)>) -> Option<Self> {
        if pairs.is_empty() {
            return Some(Self::new());
        }
        let mut made = Pairs { pairs, index: None };
        let unique = if made.pairs.len() < INDEXED { made.has_unique_keys() } else { made.index_all() };
        unique.then(|| Self(Some(Arc::new(made))))
    }

    /// How many pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs().len()
    }

    /// Whether it is `#{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &Term) -> Option<&Term> {
        let pairs = self.0.as_ref()?;
        pairs.position(key).map(|at| &pairs.pairs[at].1)
    }

    /// The value of a key that is an atom of this text.
    #[must_use]
    pub fn get_atom(&self, key: &str) -> Option<&Term> {
        self.iter().find(|(k, _)| matches!(k, Term::Atom(atom) if atom == key)).map(|(_, value)| value)
    }

    /// Whether the key stands in it.
    #[must_use]
    pub fn contains_key(&self, key: &Term) -> bool {
        self.get(key).is_some()
    }

    /// Puts a pair, replacing and returning the value that the key had.
    pub fn insert(&mut self, key: Term, value: Term) -> Option<Term> {
        let pairs = Arc::make_mut(self.0.get_or_insert_default());
        match pairs.position(&key) {
            Some(at) => Some(std::mem::replace(&mut pairs.pairs[at].1, value)),
            None => {
                pairs.push(key, value);
                None
            }
        }
    }

    /// Takes a pair out, returning its value.
    pub fn remove(&mut self, key: &Term) -> Option<Term> {
        let at = self.0.as_ref()?.position(key)?;
        let mut pairs = self.pairs().to_vec();
        let (_, value) = pairs.remove(at);
        *self = Self::try_from_pairs(pairs).expect("a map without one of its keys has unique keys");
        Some(value)
    }

    /// The pairs, in the order they came in.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Term, &Term)> + Clone {
        self.pairs().iter().map(|(key, value)| (key, value))
    }

    /// The keys, in the order of the pairs.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Term> + Clone {
        self.pairs().iter().map(|(key, _)| key)
    }

    /// The values, in the order of the pairs.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Term> + Clone {
        self.pairs().iter().map(|(_, value)| value)
    }

    fn pairs(&self) -> &[(Term, Term)] {
        self.0.as_ref().map_or(&[], |pairs| &pairs.pairs)
    }
}

impl Pairs {
    fn position(&self, key: &Term) -> Option<usize> {
        match &self.index {
            None => self.pairs.iter().position(|(k, _)| k == key),
            Some(index) => {
                let found = index.find(hash(key), |at| self.pairs[*at as usize].0 == *key)?;
                Some(*found as usize)
            }
        }
    }

    fn has_unique_keys(&self) -> bool {
        self.pairs.iter().enumerate().all(|(at, (key, _))| self.pairs[..at].iter().all(|(other, _)| other != key))
    }

    /// Builds the index; false if a key stands twice.
    fn index_all(&mut self) -> bool {
        let mut index = HashTable::with_capacity(self.pairs.len());
        for (at, (key, _)) in self.pairs.iter().enumerate() {
            let hashed = hash(key);
            if index.find(hashed, |other: &u32| self.pairs[*other as usize].0 == *key).is_some() {
                return false;
            }
            let at = u32::try_from(at).expect("a map has fewer than 2^32 pairs");
            index.insert_unique(hashed, at, |at| hash(&self.pairs[*at as usize].0));
        }
        self.index = Some(index);
        true
    }

    /// Adds a pair whose key is new.
    fn push(&mut self, key: Term, value: Term) {
        let hashed = hash(&key);
        self.pairs.push((key, value));
        let Some(index) = &mut self.index else {
            if self.pairs.len() >= INDEXED {
                self.index_all();
            }
            return;
        };
        let at = u32::try_from(self.pairs.len() - 1).expect("a map has fewer than 2^32 pairs");
        let pairs = &self.pairs;
        index.insert_unique(hashed, at, |at| hash(&pairs[*at as usize].0));
    }
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
        let pairs = self.pairs().iter().map(hash);
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
        for n in 0..50 {
            assert_eq!(map.remove(&Term::from(n)), Some(Term::from(-n)));
            assert_eq!(map.get(&Term::from(n)), None);
        }
        assert!(map.is_empty());
    }
}

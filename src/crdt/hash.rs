//! Hashes of the Merkle tree, as both layouts of Elixir's `MapSet` give them.

use std::sync::LazyLock;

use super::dots::{Dot, Replicas};
use super::elements::Elements;
use crate::phash2::{fold, fold_arity, fold_pairs};
use crate::term::{Binary, Map, Term};

/// How an Elixir lays out a `MapSet`, which decides every hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Flavour {
    /// Up to 1.14: with a field `version`.
    Versioned,
    /// From 1.15 on.
    #[default]
    Plain,
}

impl Flavour {
    /// The place of its hash where there are both.
    pub(super) fn column(self) -> usize {
        match self {
            Self::Versioned => 0,
            Self::Plain => 1,
        }
    }
}

/// The atoms of a `MapSet`, and the folds of its parts that never change.
struct MapSets {
    structs: u32,
    map: u32,
    version: u32,
}

static MAP_SETS: LazyLock<MapSets> = LazyLock::new(|| MapSets {
    structs: fold(fold(0, &Term::atom("__struct__")), &Term::atom("Elixir.MapSet")),
    map: fold(0, &Term::atom("map")),
    version: fold(fold(0, &Term::atom("version")), &Term::from(2)),
});

/// The hash of a leaf's contents, `%{key => %{element => MapSet}}`, in both flavours.
pub(super) fn leaf<'a>(contents: impl Iterator<Item = (&'a Term, &'a Elements)>, replicas: &Replicas) -> [u32; 2] {
    let (mut len, mut pairs) = (0, [0; 2]);
    for (key, elements) in contents {
        len += 1;
        let key = fold(0, key);
        for (pairs, value) in pairs.iter_mut().zip(value_map(elements, replicas)) {
            *pairs ^= fold_pairs(key, elements.len(), value);
        }
    }
    pairs.map(|pairs| fold_pairs(0, len, pairs))
}

/// The pairs of a value map, XORed.
fn value_map(elements: &Elements, replicas: &Replicas) -> [u32; 2] {
    let sets = &*MAP_SETS;
    let mut pairs = [0; 2];
    for (element, dots) in elements.iter() {
        let stamp = element.stamp.term();
        let element = fold(fold(fold_arity(0, 2), &element.value), &stamp);
        let members = dots.iter().fold(0, |all, dot| all ^ fold(dot_hash(*dot, replicas), &Term::nil()));
        let plain = sets.structs ^ fold_pairs(sets.map, dots.len(), members);
        pairs[Flavour::Versioned.column()] ^= fold_pairs(element, 3, plain ^ sets.version);
        pairs[Flavour::Plain.column()] ^= fold_pairs(element, 2, plain);
    }
    pairs
}

fn dot_hash(dot: Dot, replicas: &Replicas) -> u32 {
    fold(fold(fold_arity(0, 2), replicas.id(dot.replica)), &Term::from(dot.counter))
}

/// The hash of an inner node: of `{left, right}`, where an empty branch is `[]`.
pub(super) fn inner(left: Option<u32>, right: Option<u32>) -> u32 {
    fold(fold(fold_arity(0, 2), &term(left)), &term(right))
}

/// A hash as it stands in trees: four bytes, or `[]` for an empty branch.
pub(crate) fn term(hash: Option<u32>) -> Term {
    hash.map_or_else(Term::nil, |hash| Term::Binary(Binary::copied(&hash.to_be_bytes())))
}

/// What a key's elements look like on the wire: `%{element => MapSet}`.
pub(crate) fn value_term(elements: &Elements, replicas: &Replicas, flavour: Flavour) -> Term {
    let pairs = elements.iter().map(|(element, dots)| {
        let dots = dots.iter().map(|dot| (dot_term(*dot, replicas), Term::nil()));
        (Term::tuple([element.value.clone(), element.stamp.term()]), map_set(dots.collect(), flavour))
    });
    map(pairs.collect())
}

/// `{replica_id, counter}`.
pub(crate) fn dot_term(dot: Dot, replicas: &Replicas) -> Term {
    Term::tuple([replicas.id(dot.replica).clone(), dot.counter.into()])
}

/// A `MapSet` of the keys of these pairs.
pub(crate) fn map_set(members: Vec<(Term, Term)>, flavour: Flavour) -> Term {
    let mut fields = vec![(Term::atom("__struct__"), Term::atom("Elixir.MapSet")), (Term::atom("map"), map(members))];
    if flavour == Flavour::Versioned {
        fields.push((Term::atom("version"), Term::from(2)));
    }
    map(fields)
}

/// A map of pairs whose keys differ.
pub(crate) fn map(pairs: Vec<(Term, Term)>) -> Term {
    Term::Map(Map::try_from_pairs(pairs).expect("the keys differ"))
}

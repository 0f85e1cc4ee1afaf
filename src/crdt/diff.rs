//! Comparing our tree with cuts of another's, as `MerkleMap.MerkleTree` does, down to the order of what it finds.

use super::dots::Replicas;
use super::hash::{self, Flavour};
use super::merkle::{Branch, MerkleMap, side};
use super::tree::{Continuation, Loc, Tree};
use crate::term::{Map, Term};

/// Levels of a cut, as peers cut.
pub(crate) const DEPTH: u32 = 8;

/// What a comparison ends in.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// More has to be compared.
    Continue(Continuation),
    /// These keys may differ.
    Keys(Vec<Term>),
}

enum Found {
    Key(Term),
    Partial(Loc),
}

/// Our side of a comparison.
pub(crate) struct View<'a> {
    pub(crate) map: &'a MerkleMap,
    pub(crate) replicas: &'a Replicas,
    pub(crate) flavour: Flavour,
    /// Where the other has nothing, all that is here is named at once, instead of level by level as Elixir's replicas do.
    pub(crate) at_once: bool,
}

/// A branch of ours as a cut of so many more levels shows it.
#[derive(Clone, Copy)]
struct Mine {
    branch: Branch,
    loc: Loc,
    levels: u32,
}

impl View<'_> {
    /// The tree from a place on, so many levels of it.
    pub(crate) fn cut(&self, loc: Loc, levels: u32) -> Tree {
        self.cut_branch(self.map.at(loc), loc, levels)
    }

    fn cut_branch(&self, branch: Branch, loc: Loc, levels: u32) -> Tree {
        let hash = self.map.hash_of(branch, self.flavour);
        match branch {
            Branch::Empty => Tree::Empty,
            Branch::Leaf(first) => Tree::Leaf { hash, place: self.map.place(first), contents: self.contents(first) },
            Branch::Inner(_) if levels == 0 => Tree::Partial(loc),
            Branch::Inner(inner) => {
                let [left, right] = self.map.children(inner);
                let sides =
                    [(left, 0), (right, 1)].map(|(branch, side)| self.cut_branch(branch, loc.child(side), levels - 1));
                Tree::Inner { hash, sides: Box::new(sides) }
            }
        }
    }

    fn contents(&self, first: u32) -> Map {
        let pairs = self
            .map
            .leaf(first)
            .map(|(key, elements)| (key.clone(), hash::value_term(elements, self.replicas, self.flavour)));
        Map::try_from_pairs(pairs.collect()).expect("the keys of a leaf differ")
    }

    /// Goes on with a comparison.
    pub(crate) fn go_on(&self, continuation: &Continuation, levels: u32) -> Step {
        let mut keys = continuation.keys.clone();
        let mut partials = Vec::new();
        for (loc, theirs) in &continuation.trees {
            let mut found = Vec::new();
            let mine = Mine { branch: self.map.at(*loc), loc: *loc, levels };
            self.diff(mine, theirs, loc.len(), false, &mut found);
            for found in found.into_iter().rev() {
                match found {
                    Found::Key(key) => keys.push(key),
                    Found::Partial(loc) => partials.push(loc),
                }
            }
        }
        if partials.is_empty() {
            return Step::Keys(keys);
        }
        let trees = partials.into_iter().map(|loc| (loc, self.cut(loc, levels))).collect();
        Step::Continue(Continuation { keys, trees })
    }

    /// `turned`: peers compare a leaf of theirs with what lies under an inner node of ours the other way round.
    fn diff(&self, mine: Mine, theirs: &Tree, level: u32, turned: bool, found: &mut Vec<Found>) {
        let hash = || self.map.hash_of(mine.branch, self.flavour);
        match (mine.branch, theirs) {
            (Branch::Empty, _) => all(theirs, found),
            (_, Tree::Empty) => self.all_mine(mine, found),
            (_, Tree::Partial(loc)) => found.push(Found::Partial(*loc)),
            (Branch::Inner(inner), Tree::Inner { hash: their_hash, sides }) if mine.levels > 0 => {
                if hash() != *their_hash {
                    self.children(mine, inner).into_iter().zip(&**sides).for_each(|(mine, theirs)| {
                        self.diff(mine, theirs, level + 1, turned, found);
                    });
                }
            }
            (Branch::Inner(_), _) if mine.levels == 0 => found.push(Found::Partial(mine.loc)),
            (Branch::Inner(inner), Tree::Leaf { place, .. }) => {
                let near = side(*place, level);
                for (at, child) in self.children(mine, inner).into_iter().enumerate() {
                    if at == near {
                        self.diff(child, theirs, level + 1, turned, found);
                    } else {
                        self.all_mine(child, found);
                    }
                }
            }
            (Branch::Inner(_), Tree::Inner { .. }) => found.push(Found::Partial(mine.loc)),
            (Branch::Leaf(first), Tree::Leaf { hash: their_hash, contents, .. }) => {
                if hash() != *their_hash {
                    self.leaves(first, contents, turned, found);
                }
            }
            (Branch::Leaf(first), Tree::Inner { sides, .. }) => {
                let near = side(self.map.place(first), level);
                for (at, theirs) in sides.iter().enumerate() {
                    if at == near {
                        self.diff(mine, theirs, level + 1, true, found);
                    } else {
                        all(theirs, found);
                    }
                }
            }
        }
    }

    fn children(&self, mine: Mine, inner: u32) -> [Mine; 2] {
        let [left, right] = self.map.children(inner);
        [(left, 0), (right, 1)].map(|(branch, side)| Mine {
            branch,
            loc: mine.loc.child(side),
            levels: mine.levels.saturating_sub(1),
        })
    }

    /// Keys of both leaves whose values differ. In the end all that was found is turned round.
    fn leaves(&self, first: u32, theirs: &Map, turned: bool, found: &mut Vec<Found>) {
        let mine = &self.contents(first);
        let (one, two) = if turned { (theirs, mine) } else { (mine, theirs) };
        let differ = one.iter().filter(|(key, value)| two.get(key) != Some(*value)).map(|(key, _)| key);
        let only_two = two.keys().filter(|key| !one.contains_key(key));
        for keys in [differ.collect::<Vec<_>>(), only_two.collect()] {
            found.extend(keys.into_iter().rev().cloned().map(Found::Key));
        }
    }

    fn all_mine(&self, mine: Mine, found: &mut Vec<Found>) {
        match mine.branch {
            Branch::Empty => {}
            Branch::Inner(_) if mine.levels == 0 && !self.at_once => found.push(Found::Partial(mine.loc)),
            Branch::Inner(inner) => self.children(mine, inner).iter().for_each(|mine| self.all_mine(*mine, found)),
            Branch::Leaf(first) => found.extend(self.map.leaf(first).map(|(key, _)| Found::Key(key.clone()))),
        }
    }
}

fn all(tree: &Tree, found: &mut Vec<Found>) {
    match tree {
        Tree::Empty => {}
        Tree::Partial(loc) => found.push(Found::Partial(*loc)),
        Tree::Inner { sides, .. } => sides.iter().for_each(|side| all(side, found)),
        Tree::Leaf { contents, .. } => found.extend(contents.keys().cloned().map(Found::Key)),
    }
}

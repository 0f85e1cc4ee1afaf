//! Keys with their elements, found by key, and over them a binary trie of hashes.
//!
//! A key's place is `phash2` of it, 32 bits from the highest on; a leaf hangs at the smallest depth where its bits are
//! alone, so the shape follows from the keys and not from their history. Hashes are made when they are asked for, for
//! both layouts of `MapSet` at once. Branches are numbers into two arenas: a key costs under 250 bytes.

use hashbrown::HashTable;

use super::dots::Replicas;
use super::elements::Elements;
use super::hash::{self, Flavour};
use super::tree::Loc;
use crate::phash2::hash32;
use crate::term::Term;

/// What a place of the trie holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Branch {
    Empty,
    /// The first of the entries that have the same hash; nearly always there is one.
    Leaf(u32),
    Inner(u32),
}

#[derive(Debug, Clone)]
struct Inner {
    children: [Branch; 2],
    hashes: [Option<u32>; 2],
}

#[derive(Debug, Clone)]
struct Entry {
    key: Term,
    elements: Elements,
    place: u32,
    /// The next entry of the same place.
    next: Option<u32>,
    /// The leaf's, with the first of its entries.
    hashes: [Option<u32>; 2],
}

/// Where a key is in a map, or would be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    place: u32,
    found: Option<u32>,
}

/// A map of keys to elements, with its Merkle tree.
#[derive(Debug, Clone)]
pub(crate) struct MerkleMap {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Numbers of entries, by place.
    index: HashTable<u32>,
    inners: Vec<Inner>,
    free_inners: Vec<u32>,
    root: Branch,
}

/// Where a branch hangs.
#[derive(Clone, Copy)]
enum At {
    Root,
    Under(u32, usize),
}

fn bit(place: u32, depth: u32) -> usize {
    usize::from(depth < 32 && place << depth >= 1 << 31)
}

/// The table wants all bits of a hash to differ.
fn spread(place: u32) -> u64 {
    u64::from(place).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Default for MerkleMap {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            inners: Vec::new(),
            free_inners: Vec::new(),
            root: Branch::Empty,
        }
    }
}

impl MerkleMap {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn get(&self, key: &Term) -> Option<&Elements> {
        let entry = self.find(hash32(key), key)?;
        Some(&self.entry(entry).elements)
    }

    /// All keys, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Term, &Elements)> {
        self.entries.iter().flatten().map(|entry| (&entry.key, &entry.elements))
    }

    /// Where a key is, or would be: looked for once, for all that is done with it until the next change.
    pub(crate) fn slot(&self, key: &Term) -> Slot {
        let place = hash32(key);
        Slot { place, found: self.find(place, key) }
    }

    /// What is in a slot.
    pub(crate) fn in_slot(&self, slot: Slot) -> Option<&Elements> {
        slot.found.map(|number| &self.entry(number).elements)
    }

    /// Puts a key, or replaces what it had.
    #[cfg(any(test, feature = "storage"))]
    pub(crate) fn put(&mut self, key: &Term, elements: Elements) {
        self.put_in(self.slot(key), key, elements);
    }

    /// Puts the key of a slot, or replaces what it had.
    pub(crate) fn put_in(&mut self, Slot { place, found }: Slot, key: &Term, elements: Elements) {
        if let Some(found) = found {
            self.entry_mut(found).elements = elements;
            self.forget_hashes(place);
            return;
        }
        let entry = Entry { key: key.clone(), elements, place, next: None, hashes: [None; 2] };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = Some(entry);
                number
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).expect("fewer keys than there are places")
            }
        };
        let entries = &self.entries;
        let place_of = |number: &u32| entries[*number as usize].as_ref().map_or(0, |entry| spread(entry.place));
        self.index.insert_unique(spread(place), number, place_of);
        self.hang(number, place);
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &Term) {
        let place = hash32(key);
        let entries = &self.entries;
        let is_it = |number: &u32| {
            entries[*number as usize].as_ref().is_some_and(|entry| entry.place == place && entry.key == *key)
        };
        let Ok(found) = self.index.find_entry(spread(place), is_it) else { return };
        let (number, _) = found.remove();
        self.take_down(number, place);
        self.entries[number as usize] = None;
        self.free.push(number);
    }

    fn find(&self, place: u32, key: &Term) -> Option<u32> {
        let is_it = |number: &u32| {
            let entry = self.entry(*number);
            entry.place == place && entry.key == *key
        };
        self.index.find(spread(place), is_it).copied()
    }

    fn entry(&self, number: u32) -> &Entry {
        self.entries[number as usize].as_ref().expect("numbers in use have an entry")
    }

    fn entry_mut(&mut self, number: u32) -> &mut Entry {
        self.entries[number as usize].as_mut().expect("numbers in use have an entry")
    }

    fn branch(&self, at: At) -> Branch {
        match at {
            At::Root => self.root,
            At::Under(inner, side) => self.inners[inner as usize].children[side],
        }
    }

    fn set(&mut self, at: At, branch: Branch) {
        match at {
            At::Root => self.root = branch,
            At::Under(inner, side) => self.inners[inner as usize].children[side] = branch,
        }
    }

    fn hang(&mut self, number: u32, place: u32) {
        let (mut at, mut depth) = (At::Root, 0);
        loop {
            match self.branch(at) {
                Branch::Empty => return self.set(at, Branch::Leaf(number)),
                Branch::Leaf(other) if self.entry(other).place == place => {
                    self.entry_mut(number).next = Some(other);
                    return self.set(at, Branch::Leaf(number));
                }
                Branch::Leaf(other) => {
                    let mut children = [Branch::Empty; 2];
                    children[bit(self.entry(other).place, depth)] = Branch::Leaf(other);
                    let inner = self.new_inner(Inner { children, hashes: [None; 2] });
                    self.set(at, Branch::Inner(inner));
                }
                Branch::Inner(inner) => {
                    self.inners[inner as usize].hashes = [None; 2];
                    at = At::Under(inner, bit(place, depth));
                    depth += 1;
                }
            }
        }
    }

    fn new_inner(&mut self, inner: Inner) -> u32 {
        if let Some(number) = self.free_inners.pop() {
            self.inners[number as usize] = inner;
            return number;
        }
        self.inners.push(inner);
        u32::try_from(self.inners.len() - 1).expect("fewer inner nodes than there are numbers")
    }

    fn take_down(&mut self, number: u32, place: u32) {
        let (mut at, mut path) = (At::Root, Vec::with_capacity(32));
        while let Branch::Inner(inner) = self.branch(at) {
            self.inners[inner as usize].hashes = [None; 2];
            path.push(at);
            at = At::Under(inner, bit(place, path.len() as u32 - 1));
        }
        let Branch::Leaf(first) = self.branch(at) else { return };
        let next = self.entry(number).next;
        if first == number {
            self.set(at, next.map_or(Branch::Empty, Branch::Leaf));
        } else {
            let mut before = first;
            while self.entry(before).next.is_some_and(|next| next != number) {
                before = self.entry(before).next.expect("looked at before");
            }
            self.entry_mut(before).next = next;
            self.entry_mut(first).hashes = [None; 2];
        }
        if let Branch::Leaf(first) = self.branch(at) {
            self.entry_mut(first).hashes = [None; 2];
        }
        while let Some(at) = path.pop() {
            let Branch::Inner(inner) = self.branch(at) else { return };
            let up = match self.inners[inner as usize].children {
                [Branch::Empty, Branch::Empty] => Branch::Empty,
                [leaf @ Branch::Leaf(_), Branch::Empty] | [Branch::Empty, leaf @ Branch::Leaf(_)] => leaf,
                _ => return,
            };
            self.free_inners.push(inner);
            self.set(at, up);
        }
    }

    fn forget_hashes(&mut self, place: u32) {
        let (mut branch, mut depth) = (self.root, 0);
        while let Branch::Inner(inner) = branch {
            let inner = &mut self.inners[inner as usize];
            inner.hashes = [None; 2];
            branch = inner.children[bit(place, depth)];
            depth += 1;
        }
        if let Branch::Leaf(first) = branch {
            self.entry_mut(first).hashes = [None; 2];
        }
    }

    /// Makes the hashes that are missing.
    pub(crate) fn update_hashes(&mut self, replicas: &Replicas) {
        self.update_some_hashes(replicas, usize::MAX);
    }

    /// Makes the missing hashes of at most so many leaves; whether none is missing now.
    pub(crate) fn update_some_hashes(&mut self, replicas: &Replicas, mut leaves: usize) -> bool {
        let [hash, _] = self.update_branch(self.root, replicas, &mut leaves);
        hash.is_some() || self.root == Branch::Empty
    }

    /// Recursion goes no deeper than a place has bits. Without leaves to spare the hash stays missing.
    fn update_branch(&mut self, branch: Branch, replicas: &Replicas, leaves: &mut usize) -> [Option<u32>; 2] {
        match branch {
            Branch::Empty => [None; 2],
            Branch::Leaf(first) => {
                if self.entry(first).hashes[0].is_none() && *leaves > 0 {
                    *leaves -= 1;
                    let hashes = hash::leaf(self.leaf(first), replicas).map(Some);
                    self.entry_mut(first).hashes = hashes;
                }
                self.entry(first).hashes
            }
            Branch::Inner(number) => {
                let Inner { children: [left, right], hashes } = self.inners[number as usize];
                if hashes[0].is_some() {
                    return hashes;
                }
                let sides = [left, right].map(|side| (side, self.update_branch(side, replicas, leaves)));
                if sides.iter().any(|(side, hashes)| *side != Branch::Empty && hashes[0].is_none()) {
                    return [None; 2];
                }
                let [(_, left), (_, right)] = sides;
                let hashes = [0, 1].map(|flavour| Some(hash::inner(left[flavour], right[flavour])));
                self.inners[number as usize].hashes = hashes;
                hashes
            }
        }
    }

    /// The hash of everything, if there is anything; hashes were updated before.
    pub(crate) fn root_hash(&self, flavour: Flavour) -> Option<u32> {
        self.hash_of(self.root, flavour)
    }

    pub(super) fn hash_of(&self, branch: Branch, flavour: Flavour) -> Option<u32> {
        match branch {
            Branch::Empty => None,
            Branch::Leaf(first) => self.entry(first).hashes[flavour.column()],
            Branch::Inner(inner) => self.inners[inner as usize].hashes[flavour.column()],
        }
    }

    pub(super) fn children(&self, inner: u32) -> [Branch; 2] {
        self.inners[inner as usize].children
    }

    pub(super) fn place(&self, leaf: u32) -> u32 {
        self.entry(leaf).place
    }

    /// The keys of a leaf.
    pub(super) fn leaf(&self, first: u32) -> impl Iterator<Item = (&Term, &Elements)> {
        std::iter::successors(Some(self.entry(first)), |entry| entry.next.map(|next| self.entry(next)))
            .map(|entry| (&entry.key, &entry.elements))
    }

    /// The branch at a place, or the leaf or nothing that is met on the way.
    pub(super) fn at(&self, loc: Loc) -> Branch {
        let (mut branch, mut depth) = (self.root, 0);
        while let Branch::Inner(inner) = branch {
            if depth == loc.len() {
                break;
            }
            branch = self.children(inner)[bit(loc.bits(), depth)];
            depth += 1;
        }
        branch
    }
}

/// The side of an inner node at this depth under which a place lies.
pub(super) fn side(place: u32, depth: u32) -> usize {
    bit(place, depth)
}

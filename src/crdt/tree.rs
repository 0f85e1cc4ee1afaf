//! Trees as they travel: cuts of a replica's Merkle tree, and continuations of several of them.

use super::hash;
use crate::term::{Binary, BitString, Map, Term};

/// The way from the root to a branch: bits, 0 is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Loc {
    bits: u32,
    len: u32,
}

impl Loc {
    pub(crate) const ROOT: Self = Self { bits: 0, len: 0 };

    pub(crate) fn bits(self) -> u32 {
        self.bits
    }

    pub(crate) fn len(self) -> u32 {
        self.len
    }

    /// One step further down.
    pub(crate) fn child(self, side: usize) -> Self {
        let bit = if side == 0 { 0 } else { (1 << 31) >> self.len.min(31) };
        Self { bits: self.bits | bit, len: (self.len + 1).min(32) }
    }

    pub(crate) fn term(self) -> Term {
        let bytes = self.bits.to_be_bytes();
        let bytes = Binary::copied(&bytes[..self.len.div_ceil(8) as usize]);
        match self.len % 8 {
            0 => Term::Binary(bytes),
            odd => BitString::new(bytes, odd as u8).expect("fewer bits than a byte has").into(),
        }
    }

    pub(crate) fn from_term(term: &Term) -> Option<Self> {
        let (bytes, len) = match term {
            Term::Binary(bytes) => (bytes, bytes.len() * 8),
            Term::BitString(bits) => (bits.bytes(), bits.bit_len()),
            _ => return None,
        };
        if len > 32 {
            return None;
        }
        let mut padded = [0; 4];
        padded.iter_mut().zip(bytes.iter()).for_each(|(to, byte)| *to = *byte);
        let kept = u32::try_from((u64::from(u32::MAX) << (32 - len)) & u64::from(u32::MAX)).ok()?;
        Some(Self { bits: u32::from_be_bytes(padded) & kept, len: u32::try_from(len).ok()? })
    }
}

/// A cut of a tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Empty,
    Leaf {
        hash: Option<u32>,
        place: u32,
        /// Each key with its `%{element => MapSet}`.
        contents: Map,
    },
    Inner {
        hash: Option<u32>,
        sides: Box<[Self; 2]>,
    },
    /// There is more here.
    Partial(Loc),
}

impl Tree {
    pub(crate) fn term(&self) -> Term {
        match self {
            Self::Empty => Term::nil(),
            Self::Leaf { hash, place, contents } => {
                let leaf = Term::tuple([hash::term(Some(*place)), Term::Map(contents.clone())]);
                Term::tuple([hash::term(*hash), leaf])
            }
            Self::Inner { hash, sides } => Term::tuple([hash::term(*hash), sides[0].term(), sides[1].term()]),
            Self::Partial(loc) => Term::tuple([Term::atom("partial"), loc.term()]),
        }
    }

    /// Reads one; `None` if it is none, or deeper than a place has bits.
    pub(crate) fn from_term(term: &Term, depth: u32) -> Option<Self> {
        if term.as_list().is_some_and(|list| list.is_empty()) {
            return Some(Self::Empty);
        }
        Some(match term.as_tuple()? {
            [partial, loc] if partial.is_atom("partial") => Self::Partial(Loc::from_term(loc)?),
            [hash, leaf] => {
                let [place, contents] = leaf.as_tuple()? else { return None };
                Self::Leaf { hash: hash_of(hash)?, place: hash_of(place)??, contents: contents.as_map()?.clone() }
            }
            [hash, left, right] if depth < 32 => Self::Inner {
                hash: hash_of(hash)?,
                sides: Box::new([Self::from_term(left, depth + 1)?, Self::from_term(right, depth + 1)?]),
            },
            _ => return None,
        })
    }

    /// The hash of its root.
    pub(crate) fn hash(&self) -> Option<u32> {
        match self {
            Self::Leaf { hash, .. } | Self::Inner { hash, .. } => *hash,
            Self::Empty | Self::Partial(_) => None,
        }
    }
}

#[expect(clippy::option_option, reason = "an empty hash is one")]
fn hash_of(term: &Term) -> Option<Option<u32>> {
    if term.as_list().is_some_and(|list| list.is_empty()) {
        return Some(None);
    }
    let bytes: [u8; 4] = term.as_binary()?.as_ref().try_into().ok()?;
    Some(Some(u32::from_be_bytes(bytes)))
}

/// A comparison under way: keys that differ, and the cuts that are to be compared next.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Continuation {
    pub(crate) keys: Vec<Term>,
    pub(crate) trees: Vec<(Loc, Tree)>,
}

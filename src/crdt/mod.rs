//! A replicated map as data: `DeltaCrdt.AWLWWMap`, its Merkle tree, and the dialogues that keep replicas equal.
//!
//! Adds win over concurrent removes; of concurrent adds the latest is read. Every write makes a *dot*, a replica and a
//! counter; a *context* says which dots a replica has seen, so that what it lacks was removed. Replicas compare the
//! hashes of their trees from the root down, and send each other what differs. Nothing here knows a socket, a clock or
//! chance: the process around it (`delta_crdt`) brings them.

mod dialogues;
mod diff;
mod dots;
mod elements;
mod hash;
mod merkle;
mod neighbours;
mod replica;
mod stamps;
mod state;
mod tree;

#[cfg(test)]
pub(crate) use self::diff::{Step, View};
pub(crate) use self::dots::{Claim, Context, Dot, Rank, Replicas};
pub(crate) use self::elements::{Element, Elements, Stamp};
pub(crate) use self::hash::Flavour;
pub(crate) use self::hash::{dot_term, map, map_set, value_term};
pub(crate) use self::neighbours::node_of;
pub(crate) use self::replica::{Data, Diff, Message, Outgoing, Replica, Settings, is_partial};
pub(crate) use self::state::{Change, State};
pub(crate) use self::tree::{Continuation, Loc, Tree};

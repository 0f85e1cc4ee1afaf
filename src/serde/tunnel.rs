//! How terms themselves pass through serde unchanged.
//!
//! Serde knows no pids and no difference between atoms and strings. So our value types announce
//! themselves as a newtype struct of a private name; our own serializer and deserializer know the
//! name and hand the value over beside serde, through a slot of the thread that one side fills
//! immediately before the other empties it. Other formats see a plain structure.

use std::cell::Cell;

use serde::ser::{Serialize, Serializer};

use super::error::Error;
use crate::etf::encode::Output;
use crate::etf::{EncodeError, Encoded};
use crate::term::Term;

/// Announces a [`Term`] or one of its parts.
pub(super) const TERM: &str = "$tiebeam::Term";

/// Announces an [`Encoded`] term.
pub(super) const ENCODED: &str = "$tiebeam::Encoded";

/// In front of the bytes of a term that a format between (`#[serde(untagged)]`) has to keep.
pub(super) const KEPT: &[u8] = b"\x83$tiebeam::Term\x83";

thread_local! {
    static SLOT: Cell<Slot> = const { Cell::new(Slot::Empty) };
}

enum Slot {
    Empty,
    /// Our serializer asks the value to put itself here.
    Wanted,
    Full(Passed),
}

/// A value handed over beside serde.
pub(super) enum Passed {
    Term(Term),
    Encoded(Encoded),
}

impl Passed {
    pub(super) fn write(self, out: &mut Output) -> Result<(), EncodeError> {
        match self {
            Self::Term(term) => out.term(&term),
            Self::Encoded(encoded) => {
                out.encoded(&encoded);
                Ok(())
            }
        }
    }
}

/// Asks the value that is serialized next to hand itself over, and to serialize as a unit then.
pub(super) fn want() {
    SLOT.set(Slot::Wanted);
}

/// Hands a value to a visitor, whose `visit_unit` takes it by [`received`].
pub(super) fn hand_over<'de, V: serde::de::Visitor<'de>>(passed: Passed, visitor: V) -> Result<V::Value, Error> {
    SLOT.set(Slot::Full(passed));
    let result = visitor.visit_unit();
    SLOT.set(Slot::Empty);
    result
}

/// What was handed over, if the other side is ours.
pub(super) fn received() -> Option<Passed> {
    match SLOT.replace(Slot::Empty) {
        Slot::Full(passed) => Some(passed),
        Slot::Empty | Slot::Wanted => None,
    }
}

/// A value inside the newtype struct that announces it: hands itself over where that is asked for,
/// and serializes as `P` where another format asks.
pub(super) struct Offer<F, P> {
    pub(super) passed: F,
    pub(super) plain: P,
}

impl<F: Fn() -> Passed, P: Serialize> Serialize for Offer<F, P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match SLOT.replace(Slot::Empty) {
            Slot::Wanted => {
                SLOT.set(Slot::Full((self.passed)()));
                serializer.serialize_unit()
            }
            Slot::Empty | Slot::Full(_) => self.plain.serialize(serializer),
        }
    }
}

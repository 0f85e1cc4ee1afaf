//! Erlang's values.
//!
//! A [`Term`] is an owned tree: it can be sent between threads and costs little to clone, since
//! everything larger than a machine word or two is shared. Equality is exact, Erlang's `=:=` as of OTP 27: `1` is
//! not `1.0`, `0.0` is not `-0.0`.

pub mod atom;
mod binary;
pub(crate) mod display;
#[cfg(feature = "eetf")]
mod eetf;
mod fun;
mod id;
mod integer;
mod list;
mod macros;
mod map;
mod order;

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

pub use self::atom::{Atom, AtomError};
pub use self::binary::{Binary, BitString};
#[cfg(feature = "eetf")]
pub use self::eetf::EetfError;
pub use self::fun::{Fun, LocalFun, Record};
pub use self::id::{Creation, NodeName, NodeNameError, Pid, Port, Ref};
pub use self::integer::Integer;
pub(crate) use self::integer::{Parts, small};
pub use self::list::{Iter as ListIter, List};
pub use self::map::Map;

/// Any Erlang value.
#[derive(Clone)]
#[non_exhaustive]
pub enum Term {
    /// An integer of any size.
    Integer(Integer),
    /// A float; never infinite or NaN on a BEAM, and refused by the encoder if it is.
    Float(f64),
    /// An atom.
    Atom(Atom),
    /// A reference.
    Ref(Box<Ref>),
    /// A fun.
    Fun(Arc<Fun>),
    /// A port.
    Port(Port),
    /// A pid.
    Pid(Pid),
    /// A tuple.
    Tuple(Tuple),
    /// A native record (OTP 29).
    Record(Arc<Record>),
    /// A map.
    Map(Map),
    /// A list, proper or not, strings included.
    List(List),
    /// A binary of whole bytes.
    Binary(Binary),
    /// A bit string that ends inside a byte.
    BitString(Arc<BitString>),
    /// A term in the private format of the node that made it (`LOCAL_EXT`), kept as bytes.
    Local(Arc<Bytes>),
}

const _: () = assert!(size_of::<Term>() == 32);

/// A tuple: a shared slice of terms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tuple(Arc<[Term]>);

impl Tuple {
    /// Drains the end of a stack of terms into a tuple, in one allocation.
    pub(crate) fn from_stack(stack: &mut Vec<Term>, from: usize) -> Self {
        Self(stack.drain(from..).collect())
    }
}

impl Deref for Tuple {
    type Target = [Term];

    fn deref(&self) -> &[Term] {
        &self.0
    }
}

impl From<Vec<Term>> for Tuple {
    fn from(items: Vec<Term>) -> Self {
        Self(items.into())
    }
}

impl<const N: usize> From<[Term; N]> for Tuple {
    fn from(items: [Term; N]) -> Self {
        Self(Arc::new(items))
    }
}

impl FromIterator<Term> for Tuple {
    fn from_iter<I: IntoIterator<Item = Term>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl Term {
    /// The atom of a text that the program chose; see [`Atom::new`] for its panics.
    #[must_use]
    pub fn atom(text: &str) -> Self {
        Self::Atom(Atom::new(text))
    }

    /// `[]`.
    #[must_use]
    pub const fn nil() -> Self {
        Self::List(List::nil())
    }

    /// A tuple of these elements.
    #[must_use]
    pub fn tuple(items: impl Into<Tuple>) -> Self {
        Self::Tuple(items.into())
    }

    /// A proper list of these elements.
    #[must_use]
    pub fn list(items: impl Into<List>) -> Self {
        Self::List(items.into())
    }

    /// A binary that copies these bytes.
    #[must_use]
    pub fn binary(bytes: impl AsRef<[u8]>) -> Self {
        Self::Binary(Binary::copied(bytes.as_ref()))
    }

    /// The atom, if it is one.
    #[must_use]
    pub fn as_atom(&self) -> Option<Atom> {
        if let Self::Atom(atom) = self { Some(*atom) } else { None }
    }

    /// Whether it is the atom of this text.
    #[must_use]
    pub fn is_atom(&self, text: &str) -> bool {
        matches!(self, Self::Atom(atom) if atom == text)
    }

    /// The integer, if it is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Integer(integer) = self { integer.to_i64() } else { None }
    }

    /// The float, if it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Float(float) = self { Some(*float) } else { None }
    }

    /// The boolean, if it is one of the atoms `true` and `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.as_atom()?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The pid, if it is one.
    #[must_use]
    pub fn as_pid(&self) -> Option<Pid> {
        if let Self::Pid(pid) = self { Some(*pid) } else { None }
    }

    /// The reference, if it is one.
    #[must_use]
    pub fn as_ref(&self) -> Option<Ref> {
        if let Self::Ref(reference) = self { Some(**reference) } else { None }
    }

    /// The elements, if it is a tuple.
    #[must_use]
    pub fn as_tuple(&self) -> Option<&[Self]> {
        if let Self::Tuple(tuple) = self { Some(tuple) } else { None }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn as_list(&self) -> Option<&List> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The elements of a proper list, a string's included; `None` for anything else.
    #[must_use]
    pub fn list_items(&self) -> Option<Vec<Self>> {
        let list = self.as_list().filter(|list| list.is_proper())?;
        Some(list.iter().map(Cow::into_owned).collect())
    }

    /// The map, if it is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The binary, if it is one of whole bytes.
    #[must_use]
    pub fn as_binary(&self) -> Option<&Binary> {
        if let Self::Binary(binary) = self { Some(binary) } else { None }
    }

    /// The text of an Elixir string: a binary that is UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.as_binary()?.as_str()
    }
}

impl Default for Term {
    /// `[]`, Erlang's nothing.
    fn default() -> Self {
        Self::nil()
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Atom(a), Self::Atom(b)) => a == b,
            (Self::Ref(a), Self::Ref(b)) => a == b,
            (Self::Fun(a), Self::Fun(b)) => a == b,
            (Self::Port(a), Self::Port(b)) => a == b,
            (Self::Pid(a), Self::Pid(b)) => a == b,
            (Self::Tuple(a), Self::Tuple(b)) => a == b,
            (Self::Record(a), Self::Record(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Binary(a), Self::Binary(b)) => a == b,
            (Self::BitString(a), Self::BitString(b)) => a == b,
            (Self::Local(a), Self::Local(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Term {}

impl Hash for Term {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Integer(integer) => integer.hash(state),
            Self::Float(float) => float.to_bits().hash(state),
            Self::Atom(atom) => atom.hash(state),
            Self::Ref(reference) => reference.hash(state),
            Self::Fun(fun) => fun.hash(state),
            Self::Port(port) => port.hash(state),
            Self::Pid(pid) => pid.hash(state),
            Self::Tuple(tuple) => tuple.hash(state),
            Self::Record(record) => record.hash(state),
            Self::Map(map) => map.hash(state),
            Self::List(list) => list.hash(state),
            Self::Binary(binary) => binary.hash(state),
            Self::BitString(bits) => bits.hash(state),
            Self::Local(bytes) => bytes.hash(state),
        }
    }
}

macro_rules! from_integer {
    ($($int:ty),*) => {
        $(impl From<$int> for Term {
            fn from(value: $int) -> Self {
                Self::Integer(value.into())
            }
        })*
    };
}

from_integer!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, num_bigint::BigInt, Integer);

macro_rules! from_variant {
    ($($from:ty => |$value:ident| $to:expr),* $(,)?) => {
        $(impl From<$from> for Term {
            fn from($value: $from) -> Self {
                $to
            }
        })*
    };
}

from_variant! {
    f64 => |float| Self::Float(float),
    bool => |value| Self::Atom(value.into()),
    Atom => |atom| Self::Atom(atom),
    NodeName => |name| Self::Atom(name.atom()),
    Ref => |reference| Self::Ref(Box::new(reference)),
    Port => |port| Self::Port(port),
    Pid => |pid| Self::Pid(pid),
    Fun => |fun| Self::Fun(Arc::new(fun)),
    Tuple => |tuple| Self::Tuple(tuple),
    Map => |map| Self::Map(map),
    List => |list| Self::List(list),
    Binary => |binary| Self::Binary(binary),
    Bytes => |bytes| Self::Binary(bytes.into()),
    &str => |text| Self::Binary(text.into()),
    String => |text| Self::Binary(text.into()),
    Vec<Self> => |items| Self::List(items.into()),
    BitString => |bits| Self::BitString(Arc::new(bits)),
}

impl std::fmt::Debug for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer:?}"),
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Atom(atom) => write!(f, "'{}'", atom.as_str()),
            Self::Ref(reference) => write!(f, "{reference:?}"),
            Self::Fun(fun) => write!(f, "{fun:?}"),
            Self::Port(port) => write!(f, "{port:?}"),
            Self::Pid(pid) => write!(f, "{pid:?}"),
            Self::Tuple(tuple) => write!(f, "{:?}", &**tuple),
            Self::Record(record) => write!(f, "{record:?}"),
            Self::Map(map) => write!(f, "{map:?}"),
            Self::List(list) => write!(f, "{list:?}"),
            Self::Binary(binary) => write!(f, "{binary:?}"),
            Self::BitString(bits) => write!(f, "{bits:?}"),
            Self::Local(bytes) => write!(f, "LOCAL_EXT({} bytes)", bytes.len()),
        }
    }
}

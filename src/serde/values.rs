//! Terms and their parts inside the user's own types.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{self, Serialize, SerializeMap, Serializer};

use super::tunnel::{self, ENCODED, KEPT, Offer, Passed, TERM};
use crate::etf::{Encoded, decode};
use crate::term::{Atom, Binary, BitString, Fun, Integer, List, Map, NodeName, Pid, Port, Ref, Term, Tuple};

impl Serialize for Term {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let offer = Offer { passed: || Passed::Term(self.clone()), plain: Plain(self) };
        serializer.serialize_newtype_struct(TERM, &offer)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TERM, TermVisitor)
    }
}

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let offer = Offer { passed: || Passed::Encoded(self.clone()), plain: PlainEncoded(self) };
        serializer.serialize_newtype_struct(ENCODED, &offer)
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ENCODED, EncodedVisitor)
    }
}

/// A part of a term that stands for itself in the user's types.
trait Part: Sized + Clone + Into<Term> {
    const NAME: &'static str;

    fn of(term: Term) -> Option<Self>;
}

macro_rules! parts {
    ($($part:ty, $name:literal: |$term:ident| $of:expr;)*) => {
        $(
            impl Part for $part {
                const NAME: &'static str = $name;

                fn of($term: Term) -> Option<Self> {
                    $of
                }
            }

            impl Serialize for $part {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    Term::from(self.clone()).serialize(serializer)
                }
            }

            impl<'de> Deserialize<'de> for $part {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_newtype_struct(TERM, PartVisitor(PhantomData))
                }
            }
        )*
    };
}

parts! {
    Atom, "an atom": |term| match term {
        Term::Atom(atom) => Some(atom),
        // Formats without atoms have strings.
        other => Self::try_new(other.as_text()?).ok(),
    };
    NodeName, "the name of a node": |term| Self::new(term.as_atom().map_or_else(|| term.as_text(), |a| Some(a.as_str()))?).ok();
    Pid, "a pid": |term| term.as_pid();
    Port, "a port": |term| if let Term::Port(port) = term { Some(port) } else { None };
    Ref, "a reference": |term| term.as_ref();
    Integer, "an integer": |term| if let Term::Integer(integer) = term { Some(integer) } else { None };
    Binary, "a binary": |term| if let Term::Binary(binary) = term { Some(binary) } else { None };
    BitString, "a bit string": |term| if let Term::BitString(bits) = term { Some((*bits).clone()) } else { None };
    Tuple, "a tuple": |term| if let Term::Tuple(tuple) = term { Some(tuple) } else { None };
    List, "a list": |term| if let Term::List(list) = term { Some(list) } else { None };
    Map, "a map": |term| if let Term::Map(map) = term { Some(map) } else { None };
    Fun, "a fun": |term| if let Term::Fun(fun) = term { Some((*fun).clone()) } else { None };
}

struct PartVisitor<P>(PhantomData<P>);

impl<P: Part> PartVisitor<P> {
    fn part<E: de::Error>(term: Term) -> Result<P, E> {
        P::of(term).ok_or_else(|| E::custom(format_args!("expected {}", P::NAME)))
    }

    fn visited<E: de::Error>(visit: impl FnOnce(TermVisitor) -> Result<Term, E>) -> Result<P, E> {
        visit(TermVisitor).and_then(Self::part)
    }
}

macro_rules! visit_through_term {
    ($($method:ident($value:ty);)*) => {
        $(fn $method<E: de::Error>(self, value: $value) -> Result<P, E> {
            Self::visited(|visitor| visitor.$method(value))
        })*
    };
}

impl<'de, P: Part> Visitor<'de> for PartVisitor<P> {
    type Value = P;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(P::NAME)
    }

    visit_through_term! {
        visit_bool(bool);
        visit_i64(i64);
        visit_i128(i128);
        visit_u64(u64);
        visit_u128(u128);
        visit_f64(f64);
        visit_str(&str);
        visit_bytes(&[u8]);
    }

    fn visit_unit<E: de::Error>(self) -> Result<P, E> {
        Self::visited(TermVisitor::visit_unit)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<P, D::Error> {
        Self::visited(|visitor| visitor.visit_newtype_struct(deserializer))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<P, A::Error> {
        Self::visited(|visitor| visitor.visit_seq(seq))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<P, A::Error> {
        Self::visited(|visitor| visitor.visit_map(map))
    }
}

/// Takes the term handed over by our deserializer, or makes the nearest one of what another format has.
struct TermVisitor;

impl<'de> Visitor<'de> for TermVisitor {
    type Value = Term;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a term")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Term, E> {
        match tunnel::received() {
            Some(Passed::Term(term)) => Ok(term),
            Some(Passed::Encoded(encoded)) => encoded.term().map_err(E::custom),
            None => Ok(Term::atom("nil")),
        }
    }

    fn visit_none<E: de::Error>(self) -> Result<Term, E> {
        Ok(Term::atom("nil"))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Term, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Term, E> {
        let Some(kept) = value.strip_prefix(KEPT) else { return Ok(Term::binary(value)) };
        let bytes = Bytes::from([&[crate::etf::tag::VERSION], kept].concat());
        decode(&bytes).map_err(E::custom)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Term, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Term, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Term>()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Term, A::Error> {
        let mut pairs = Map::new();
        while let Some((key, value)) = map.next_entry::<Term, Term>()? {
            pairs.insert(key, value);
        }
        Ok(pairs.into())
    }
}

struct EncodedVisitor;

impl EncodedVisitor {
    fn encoded<E: de::Error>(term: &Term) -> Result<Encoded, E> {
        Encoded::new(term).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for EncodedVisitor {
    type Value = Encoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a term")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Encoded, E> {
        match tunnel::received() {
            Some(Passed::Encoded(encoded)) => Ok(encoded),
            Some(Passed::Term(term)) => Self::encoded(&term),
            None => Self::encoded(&Term::atom("nil")),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Encoded, D::Error> {
        deserializer.deserialize_any(TermVisitor).and_then(|term| Self::encoded(&term))
    }
}

/// A term in a format that has no terms: as near as that comes, identifiers as text.
struct Plain<'t>(&'t Term);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Term::Integer(value) => match (value.to_i64(), value.to_u64()) {
                (Some(value), _) => serializer.serialize_i64(value),
                (None, Some(value)) => serializer.serialize_u64(value),
                (None, None) => serializer.collect_str(value),
            },
            Term::Float(value) => serializer.serialize_f64(*value),
            Term::Atom(atom) => match atom.as_str() {
                "true" => serializer.serialize_bool(true),
                "false" => serializer.serialize_bool(false),
                "nil" => serializer.serialize_unit(),
                text => serializer.serialize_str(text),
            },
            Term::Binary(binary) => match binary.as_str() {
                Some(text) => serializer.serialize_str(text),
                None => serializer.serialize_bytes(binary),
            },
            Term::Tuple(items) => serializer.collect_seq(items.iter().map(Plain)),
            Term::List(list) => {
                let items: Vec<Term> = list.iter().map(|item| item.into_owned()).chain(list.tail().cloned()).collect();
                serializer.collect_seq(items.iter().map(Plain))
            }
            Term::Map(map) => {
                let mut pairs = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map.iter() {
                    pairs.serialize_entry(&Plain(key), &Plain(value))?;
                }
                pairs.end()
            }
            Term::Pid(_)
            | Term::Port(_)
            | Term::Ref(_)
            | Term::Fun(_)
            | Term::Record(_)
            | Term::BitString(_)
            | Term::Local(_) => serializer.collect_str(&format_args!("{:?}", self.0)),
        }
    }
}

struct PlainEncoded<'t>(&'t Encoded);

impl Serialize for PlainEncoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let term = self.0.term().map_err(<S::Error as ser::Error>::custom)?;
        Plain(&term).serialize(serializer)
    }
}

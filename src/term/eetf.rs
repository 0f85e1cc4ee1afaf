//! To and from the terms of the `eetf` crate, for programs that have those already.
//!
//! Nothing is lost on the way or it is an error: `eetf` has no native records and no terms in a
//! node's private format, takes `0.0` and `-0.0` for one key of a map, and keeps funs of a form that
//! BEAMs refuse. A list of bytes comes as `ByteList`, as `eetf` decodes it.

use std::borrow::Cow;
use std::collections::HashMap;

use ::eetf::{self as other, InternalFun, Term as Other};

use super::{Atom, AtomError, BitString, Creation, Fun, Integer, List, LocalFun, Map, Pid, Port, Ref, Term, Tuple};

/// A term that the other side has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EetfError {
    /// `eetf` has no such kind of term.
    #[error("eetf has no {0}")]
    NotInEetf(&'static str),
    /// No BEAM has such a term.
    #[error("no BEAM has {0}")]
    NotInErlang(&'static str),
    /// Two keys of a map are one on the other side.
    #[error("two keys of a map become one")]
    Keys,
    /// A name that is no atom.
    #[error(transparent)]
    Atom(#[from] AtomError),
}

impl TryFrom<&Term> for Other {
    type Error = EetfError;

    fn try_from(term: &Term) -> Result<Self, EetfError> {
        Ok(match term {
            Term::Integer(integer) => integer_to(integer),
            Term::Float(value) if value.is_finite() => other::Float { value: *value }.into(),
            Term::Float(_) => return Err(EetfError::NotInErlang("such a float")),
            Term::Atom(atom) => atom_to(*atom).into(),
            Term::Pid(pid) => pid_to(pid).into(),
            Term::Port(Port { node, creation, id }) => {
                other::Port { node: atom_to(*node), id: *id, creation: creation.0 }.into()
            }
            Term::Ref(reference) => {
                let (node, id) = (atom_to(reference.node), reference.words().to_vec());
                other::Reference { node, id, creation: reference.creation.0 }.into()
            }
            Term::Fun(fun) => fun_to(fun)?,
            Term::Tuple(items) => other::Tuple { elements: terms_to(items)? }.into(),
            Term::Map(map) => map_to(map)?,
            Term::List(list) => list_to(list)?,
            Term::Binary(binary) => other::Binary { bytes: binary.to_vec() }.into(),
            Term::BitString(bits) => {
                other::BitBinary { bytes: bits.bytes().to_vec(), tail_bits_size: bits.last_bits() }.into()
            }
            Term::Record(_) => return Err(EetfError::NotInEetf("native records")),
            Term::Local(_) => return Err(EetfError::NotInEetf("terms in a node's private format")),
        })
    }
}

impl TryFrom<Term> for Other {
    type Error = EetfError;

    fn try_from(term: Term) -> Result<Self, EetfError> {
        Self::try_from(&term)
    }
}

impl TryFrom<&Other> for Term {
    type Error = EetfError;

    fn try_from(term: &Other) -> Result<Self, EetfError> {
        Ok(match term {
            Other::Atom(atom) => Self::Atom(atom_of(atom)?),
            Other::FixInteger(integer) => integer.value.into(),
            Other::BigInteger(integer) => integer.value.clone().into(),
            Other::Float(float) => float.value.into(),
            Other::Pid(pid) => pid_of(pid)?.into(),
            Other::Port(port) => {
                Port { node: atom_of(&port.node)?, id: port.id, creation: Creation(port.creation) }.into()
            }
            Other::Reference(reference) => {
                let made = Ref::new(atom_of(&reference.node)?, Creation(reference.creation), &reference.id);
                made.ok_or(EetfError::NotInErlang("a reference of so many words"))?.into()
            }
            Other::ExternalFun(fun) => {
                let (module, function) = (atom_of(&fun.module)?, atom_of(&fun.function)?);
                Fun::Export { module, function, arity: fun.arity }.into()
            }
            Other::InternalFun(fun) => fun_of(fun)?,
            Other::Binary(binary) => Self::Binary(binary.bytes.clone().into()),
            Other::BitBinary(bits) => bits_of(bits)?,
            Other::ByteList(list) => List::from(&list.bytes[..]).into(),
            Other::List(list) => terms_of(&list.elements)?.into(),
            Other::ImproperList(list) => List::improper(terms_of(&list.elements)?, Self::try_from(&*list.last)?),
            Other::Tuple(tuple) => Tuple::from(terms_of(&tuple.elements)?).into(),
            Other::Map(map) => map_of(&map.map)?,
        })
    }
}

impl TryFrom<Other> for Term {
    type Error = EetfError;

    fn try_from(term: Other) -> Result<Self, EetfError> {
        Self::try_from(&term)
    }
}

fn terms_to(terms: &[Term]) -> Result<Vec<Other>, EetfError> {
    terms.iter().map(Other::try_from).collect()
}

fn terms_of(terms: &[Other]) -> Result<Vec<Term>, EetfError> {
    terms.iter().map(Term::try_from).collect()
}

fn atom_to(atom: Atom) -> other::Atom {
    other::Atom { name: atom.as_str().to_owned() }
}

fn atom_of(atom: &other::Atom) -> Result<Atom, EetfError> {
    Ok(Atom::try_new(&atom.name)?)
}

fn integer_to(integer: &Integer) -> Other {
    match integer.to_i64().and_then(|small| i32::try_from(small).ok()) {
        Some(value) => other::FixInteger { value }.into(),
        None => other::BigInteger { value: integer.to_big() }.into(),
    }
}

fn pid_to(pid: &Pid) -> other::Pid {
    other::Pid { node: atom_to(pid.node), id: pid.id, serial: pid.serial, creation: pid.creation.0 }
}

fn pid_of(pid: &other::Pid) -> Result<Pid, EetfError> {
    let (id, serial) = (pid.id, pid.serial);
    Ok(Pid { node: atom_of(&pid.node)?, id, serial, creation: Creation(pid.creation) })
}

fn list_to(list: &List) -> Result<Other, EetfError> {
    if let Some(bytes) = list.as_bytes() {
        return Ok(other::ByteList { bytes: bytes.to_vec() }.into());
    }
    let elements = list.iter().map(|item| Other::try_from(Cow::as_ref(&item))).collect::<Result<_, _>>()?;
    Ok(match list.tail() {
        Some(tail) => other::ImproperList { elements, last: Box::new(Other::try_from(tail)?) }.into(),
        None => other::List { elements }.into(),
    })
}

fn map_to(map: &Map) -> Result<Other, EetfError> {
    let mut made = HashMap::with_capacity(map.len());
    for (key, value) in map.iter() {
        if made.insert(Other::try_from(key)?, Other::try_from(value)?).is_some() {
            return Err(EetfError::Keys);
        }
    }
    Ok(other::Map { map: made }.into())
}

fn map_of(map: &HashMap<Other, Other>) -> Result<Term, EetfError> {
    let pair = |(key, value)| Ok((Term::try_from(key)?, Term::try_from(value)?));
    let pairs = map.iter().map(pair).collect::<Result<_, EetfError>>()?;
    Map::try_from_pairs(pairs).map(Term::Map).ok_or(EetfError::Keys)
}

fn bits_of(bits: &other::BitBinary) -> Result<Term, EetfError> {
    if bits.tail_bits_size == 8 || bits.bytes.is_empty() && bits.tail_bits_size == 0 {
        return Ok(Term::Binary(bits.bytes.clone().into()));
    }
    let made = BitString::new(bits.bytes.clone().into(), bits.tail_bits_size);
    made.map(Term::from).ok_or(EetfError::NotInErlang("such a bit string"))
}

fn fun_to(fun: &Fun) -> Result<Other, EetfError> {
    let small = |integer: &Integer| {
        let small = integer.to_i64().and_then(|small| i32::try_from(small).ok());
        small.ok_or(EetfError::NotInEetf("funs with such large numbers"))
    };
    Ok(match fun {
        Fun::Export { module, function, arity } => {
            other::ExternalFun { module: atom_to(*module), function: atom_to(*function), arity: *arity }.into()
        }
        Fun::Local(fun) => InternalFun::New {
            module: atom_to(fun.module),
            arity: fun.arity,
            pid: pid_to(&fun.pid),
            free_vars: terms_to(&fun.free)?,
            index: fun.index,
            uniq: fun.uniq,
            old_index: small(&fun.old_index)?,
            old_uniq: small(&fun.old_uniq)?,
        }
        .into(),
    })
}

fn fun_of(fun: &InternalFun) -> Result<Term, EetfError> {
    let InternalFun::New { module, arity, pid, free_vars, index, uniq, old_index, old_uniq } = fun else {
        return Err(EetfError::NotInErlang("funs of this form since OTP 23"));
    };
    let fun = LocalFun {
        arity: *arity,
        uniq: *uniq,
        index: *index,
        module: atom_of(module)?,
        old_index: Integer::from(*old_index),
        old_uniq: Integer::from(*old_uniq),
        pid: pid_of(pid)?,
        free: terms_of(free_vars)?.into(),
    };
    Ok(Fun::Local(Box::new(fun)).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etf::arbitrary::terms;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn terms_survive_the_way_there_and_back(term in terms()) {
            match Other::try_from(&term) {
                Ok(there) => prop_assert_eq!(Term::try_from(&there), Ok(term)),
                Err(EetfError::NotInEetf(_) | EetfError::Keys) => {}
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }

    #[test]
    fn what_has_no_place_on_the_other_side_is_an_error() {
        let zeros = Map::try_from_pairs(vec![(Term::from(0.0), Term::nil()), (Term::from(-0.0), Term::nil())]);
        assert_eq!(Other::try_from(Term::from(zeros.unwrap())), Err(EetfError::Keys));
        let nil = || Other::from(other::List { elements: vec![] });
        let one = other::BigInteger { value: 1.into() };
        let ones = HashMap::from([(Other::from(one), nil()), (other::FixInteger { value: 1 }.into(), nil())]);
        assert_eq!(Term::try_from(Other::from(other::Map { map: ones })), Err(EetfError::Keys));
        let wordless = other::Reference { node: "a@h".into(), id: vec![], creation: 0 };
        assert!(matches!(Term::try_from(Other::from(wordless)), Err(EetfError::NotInErlang(_))));
        let long = other::Atom { name: "a".repeat(256) };
        assert_eq!(Term::try_from(Other::from(long)), Err(EetfError::Atom(AtomError::TooLong)));
    }
}

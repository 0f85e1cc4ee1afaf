//! Random terms, for the tests of all that handles terms.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::term::{
    Atom, BitString, Creation, Fun, Integer, List, LocalFun, Map, NodeName, Pid, Port, Record, Ref, Term, Tuple,
};

/// Terms of every kind but those in a node's private format, which can stand at the end alone.
pub(crate) fn terms() -> impl Strategy<Value = Term> {
    leaves().prop_recursive(5, 64, 8, containers)
}

pub(crate) fn atoms() -> impl Strategy<Value = Atom> {
    // Few, since they are kept for the life of the program; some as hard as they come.
    let texts = vec!["", "ok", "a", "b", "Elixir.Some.Module", "é", "ÿ", "€uro", "with space", "__struct__"];
    let long = ["é".repeat(255), "a".repeat(255)].map(|text| Atom::new(&text));
    prop::sample::select(texts.into_iter().map(Atom::new).chain(long).collect::<Vec<_>>())
}

fn leaves() -> impl Strategy<Value = Term> {
    prop_oneof![
        4 => any::<i64>().prop_map(Term::from),
        4 => (-300i64..300).prop_map(Term::from),
        2 => integers().prop_map(Term::from),
        2 => any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Term::from),
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, f64::MAX, f64::MIN_POSITIVE]).prop_map(Term::from),
        6 => atoms().prop_map(Term::from),
        4 => vec(any::<u8>(), 0..100).prop_map(|bytes| Term::from(Bytes::from(bytes))),
        1 => Just(Term::from(Bytes::from(vec![7; 16_384]))),
        2 => (vec(any::<u8>(), 1..20), 1u8..8).prop_map(|(bytes, bits)| bit_string(bytes, bits)),
        2 => vec(any::<u8>(), 0..50).prop_map(|bytes| List::from(&bytes[..]).into()),
        2 => pids().prop_map(Term::from),
        2 => (atoms(), any::<u64>(), any::<u32>())
            .prop_map(|(node, id, creation)| Port { node, id, creation: Creation(creation) }.into()),
        2 => (atoms(), any::<u32>(), vec(any::<u32>(), 1..=5)).prop_map(|(node, creation, words)| reference(node, creation, &words)),
        1 => (atoms(), atoms(), any::<u8>())
            .prop_map(|(module, function, arity)| Fun::Export { module, function, arity }.into()),
        1 => Just(NodeName::new("a@h").expect("a node name").into()),
    ]
}

fn containers(inner: BoxedStrategy<Term>) -> BoxedStrategy<Term> {
    let terms = |max| vec(inner.clone(), 0..max);
    prop_oneof![
        terms(8).prop_map(|items| Tuple::from(items).into()),
        terms(8).prop_map(Term::list),
        (terms(5), inner.clone()).prop_map(|(items, tail)| List::improper(items, tail)),
        vec((inner.clone(), inner.clone()), 0..40).prop_map(|pairs| pairs.into_iter().collect::<Map>().into()),
        funs(inner.clone()),
        (atoms(), atoms(), any::<bool>(), vec((atoms(), inner.clone()), 0..4))
            .prop_map(|(module, name, exported, fields)| record(module, name, exported, fields)),
        Just(Term::tuple(vec![Term::from(1); 300])),
    ]
    .boxed()
}

fn integers() -> impl Strategy<Value = Integer> {
    (any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(negative, bytes)| {
        let sign = if negative { num_bigint::Sign::Minus } else { num_bigint::Sign::Plus };
        num_bigint::BigInt::from_bytes_le(sign, &bytes).into()
    })
}

fn pids() -> impl Strategy<Value = Pid> {
    (atoms(), any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(node, id, serial, creation)| Pid {
        node,
        id,
        serial,
        creation: Creation(creation),
    })
}

fn bit_string(bytes: Vec<u8>, bits: u8) -> Term {
    BitString::new(bytes.into(), bits).expect("one to seven bits of at least one byte").into()
}

fn reference(node: Atom, creation: u32, words: &[u32]) -> Term {
    Ref::new(node, Creation(creation), words).expect("one to five words").into()
}

fn funs(inner: impl Strategy<Value = Term>) -> impl Strategy<Value = Term> {
    let numbers = (any::<u8>(), any::<[u8; 16]>(), any::<u32>(), any::<i32>(), any::<i64>());
    (numbers, atoms(), pids(), vec(inner, 0..4)).prop_map(|(numbers, module, pid, free)| {
        let (arity, uniq, index, old_index, old_uniq) = numbers;
        let (old_index, old_uniq) = (old_index.into(), old_uniq.into());
        let fun = LocalFun { arity, uniq, index, module, old_index, old_uniq, pid, free: free.into() };
        Fun::Local(Box::new(fun)).into()
    })
}

fn record(module: Atom, name: Atom, exported: bool, mut fields: Vec<(Atom, Term)>) -> Term {
    fields.sort_by_key(|(name, _)| *name);
    fields.dedup_by_key(|(name, _)| *name);
    Term::Record(Record { module, name, exported, fields: fields.into() }.into())
}

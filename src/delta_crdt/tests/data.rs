//! Content that goes past terms is the content that goes by way of them.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::crdt::{Claim, Context, Data, Dot, Element, Elements, Flavour, Message, Rank, Replicas, Stamp};
use crate::delta_crdt::{data, wire};
use crate::etf::{Encoded, encode};
use crate::term::{Binary, Map, Term};

const REPLICAS: usize = 3;

fn replicas() -> (Replicas, Vec<Rank>) {
    let mut replicas = Replicas::default();
    let ids = [Term::from(901_234_567), Term::binary("two"), Term::tuple([Term::atom("three"), Term::from(3)])];
    let ranks = ids.iter().map(|id| replicas.rank(id)).collect();
    (replicas, ranks)
}

/// Of each form that is written in its own way: inline and shared binaries, strings, atoms that frames name, nested ones.
fn value() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Term::from),
        vec(any::<u8>(), 0..80).prop_map(|bytes| Term::Binary(Binary::copied(&bytes))),
        "[a-c]{1,3}".prop_map(|text| Term::atom(&text)),
        vec(any::<u8>(), 0..3).prop_map(|bytes| Term::list(bytes.into_iter().map(Term::from).collect::<Vec<_>>())),
    ];
    (leaf.clone(), leaf, 0..4).prop_map(|(one, two, form)| match form {
        0 => Term::tuple([one, two]),
        1 => Term::list(vec![one, two]),
        _ => one,
    })
}

fn stamp() -> impl Strategy<Value = Stamp> {
    prop_oneof![
        4 => any::<i64>().prop_map(Stamp::Nanos),
        1 => Just(Stamp::from(Term::atom("late"))),
    ]
}

/// The dots of an element, each a replica's number and a counter.
type Dots = Vec<(usize, u64)>;

fn elements() -> impl Strategy<Value = Vec<(Term, Stamp, Dots)>> {
    let dots = || prop_oneof![4 => vec((0..REPLICAS, 0..1_u64 << 58), 1), 1 => vec((0..REPLICAS, 0..300_u64), 0..4)];
    let one = move || (value(), stamp(), dots());
    prop_oneof![3 => vec(one(), 1), 1 => vec(one(), 0..4)]
}

fn made(elements: Vec<(Term, Stamp, Dots)>, ranks: &[Rank]) -> Option<Elements> {
    let mut all: Vec<(Element, Vec<Dot>)> = Vec::new();
    for (value, stamp, dots) in elements {
        let element = Element { value, stamp };
        if all.iter().any(|(other, _)| *other == element) {
            continue;
        }
        let dots = dots.into_iter().map(|(replica, counter)| Dot { replica: ranks[replica], counter });
        all.push((element, dots.collect()));
    }
    Elements::of(all)
}

fn content() -> impl Strategy<Value = (Data, Replicas)> {
    let claim = (any::<bool>(), vec((0..REPLICAS, 0..1_u64 << 40), 0..4));
    (vec((value(), elements()), 0..12), claim).prop_map(|(keys, (set, claim))| {
        let (replicas, ranks) = replicas();
        let claimed = claim.into_iter().map(|(replica, counter)| Dot { replica: ranks[replica], counter: counter + 1 });
        let dots = if set {
            Claim::Set(claimed.collect())
        } else {
            let mut context = Context::default();
            claimed.for_each(|dot| context.raise(dot));
            Claim::Map(context)
        };
        let mut seen = hashbrown::HashSet::new();
        let keys = keys.into_iter().filter(|(key, _)| seen.insert(key.clone()));
        let keys = keys.map(|(key, elements)| (key, made(elements, &ranks))).collect();
        (Data { dots, keys }, replicas)
    })
}

fn both() -> impl Strategy<Value = Flavour> {
    prop_oneof![Just(Flavour::Plain), Just(Flavour::Versioned)]
}

/// What was read, as a term, and the layout that was seen.
fn seen(read: Option<wire::Read>, replicas: &Replicas) -> Option<(Term, Option<Flavour>)> {
    read.map(|read| (wire::term(&read.message, replicas, Flavour::Plain), read.flavour))
}

/// By way of a term.
fn slowly(body: &Encoded, replicas: &Replicas) -> Option<(Term, Option<Flavour>)> {
    let mut replicas = replicas.clone();
    let read = body.term().ok().and_then(|term| wire::read(&term, &mut replicas));
    seen(read, &replicas)
}

fn fast(body: &Encoded, replicas: &Replicas) -> Option<(Term, Option<Flavour>)> {
    let mut replicas = replicas.clone();
    let read = data::read(body, &mut replicas);
    seen(read, &replicas)
}

fn one_piece(term: &Term) -> Encoded {
    Encoded::from_binary(&encode(term).unwrap()).unwrap()
}

/// The map of the state in `{diff, state, keys}` with its pairs in another order, as a BEAM may have it.
fn turned(message: &Term) -> Term {
    let [tag, state, keys] = message.as_tuple().unwrap() else { panic!("three elements") };
    let fields = state.as_map().unwrap().iter().map(|(field, value)| match value.as_map() {
        Some(map) if field.is_atom("value") => {
            let pairs: Vec<_> = map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            let turned = pairs.into_iter().rev().collect();
            (field.clone(), Term::Map(Map::try_from_pairs(turned).unwrap()))
        }
        _ => (field.clone(), value.clone()),
    });
    let fields: Vec<_> = fields.collect();
    let fields = fields.into_iter().rev().collect();
    Term::tuple([tag.clone(), Term::Map(Map::try_from_pairs(fields).unwrap()), keys.clone()])
}

proptest! {
    #[test]
    fn what_is_written_is_the_message((content, replicas) in content(), flavour in both()) {
        let message = Message::Data(content);
        let term = wire::term(&message, &replicas, flavour);
        prop_assert_eq!(data::encoded(&message, &replicas, flavour).unwrap().term().unwrap(), term);
    }

    #[test]
    fn what_is_read_is_what_a_term_of_it_says((content, replicas) in content(), flavour in both()) {
        let message = wire::term(&Message::Data(content), &replicas, flavour);
        for message in [turned(&message), message] {
            let body = one_piece(&message);
            if let Some(read) = fast(&body, &replicas) {
                prop_assert_eq!(Some(read), slowly(&body, &replicas));
            }
        }
    }

    /// A list of small integers is a string on the wire, which is left to the slow way; no other message of ours is.
    #[test]
    fn what_we_write_is_read_without_a_term((content, replicas) in content(), flavour in both()) {
        let small = |key: &Term| key.as_i64().is_some_and(|key| (0..256).contains(&key));
        prop_assume!(content.keys.is_empty() || !content.keys.iter().all(|(key, _)| small(key)));
        let body = data::encoded(&Message::Data(content), &replicas, flavour).unwrap();
        prop_assume!(body.segments().count() == 1);
        prop_assert!(fast(&body, &replicas).is_some());
    }

    #[test]
    fn damaged_bytes_are_read_as_a_term_of_them_or_not_at_all(
        (content, replicas) in content(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let body = data::encoded(&Message::Data(content), &replicas, Flavour::Plain).unwrap();
        let mut bytes = body.to_binary().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len() - 1) + 1;
            bytes[at] = byte;
        }
        let body = Encoded::from_frame(Bytes::from(bytes).slice(1..), Arc::from([]));
        if let Some(read) = fast(&body, &replicas) {
            if let Some(slow) = slowly(&body, &replicas) {
                prop_assert_eq!(read, slow);
            }
        }
    }
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let (replicas, ranks) = replicas();
    let element = Element { value: Term::from(1), stamp: Stamp::Nanos(1) };
    let one =
        |key: &str| (Term::binary(key), Some(Elements::One(element.clone(), Dot { replica: ranks[0], counter: 1 })));
    let content = Data { dots: Claim::Map(Context::default()), keys: vec![one("Q"), one("Z")] };
    let body = data::encoded(&Message::Data(content), &replicas, Flavour::Plain).unwrap();
    let bytes = body.to_binary();
    let twice: Vec<u8> = bytes.iter().map(|byte| if *byte == b'Z' { b'Q' } else { *byte }).collect();
    assert_ne!(bytes, twice);
    let body = Encoded::from_frame(Bytes::from(twice).slice(1..), Arc::from([]));
    assert!(fast(&body, &replicas).is_none() && slowly(&body, &replicas).is_none());
}

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::etf::decode;
use crate::term::{Atom, Fun};

fn pairs() -> Vec<(Term, Term, Ordering, bool)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/erlang-fixtures/vectors/order-otp27.jsonl");
    let term = |value: &Value| {
        let hex = value.as_str().unwrap().as_bytes();
        let bytes = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        decode(&bytes.collect::<Bytes>()).unwrap()
    };
    let parse = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let order = line["cmp"].as_i64().unwrap().cmp(&0);
        (term(&line["a_hex"]), term(&line["b_hex"]), order, line["exact_eq"].as_bool().unwrap())
    };
    std::fs::read_to_string(path).unwrap().lines().map(parse).collect()
}

#[test]
fn otp_27_agrees_on_every_pair() {
    let pairs = pairs();
    assert_eq!(pairs.len(), 1432);
    for (a, b, order, equal) in pairs {
        assert_eq!(a.compare(&b), order, "{a:?} and {b:?}");
        assert_eq!(b.compare(&a), order.reverse(), "{b:?} and {a:?}");
        assert_eq!(a == b, equal, "{a:?} and {b:?}");
    }
}

#[test]
fn the_exact_order_agrees_with_equality_and_with_itself() {
    let mut terms: Vec<Term> = pairs().into_iter().flat_map(|(a, b, ..)| [a, b]).take(600).collect();
    for a in &terms {
        for b in &terms {
            assert_eq!(a.cmp(b).is_eq(), a == b, "{a:?} and {b:?}");
            assert_eq!(a.cmp(b), b.cmp(a).reverse(), "{a:?} and {b:?}");
        }
    }
    terms.sort();
    assert!(terms.iter().enumerate().all(|(at, a)| terms[at..].iter().all(|b| a <= b)), "the order is total");
}

#[test]
fn the_keys_of_maps_put_integers_before_floats() {
    let keys = [Term::from(1), Term::from(2), Term::from(-0.0), Term::from(0.0), Term::from(1.0), Term::atom("a")];
    let mut sorted = keys.to_vec();
    sorted.reverse();
    sorted.sort();
    assert_eq!(sorted, keys);
}

#[test]
fn integers_and_floats_compare_without_rounding() {
    let beyond = Term::from((1i64 << 53) + 1);
    assert_eq!(beyond.compare(&Term::from(9_007_199_254_740_992.0)), Ordering::Greater);
    assert_eq!(Term::from(1u128 << 64).compare(&Term::from(18_446_744_073_709_551_616.0)), Ordering::Equal);
    assert_eq!(Term::from((1u128 << 64) + 1).compare(&Term::from(18_446_744_073_709_551_616.0)), Ordering::Greater);
    assert_eq!(Term::from(i64::MIN).compare(&Term::from(-9_223_372_036_854_775_808.0)), Ordering::Equal);
    assert_eq!(Term::from(i64::MAX).compare(&Term::from(9_223_372_036_854_775_808.0)), Ordering::Less);
    assert_eq!(Term::from(-1).compare(&Term::from(-1.5)), Ordering::Greater);
    assert_eq!(Term::from(-(1i128 << 80)).compare(&Term::from(-1.5)), Ordering::Less);
}

#[test]
fn closures_come_before_exports() {
    let export = Term::from(Fun::Export { module: Atom::new("a"), function: Atom::new("a"), arity: 0 });
    let local =
        pairs().into_iter().map(|(a, ..)| a).find(|a| matches!(a, Term::Fun(f) if matches!(**f, Fun::Local(_))));
    assert!(local.expect("the vectors hold a closure") < export);
}

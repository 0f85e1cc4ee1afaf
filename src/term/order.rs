//! Erlang's order of all terms.
//!
//! "number < atom < reference < fun < port < pid < tuple < map < nil < list < bit string" (reference
//! manual, "Term Comparisons"); OTP 29's native records stand between tuples and maps. Two orders
//! differ in numbers alone: `<` compares integers and floats by value, `1 == 1.0`; the exact order,
//! which agrees with `=:=` and sorts the keys of maps, puts all integers before all floats.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_traits::FromPrimitive;

use super::{BitString, Fun, Integer, List, LocalFun, Map, Record, Term};

impl Ord for Term {
    /// The exact order, by which keys of maps are sorted: `Equal` is `=:=`.
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other, Mode::Exact)
    }
}

impl PartialOrd for Term {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Term {
    /// The order of Erlang's `<` and `==`: integers and floats compare by value, without rounding.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        compare(self, other, Mode::ByValue)
    }

    /// The order of the keys of maps, the same as [`Ord`]'s: integers before floats, `-0.0` before `0.0`.
    #[must_use]
    pub fn cmp_exact(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Exact,
    ByValue,
}

/// Recursion goes as deep as the terms, whose drop recurses too.
fn compare(a: &Term, b: &Term, mode: Mode) -> Ordering {
    match (a, b) {
        (Term::Integer(a), Term::Integer(b)) => a.cmp(b),
        (Term::Float(a), Term::Float(b)) => match a.partial_cmp(b) {
            Some(order) if order.is_ne() || mode == Mode::ByValue => order,
            Some(_) | None => a.total_cmp(b),
        },
        (Term::Integer(a), Term::Float(b)) => integer_and_float(a, *b, mode),
        (Term::Float(a), Term::Integer(b)) => integer_and_float(b, *a, mode).reverse(),
        (Term::Atom(a), Term::Atom(b)) => a.cmp(b),
        (Term::Ref(a), Term::Ref(b)) => a.cmp(b),
        (Term::Fun(a), Term::Fun(b)) => funs(a, b, mode),
        (Term::Port(a), Term::Port(b)) => a.cmp(b),
        (Term::Pid(a), Term::Pid(b)) => a.cmp(b),
        (Term::Tuple(a), Term::Tuple(b)) => a.len().cmp(&b.len()).then_with(|| elements(a, b, mode)),
        (Term::Record(a), Term::Record(b)) => records(a, b, mode),
        (Term::Map(a), Term::Map(b)) => maps(a, b, mode),
        (Term::List(a), Term::List(b)) => lists(a, b, mode),
        (Term::Binary(a), Term::Binary(b)) => a.as_ref().cmp(b.as_ref()),
        (Term::BitString(a), Term::BitString(b)) => bits(Bits::partial(a), Bits::partial(b)),
        (Term::Binary(a), Term::BitString(b)) => bits(Bits::whole(a), Bits::partial(b)),
        (Term::BitString(a), Term::Binary(b)) => bits(Bits::partial(a), Bits::whole(b)),
        (Term::Local(a), Term::Local(b)) => a.cmp(b),
        _ => class(a).cmp(&class(b)),
    }
}

/// What kind of term sorts before what other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Number,
    Atom,
    Ref,
    Fun,
    Port,
    Pid,
    Tuple,
    Record,
    Map,
    Nil,
    List,
    BitString,
    /// Has no place of its own: what it is, only the node that made it knows.
    Local,
}

fn class(term: &Term) -> Class {
    match term {
        Term::Integer(_) | Term::Float(_) => Class::Number,
        Term::Atom(_) => Class::Atom,
        Term::Ref(_) => Class::Ref,
        Term::Fun(_) => Class::Fun,
        Term::Port(_) => Class::Port,
        Term::Pid(_) => Class::Pid,
        Term::Tuple(_) => Class::Tuple,
        Term::Record(_) => Class::Record,
        Term::Map(_) => Class::Map,
        Term::List(list) if list.is_empty() => Class::Nil,
        Term::List(_) => Class::List,
        Term::Binary(_) | Term::BitString(_) => Class::BitString,
        Term::Local(_) => Class::Local,
    }
}

fn elements(a: &[Term], b: &[Term], mode: Mode) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare(a, b, mode)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn integer_and_float(integer: &Integer, float: f64, mode: Mode) -> Ordering {
    /// 2^63: from here on, and only from here on, a float is beyond every `i64`.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if mode == Mode::Exact {
        return Ordering::Less;
    }
    match integer.to_i64() {
        Some(_) if float >= BEYOND => Ordering::Less,
        Some(_) if float < -BEYOND => Ordering::Greater,
        Some(small) => {
            let whole = float.trunc();
            small.cmp(&(whole as i64)).then_with(|| 0.0.partial_cmp(&(float - whole)).unwrap_or(Ordering::Less))
        }
        // A float of that size has no fraction.
        None if float.abs() >= BEYOND => match BigInt::from_f64(float) {
            Some(float) => integer.cmp(&float.into()),
            None => 0.0_f64.total_cmp(&float),
        },
        None if integer.is_negative() => Ordering::Less,
        None => Ordering::Greater,
    }
}

/// "Maps are ordered by size, two maps with the same size are compared by keys in ascending term
/// order and then by values in key order"; keys always by the exact order.
fn maps(a: &Map, b: &Map, mode: Mode) -> Ordering {
    fn sorted(map: &Map) -> Vec<(&Term, &Term)> {
        let mut pairs: Vec<_> = map.iter().collect();
        pairs.sort_unstable_by_key(|(key, _)| *key);
        pairs
    }
    a.len().cmp(&b.len()).then_with(|| {
        let (a, b) = (sorted(a), sorted(b));
        let pairs = || a.iter().zip(&b);
        let mut keys = pairs().map(|((a, _), (b, _))| a.cmp(b));
        let mut values = pairs().map(|((_, a), (_, b))| compare(a, b, mode));
        let decides = |order: &Ordering| order.is_ne();
        keys.find(decides).or_else(|| values.find(decides)).unwrap_or(Ordering::Equal)
    })
}

fn lists(a: &List, b: &List, mode: Mode) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_bytes(), b.as_bytes()) {
        return a.cmp(b);
    }
    let mut items = a.iter().zip(b.iter()).map(|(a, b)| compare(&a, &b, mode));
    if let Some(order) = items.find(|order| order.is_ne()) {
        return order;
    }
    // Where one ends, its tail is compared with what the other still has: a list or a tail.
    let tail_class = |list: &List| list.tail().map_or(Class::Nil, class);
    match a.len().cmp(&b.len()) {
        Ordering::Less => tail_class(a).cmp(&Class::List),
        Ordering::Greater => Class::List.cmp(&tail_class(b)),
        Ordering::Equal => match (a.tail(), b.tail()) {
            (Some(a), Some(b)) => compare(a, b, mode),
            _ => tail_class(a).cmp(&tail_class(b)),
        },
    }
}

fn funs(a: &Fun, b: &Fun, mode: Mode) -> Ordering {
    match (a, b) {
        (Fun::Local(a), Fun::Local(b)) => local_funs(a, b, mode),
        (Fun::Local(_), Fun::Export { .. }) => Ordering::Less,
        (Fun::Export { .. }, Fun::Local(_)) => Ordering::Greater,
        (Fun::Export { module, function, arity }, Fun::Export { module: m, function: f, arity: a }) => {
            (module, function, arity).cmp(&(m, f, a))
        }
    }
}

fn local_funs(a: &LocalFun, b: &LocalFun, mode: Mode) -> Ordering {
    let identity = |fun: &LocalFun| (fun.module, fun.index);
    let order = identity(a).cmp(&identity(b)).then_with(|| a.old_uniq.cmp(&b.old_uniq));
    let order = order.then_with(|| a.free.len().cmp(&b.free.len())).then_with(|| elements(&a.free, &b.free, mode));
    if mode == Mode::ByValue {
        return order;
    }
    // A BEAM looks no further; equality here does, and the exact order agrees with it.
    let rest = |fun: &LocalFun| (fun.arity, fun.uniq, fun.pid);
    order.then_with(|| rest(a).cmp(&rest(b))).then_with(|| a.old_index.cmp(&b.old_index))
}

/// OTP does not say how records order among themselves: by definition, then by values.
fn records(a: &Record, b: &Record, mode: Mode) -> Ordering {
    let head = |record: &Record| (record.module, record.name, record.exported, record.fields.len());
    let pairs = || a.fields.iter().zip(&b.fields);
    let mut names = pairs().map(|((a, _), (b, _))| a.cmp(b));
    let mut values = pairs().map(|((_, a), (_, b))| compare(a, b, mode));
    let decides = |order: &Ordering| order.is_ne();
    let fields = || names.find(decides).or_else(|| values.find(decides)).unwrap_or(Ordering::Equal);
    head(a).cmp(&head(b)).then_with(fields)
}

/// Bytes, of which the last may count only in part; its other bits are 0.
struct Bits<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Bits<'a> {
    fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, len: bytes.len() * 8 }
    }

    fn partial(bits: &'a BitString) -> Self {
        Self { bytes: bits.bytes(), len: bits.bit_len() }
    }
}

fn bits(a: Bits<'_>, b: Bits<'_>) -> Ordering {
    let common = a.len.min(b.len);
    let (a_bytes, a_rest) = a.bytes.split_at(common / 8);
    let (b_bytes, b_rest) = b.bytes.split_at(common / 8);
    let high = |rest: &[u8]| rest.first().map_or(0, |byte| u16::from(*byte) >> (8 - common % 8));
    a_bytes.cmp(b_bytes).then_with(|| high(a_rest).cmp(&high(b_rest))).then_with(|| a.len.cmp(&b.len))
}

#[cfg(test)]
mod tests;

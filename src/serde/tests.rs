use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::etf::{self, decode};
use crate::term::{Atom, Binary, Creation, Integer, List, Map, Pid, Ref};

fn atom(text: &str) -> Term {
    Term::atom(text)
}

/// It becomes this term, and comes back from it.
fn is<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, term: Term) {
    assert_eq!(to_term(&value), Ok(term.clone()), "{value:?}");
    assert_eq!(from_term::<T>(&term), Ok(value));
}

fn reads<T: DeserializeOwned + PartialEq + Debug>(term: Term, value: T) {
    assert_eq!(from_term::<T>(&term), Ok(value), "{term:?}");
}

fn refuses<T: DeserializeOwned + Debug>(term: Term) {
    assert!(from_term::<T>(&term).is_err(), "{term:?}");
}

fn map(pairs: &[(Term, Term)]) -> Term {
    Map::try_from_pairs(pairs.to_vec()).unwrap().into()
}

fn pid() -> Pid {
    Pid { node: Atom::new("a@h"), id: 1, serial: 2, creation: Creation(3) }
}

#[test]
fn plain_values() {
    is(7u8, 7.into());
    is(i64::MIN, i64::MIN.into());
    is(u64::MAX, u64::MAX.into());
    is(i128::MIN, i128::MIN.into());
    is(u128::MAX, u128::MAX.into());
    is(-(1i128 << 100), (-(1i128 << 100)).into());
    is(1.5f64, 1.5.into());
    is(true, atom("true"));
    is((), atom("nil"));
    is('é', 233.into());
    is(String::from("é"), "é".into());
    is(vec![1u8, 2], Term::List(List::from(&[1, 2][..])));
    is(vec![1i32, 300], vec![Term::from(1), Term::from(300)].into());
    is(Vec::<i32>::new(), Term::nil());
    is((1, String::from("a")), Term::tuple([1.into(), "a".into()]));
    is(Some(1), 1.into());
    is(None::<i32>, atom("nil"));
    reads(atom("undefined"), None::<i32>);
    reads(3.into(), 3.0f64);
    reads(atom("ok"), ());
    refuses::<u8>(256.into());
    refuses::<i128>((num_bigint::BigInt::from(1) << 200u32).into());
    assert!(to_term(&f64::NAN).is_err());
}

#[test]
fn texts_come_as_binaries_charlists_and_atoms() {
    reads(Term::List(List::from_text("häß€")), String::from("häß€"));
    reads(Term::List(List::from_text("abc")), String::from("abc"));
    reads(Term::nil(), String::new());
    reads(atom("nil"), String::from("nil"));
    reads("x".into(), 'x');
    refuses::<String>(Term::binary([255]));
    refuses::<String>(7.into());
    let encoded = Encoded::of("borrowed").unwrap();
    assert_eq!(encoded.decode::<&str>(), Ok("borrowed"));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: Option<String>,
}

#[test]
fn structs_are_maps_with_atoms_as_keys() {
    let point = |x| Point { x, y: None };
    is(point(1), map(&[(atom("x"), 1.into()), (atom("y"), atom("nil"))]));
    reads(map(&[(atom("x"), 1.into())]), point(1));
    reads(map(&[("x".into(), 1.into()), (atom("more"), vec![Term::from(pid())].into())]), point(1));
    reads(map(&[(atom("__struct__"), atom("Elixir.Other")), (atom("x"), 1.into())]), point(1));
    reads(vec![Term::tuple([atom("x"), 1.into()])].into(), point(1));
    reads(Term::tuple([1.into(), "a".into()]), Point { x: 1, y: Some("a".into()) });
    refuses::<Point>(map(&[(atom("y"), atom("nil"))]));
    refuses::<Point>(Term::tuple([1.into(), "a".into(), 2.into()]));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Elixir.MyApp.User", deny_unknown_fields)]
struct User {
    name: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct AnyStruct {
    #[serde(rename = "__struct__")]
    module: Atom,
    a: i32,
}

#[test]
fn elixir_structs_are_named_for_their_module() {
    let user = || User { name: "Ann".into() };
    is(user(), map(&[(atom("__struct__"), atom("Elixir.MyApp.User")), (atom("name"), "Ann".into())]));
    reads(map(&[(atom("name"), "Ann".into())]), user());
    refuses::<User>(map(&[(atom("__struct__"), atom("Elixir.Other")), (atom("name"), "Ann".into())]));
    refuses::<User>(map(&[(atom("name"), "Ann".into()), (atom("age"), 1.into())]));
    let any = AnyStruct { module: Atom::new("Elixir.Any"), a: 1 };
    is(any, map(&[(atom("__struct__"), atom("Elixir.Any")), (atom("a"), 1.into())]));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Ping,
    Get(String),
    Put(String, i64),
    Set { key: String },
    Nothing(),
}

#[test]
fn enums_are_atoms_and_tagged_tuples() {
    is(Request::Ping, atom("ping"));
    is(Request::Get("k".into()), Term::tuple([atom("get"), "k".into()]));
    is(Request::Put("k".into(), 1), Term::tuple([atom("put"), "k".into(), 1.into()]));
    is(Request::Set { key: "k".into() }, Term::tuple([atom("set"), map(&[(atom("key"), "k".into())])]));
    is(Request::Nothing(), Term::tuple([atom("nothing")]));
    reads(Term::tuple([atom("ping")]), Request::Ping);
    reads("ping".into(), Request::Ping);
    refuses::<Request>(atom("pong"));
    refuses::<Request>(atom("get"));
    refuses::<Request>(Term::tuple([]));
    refuses::<Request>(Term::tuple([atom("get"), "k".into(), 1.into()]));
    refuses::<Request>(Term::tuple([atom("put"), "k".into()]));
}

#[test]
fn results_are_ok_and_error() {
    is(Ok::<_, String>(1), Term::tuple([atom("ok"), 1.into()]));
    is(Err::<i32, _>(Atom::new("enoent")), Term::tuple([atom("error"), atom("enoent")]));
    reads(atom("ok"), Ok::<(), String>(()));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Mixed {
    pid: Pid,
    alias: Ref,
    name: Atom,
    any: Term,
    raw: Vec<Binary>,
    big: Integer,
    by_pid: HashMap<Pid, Term>,
}

#[test]
fn terms_survive_inside_structs() {
    let alias = Ref::new(Atom::new("a@h"), Creation(1), &[1, 2, 3, 4, 5]).unwrap();
    let any = List::improper(vec![atom("a"), "b".into(), Term::from(alias)], Term::tuple([1.0.into()]));
    let mixed = Mixed {
        pid: pid(),
        alias,
        name: Atom::new("nil"),
        any: any.clone(),
        raw: vec![Binary::copied(&[255; 100]), Binary::copied(b"x")],
        big: Integer::from(num_bigint::BigInt::from(1) << 300u32),
        by_pid: [(pid(), Term::nil())].into(),
    };
    let term = to_term(&mixed).unwrap();
    assert_eq!(term.as_map().unwrap().get_atom("any"), Some(&any));
    assert_eq!(term.as_map().unwrap().get_atom("pid"), Some(&pid().into()));
    assert_eq!(from_term(&term), Ok(mixed));
    refuses::<Pid>(Term::from(alias));
    refuses::<Atom>(7.into());
}

#[test]
fn encoded_terms_pass_through_without_being_looked_at() {
    let body = Encoded::new(&Term::tuple([pid().into(), bytes::Bytes::from(vec![7; 20_000]).into()])).unwrap();
    let wrapped = Encoded::of(&(Atom::new("msg"), &body, 1)).unwrap();
    assert_eq!(wrapped.segments().count(), 3, "the large binary is not copied");
    let (tag, inner, one): (Atom, Encoded, u8) = wrapped.decode().unwrap();
    assert_eq!((tag, one), (Atom::new("msg"), 1));
    assert_eq!(inner.term(), body.term());
    assert_eq!(inner.segments().nth(1).unwrap().as_ptr(), body.segments().nth(1).unwrap().as_ptr());
    assert_eq!(body.decode::<Term>(), Ok(body.term().unwrap()));
    // What is counted only at its end stands in front of a piece of its own.
    let listed = Encoded::of(&vec![&body, &body]).unwrap();
    assert_eq!(listed.decode::<Vec<Term>>(), Ok(vec![body.term().unwrap(), body.term().unwrap()]));
}

#[test]
fn a_frames_cached_atoms_are_known_to_serde() {
    let bytes = bytes::Bytes::from_static(b"\x68\x02\x52\x00\x74\0\0\0\x01\x52\x01\x61\x07");
    let encoded = Encoded::from_frame(bytes, [Atom::new("put"), Atom::new("x")].into());
    let (tag, point): (Atom, Encoded) = encoded.decode().unwrap();
    assert_eq!(tag, Atom::new("put"));
    assert_eq!(point.decode::<Point>(), Ok(Point { x: 7, y: None }));
    assert_eq!(Encoded::of(&point).unwrap().atoms().len(), 0);
    assert_eq!(Encoded::of(&point).unwrap().term(), point.term());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Pid(Pid),
    Number(i64),
    Named { name: Atom, owner: Pid },
    Text(String),
    Rest(Term),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    a: i32,
    #[serde(flatten)]
    rest: BTreeMap<String, Loose>,
}

#[test]
fn identifiers_survive_where_serde_keeps_values() {
    is(Loose::Pid(pid()), pid().into());
    is(Loose::Number(-1), (-1).into());
    is(Loose::Text("a".into()), "a".into());
    is(Loose::Rest(vec![Term::from(pid()), 1.into()].into()), vec![Term::from(pid()), 1.into()].into());
    is(
        Loose::Named { name: Atom::new("n"), owner: pid() },
        map(&[(atom("name"), atom("n")), (atom("owner"), pid().into())]),
    );
    let flat = Flat { a: 1, rest: [("p".into(), Loose::Pid(pid())), ("n".into(), Loose::Number(2))].into() };
    is(flat, map(&[(atom("a"), 1.into()), (atom("n"), 2.into()), (atom("p"), pid().into())]));
}

#[derive(Serialize)]
struct Clash {
    a: i32,
    #[serde(flatten)]
    rest: HashMap<Atom, i32>,
}

#[test]
fn a_key_that_stands_twice_is_never_sent() {
    let clash = |key: &str| to_encoded(&Clash { a: 1, rest: [(Atom::new(key), 2)].into() });
    assert!(clash("b").is_ok());
    assert!(clash("a").is_err());
}

#[test]
fn arguments_come_as_lists() {
    reads(vec![Term::from(1), Term::from(2)].into(), (1i64, 2i64));
    reads(vec![Term::from(-1), "a".into()].into(), (-1, String::from("a")));
    refuses::<(i64, i64)>(vec![Term::from(1)].into());
    refuses::<(i64, i64)>(vec![Term::from(1), 2.into(), 3.into()].into());
    refuses::<(i64, i64)>(vec![Term::from(1000), 2.into(), 3.into()].into());
}

#[test]
fn lists_in_lists_and_tails_that_are_lists() {
    let spliced = bytes::Bytes::from_static(b"\x6c\0\0\0\x01\x62\0\0\x01\0\x6c\0\0\0\x01\x61\x02\x6b\0\x02\x03\x04");
    let encoded = Encoded::from_frame(spliced, [].into());
    assert_eq!(encoded.decode::<Vec<u32>>(), Ok(vec![256, 2, 3, 4]));
    assert!(encoded.decode::<(u32, u32)>().is_err());
    assert_eq!(encoded.decode::<(u32, u32, u32, u32)>(), Ok((256, 2, 3, 4)));
    refuses::<Vec<u32>>(List::improper(vec![1000.into()], 2.into()));
    let long = vec![7u8; 70_000];
    assert_eq!(Encoded::of(&long).unwrap().decode::<Vec<u8>>(), Ok(long.clone()));
    assert_eq!(to_term(&long), Ok(Term::List(List::from(&long[..]))));
}

#[test]
fn other_formats_see_plain_values() {
    let term = Term::tuple([atom("ok"), "text".into(), 1.into(), atom("nil")]);
    assert_eq!(serde_json::to_string(&term).unwrap(), r#"["ok","text",1,null]"#);
    assert_eq!(serde_json::to_string(&Encoded::new(&term).unwrap()).unwrap(), r#"["ok","text",1,null]"#);
    let read: Term = serde_json::from_str(r#"{"a": [1, null, "b"]}"#).unwrap();
    assert_eq!(read, map(&[("a".into(), vec![1.into(), atom("nil"), "b".into()].into())]));
    assert_eq!(serde_json::from_str::<Atom>(r#""a""#).unwrap(), Atom::new("a"));
    let value: serde_json::Value = from_term(&term).unwrap();
    assert_eq!(value, serde_json::json!(["ok", "text", 1, null]));
}

#[test]
fn depth_is_bounded() {
    let deep = bytes::Bytes::from([&b"\x68\x01".repeat(100_000)[..], &[106]].concat());
    let encoded = Encoded::from_frame(deep, [].into());
    assert_eq!(encoded.decode::<serde_json::Value>(), Err(Error::TooDeep));
    assert!(encoded.decode::<serde::de::IgnoredAny>().is_ok());
    assert!(encoded.decode::<Encoded>().is_ok());
}

#[test]
fn trailing_bytes_are_noticed() {
    let encoded = Encoded::from_frame(bytes::Bytes::from_static(&[97, 1, 97]), [].into());
    assert!(matches!(encoded.decode::<u8>(), Err(Error::Decode(_))));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(i64),
    Wide(u128),
    Float(f64),
    Text(String),
    Pair(Box<Self>, Option<char>),
    Fields { a: Vec<Self>, b: BTreeMap<String, Self>, c: Option<i8> },
    Bytes(Vec<u8>),
    Flag(bool),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Leaf),
        any::<i64>().prop_map(Tree::Number),
        any::<u128>().prop_map(Tree::Wide),
        (-1e300..1e300f64).prop_map(Tree::Float),
        any::<String>().prop_map(Tree::Text),
        any::<Vec<u8>>().prop_map(Tree::Bytes),
        any::<bool>().prop_map(Tree::Flag),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let fields = (
            prop::collection::vec(inner.clone(), 0..4),
            prop::collection::btree_map(any::<String>(), inner.clone(), 0..4),
            any::<Option<i8>>(),
        );
        prop_oneof![
            (inner, any::<Option<char>>()).prop_map(|(tree, c)| Tree::Pair(Box::new(tree), c)),
            fields.prop_map(|(a, b, c)| Tree::Fields { a, b, c }),
        ]
    })
}

proptest! {
    #[test]
    fn values_survive(tree in tree()) {
        let encoded = Encoded::of(&tree).unwrap();
        prop_assert_eq!(encoded.decode::<Tree>(), Ok(tree));
        // What serde writes is what the encoder writes for the same term.
        let term = encoded.term().unwrap();
        let mut bytes = vec![131];
        encoded.write_to(&mut bytes);
        prop_assert_eq!(etf::encode(&term).unwrap(), bytes.clone());
        prop_assert_eq!(decode(&bytes.into()), Ok(term));
    }
}

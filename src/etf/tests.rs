use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::term::{Atom, Creation, Fun, List, LocalFun, Map, Pid, Ref, Term};

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn kind_of(text: &str) -> DecodeErrorKind {
    decode(&hex(text)).expect_err(text).kind
}

fn pid() -> Pid {
    Pid { node: Atom::new("tb"), id: 1, serial: 2, creation: Creation(3) }
}

/// A term of every kind.
fn all_kinds() -> Term {
    let reference = Ref::new(Atom::new("tb"), Creation(9), &[1, 2, 3, 4, 5]).unwrap();
    let closure = LocalFun {
        arity: 2,
        uniq: [7; 16],
        index: 3,
        module: Atom::new("m"),
        old_index: 4.into(),
        old_uniq: (-5).into(),
        pid: pid(),
        free: [Term::from(1), Term::atom("free")].into(),
    };
    let bits = crate::term::BitString::new(vec![1, 0b1010_0000].into(), 3).unwrap();
    let map: Map = [(Term::from(1), Term::from(1.0)), (Term::from(1.0), Term::from(1))].into_iter().collect();
    let export = Fun::Export { module: Atom::new("m"), function: Atom::new("f"), arity: 3 };
    Term::tuple([
        Term::from(0),
        Term::from(-1),
        Term::from(i64::MIN),
        Term::from(u128::MAX),
        Term::from(-1.5),
        Term::atom("é€"),
        Term::from(pid()),
        Term::from(reference),
        Term::from(crate::term::Port { node: Atom::new("tb"), creation: Creation(1), id: 1 << 40 }),
        Term::nil(),
        Term::list(vec![Term::from(1), Term::from(2)]),
        Term::list(vec![Term::from(1), Term::nil(), Term::from("text")]),
        List::improper(vec![Term::from(1), Term::tuple([])], Term::tuple([Term::from(2)])),
        Term::from(map),
        Term::binary([7; 40]),
        Term::binary([8; 100]),
        Term::from(bits),
        Term::from(export),
        Term::from(Fun::Local(Box::new(closure))),
        Term::list(vec![Term::from(0); 70_000]),
        Term::Local(Arc::new(Bytes::from_static(&[1, 2, 3, 4, 5]))),
    ])
}

#[test]
fn every_kind_of_term_survives() {
    let term = all_kinds();
    let bytes = encode(&term).unwrap();
    assert_eq!(decode(&bytes), Ok(term.clone()));
    let encoded = Encoded::new(&term).unwrap();
    assert_eq!(encoded.term(), Ok(term));
    assert_eq!(skip(&bytes.slice(1..), &[]), Ok(bytes.len() - 1));
}

#[test]
fn a_cut_is_noticed_at_every_length() {
    let bytes = encode(&Term::tuple(all_kinds().as_tuple().unwrap()[..19].to_vec())).unwrap();
    for len in 0..bytes.len() {
        let cut = bytes.slice(..len);
        assert_eq!(decode(&cut).map_err(|error| error.kind), Err(DecodeErrorKind::UnexpectedEnd), "{len}");
        if len > 0 {
            assert!(skip(&cut.slice(1..), &[]).is_err(), "{len}");
        }
    }
}

#[test]
fn numbers_are_written_as_a_beam_writes_them() {
    let encoded = |term: Term| encode(&term).unwrap();
    assert_eq!(encoded(255.into()), hex("83 61 ff"));
    assert_eq!(encoded((-1).into()), hex("83 62 ffffffff"));
    assert_eq!(encoded((1i64 << 31).into()), hex("83 6e 04 00 00000080"));
    assert_eq!(encoded((-(1i64 << 31) - 1).into()), hex("83 6e 04 01 01000080"));
    assert_eq!(encoded(i64::MIN.into()), hex("83 6e 08 01 0000000000000080"));
    assert_eq!(encoded(1.5.into()), hex("83 46 3ff8000000000000"));
    let big: num_bigint::BigInt = num_bigint::BigInt::from(1) << (255 * 8);
    assert_eq!(&encoded(big.into())[..7], &hex("83 6f 00000100 00")[..]);
    assert_eq!(encode(&Term::from(f64::NAN)), Err(EncodeError::NotFinite));
}

#[test]
fn lists_of_bytes_are_strings_and_negative_numbers_are_none() {
    let encoded =
        |items: &[i64]| encode(&Term::list(items.iter().map(|n| Term::from(*n)).collect::<Vec<_>>())).unwrap();
    assert_eq!(encoded(&[1, 2]), hex("83 6b 0002 0102"));
    assert_eq!(encoded(&[-1, 2]), hex("83 6c 00000002 62ffffffff 6102 6a"));
    assert_eq!(encoded(&[]), hex("83 6a"));
}

#[test]
fn all_forms_of_an_integer_are_one_term() {
    for text in ["83 6107", "83 6200000007", "83 6e010007", "83 6e03 00 070000", "83 6f00000001 0007"] {
        assert_eq!(decode(&hex(text)), Ok(Term::from(7)), "{text}");
    }
    for text in ["83 6e0001", "83 6e0000", "83 6e0101 00", "83 6f0000000000"] {
        assert_eq!(decode(&hex(text)), Ok(Term::from(0)), "{text}");
    }
    assert_eq!(decode(&hex("83 6e010207")), Ok(Term::from(-7)), "a BEAM takes every sign but 0 as minus");
}

#[test]
fn old_tags_are_read() {
    let node = "64 0002 7462";
    assert_eq!(decode(&hex("83 64 0001 e9")), Ok(Term::atom("é")));
    assert_eq!(decode(&hex("83 73 01 e9")), Ok(Term::atom("é")));
    let old = Pid { node: Atom::new("tb"), id: 1, serial: 2, creation: Creation(3) };
    assert_eq!(decode(&hex(&format!("83 67 {node} 00000001 00000002 03"))), Ok(old.into()));
    assert_eq!(kind_of(&format!("83 67 {node} 00000001 00000002 04")), DecodeErrorKind::Creation);
    let reference = Ref::new(Atom::new("tb"), Creation(1), &[7]).unwrap();
    assert_eq!(decode(&hex(&format!("83 65 {node} 00000007 01"))), Ok(reference.into()));
    assert_eq!(decode(&hex(&format!("83 72 0001 {node} 01 00000007"))), Ok(reference.into()));
    assert_eq!(kind_of(&format!("83 72 0001 {node} 01 00040000")), DecodeErrorKind::Reference);
    assert!(decode(&hex(&format!("83 5a 0001 {node} 00000001 00040000"))).is_ok());
    let mut text = String::from("1.50000000000000000000e+00");
    text.extend(['\0'; 5]);
    let bytes: Bytes = [&[131, 99], text.as_bytes()].concat().into();
    assert_eq!(decode(&bytes), Ok(Term::from(1.5)));
}

#[test]
fn what_a_beam_refuses_is_refused() {
    use DecodeErrorKind as Kind;
    assert_eq!(kind_of("61 01"), Kind::Version(0x61));
    assert_eq!(kind_of("83 6101 00"), Kind::TrailingBytes);
    assert_eq!(kind_of("83 74 00000002 6101 6102 6101 6103"), Kind::DuplicateKey);
    assert!(decode(&hex("83 74 00000002 6101 6102 46 3ff0000000000000 6103")).is_ok());
    assert!(decode(&hex("83 74 00000002 46 0000000000000000 6102 46 8000000000000000 6103")).is_ok());
    assert_eq!(kind_of("83 77 01 ff"), Kind::AtomText);
    assert_eq!(kind_of("83 77 03 eda080"), Kind::AtomText);
    assert_eq!(kind_of(&format!("83 76 0100 {}", "61".repeat(256))), Kind::AtomTooLong);
    assert_eq!(kind_of(&format!("83 64 0100 {}", "61".repeat(256))), Kind::AtomTooLong);
    assert_eq!(kind_of("83 46 7ff8000000000000"), Kind::Float);
    assert_eq!(kind_of(&format!("83 63 31 {}", "00".repeat(30))), Kind::Float);
    for text in ["83 4d 00000000 00", "83 4d 00000000 08", "83 4d 00000001 00 ff", "83 4d 00000001 09 ff"] {
        assert_eq!(kind_of(text), Kind::Bits, "{text}");
    }
    assert_eq!(decode(&hex("83 4d 00000001 08 ff")), Ok(Term::binary([255])));
    assert_eq!(kind_of("83 5a 0000 7701 61 00000001"), Kind::Reference);
    assert_eq!(kind_of(&format!("83 5a 0006 770161 00000001 {}", "00000000".repeat(6))), Kind::Reference);
    assert_eq!(kind_of("83 71 770161 770162 62 00000100"), Kind::Fun);
    assert_eq!(kind_of("83 71 770161 770162 62 ffffffff"), Kind::Fun);
    for tag in ["75", "49", "4b", "4a", "4c", "4e", "83"] {
        assert!(matches!(kind_of(&format!("83 {tag} 0000000000")), Kind::Tag(_)), "{tag}");
    }
    assert_eq!(kind_of("83 68 01 50 00000003 789c4b6402000066002d"), Kind::Tag(80));
    assert_eq!(kind_of("83 52 00"), Kind::CachedAtom(0));
    assert_eq!(kind_of("83 43 00000001 02 77016d 77016e 77016b 6101"), Kind::Record);
    assert_eq!(kind_of("83 43 00000002 00 77016d 77016e 77016b 77016b 6101 6102"), Kind::Record);
}

#[test]
fn a_native_record_is_written_as_it_came() {
    let bytes = hex("83 43 00000001 00 77016d 77016e 77016b 6101");
    let term = decode(&bytes).unwrap();
    assert!(matches!(&term, Term::Record(record) if record.fields[..] == [(Atom::new("k"), Term::from(1))]));
    assert_eq!(encode(&term).unwrap(), bytes);
    let two = Term::tuple([term.clone(), Term::tuple([term, Term::from(2)]), Term::from(3)]);
    assert_eq!(decode(&encode(&two).unwrap()), Ok(two));
}

#[test]
fn a_tail_that_is_a_list_makes_one_list() {
    let list = |items: &[i64]| Term::list(items.iter().map(|n| Term::from(*n)).collect::<Vec<_>>());
    assert_eq!(decode(&hex("83 6c 00000001 6101 6c 00000001 6102 6a")), Ok(list(&[1, 2])));
    assert_eq!(decode(&hex("83 6c 00000001 6101 6b 0002 0203")), Ok(list(&[1, 2, 3])));
    assert_eq!(decode(&hex("83 6c 00000000 6101")), Ok(Term::from(1)));
    assert_eq!(decode(&hex("83 6c 00000001 6101 6c 00000000 6a")), Ok(list(&[1])));
    let improper = List::improper(vec![Term::from(1), Term::from(2)], Term::tuple([]));
    assert_eq!(decode(&hex("83 6c 00000001 6101 6c 00000001 6102 6800")), Ok(improper));
    // A million cells, each of a list of its own.
    let cells: Vec<u8> = [131].into_iter().chain(b"\x6c\0\0\0\x01\x61\x01".repeat(1_000_000)).chain([106]).collect();
    assert_eq!(decode(&cells.into()).unwrap().as_list().map(List::len), Some(1_000_000));
}

#[test]
fn a_compressed_term_inflates_to_what_it_announces_or_not_at_all() {
    use std::io::Write;
    let deflated = |announced: u32, bytes: &[u8]| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(bytes).unwrap();
        Bytes::from([&[131, 80][..], &announced.to_be_bytes(), &zlib.finish().unwrap()].concat())
    };
    let plain = encode(&Term::list(vec![Term::from(1000); 500])).unwrap().slice(1..);
    let len = plain.len() as u32;
    assert_eq!(decode(&deflated(len, &plain)), Ok(Term::list(vec![Term::from(1000); 500])));
    let kind = |bytes: Bytes| decode(&bytes).unwrap_err().kind;
    assert_eq!(kind(deflated(len - 1, &plain)), DecodeErrorKind::Compressed);
    assert_eq!(kind(deflated(len + 1, &plain)), DecodeErrorKind::Compressed);
    assert_eq!(kind(deflated(u32::MAX, &plain)), DecodeErrorKind::TooLarge);
    let trailing = [&deflated(len, &plain)[..], &[0]].concat();
    assert_eq!(kind(trailing.into()), DecodeErrorKind::TrailingBytes);
    let inner = [&plain[..], &[106]].concat();
    assert_eq!(kind(deflated(len + 1, &inner)), DecodeErrorKind::TrailingBytes);
}

#[test]
fn a_term_as_deep_as_the_limit_can_be_used_on_a_small_stack() {
    let max = Limits::default().max_depth;
    let nested = |depth: usize| Bytes::from([&b"\x83"[..], &b"\x68\x01".repeat(depth), &[106]].concat());
    assert_eq!(decode(&nested(max + 1)).unwrap_err().kind, DecodeErrorKind::TooDeep);
    let body = move || {
        let term = decode(&nested(max)).unwrap();
        let copy = decode(&encode(&term).unwrap()).unwrap();
        assert_eq!(term, copy);
        assert!(format!("{term:?}").len() > max);
        let mut seen = std::collections::HashSet::new();
        assert!(seen.insert(term) && !seen.insert(copy));
    };
    // What a tokio worker or a test thread has.
    std::thread::Builder::new().stack_size(2 << 20).spawn(body).unwrap().join().unwrap();
}

#[test]
fn skip_needs_no_stack() {
    let deep: Vec<u8> = b"\x68\x01".repeat(1_000_000).into_iter().chain([106]).collect();
    assert_eq!(skip(&deep.into(), &[]), Ok(2_000_001));
}

#[test]
fn cached_atoms_come_from_the_header_and_are_spelt_out_again() {
    let atoms: Arc<[Atom]> = [Atom::new("tb"), Atom::new("ok")].into();
    // {ok, <tb.1.2>, [ok | ok], #{ok => fun tb:ok/1}}
    let bytes =
        hex("68 04 5201 58 5200 00000001 00000002 00000003 6c 00000001 5201 5201 74 00000001 5201 71 5200 5201 6101");
    assert_eq!(skip(&bytes, &atoms), Ok(bytes.len()));
    assert_eq!(decode_front(&bytes, &atoms, &Limits::default()).map(|(_, len)| len), Ok(bytes.len()));
    let encoded = Encoded::from_frame(bytes.clone(), atoms);
    let term = encoded.term().unwrap();
    assert!(term.as_tuple().unwrap()[0].is_atom("ok"));
    let mut out = vec![131];
    encoded.write_to(&mut out);
    assert_eq!(out, encode(&term).unwrap());
    assert_eq!(encoded.standalone().term(), Ok(term));
    let parts: Vec<Encoded> = encoded.elements().unwrap().collect();
    assert_eq!(parts.len(), 4);
    assert_eq!(parts[0].as_atom(), Some(Atom::new("ok")));
    assert_eq!(parts[1].as_pid(), Some(pid()));
    assert_eq!(Encoded::from_frame(bytes, [].into()).term().unwrap_err().kind, DecodeErrorKind::CachedAtom(1));
}

#[test]
fn large_shared_binaries_travel_in_pieces_of_their_own() {
    let big = |byte: u8| Term::from(Bytes::from(vec![byte; 20_000]));
    let shared = big(1);
    let term = Term::tuple([shared.clone(), Term::tuple([big(2), big(3)]), Term::from(4)]);
    let encoded = Encoded::new(&term).unwrap();
    let segments: Vec<Bytes> = encoded.segments().cloned().collect();
    assert_eq!(segments.len(), 7);
    assert_eq!(segments[1].as_ptr(), shared.as_binary().unwrap().as_ptr());
    assert_eq!(encoded.term(), Ok(term.clone()));
    assert_eq!(encoded.term().unwrap().as_tuple().unwrap()[0].as_binary().unwrap().as_ptr(), segments[1].as_ptr());
    let mut out = vec![131];
    encoded.write_to(&mut out);
    assert_eq!(out, encode(&term).unwrap());
    let parts: Vec<Term> = encoded.elements().unwrap().map(|part| part.term().unwrap()).collect();
    assert_eq!(Term::tuple(parts), term);
    let inner = encoded.elements().unwrap().nth(1).unwrap();
    assert_eq!(inner.segments().count(), 4);
    assert_eq!(inner.elements().unwrap().nth(1).unwrap().term(), Ok(big(3)));
}

#[test]
fn a_fun_inside_a_fun_has_the_sizes_of_both() {
    let nest = |inner: Term| {
        let fun = LocalFun {
            arity: 0,
            uniq: [1; 16],
            index: 0,
            module: Atom::new("m"),
            old_index: 0.into(),
            old_uniq: 0.into(),
            pid: pid(),
            free: [inner, Term::from(Bytes::from(vec![0; 20_000]))].into(),
        };
        Term::from(Fun::Local(Box::new(fun)))
    };
    let term = nest(nest(Term::from(1)));
    let bytes = encode(&term).unwrap();
    assert_eq!(bytes[2..6], (bytes.len() as u32 - 2).to_be_bytes());
    assert_eq!(decode(&bytes), Ok(term.clone()));
    assert_eq!(Encoded::new(&term).unwrap().len(), bytes.len() - 1);
}

#[test]
fn the_corpora_come_out_as_they_went_in() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/erlang-fixtures/vectors/corpora");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        let term = decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(skip(&bytes.slice(1..), &[]), Ok(bytes.len() - 1));
        assert_eq!(decode(&encode(&term).unwrap()), Ok(term), "{}", path.display());
    }
}

mod fixtures;
mod hostile;

mod random {
    use proptest::prelude::*;

    use super::*;
    use crate::etf::arbitrary::terms;

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same_term(term in terms()) {
            let bytes = encode(&term).unwrap();
            prop_assert_eq!(skip(&bytes.slice(1..), &[]), Ok(bytes.len() - 1));
            prop_assert_eq!(decode(&bytes), Ok(term.clone()));
            let pieces = Encoded::new(&term).unwrap();
            prop_assert_eq!(pieces.term(), Ok(term.clone()));
            prop_assert_eq!(pieces.segments().map(|piece| &piece[..]).collect::<Vec<_>>().concat(), &bytes[1..]);
            prop_assert_eq!(pieces.hash32(), Ok(crate::phash2::hash32(&term)));
            prop_assert_eq!(Encoded::from_frame(bytes.slice(1..), [].into()).hash32(), Ok(crate::phash2::hash32(&term)));
            prop_assert_eq!(Encoded::of(&term).unwrap().decode::<Term>(), Ok(term));
        }

        #[test]
        fn cached_atoms_make_no_difference(term in terms()) {
            let atoms: Arc<[Atom]> = [Atom::new("ok"), Atom::new("a"), Atom::new("é")].into();
            let bytes = with_cached_atoms(&encode(&term).unwrap()[1..], &atoms);
            let encoded = Encoded::from_frame(bytes.clone(), atoms.clone());
            prop_assert_eq!(skip(&bytes, &atoms), Ok(bytes.len()));
            prop_assert_eq!(encoded.term(), Ok(term.clone()));
            prop_assert_eq!(encoded.hash32(), Ok(crate::phash2::hash32(&term)));
            let mut out = vec![131];
            encoded.write_to(&mut out);
            prop_assert_eq!(decode(&out.into()), Ok(term.clone()));
            prop_assert_eq!(encoded.standalone().term(), Ok(term));
        }

        #[test]
        fn eetf_reads_what_we_write_and_we_what_it_writes(term in terms()) {
            let bytes = encode(&term).unwrap();
            let Some(theirs) = eetf_term(&term, &bytes) else { return Ok(()) };
            let mut written = Vec::new();
            theirs.encode(&mut written).unwrap();
            prop_assert_eq!(decode(&written.into()), Ok(term));
        }
    }

    /// What `eetf` makes of a term, where it is right: it has no records, no string of more than 65,535
    /// bytes, takes negative numbers for bytes of a string, merges the zeros as keys, knows only small
    /// numbers in funs, and swaps what is written for bit strings and empty big numbers.
    fn eetf_term(term: &Term, bytes: &Bytes) -> Option<::eetf::Term> {
        fn safe(term: &Term) -> bool {
            match term {
                Term::Record(_) | Term::Local(_) => false,
                Term::List(list) if list.tail().is_none() && list.as_bytes().is_none() => {
                    let byte = |item: &Term| item.as_i64().is_some_and(|n| (i64::from(i32::MIN)..256).contains(&n));
                    let items = list.as_terms().unwrap_or_default();
                    (items.is_empty() || !items.iter().all(byte)) && items.iter().all(safe)
                }
                Term::List(list) => list.as_terms().unwrap_or_default().iter().chain(list.tail()).all(safe),
                Term::Tuple(items) => items.iter().all(safe),
                Term::Map(map) => map.iter().all(|(key, value)| safe(key) && safe(value) && !zero(key)),
                Term::Fun(fun) => match &**fun {
                    Fun::Export { .. } => true,
                    Fun::Local(fun) => {
                        let small = |n: &crate::term::Integer| n.to_i64().is_some_and(|n| i32::try_from(n).is_ok());
                        small(&fun.old_index) && small(&fun.old_uniq) && fun.free.iter().all(safe)
                    }
                },
                _ => true,
            }
        }
        /// Holds a float that `eetf` cannot tell apart from another.
        fn zero(term: &Term) -> bool {
            format!("{term:?}").contains("0.0")
        }
        safe(term).then(|| ::eetf::Term::decode(std::io::Cursor::new(bytes)).unwrap())
    }

    /// Writes references to a frame's header in place of these atoms.
    fn with_cached_atoms(bytes: &[u8], atoms: &[Atom]) -> Bytes {
        let source = Bytes::copy_from_slice(bytes);
        let mut reader = reader::Reader::new(&source, &[]);
        let mut out = Vec::new();
        while reader.left() > 0 {
            let before = reader.clone();
            let token = reader.token().unwrap();
            let raw = before.since(&reader);
            match token {
                token::Token::Atom(text) => {
                    let atom = text.intern().unwrap();
                    match atoms.iter().position(|other| *other == atom) {
                        Some(at) => out.extend([82, at as u8]),
                        None => out.extend_from_slice(raw),
                    }
                }
                token::Token::Pid(raw_pid) => {
                    let node = raw_pid.node.intern().unwrap();
                    let Some(at) = atoms.iter().position(|other| *other == node) else {
                        out.extend_from_slice(raw);
                        continue;
                    };
                    out.extend([raw[0], 82, at as u8]);
                    out.extend_from_slice(&raw[raw.len() - 12..]);
                }
                token::Token::Fun => {
                    reader.fun_head().unwrap();
                    out.extend_from_slice(before.since(&reader));
                }
                token::Token::Record => {
                    let fields = reader.record_head().unwrap().fields;
                    (0..fields).for_each(|_| assert!(reader.atom().is_ok()));
                    out.extend_from_slice(before.since(&reader));
                }
                _ => out.extend_from_slice(raw),
            }
        }
        out.into()
    }
}

//! Bytes meant to kill: those that ended other libraries, by name, and mutations of real terms.

use std::path::Path;

use super::*;
use crate::etf::fuzz::fuzz_etf;

fn refused(bytes: &[u8]) -> DecodeErrorKind {
    fuzz_etf(bytes);
    decode(&Bytes::copy_from_slice(bytes)).expect_err("refused").kind
}

#[test]
fn a_fun_of_54_bytes_that_announces_four_billion_variables() {
    let head = b"\x83\x70\0\0\0\x35\x01AAAAAAAAAAAAAAAA\0\0\0\x01\xff\xff\xff\xff\x77\x01m\x61\x01\x61\x02";
    let bytes = [&head[..], b"\x58\x77\x01b\0\0\0\x01\0\0\0\x02\0\0\0\x03"].concat();
    assert_eq!(bytes.len(), 54);
    assert_eq!(refused(&bytes), DecodeErrorKind::Fun);
}

#[test]
fn tuples_nested_for_40_kilobytes() {
    let bytes = [&[131][..], &b"\x68\x01".repeat(20_000), &[106]].concat();
    assert_eq!(refused(&bytes), DecodeErrorKind::TooDeep);
}

#[test]
fn every_container_nested_a_million_times() {
    let fun: Vec<u8> = [
        &b"\x70\0\0\0\0\0AAAAAAAAAAAAAAAA\0\0\0\0\0\0\0\x01\x77\0\x61\0\x61\0"[..],
        b"\x58\x77\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ]
    .concat();
    let record = b"\x43\0\0\0\x01\0\x77\0\x77\0\x77\0";
    for level in [b"\x6c\0\0\0\x01", &b"\x74\0\0\0\x01\x6a"[..], b"\x74\0\0\0\x01", b"\x69\0\0\0\x01", record, &fun] {
        let bytes = [&[131][..], &level.repeat(1_000_000), &[106]].concat();
        let kind = decode(&bytes.into()).unwrap_err().kind;
        assert!(matches!(kind, DecodeErrorKind::TooDeep), "{kind:?}");
    }
}

#[test]
fn a_list_of_6_bytes_that_announces_four_billion_elements() {
    assert_eq!(refused(b"\x83\x6c\xff\xff\xff\xff"), DecodeErrorKind::UnexpectedEnd);
    assert_eq!(refused(b"\x83\x69\xff\xff\xff\xff"), DecodeErrorKind::UnexpectedEnd);
    assert_eq!(refused(b"\x83\x74\xff\xff\xff\xff"), DecodeErrorKind::UnexpectedEnd);
    assert_eq!(refused(b"\x83\x6d\xff\xff\xff\xff"), DecodeErrorKind::UnexpectedEnd);
    assert_eq!(refused(b"\x83\x6f\xff\xff\xff\xff\0"), DecodeErrorKind::UnexpectedEnd);
    assert_eq!(refused(b"\x83\x4d\xff\xff\xff\xff\x01"), DecodeErrorKind::UnexpectedEnd);
    assert_eq!(refused(b"\x83\x43\xff\xff\xff\xff\0\x77\0\x77\0"), DecodeErrorKind::UnexpectedEnd);
    // Announcing as many as there are bytes, at every level.
    let bytes = [&[131][..], &b"\x6c\0\0\x10\0".repeat(1000), &[106; 4096]].concat();
    assert_eq!(refused(&bytes), DecodeErrorKind::UnexpectedEnd);
}

#[test]
fn a_bomb_of_zlib() {
    use std::io::Write;
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..100).for_each(|_| zlib.write_all(&zeros).unwrap());
    let stream = zlib.finish().unwrap();
    let announcing = |size: u32| [&[131, 80][..], &size.to_be_bytes(), &stream].concat();
    assert_eq!(refused(&announcing(100 << 20)), DecodeErrorKind::TooLarge);
    assert_eq!(refused(&announcing(1000)), DecodeErrorKind::Compressed);
    assert_eq!(refused(&announcing(64 << 20)), DecodeErrorKind::Compressed);
}

#[test]
fn tags_that_made_others_panic() {
    for tag in 0..=255u8 {
        for rest in [&[][..], &[0], &[0; 64], &[255; 64], &[1; 64]] {
            fuzz_etf(&[&[131, tag][..], rest].concat());
            fuzz_etf(&[&[tag][..], rest].concat());
        }
    }
}

#[test]
fn a_stream_of_new_atoms_does_not_fill_the_table_by_being_passed_over_or_hashed() {
    let before = Atom::count();
    let mut bytes = vec![108, 0, 0, 3, 232];
    for n in 0..1000 {
        let text = format!("an atom nobody needs, number {n:04}");
        bytes.extend([119, text.len() as u8]);
        bytes.extend(text.bytes());
    }
    bytes.push(106);
    let encoded = Encoded::from_frame(bytes.into(), [].into());
    assert_eq!(skip(encoded.segments().next().unwrap(), &[]), Ok(encoded.len()));
    assert!(encoded.phash2().is_ok());
    // Other tests make atoms too, but none makes hundreds.
    assert!(Atom::count() - before < 500);
}

#[test]
fn mutations_of_real_terms_never_panic() {
    let seeds = seeds();
    let mut random = Random(0x1234_5678_9abc_def1);
    for _ in 0..100_000 {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(3) {
            mutate(&mut bytes, &mut random, &seeds);
        }
        fuzz_etf(&bytes);
    }
}

/// Every term of the fixtures that is not too long to be tried often.
fn seeds() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("erlang-fixtures/otp29");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "etf")).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> =
        files.iter().map(|path| std::fs::read(path).unwrap()).filter(|seed| seed.len() < 200).collect();
    assert!(seeds.len() > 100);
    seeds
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    if bytes.is_empty() {
        bytes.push(131);
    }
    let at = random.below(bytes.len());
    match random.below(6) {
        0 => bytes[at] = random.next() as u8,
        1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes.truncate(at),
        3 => drop(bytes.remove(at)),
        4 => bytes.insert(at, [0, 1, 2, 0x7f, 0x80, 0xff, 97, 104, 106, 108, 116, 82][random.below(12)]),
        _ => {
            // A term inside a term.
            let other = &seeds[random.below(seeds.len())][1..];
            bytes.splice(at..at + 1, other.iter().copied());
        }
    }
}

/// The same on every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

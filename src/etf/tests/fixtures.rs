//! What OTP 25, 27 and 29 wrote, took and refused (`erlang-fixtures/generate`).

use std::path::{Path, PathBuf};

use super::*;
use crate::phash2::hash32;

struct Case {
    name: String,
    bytes: Bytes,
    /// `same`, `other` or `refused`, and what `phash2` says of a term.
    verdict: String,
    hash: Option<u32>,
}

fn directory(release: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("erlang-fixtures/otp{release}"))
}

fn cases(release: u32) -> Vec<Case> {
    let index = std::fs::read_to_string(directory(release).join("index.txt")).unwrap();
    let case = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let bytes = std::fs::read(directory(release).join(fields[0]).with_extension("etf")).unwrap().into();
        Case { name: fields[0].into(), bytes, verdict: fields[1].into(), hash: fields[2].parse().ok() }
    };
    index.lines().map(case).collect()
}

/// Terms that a release refuses because it came before them.
fn came_later(release: u32, name: &str) -> bool {
    match name {
        "read_record" | "read_record_none" => release < 29,
        // Told apart since 27.
        "read_map_zeros" => release < 27,
        _ => false,
    }
}

#[test]
fn what_each_release_refuses_is_refused_and_nothing_else() {
    for release in [25, 27, 29] {
        for Case { name, bytes, verdict, .. } in cases(release) {
            let refused = verdict == "refused" && !came_later(release, &name);
            let ours = decode(&bytes);
            assert_eq!(ours.is_err(), refused, "{name} of OTP {release}: {ours:?}");
            if refused
                && bytes.get(1) != Some(&80)
                && !name.starts_with("read_map_twice")
                && name != "read_record_twice"
            {
                let skipped = skip(&bytes.slice(1..), &[]);
                assert!(skipped.is_err(), "{name} of OTP {release}, passed over: {skipped:?}");
            }
        }
    }
}

#[test]
fn what_each_release_writes_we_write_and_hash_alike() {
    let mut compared = 0;
    for release in [25, 27, 29] {
        for Case { name, bytes, verdict, hash } in cases(release) {
            let (Ok(term), Some(hash)) = (decode(&bytes), hash) else { continue };
            compared += 1;
            assert_eq!(hash32(&term), hash, "{name} of OTP {release}");
            let written = encode(&term).unwrap();
            // OTP 25 writes ports of few bits by an older tag.
            let same = verdict == "same" && !(release == 25 && name == "read_port_new");
            assert!(!same || written == bytes, "{name} of OTP {release}: {term:?}");
            assert_eq!(decode(&written).as_ref(), Ok(&term), "{name} of OTP {release}");
            let kept = Encoded::from_binary(&bytes).unwrap();
            assert_eq!(kept.term(), Ok(term), "{name} of OTP {release}");
            assert!(bytes.get(1) == Some(&80) || kept.to_binary() == bytes, "{name} of OTP {release}");
        }
    }
    assert!(compared > 300);
}

#[test]
fn each_release_sorts_as_we_do() {
    for release in [25, 27, 29] {
        let order = std::fs::read_to_string(directory(release).join("order.txt")).unwrap();
        let terms = cases(release).into_iter().filter(|case| case.verdict != "refused");
        let mut terms: Vec<(String, Term)> = terms.map(|case| (case.name, decode(&case.bytes).unwrap())).collect();
        terms.sort_by(|(_, a), (_, b)| a.compare(b));
        let ours: Vec<&str> = terms.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(ours, order.lines().collect::<Vec<_>>(), "OTP {release}");
    }
}

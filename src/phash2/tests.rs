use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::etf::{Encoded, decode};

fn vectors(name: &str) -> Vec<(Bytes, u32, u32, String)> {
    let path = format!("{}/erlang-fixtures/vectors/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let number = |line: &Value, name: &str| u32::try_from(line[name].as_u64().unwrap()).unwrap();
    let parse = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let hex = line["etf_hex"].as_str().unwrap().as_bytes();
        let bytes = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        (bytes.collect(), number(&line, "phash2"), number(&line, "phash2_32"), line["text"].to_string())
    };
    text.lines().map(parse).collect()
}

fn agree(name: &str, lines: usize) {
    let vectors = vectors(name);
    assert_eq!(vectors.len(), lines);
    for (bytes, hash27, hash, text) in vectors {
        let term = decode(&bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(hash32(&term), hash, "{text}");
        assert_eq!(phash2(&term), hash27, "{text}");
        assert_eq!(phash2_range(&term, 1 << 32), Some(hash), "{text}");
        assert_eq!(phash2_range(&term, 1000), Some(hash % 1000), "{text}");
        let encoded = Encoded::from_frame(bytes.slice(1..), [].into());
        let compressed = bytes[1] == 80;
        assert!(compressed || encoded.hash32() == Ok(hash), "as bytes: {text}");
        assert!(compressed || encoded.phash2() == Ok(hash27), "as bytes: {text}");
        assert_eq!(Encoded::new(&term).unwrap().hash32(), Ok(hash), "as our bytes: {text}");
    }
}

#[test]
fn otp_25_agrees() {
    agree("phash2-otp25", 685);
}

#[test]
fn otp_27_agrees() {
    agree("phash2-otp27", 685);
}

#[test]
fn otp_29_agrees() {
    agree("phash2-otp29", 685);
}

#[test]
fn otp_29_agrees_about_records_of_up_to_one_field() {
    agree("phash2-otp29-records", vectors("phash2-otp29-records").len());
}

#[test]
fn ranges_are_one_to_two_to_the_32() {
    let term = Term::from(7);
    assert_eq!(phash2_range(&term, 0), None);
    assert_eq!(phash2_range(&term, 1), Some(0));
    assert_eq!(phash2_range(&term, (1 << 32) + 1), None);
}

#[test]
fn a_million_levels_need_no_stack() {
    let deep: Vec<u8> = b"\x68\x01".repeat(1_000_000).into_iter().chain([106]).collect();
    assert!(Encoded::from_frame(deep.into(), [].into()).phash2().is_ok());
}

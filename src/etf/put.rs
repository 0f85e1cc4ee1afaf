//! Writing leaves and heads, by the rules a BEAM writes by ("External Term Format").

use super::tag::Tag;
use crate::term::{Atom, Creation, Integer, Parts, Pid, Port, Ref};

pub(crate) fn integer(out: &mut Vec<u8>, value: i64) {
    if let Ok(byte) = u8::try_from(value) {
        out.extend_from_slice(&[Tag::SMALL_INTEGER.0, byte]);
    } else if let Ok(word) = i32::try_from(value) {
        tag_and(out, Tag::INTEGER, word.to_be_bytes());
    } else {
        big(out, value < 0, &value.unsigned_abs().to_le_bytes());
    }
}

/// An integer by its sign and its little-endian magnitude, leading zeros allowed. False if the
/// format cannot count its bytes.
#[must_use]
pub(crate) fn any_integer(out: &mut Vec<u8>, value: &Integer) -> bool {
    match value.parts() {
        Parts::Small(small) => integer(out, small),
        Parts::Big(negative, magnitude) => {
            if u32::try_from(magnitude.len()).is_err() {
                return false;
            }
            big(out, negative, magnitude);
        }
    }
    true
}

pub(crate) fn big(out: &mut Vec<u8>, negative: bool, magnitude: &[u8]) {
    let used = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let magnitude = &magnitude[..used];
    match u8::try_from(used) {
        Ok(len) => out.extend_from_slice(&[Tag::SMALL_BIG.0, len]),
        Err(_) => tag_and(out, Tag::LARGE_BIG, (used as u32).to_be_bytes()),
    }
    out.push(u8::from(negative));
    out.extend_from_slice(magnitude);
}

pub(crate) fn float(out: &mut Vec<u8>, value: f64) {
    tag_and(out, Tag::NEW_FLOAT, value.to_be_bytes());
}

#[inline]
pub(crate) fn atom(out: &mut Vec<u8>, atom: Atom) {
    atom_text(out, atom.as_str());
}

/// An atom by its text, of at most 255 characters.
#[inline]
pub(crate) fn atom_text(out: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    match u8::try_from(text.len()) {
        Ok(len) => out.extend_from_slice(&[Tag::SMALL_ATOM_UTF8.0, len]),
        // 255 characters of four bytes at most.
        Err(_) => tag_and(out, Tag::ATOM_UTF8, (text.len() as u16).to_be_bytes()),
    }
    out.extend_from_slice(text);
}

pub(crate) fn pid(out: &mut Vec<u8>, pid: &Pid) {
    out.push(Tag::NEW_PID.0);
    atom(out, pid.node);
    out.extend_from_slice(&pid.id.to_be_bytes());
    out.extend_from_slice(&pid.serial.to_be_bytes());
    creation(out, pid.creation);
}

pub(crate) fn port(out: &mut Vec<u8>, port: &Port) {
    out.push(Tag::V4_PORT.0);
    atom(out, port.node);
    out.extend_from_slice(&port.id.to_be_bytes());
    creation(out, port.creation);
}

pub(crate) fn reference(out: &mut Vec<u8>, reference: &Ref) {
    let words = reference.words();
    tag_and(out, Tag::NEWER_REFERENCE, (words.len() as u16).to_be_bytes());
    atom(out, reference.node);
    creation(out, reference.creation);
    for word in words {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// The head of a tuple; its elements follow. False if the format cannot count them.
#[must_use]
pub(crate) fn tuple(out: &mut Vec<u8>, arity: usize) -> bool {
    match (u8::try_from(arity), u32::try_from(arity)) {
        (Ok(arity), _) => out.extend_from_slice(&[Tag::SMALL_TUPLE.0, arity]),
        (Err(_), Ok(arity)) => tag_and(out, Tag::LARGE_TUPLE, arity.to_be_bytes()),
        (Err(_), Err(_)) => return false,
    }
    true
}

/// The head of a list that is not empty; its elements and its tail follow.
#[must_use]
pub(crate) fn list(out: &mut Vec<u8>, len: usize) -> bool {
    counted(out, Tag::LIST, len)
}

/// The head of a map; keys and values follow in turn.
#[must_use]
pub(crate) fn map(out: &mut Vec<u8>, pairs: usize) -> bool {
    counted(out, Tag::MAP, pairs)
}

pub(crate) fn nil(out: &mut Vec<u8>) {
    out.push(Tag::NIL.0);
}

/// The head of a binary; its bytes follow.
#[must_use]
pub(crate) fn binary(out: &mut Vec<u8>, len: usize) -> bool {
    counted(out, Tag::BINARY, len)
}

/// A list of 1 to 65,535 bytes.
pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!((1..=65_535).contains(&bytes.len()));
    tag_and(out, Tag::STRING, (bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn counted(out: &mut Vec<u8>, tag: Tag, count: usize) -> bool {
    let Ok(count) = u32::try_from(count) else { return false };
    tag_and(out, tag, count.to_be_bytes());
    true
}

fn creation(out: &mut Vec<u8>, creation: Creation) {
    out.extend_from_slice(&creation.0.to_be_bytes());
}

#[inline]
pub(crate) fn tag_and<const N: usize>(out: &mut Vec<u8>, tag: Tag, bytes: [u8; N]) {
    out.push(tag.0);
    out.extend_from_slice(&bytes);
}

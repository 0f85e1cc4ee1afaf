//! Passing over a term without building it.

#[cfg(any(test, fuzzing))]
use bytes::Bytes;

use super::decode::{Limits, decode_one};
use super::encode::{Output, PIECE_FROM};
use super::error::{DecodeError, DecodeErrorKind};
use super::put;
use super::reader::Reader;
use super::token::{AtomText, Token};
#[cfg(any(test, fuzzing))]
use crate::term::Atom;

/// Passes over the term at the front of `bytes` (no 131) and says how long it is.
///
/// It refuses what the decoder refuses, but for a key that stands twice in a map, a field that
/// stands twice in a record, and a full atom table; it needs no memory, however deep the term is.
#[cfg(any(test, fuzzing))]
pub(crate) fn skip(bytes: &Bytes, atoms: &[Atom]) -> Result<usize, DecodeError> {
    let mut reader = Reader::new(bytes, atoms);
    skip_one(&mut reader)?;
    Ok(reader.offset())
}

/// Passes over the next term.
pub(crate) fn skip_one(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    // How many terms are still to come says all: whose elements they are does not matter here. Each
    // takes a byte at least, so the sum cannot overflow before the bytes run out.
    let mut coming: usize = 1;
    while coming > 0 {
        coming -= 1;
        coming = coming.saturating_add(match reader.token()? {
            Token::Integer(_) | Token::Big(_) | Token::Float(_) | Token::Nil | Token::String(_) => 0,
            Token::Binary(_) | Token::Bits(..) | Token::Local(_) => 0,
            Token::Atom(text) => check(reader, text)?,
            Token::Pid(pid) => check(reader, pid.node)?,
            Token::Port(port) => check(reader, port.node)?,
            Token::Ref(reference) => check(reader, reference.node)?,
            Token::Export(module, function, _) => check(reader, module)? + check(reader, function)?,
            Token::Tuple(count) => count,
            Token::List(count) => count + 1,
            Token::Map(pairs) => pairs * 2,
            Token::Fun => {
                let head = reader.fun_head()?;
                check(reader, head.module)?;
                check(reader, head.pid.node)? + head.free
            }
            Token::Record => skip_record_head(reader)?,
        });
    }
    Ok(())
}

fn skip_record_head(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let head = reader.record_head()?;
    check(reader, head.module)?;
    check(reader, head.name)?;
    for _ in 0..head.fields {
        let name = reader.atom()?;
        check(reader, name)?;
    }
    Ok(head.fields)
}

/// Checks an atom; the 0 is for [`skip_one`]'s sum.
#[inline]
fn check(reader: &Reader<'_>, text: AtomText<'_>) -> Result<usize, DecodeError> {
    text.check().map_err(|kind: DecodeErrorKind| reader.fail(kind))?;
    Ok(0)
}

/// Writes the next term again with its cached atoms spelt out; what is no term is copied as it is.
pub(crate) fn rewrite(reader: &mut Reader<'_>, output: &mut Output) {
    let mut coming: usize = 1;
    while coming > 0 {
        coming -= 1;
        let before = reader.clone();
        match rewrite_step(reader, output) {
            Ok(more) => coming = coming.saturating_add(more),
            Err(_) => {
                *reader = before;
                output.bytes.extend_from_slice(reader.rest().bytes);
                return;
            }
        }
    }
}

/// Writes a leaf or the head of a container, and says how many terms of it are to come.
fn rewrite_step(reader: &mut Reader<'_>, output: &mut Output) -> Result<usize, DecodeError> {
    let before = reader.clone();
    let out = &mut output.bytes;
    let more = match reader.token()? {
        Token::Tuple(count) => count,
        Token::List(count) => count + 1,
        Token::Map(pairs) => pairs * 2,
        Token::Integer(_) | Token::Big(_) | Token::Float(_) | Token::Nil | Token::String(_) => 0,
        Token::Bits(..) | Token::Local(_) => 0,
        Token::Binary(shared) if shared.bytes.len() >= PIECE_FROM => {
            let _ = put::binary(out, shared.bytes.len());
            output.content(shared.bytes, || Some(shared.to_bytes()));
            return Ok(0);
        }
        Token::Binary(_) => 0,
        Token::Atom(text) => {
            put::atom(out, reader.intern(text)?);
            return Ok(0);
        }
        Token::Pid(raw) => {
            put::pid(out, &reader.make_pid(raw)?);
            return Ok(0);
        }
        Token::Port(raw) => {
            put::port(out, &reader.make_port(raw)?);
            return Ok(0);
        }
        Token::Ref(raw) => {
            put::reference(out, &reader.make_ref(raw)?);
            return Ok(0);
        }
        // Rare enough to be taken apart and put together again.
        Token::Export(..) | Token::Fun | Token::Record => {
            *reader = before;
            let term = decode_one(reader, &Limits::default())?;
            output.term(&term).map_err(|_no_encoding| reader.fail(DecodeErrorKind::TooLarge))?;
            return Ok(0);
        }
    };
    out.extend_from_slice(before.since(reader));
    Ok(more)
}

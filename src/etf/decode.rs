//! Bytes to [`Term`]: a loop with a stack of values, so that depth costs memory and no call frames.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;

use super::error::{DecodeError, DecodeErrorKind};
use super::reader::{Reader, Shared};
use super::tag::{Tag, VERSION};
use super::token::{Big, FunHead, Token, Whole};
use crate::term::{Atom, Binary, BitString, Fun, Integer, List, LocalFun, Map, Record, Term, Tuple};

/// What a decoder agrees to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How deep containers may nest. Dropping, comparing and printing a [`Term`] recurse, at up to
    /// 1.5 KB of stack a level (printing, unoptimised), so a term must not be deeper than the stacks
    /// of the threads that will do so can bear: 1,024 levels fit the usual 2 MB. [`Encoded`] terms
    /// are received, kept and sent on at any depth.
    ///
    /// [`Encoded`]: super::Encoded
    pub max_depth: usize,
    /// How many bytes a compressed term may inflate to.
    pub max_inflated: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 1024, max_inflated: 64 << 20 }
    }
}

/// Decodes what `term_to_binary` makes: 131 and one term, compressed or not, and nothing after it.
///
/// Binaries from 64 bytes on are slices of `bytes`, and keep it alive.
///
/// # Errors
/// Whatever a BEAM refuses, and what [`Limits::default`] does not allow.
pub fn decode(bytes: &Bytes) -> Result<Term, DecodeError> {
    decode_with(bytes, &Limits::default())
}

/// [`decode`] within other limits.
///
/// # Errors
/// As [`decode`].
pub fn decode_with(bytes: &Bytes, limits: &Limits) -> Result<Term, DecodeError> {
    let mut reader = Reader::new(bytes, &[]);
    match version(&mut reader, limits)? {
        Some(inflated) => decode_all(Reader::new(&inflated, &[]), limits),
        None => decode_all(reader, limits),
    }
}

/// Reads 131. If a compressed term follows, returns it inflated.
pub(super) fn version(reader: &mut Reader<'_>, limits: &Limits) -> Result<Option<Bytes>, DecodeError> {
    match reader.u8()? {
        VERSION => {}
        other => return Err(reader.fail(DecodeErrorKind::Version(other))),
    }
    if reader.peek() == Some(Tag::COMPRESSED.0) { inflate(reader, limits).map(Some) } else { Ok(None) }
}

/// Decodes one term that fills the whole of `reader`.
pub(crate) fn decode_all(mut reader: Reader<'_>, limits: &Limits) -> Result<Term, DecodeError> {
    let term = decode_one(&mut reader, limits)?;
    if reader.left() > 0 {
        return Err(reader.fail(DecodeErrorKind::TrailingBytes));
    }
    Ok(term)
}

/// Decodes the term at the front of `bytes` and says how long it was; there is no 131 in front of it.
#[cfg(any(test, fuzzing))]
pub(crate) fn decode_front(bytes: &Bytes, atoms: &[Atom], limits: &Limits) -> Result<(Term, usize), DecodeError> {
    let mut reader = Reader::new(bytes, atoms);
    let term = decode_one(&mut reader, limits)?;
    Ok((term, reader.offset()))
}

/// Decodes the next term.
pub(crate) fn decode_one(reader: &mut Reader<'_>, limits: &Limits) -> Result<Term, DecodeError> {
    let mut building = Building { values: Vec::new(), open: Vec::new(), max_depth: limits.max_depth };
    loop {
        if let Some(leaf) = building.step(reader)? {
            building.values.push(leaf);
            if building.close_finished(reader)? {
                break;
            }
        }
    }
    building.values.pop().ok_or_else(|| reader.fail(DecodeErrorKind::UnexpectedEnd))
}

struct Building<'a> {
    /// Finished terms whose container is still open.
    values: Vec<Term>,
    open: Vec<Open<'a>>,
    max_depth: usize,
}

/// A container whose elements are being read.
struct Open<'a> {
    kind: Kind<'a>,
    /// How many elements are still to come; never 0 between two steps.
    left: usize,
    /// Where its elements start among the values.
    from: usize,
}

enum Kind<'a> {
    Tuple,
    Map,
    List,
    /// The elements of the list are complete, its tail, which is no list, is being read.
    Tail,
    Fun(Box<FunHead<'a>>),
    Record(Box<(Record, Vec<Atom>)>),
}

impl<'a> Building<'a> {
    /// Reads a leaf or an empty container, or opens a container.
    #[inline]
    fn step(&mut self, reader: &mut Reader<'a>) -> Result<Option<Term>, DecodeError> {
        let token = reader.token()?;
        Ok(Some(match token {
            Token::Tuple(0) => Term::Tuple(Tuple::from_stack(&mut Vec::new(), 0)),
            Token::Map(0) => Term::Map(Map::new()),
            Token::Tuple(count) => return self.open(reader, Kind::Tuple, count),
            Token::List(count) => return self.open(reader, Kind::List, count),
            Token::Map(count) => return self.open(reader, Kind::Map, count * 2),
            Token::Fun => return self.open_fun(reader),
            Token::Record => return self.open_record(reader),
            leaf => leaf_term(reader, leaf)?,
        }))
    }

    #[inline]
    fn open(&mut self, reader: &Reader<'a>, kind: Kind<'a>, left: usize) -> Result<Option<Term>, DecodeError> {
        if self.open.len() >= self.max_depth {
            return Err(reader.fail(DecodeErrorKind::TooDeep));
        }
        self.values.reserve(left);
        self.open.push(Open { kind, left, from: self.values.len() });
        Ok(None)
    }

    fn open_fun(&mut self, reader: &mut Reader<'a>) -> Result<Option<Term>, DecodeError> {
        let head = reader.fun_head()?;
        if head.free == 0 {
            return local_fun(reader, &head, Box::default()).map(Some);
        }
        self.open(reader, Kind::Fun(Box::new(head)), head.free)
    }

    fn open_record(&mut self, reader: &mut Reader<'a>) -> Result<Option<Term>, DecodeError> {
        let head = reader.record_head()?;
        let (module, name) = (reader.intern(head.module)?, reader.intern(head.name)?);
        let mut names = Vec::new();
        for _ in 0..head.fields {
            let text = reader.atom()?;
            names.push(reader.intern(text)?);
        }
        let mut sorted = names.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(reader.fail(DecodeErrorKind::Record));
        }
        let record = Record { module, name, exported: head.exported, fields: Box::default() };
        if names.is_empty() {
            return Ok(Some(Term::Record(Arc::new(record))));
        }
        self.open(reader, Kind::Record(Box::new((record, names))), head.fields)
    }

    /// After a value: closes every container that it completed. True when the whole term is done.
    #[inline]
    fn close_finished(&mut self, reader: &mut Reader<'a>) -> Result<bool, DecodeError> {
        while let Some(top) = self.open.last_mut() {
            top.left -= 1;
            if top.left > 0 {
                return Ok(false);
            }
            if matches!(top.kind, Kind::List) && !self.list_ends(reader)? {
                return Ok(false);
            }
            let Some(Open { kind, from, .. }) = self.open.pop() else { return Ok(true) };
            let term = self.close(reader, kind, from)?;
            self.values.push(term);
        }
        Ok(true)
    }

    /// Looks at the tail of the list on top: false if there is more to read before it is complete.
    #[inline]
    fn list_ends(&mut self, reader: &mut Reader<'a>) -> Result<bool, DecodeError> {
        if reader.peek() == Some(Tag::NIL.0) {
            reader.u8()?;
            return Ok(true);
        }
        let mut ahead = reader.clone();
        let (kind, left) = match ahead.token()? {
            Token::Nil => {
                *reader = ahead;
                return Ok(true);
            }
            // A tail that is a list makes one longer list.
            Token::List(count) => {
                *reader = ahead;
                (Kind::List, count)
            }
            Token::String(bytes) => {
                *reader = ahead;
                self.values.extend(bytes.iter().map(|byte| Term::from(*byte)));
                return Ok(true);
            }
            _ => (Kind::Tail, 1),
        };
        if let Some(top) = self.open.last_mut() {
            (top.kind, top.left) = (kind, left);
        }
        Ok(false)
    }

    #[inline]
    fn close(&mut self, reader: &Reader<'a>, kind: Kind<'a>, from: usize) -> Result<Term, DecodeError> {
        Ok(match kind {
            Kind::Tuple => Term::Tuple(Tuple::from_stack(&mut self.values, from)),
            Kind::List => Term::List(List::from_stack(&mut self.values, from)),
            Kind::Map => match Map::from_stack(&mut self.values, from) {
                Some(map) => Term::Map(map),
                None => return Err(reader.fail(DecodeErrorKind::DuplicateKey)),
            },
            Kind::Tail => {
                let tail = self.values.pop().unwrap_or_default();
                List::improper(self.values.drain(from..).collect(), tail)
            }
            Kind::Fun(head) => local_fun(reader, &head, self.values.drain(from..).collect())?,
            Kind::Record(started) => {
                let (record, names) = *started;
                let fields = names.into_iter().zip(self.values.drain(from..)).collect();
                Term::Record(Arc::new(Record { fields, ..record }))
            }
        })
    }
}

/// The term of a token that is no container.
#[inline]
fn leaf_term(reader: &Reader<'_>, leaf: Token<'_>) -> Result<Term, DecodeError> {
    Ok(match leaf {
        Token::Integer(small) => Term::from(small),
        Token::Atom(text) => Term::Atom(reader.intern(text)?),
        Token::Binary(shared) => Term::Binary(binary(shared)),
        Token::Float(float) => Term::Float(float),
        Token::Nil => Term::nil(),
        Token::String(bytes) => Term::List(List::from(bytes)),
        Token::Pid(raw) => Term::Pid(reader.make_pid(raw)?),
        Token::Ref(raw) => Term::from(reader.make_ref(raw)?),
        Token::Port(raw) => Term::Port(reader.make_port(raw)?),
        Token::Big(big) => Term::Integer(integer(big)),
        Token::Bits(shared, bits) => {
            let bits = BitString::new(binary(shared), bits);
            bits.ok_or_else(|| reader.fail(DecodeErrorKind::Bits))?.into()
        }
        Token::Export(module, function, arity) => {
            let (module, function) = (reader.intern(module)?, reader.intern(function)?);
            Fun::Export { module, function, arity }.into()
        }
        Token::Local(shared) => Term::Local(Arc::new(shared.to_bytes())),
        Token::Tuple(_) | Token::List(_) | Token::Map(_) | Token::Fun | Token::Record => {
            return Err(reader.fail(DecodeErrorKind::UnexpectedEnd));
        }
    })
}

fn binary(shared: Shared<'_>) -> Binary {
    if Binary::is_worth_sharing(shared.bytes.len()) { shared.to_bytes().into() } else { Binary::copied(shared.bytes) }
}

pub(crate) fn integer(big: Big<'_>) -> Integer {
    let sign = if big.negative { num_bigint::Sign::Minus } else { num_bigint::Sign::Plus };
    num_bigint::BigInt::from_bytes_le(sign, big.magnitude).into()
}

fn whole(whole: Whole<'_>) -> Integer {
    match whole {
        Whole::Small(small) => small.into(),
        Whole::Big(big) => integer(big),
    }
}

fn local_fun(reader: &Reader<'_>, head: &FunHead<'_>, free: Box<[Term]>) -> Result<Term, DecodeError> {
    let fun = LocalFun {
        arity: head.arity,
        uniq: head.uniq,
        index: head.index,
        module: reader.intern(head.module)?,
        old_index: whole(head.old_index),
        old_uniq: whole(head.old_uniq),
        pid: reader.make_pid(head.pid)?,
        free,
    };
    Ok(Fun::Local(Box::new(fun)).into())
}

/// Inflates a compressed term: tag 80, the size it will have, and a zlib stream to the end.
fn inflate(reader: &mut Reader<'_>, limits: &Limits) -> Result<Bytes, DecodeError> {
    /// No zlib stream expands further: each byte of output costs at least 1/1032 of one of input.
    const MOST_EXPANSION: usize = 1032;
    reader.u8()?;
    let announced = reader.u32()? as usize;
    if announced > limits.max_inflated {
        return Err(reader.fail(DecodeErrorKind::TooLarge));
    }
    let stream = reader.rest().bytes;
    let damaged = |_| reader.fail(DecodeErrorKind::Compressed);
    let mut inflated = Vec::with_capacity(announced.min(stream.len().saturating_mul(MOST_EXPANSION)));
    let mut inflater = flate2::read::ZlibDecoder::new(stream);
    // One byte more than announced is enough to see that there is more.
    inflater.by_ref().take(announced as u64 + 1).read_to_end(&mut inflated).map_err(damaged)?;
    if inflated.len() != announced {
        return Err(reader.fail(DecodeErrorKind::Compressed));
    }
    if inflater.total_in() < stream.len() as u64 {
        return Err(reader.fail(DecodeErrorKind::TrailingBytes));
    }
    Ok(inflated.into())
}

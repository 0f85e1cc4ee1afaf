//! Bytes to [`Term`]: a loop with a stack of values, so that depth costs memory and no call frames.

use std::cell::Cell;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;

use super::error::{DecodeError, DecodeErrorKind};
use super::numbers::{is_number, list_of_numbers};
use super::reader::{Reader, Shared};
use super::tag::{Tag, VERSION};
use super::token::{Big, FunHead, Take, Token, Whole};
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
    let mut building = SPARE.try_with(Cell::take).unwrap_or_default();
    building.max_depth = limits.max_depth;
    let result = building.run(reader);
    building.keep();
    result
}

thread_local! {
    /// The stacks of the last decoding, so that the next need not allocate its own.
    static SPARE: Cell<Building> = const { Cell::new(Building::new()) };
}

/// Stacks of more terms than this (512 KB) are not kept.
const KEPT: usize = 16_384;

/// Containers from this many terms on collect theirs apart from the others, and need not be moved
/// when they are complete.
const APART: usize = 1024;

#[derive(Default)]
struct Building {
    /// Finished terms whose container is still open.
    values: Vec<Term>,
    open: Vec<Open>,
    max_depth: usize,
}

/// A container whose elements are being read.
struct Open {
    kind: Kind,
    /// How many elements are still to come; never 0 between two steps.
    left: usize,
    /// Where its elements start among the values.
    from: usize,
    /// How many terms all containers around it still have to come.
    outside: usize,
}

enum Kind {
    Tuple,
    Map,
    List,
    /// The elements of the list are complete, its tail, which is no list, is being read.
    Tail,
    Fun(Box<LocalFun>),
    Record(Box<(Record, Vec<Atom>)>),
    /// One whose elements are alone among the values; those outside wait here.
    Apart(Box<(Self, Vec<Term>)>),
}

/// What comes after a token.
#[derive(PartialEq, Eq)]
enum Next {
    /// The first element of the container that it opened.
    Element,
    /// Whatever follows a finished term.
    Rest,
}

/// Builds a leaf, or opens a container. Terms are made where they are to stay: each time a term is
/// moved through memory on its way costs several nanoseconds.
impl<'a> Take<'a> for &mut Building {
    type Out = Next;

    #[inline(always)]
    fn take(self, reader: &mut Reader<'a>, token: Token<'a>) -> Result<Next, DecodeError> {
        match token {
            Token::Integer(small) => push_integer(&mut self.values, small),
            Token::Atom(text) => push_atom(&mut self.values, reader.intern(text)?),
            Token::Binary(shared) => push_binary(&mut self.values, shared),
            Token::Float(float) => push_float(&mut self.values, float),
            Token::Big(big) => push_big(&mut self.values, big),
            Token::Nil => push_nil(&mut self.values),
            Token::Tuple(0) => self.values.push(Term::tuple([])),
            Token::Map(0) => self.values.push(Term::Map(Map::new())),
            Token::Tuple(count) => return self.open(reader, Kind::Tuple, count),
            Token::List(count) => return self.open_list(reader, count),
            Token::Map(count) => return self.open(reader, Kind::Map, count * 2),
            Token::Fun => return self.open_fun(reader),
            Token::Record => return self.open_record(reader),
            leaf => self.rare_leaf(reader, leaf)?,
        }
        Ok(Next::Rest)
    }
}

// Calls, so that each writes its few words straight into the stack. Inlined, the branches share one
// write of 32 bytes, read back from where they were just put together by the word: a stall each time.

#[inline(never)]
fn push_integer(values: &mut Vec<Term>, value: i64) {
    values.push(Term::Integer(value.into()));
}

#[inline(never)]
fn push_atom(values: &mut Vec<Term>, atom: Atom) {
    values.push(Term::Atom(atom));
}

#[inline(never)]
fn push_float(values: &mut Vec<Term>, value: f64) {
    values.push(Term::Float(value));
}

#[inline(never)]
fn push_big(values: &mut Vec<Term>, big: Big<'_>) {
    values.push(Term::Integer(integer(big)));
}

#[inline(never)]
fn push_nil(values: &mut Vec<Term>) {
    values.push(Term::nil());
}

#[inline(never)]
fn push_binary(values: &mut Vec<Term>, shared: Shared<'_>) {
    values.push(Term::Binary(binary(shared)));
}

#[inline(never)]
fn push_tuple(values: &mut Vec<Term>, from: usize) {
    let tuple = Tuple::from_stack(values, from);
    values.push(Term::Tuple(tuple));
}

#[inline(never)]
fn push_list(values: &mut Vec<Term>, from: usize) {
    let list = List::from_stack(values, from);
    values.push(Term::List(list));
}

/// False if a key stands twice.
#[inline(never)]
fn push_map(values: &mut Vec<Term>, from: usize) -> bool {
    let Some(map) = Map::from_stack(values, from) else { return false };
    values.push(Term::Map(map));
    true
}

impl Building {
    const fn new() -> Self {
        Self { values: Vec::new(), open: Vec::new(), max_depth: 0 }
    }

    fn run(&mut self, reader: &mut Reader<'_>) -> Result<Term, DecodeError> {
        loop {
            if reader.step(&mut *self)? == Next::Element {
                continue;
            }
            if self.close_finished(reader)? {
                break;
            }
        }
        self.values.pop().ok_or_else(|| reader.fail(DecodeErrorKind::UnexpectedEnd))
    }

    /// Leaves the stacks for the next decoding of this thread.
    fn keep(mut self) {
        self.values.clear();
        self.open.clear();
        if self.values.capacity() <= KEPT {
            // A thread that is ending has no use for them.
            let _ = SPARE.try_with(|spare| spare.set(self));
        }
    }

    #[inline(always)]
    fn open(&mut self, reader: &Reader<'_>, kind: Kind, left: usize) -> Result<Next, DecodeError> {
        if self.open.len() >= self.max_depth {
            return Err(reader.fail(DecodeErrorKind::TooDeep));
        }
        let outside = self.open.last().map_or(0, |top| top.outside + top.left - 1);
        // Each term that is to come takes a byte, so all that is reserved here stays within a fixed
        // multiple of the input, whatever is announced in it.
        if left + outside > reader.left_at_most() {
            return Err(reader.fail(DecodeErrorKind::UnexpectedEnd));
        }
        if left >= APART {
            self.open_apart(kind, left, outside);
            return Ok(Next::Element);
        }
        self.open.push(Open { kind, left, from: self.values.len(), outside });
        Ok(Next::Element)
    }

    #[inline(always)]
    fn open_list(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<Next, DecodeError> {
        if is_number(reader.peek()) && self.open.len() < self.max_depth {
            if let Some(list) = list_of_numbers(reader, count) {
                self.values.push(Term::List(list));
                return Ok(Next::Rest);
            }
        }
        self.open(reader, Kind::List, count)
    }

    #[cold]
    fn open_apart(&mut self, kind: Kind, left: usize, outside: usize) {
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(left));
        self.open.push(Open { kind: Kind::Apart(Box::new((kind, values))), left, from: 0, outside });
    }

    #[inline(never)]
    fn rare_leaf(&mut self, reader: &Reader<'_>, leaf: Token<'_>) -> Result<(), DecodeError> {
        let term = rare_leaf(reader, leaf)?;
        self.values.push(term);
        Ok(())
    }

    #[cold]
    fn open_fun(&mut self, reader: &mut Reader<'_>) -> Result<Next, DecodeError> {
        let head = reader.fun_head()?;
        let fun = Box::new(local_fun(reader, &head)?);
        if head.free > 0 {
            return self.open(reader, Kind::Fun(fun), head.free);
        }
        self.values.push(Fun::Local(fun).into());
        Ok(Next::Rest)
    }

    #[cold]
    fn open_record(&mut self, reader: &mut Reader<'_>) -> Result<Next, DecodeError> {
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
        if head.fields > 0 {
            return self.open(reader, Kind::Record(Box::new((record, names))), head.fields);
        }
        self.values.push(Term::Record(Arc::new(record)));
        Ok(Next::Rest)
    }

    /// After a value: closes every container that it completed. True when the whole term is done.
    #[inline(always)]
    fn close_finished(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        while let Some(top) = self.open.last_mut() {
            top.left -= 1;
            if top.left > 0 {
                return Ok(false);
            }
            if !self.close(reader)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Closes the container on top. False if it turns out to be a list that goes on.
    fn close(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        let Some(top) = self.open.last_mut() else { return Ok(true) };
        let from = top.from;
        match &top.kind {
            Kind::Tuple => push_tuple(&mut self.values, from),
            Kind::Map => {
                if !push_map(&mut self.values, from) {
                    return Err(reader.fail(DecodeErrorKind::DuplicateKey));
                }
            }
            Kind::List => {
                if !self.list_ends(reader)? {
                    return Ok(false);
                }
                push_list(&mut self.values, from);
            }
            Kind::Tail | Kind::Fun(_) | Kind::Record(_) | Kind::Apart(_) => return self.close_rare(reader),
        }
        self.open.pop();
        Ok(true)
    }

    /// Looks at the tail of the list on top: false if there is more to read before it is complete.
    #[inline(always)]
    fn list_ends(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        if reader.peek() == Some(Tag::NIL.0) {
            reader.u8()?;
            return Ok(true);
        }
        self.list_goes_on(reader)
    }

    #[cold]
    fn list_goes_on(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
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
            top.left = left;
            match &mut top.kind {
                Kind::Apart(apart) => apart.0 = kind,
                other => *other = kind,
            }
        }
        Ok(false)
    }

    #[cold]
    fn close_rare(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        let Some(top) = self.open.last() else { return Ok(true) };
        if matches!(&top.kind, Kind::Apart(apart) if matches!(apart.0, Kind::List)) && !self.list_ends(reader)? {
            return Ok(false);
        }
        let Some(Open { kind, from, .. }) = self.open.pop() else { return Ok(true) };
        let term = match kind {
            Kind::Apart(apart) => {
                let (kind, outside) = *apart;
                let values = std::mem::replace(&mut self.values, outside);
                container(reader, kind, values)?
            }
            kind => container(reader, kind, self.values.split_off(from))?,
        };
        self.values.push(term);
        Ok(true)
    }
}

/// A container of all these values.
fn container(reader: &Reader<'_>, kind: Kind, mut values: Vec<Term>) -> Result<Term, DecodeError> {
    Ok(match kind {
        Kind::Tuple => Term::tuple(values),
        Kind::List => Term::list(values),
        Kind::Map => {
            let map = Map::from_flat(values);
            Term::Map(map.ok_or_else(|| reader.fail(DecodeErrorKind::DuplicateKey))?)
        }
        Kind::Tail => {
            let tail = values.pop().unwrap_or_default();
            List::improper(values, tail)
        }
        Kind::Fun(mut fun) => {
            fun.free = values.into();
            Fun::Local(fun).into()
        }
        Kind::Record(started) => {
            let (record, names) = *started;
            let fields = names.into_iter().zip(values).collect();
            Term::Record(Arc::new(Record { fields, ..record }))
        }
        Kind::Apart(_) => unreachable!("what is collected apart is not that itself"),
    })
}

fn rare_leaf(reader: &Reader<'_>, leaf: Token<'_>) -> Result<Term, DecodeError> {
    Ok(match leaf {
        Token::String(bytes) => Term::List(List::from(bytes)),
        Token::Pid(raw) => Term::Pid(reader.make_pid(raw)?),
        Token::Ref(raw) => Term::from(reader.make_ref(raw)?),
        Token::Port(raw) => Term::Port(reader.make_port(raw)?),
        Token::Bits(shared, bits) => {
            let bits = BitString::new(binary(shared), bits);
            bits.ok_or_else(|| reader.fail(DecodeErrorKind::Bits))?.into()
        }
        Token::Export(module, function, arity) => {
            let (module, function) = (reader.intern(module)?, reader.intern(function)?);
            Fun::Export { module, function, arity }.into()
        }
        Token::Local(shared) => Term::Local(Arc::new(shared.to_bytes())),
        Token::Integer(_)
        | Token::Big(_)
        | Token::Float(_)
        | Token::Atom(_)
        | Token::Nil
        | Token::Binary(_)
        | Token::Tuple(_)
        | Token::List(_)
        | Token::Map(_)
        | Token::Fun
        | Token::Record => {
            unreachable!("the caller has built it")
        }
    })
}

#[inline]
fn binary(shared: Shared<'_>) -> Binary {
    if Binary::is_worth_sharing(shared.bytes.len()) { shared.to_bytes().into() } else { Binary::copied(shared.bytes) }
}

pub(crate) fn integer(big: Big<'_>) -> Integer {
    Integer::from_magnitude(big.negative, big.magnitude)
}

fn whole(whole: Whole<'_>) -> Integer {
    match whole {
        Whole::Small(small) => small.into(),
        Whole::Big(big) => integer(big),
    }
}

/// The fun without its variables.
fn local_fun(reader: &Reader<'_>, head: &FunHead<'_>) -> Result<LocalFun, DecodeError> {
    Ok(LocalFun {
        arity: head.arity,
        uniq: head.uniq,
        index: head.index,
        module: reader.intern(head.module)?,
        old_index: whole(head.old_index),
        old_uniq: whole(head.old_uniq),
        pid: reader.make_pid(head.pid)?,
        free: Box::default(),
    })
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

//! [`Term`] to bytes, by the rules a BEAM writes by, so that equal terms of a BEAM and ours look alike.

use std::slice;

use bytes::Bytes;

use super::encoded::Encoded;
use super::error::EncodeError;
use super::put;
use super::tag::{Tag, VERSION};
use crate::term::{Atom, Binary, BitString, Fun, List, LocalFun, Record, Term};

/// What `term_to_binary` makes: 131 and the term.
///
/// # Errors
/// For a float that is not finite, and for sizes that the format cannot count.
pub fn encode(term: &Term) -> Result<Bytes, EncodeError> {
    let mut out = Vec::with_capacity(64);
    out.push(VERSION);
    encode_into(term, &mut out)?;
    Ok(out.into())
}

/// Appends the term, without 131.
pub(crate) fn encode_into(term: &Term, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut output = Output::onto(std::mem::take(out));
    let result = output.term(term);
    *out = output.bytes;
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Encodes in pieces: bytes, the content of a large shared binary, bytes again.
pub(crate) fn encode_in_pieces(term: &Term) -> Result<(Bytes, Vec<Bytes>), EncodeError> {
    let mut output = Output::in_pieces();
    output.term(term)?;
    Ok(output.finish())
}

/// From this length on a shared binary is a piece of its own instead of being copied.
pub(crate) const PIECE_FROM: usize = 16 << 10;

/// Where encoded bytes go.
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    /// Finished pieces in front of `bytes`.
    pieces: Vec<Piece>,
    /// Whether large shared binaries become pieces.
    splits: bool,
}

enum Piece {
    /// Ours, so a count in it can still be written.
    Written(Vec<u8>),
    Shared(Bytes),
}

/// A place in the output, of four bytes to be written later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    piece: usize,
    pub(crate) at: usize,
}

/// What is left to write of a container.
struct Rest<'t> {
    items: slice::Iter<'t, Term>,
    end: End<'t>,
}

enum End<'t> {
    Nothing,
    Nil,
    Tail(&'t Term),
    /// The values of a record.
    Fields(slice::Iter<'t, (Atom, Term)>),
    /// The end of a fun whose size stands at this place; and whether pieces were allowed outside it.
    Fun(usize, bool),
}

impl Output {
    pub(crate) fn in_pieces() -> Self {
        Self { bytes: Vec::with_capacity(64), pieces: Vec::new(), splits: true }
    }

    /// Appends to `bytes`, in one piece.
    pub(crate) fn onto(bytes: Vec<u8>) -> Self {
        Self { bytes, pieces: Vec::new(), splits: false }
    }

    pub(crate) fn finish(mut self) -> (Bytes, Vec<Bytes>) {
        if self.pieces.is_empty() {
            return (self.bytes.into(), Vec::new());
        }
        if !self.bytes.is_empty() {
            self.pieces.push(Piece::Written(self.bytes));
        }
        let mut pieces = self.pieces.into_iter().map(|piece| match piece {
            Piece::Written(bytes) => bytes.into(),
            Piece::Shared(bytes) => bytes,
        });
        (pieces.next().unwrap_or_default(), pieces.collect())
    }

    /// Where the next byte goes.
    pub(crate) fn mark(&self) -> Mark {
        Mark { piece: self.pieces.len(), at: self.bytes.len() }
    }

    /// Writes the four bytes at a mark.
    pub(crate) fn patch(&mut self, mark: Mark, value: u32) {
        let bytes = match self.pieces.get_mut(mark.piece) {
            Some(Piece::Written(bytes)) => bytes,
            Some(Piece::Shared(_)) => unreachable!("marks are places in bytes that we write"),
            None => &mut self.bytes,
        };
        bytes[mark.at..mark.at + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// A term that was encoded before; every second of its pieces is the content of a large binary.
    pub(crate) fn encoded(&mut self, encoded: &Encoded) {
        let standalone = encoded.standalone();
        for (number, piece) in standalone.segments().enumerate() {
            if number % 2 == 0 {
                self.bytes.extend_from_slice(piece);
            } else {
                self.content(piece, || Some(piece.clone()));
            }
        }
    }

    /// The content of a binary whose head was written.
    pub(crate) fn content(&mut self, bytes: &[u8], shared: impl FnOnce() -> Option<Bytes>) {
        if self.splits && bytes.len() >= PIECE_FROM {
            if let Some(shared) = shared() {
                self.pieces.push(Piece::Written(std::mem::take(&mut self.bytes)));
                self.pieces.push(Piece::Shared(shared));
                return;
            }
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn term(&mut self, term: &Term) -> Result<(), EncodeError> {
        let mut outer: Vec<Rest<'_>> = Vec::new();
        let mut current = Rest { items: slice::from_ref(term).iter(), end: End::Nothing };
        loop {
            while let Some(item) = current.items.next() {
                if let Some(inner) = self.step(item)? {
                    // A container that is done but for its last element need not be come back to.
                    if current.items.len() > 0 || !matches!(current.end, End::Nothing) {
                        outer.push(current);
                    }
                    current = inner;
                }
            }
            match self.end(current.end)? {
                Some(rest) => current = rest,
                None => match outer.pop() {
                    Some(rest) => current = rest,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Ends a container, or returns what it still has after its elements.
    fn end<'t>(&mut self, end: End<'t>) -> Result<Option<Rest<'t>>, EncodeError> {
        match end {
            End::Nothing => {}
            End::Nil => put::nil(&mut self.bytes),
            End::Tail(tail) => return Ok(Some(Rest { items: slice::from_ref(tail).iter(), end: End::Nothing })),
            End::Fields(mut fields) => {
                let value = fields.next().map(|(_, value)| slice::from_ref(value).iter());
                return Ok(value.map(|items| Rest { items, end: End::Fields(fields) }));
            }
            End::Fun(at, splits) => {
                self.splits = splits;
                let size = u32::try_from(self.bytes.len() - at).map_err(|_too_large| EncodeError::TooLarge)?;
                self.bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
            }
        }
        Ok(None)
    }

    /// Writes a leaf, or the head of a container, whose elements it returns.
    #[inline]
    fn step<'t>(&mut self, term: &'t Term) -> Result<Option<Rest<'t>>, EncodeError> {
        let out = &mut self.bytes;
        match term {
            Term::Integer(value) => match value.to_i64() {
                Some(small) => put::integer(out, small),
                None => counted(put::any_integer(out, value))?,
            },
            Term::Float(value) if value.is_finite() => put::float(out, *value),
            Term::Float(_) => return Err(EncodeError::NotFinite),
            Term::Atom(atom) => put::atom(out, *atom),
            Term::Binary(binary) => self.binary(binary)?,
            Term::Tuple(items) => {
                counted(put::tuple(out, items.len()))?;
                return Ok(Some(Rest { items: items.iter(), end: End::Nothing }));
            }
            Term::Map(map) => {
                counted(put::map(out, map.len()))?;
                return Ok(Some(Rest { items: map.flat().iter(), end: End::Nothing }));
            }
            Term::List(list) => return self.list(list),
            Term::Pid(pid) => put::pid(out, pid),
            Term::Ref(reference) => put::reference(out, reference),
            Term::Port(port) => put::port(out, port),
            Term::BitString(bits) => self.bits(bits)?,
            Term::Fun(fun) => return self.fun(fun),
            Term::Record(record) => return self.record(record),
            Term::Local(bytes) => {
                out.push(Tag::LOCAL.0);
                out.extend_from_slice(bytes);
            }
        }
        Ok(None)
    }

    fn list<'t>(&mut self, list: &'t List) -> Result<Option<Rest<'t>>, EncodeError> {
        if let Some(bytes) = list.as_bytes() {
            put::string(&mut self.bytes, bytes);
            return Ok(None);
        }
        let items = list.as_terms().unwrap_or_default();
        if items.is_empty() {
            put::nil(&mut self.bytes);
            return Ok(None);
        }
        counted(put::list(&mut self.bytes, items.len()))?;
        Ok(Some(Rest { items: items.iter(), end: list.tail().map_or(End::Nil, End::Tail) }))
    }

    fn binary(&mut self, binary: &Binary) -> Result<(), EncodeError> {
        counted(put::binary(&mut self.bytes, binary.len()))?;
        self.content(binary, || binary.as_shared().cloned());
        Ok(())
    }

    fn bits(&mut self, bits: &BitString) -> Result<(), EncodeError> {
        let len = u32::try_from(bits.bytes().len()).map_err(|_too_large| EncodeError::TooLarge)?;
        put::tag_and(&mut self.bytes, Tag::BIT_BINARY, len.to_be_bytes());
        self.bytes.push(bits.last_bits());
        self.bytes.extend_from_slice(bits.bytes());
        Ok(())
    }

    fn fun<'t>(&mut self, fun: &'t Fun) -> Result<Option<Rest<'t>>, EncodeError> {
        match fun {
            Fun::Export { module, function, arity } => {
                self.bytes.push(Tag::EXPORT.0);
                put::atom(&mut self.bytes, *module);
                put::atom(&mut self.bytes, *function);
                put::integer(&mut self.bytes, i64::from(*arity));
                Ok(None)
            }
            Fun::Local(fun) => self.local_fun(fun).map(Some),
        }
    }

    fn local_fun<'t>(&mut self, fun: &'t LocalFun) -> Result<Rest<'t>, EncodeError> {
        let free = u8::try_from(fun.free.len()).map_err(|_too_many| EncodeError::Fun)?;
        let out = &mut self.bytes;
        out.push(Tag::NEW_FUN.0);
        // The size is that of the whole fun, known at its end. Readers ignore it, but a BEAM writes it.
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(fun.arity);
        out.extend_from_slice(&fun.uniq);
        out.extend_from_slice(&fun.index.to_be_bytes());
        out.extend_from_slice(&u32::from(free).to_be_bytes());
        put::atom(out, fun.module);
        counted(put::any_integer(out, &fun.old_index))?;
        counted(put::any_integer(out, &fun.old_uniq))?;
        put::pid(out, &fun.pid);
        let end = End::Fun(at, std::mem::replace(&mut self.splits, false));
        Ok(Rest { items: fun.free.iter(), end })
    }

    fn record<'t>(&mut self, record: &'t Record) -> Result<Option<Rest<'t>>, EncodeError> {
        let fields = u32::try_from(record.fields.len()).map_err(|_too_large| EncodeError::TooLarge)?;
        put::tag_and(&mut self.bytes, Tag::RECORD, fields.to_be_bytes());
        self.bytes.push(u8::from(record.exported));
        put::atom(&mut self.bytes, record.module);
        put::atom(&mut self.bytes, record.name);
        for (name, _) in &record.fields {
            put::atom(&mut self.bytes, *name);
        }
        Ok(Some(Rest { items: [].iter(), end: End::Fields(record.fields.iter()) }))
    }
}

fn counted(fits: bool) -> Result<(), EncodeError> {
    if fits { Ok(()) } else { Err(EncodeError::TooLarge) }
}

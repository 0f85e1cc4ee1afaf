//! A term as bytes: what frames carry, mailboxes hold and connections forward.

use std::sync::Arc;

use bytes::Bytes;

use super::decode::{Limits, decode_all, version};
use super::encode::{Output, encode_in_pieces};
use super::error::{DecodeError, DecodeErrorKind, EncodeError};
use super::reader::Reader;
use super::tag::VERSION;
use super::token::Token;
use super::walk::{self, skip_one};
use crate::term::{Atom, Pid, Ref, Term};

/// One term in the external format, without the version byte 131, not yet looked at.
///
/// It is a slice of the frame it came in, with the atoms that the frame's header named: data changes
/// form as late as possible, in the task of the process that wants it. One that we made may lie in
/// several pieces, so that large binaries are sent without ever being copied.
#[derive(Clone)]
pub struct Encoded {
    first: Bytes,
    more: More,
}

/// What there is beside the first piece. A term with cached atoms came in one piece.
#[derive(Clone)]
enum More {
    Nothing,
    /// What `ATOM_CACHE_REF` bytes in it stand for.
    Atoms(Arc<[Atom]>),
    /// The content of a large binary, encoded bytes, the content of the next one…
    Pieces(Arc<[Bytes]>),
}

impl Encoded {
    /// Encodes a term. Shared binaries from 16 KB on are not copied.
    ///
    /// # Errors
    /// As [`encode`](super::encode).
    pub fn new(term: &Term) -> Result<Self, EncodeError> {
        encode_in_pieces(term).map(Self::of_pieces)
    }

    /// Takes what `term_to_binary` made, 131 and one term, without decoding it: the bytes are passed
    /// over once, so that what is wrong with them is found here.
    ///
    /// # Errors
    /// As [`decode`](super::decode); a key that stands twice in a map is only found on decoding.
    pub fn from_binary(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, &[]);
        let inflated = version(&mut reader, &Limits::default())?;
        let first = inflated.unwrap_or_else(|| bytes.slice(reader.offset()..));
        let mut reader = Reader::new(&first, &[]);
        skip_one(&mut reader)?;
        if reader.left() > 0 {
            return Err(reader.fail(DecodeErrorKind::TrailingBytes));
        }
        Ok(Self { first, more: More::Nothing })
    }

    /// What `term_to_binary` makes: 131 and the term.
    #[must_use]
    pub fn to_binary(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len() + 1);
        out.push(VERSION);
        self.write_to(&mut out);
        out.into()
    }

    /// A term that fills `bytes`, with the atoms of its frame's header.
    #[must_use]
    pub(crate) fn from_frame(bytes: Bytes, atoms: Arc<[Atom]>) -> Self {
        let more = if atoms.is_empty() { More::Nothing } else { More::Atoms(atoms) };
        Self { first: bytes, more }
    }

    /// What an [`Output`] wrote.
    pub(crate) fn of_pieces((first, pieces): (Bytes, Vec<Bytes>)) -> Self {
        let more = if pieces.is_empty() { More::Nothing } else { More::Pieces(pieces.into()) };
        Self { first, more }
    }

    /// Decodes it.
    ///
    /// # Errors
    /// If the bytes are no term, or one beyond [`Limits::default`].
    pub fn term(&self) -> Result<Term, DecodeError> {
        self.term_with(&Limits::default())
    }

    /// Decodes it within other limits.
    ///
    /// # Errors
    /// As [`Encoded::term`].
    pub fn term_with(&self, limits: &Limits) -> Result<Term, DecodeError> {
        decode_all(self.reader(), limits)
    }

    /// How many bytes it has as it lies here. Written out it has more, if it came with cached atoms.
    #[expect(clippy::len_without_is_empty, reason = "no term has no bytes")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments().map(Bytes::len).sum()
    }

    /// Its bytes in order. Where the frame's header named atoms, they mean nothing without it:
    /// [`Encoded::standalone`] makes an equal term that needs none.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Bytes> + Clone {
        std::iter::once(&self.first).chain(self.pieces())
    }

    /// The atoms that the frame's header named.
    #[must_use]
    pub(crate) fn atoms(&self) -> &[Atom] {
        if let More::Atoms(atoms) = &self.more { atoms } else { &[] }
    }

    /// The same term without references to a frame's header; large binaries stay shared.
    #[must_use]
    pub(crate) fn standalone(&self) -> Self {
        if self.atoms().is_empty() {
            return self.clone();
        }
        let mut output = Output::in_pieces();
        walk::rewrite(&mut self.reader(), &mut output);
        Self::of_pieces(output.finish())
    }

    /// Appends its bytes, without references to a frame's header.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        if self.atoms().is_empty() {
            self.segments().for_each(|segment| out.extend_from_slice(segment));
        } else {
            let mut output = Output::onto(std::mem::take(out));
            walk::rewrite(&mut self.reader(), &mut output);
            *out = output.bytes;
        }
    }

    /// The atom, if it is one.
    #[must_use]
    pub fn as_atom(&self) -> Option<Atom> {
        match self.reader().token() {
            Ok(Token::Atom(text)) => text.intern().ok(),
            _ => None,
        }
    }

    /// The integer, if it is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Ok(Token::Integer(small)) = self.reader().token() { Some(small) } else { None }
    }

    /// The pid, if it is one.
    #[must_use]
    pub fn as_pid(&self) -> Option<Pid> {
        let mut reader = self.reader();
        match reader.token() {
            Ok(Token::Pid(raw)) => reader.make_pid(raw).ok(),
            _ => None,
        }
    }

    /// The reference, if it is one.
    #[must_use]
    pub fn as_ref(&self) -> Option<Ref> {
        let mut reader = self.reader();
        match reader.token() {
            Ok(Token::Ref(raw)) => reader.make_ref(raw).ok(),
            _ => None,
        }
    }

    /// How many elements, if it is a tuple.
    #[must_use]
    pub fn arity(&self) -> Option<usize> {
        if let Ok(Token::Tuple(arity)) = self.reader().token() { Some(arity) } else { None }
    }

    /// The elements, if it is a tuple, without decoding them. They end early where the bytes are no term.
    #[must_use]
    pub fn elements(&self) -> Option<Elements<'_>> {
        let mut reader = self.reader();
        match reader.token() {
            Ok(Token::Tuple(left)) => Some(Elements { whole: self, reader, left }),
            _ => None,
        }
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        match &self.more {
            More::Nothing => Reader::new(&self.first, &[]),
            More::Atoms(atoms) => Reader::new(&self.first, atoms),
            More::Pieces(pieces) => Reader::in_pieces(&self.first, pieces),
        }
    }

    /// The term that lies between two offsets.
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        let More::Pieces(pieces) = &self.more else {
            return Self { first: self.first.slice(from..to), more: self.more.clone() };
        };
        let mut start = 0;
        let mut cut = Vec::new();
        for piece in std::iter::once(&self.first).chain(pieces.iter()) {
            let end = start + piece.len();
            if start < to && from < end {
                cut.push(piece.slice(from.saturating_sub(start)..piece.len().min(to - start)));
            }
            start = end;
        }
        let mut cut = cut.into_iter();
        Self::of_pieces((cut.next().unwrap_or_default(), cut.collect()))
    }

    fn pieces(&self) -> &[Bytes] {
        if let More::Pieces(pieces) = &self.more { pieces } else { &[] }
    }
}

/// The elements of an encoded tuple.
#[derive(Clone)]
pub struct Elements<'a> {
    whole: &'a Encoded,
    reader: Reader<'a>,
    left: usize,
}

impl Iterator for Elements<'_> {
    type Item = Encoded;

    fn next(&mut self) -> Option<Encoded> {
        self.left = self.left.checked_sub(1)?;
        let from = self.reader.offset();
        skip_one(&mut self.reader).ok()?;
        Some(self.whole.part(from, self.reader.offset()))
    }
}

impl std::fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Elements({} left)", self.left)
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoded({} bytes)", self.len())
    }
}

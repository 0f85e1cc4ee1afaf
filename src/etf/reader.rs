//! The cursor over a term's bytes: numbers and slices, with the offset at hand when they run out.

use bytes::Bytes;

use super::error::{DecodeError, DecodeErrorKind};
use crate::term::Atom;

/// Reads a term that lies in one piece or in several.
///
/// The pieces of an outgoing term alternate: encoded bytes, then the whole content of one large
/// binary, then encoded bytes again.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    buf: &'a [u8],
    /// The piece that `buf` is the rest of.
    piece: &'a Bytes,
    /// The content of the next large binary, what follows it, the next content…
    later: &'a [Bytes],
    /// How many bytes there are up to the end of this piece, from the start of the first.
    end: usize,
    /// What `ATOM_CACHE_REF` stands for.
    pub(super) atoms: &'a [Atom],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a Bytes, atoms: &'a [Atom]) -> Self {
        Self { buf: bytes, piece: bytes, later: &[], end: bytes.len(), atoms }
    }

    pub(crate) fn in_pieces(first: &'a Bytes, later: &'a [Bytes]) -> Self {
        Self { buf: first, piece: first, later, end: first.len(), atoms: &[] }
    }

    /// How many bytes were read.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.end - self.buf.len()
    }

    /// How many bytes are left in all pieces.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.later.iter().fold(self.buf.len(), |left, piece| left + piece.len())
    }

    /// The bytes that `later`, a copy of this reader, has read since within the same piece.
    pub(crate) fn since(&self, later: &Self) -> &'a [u8] {
        self.buf.get(..self.buf.len() - later.buf.len()).unwrap_or_default()
    }

    /// How many bytes are left, and a little more where there are several pieces: each but the
    /// first starts with the content of a binary, which holds no terms.
    #[inline]
    pub(crate) fn left_at_most(&self) -> usize {
        if self.later.is_empty() { self.buf.len() } else { self.left() }
    }

    #[cold]
    pub(crate) fn fail(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { offset: self.offset(), kind }
    }

    /// The next byte, left where it is.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.buf.first().copied()
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.buf.split_first_chunk() else {
            return Err(self.fail(DecodeErrorKind::UnexpectedEnd));
        };
        self.buf = rest;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.buf.split_at_checked(len) else {
            return Err(self.fail(DecodeErrorKind::UnexpectedEnd));
        };
        self.buf = rest;
        Ok(head)
    }

    /// Bytes that may be cut out of their owner without a copy.
    #[inline]
    pub(crate) fn shared(&mut self, len: usize) -> Result<Shared<'a>, DecodeError> {
        if self.buf.is_empty() && len > 0 {
            return self.next_piece(len);
        }
        let owner = self.piece;
        self.take(len).map(|bytes| Shared { bytes, owner })
    }

    /// What is left of this piece, left where it is.
    pub(super) fn ahead(&self) -> &'a [u8] {
        self.buf
    }

    /// All that is left of this piece.
    pub(crate) fn rest(&mut self) -> Shared<'a> {
        Shared { bytes: std::mem::take(&mut self.buf), owner: self.piece }
    }

    #[cold]
    fn next_piece(&mut self, len: usize) -> Result<Shared<'a>, DecodeError> {
        let (content, later) = match self.later.split_first() {
            Some((content, later)) if content.len() == len => (content, later),
            Some(_) | None => return Err(self.fail(DecodeErrorKind::UnexpectedEnd)),
        };
        self.end += content.len();
        self.later = later;
        if let Some((next, later)) = later.split_first() {
            (self.piece, self.buf, self.later) = (next, next, later);
            self.end += next.len();
        }
        Ok(Shared { bytes: content, owner: content })
    }

    /// A number of elements that follow, each at least `size` bytes. It is a claim: more than the
    /// bytes that are left could hold is refused before anything is allocated for it.
    #[inline]
    pub(crate) fn count(&self, claimed: u32, size: usize) -> Result<usize, DecodeError> {
        match usize::try_from(claimed) {
            Ok(count) if count <= self.buf.len() / size || count <= self.left() / size => Ok(count),
            Ok(_) | Err(_) => Err(self.fail(DecodeErrorKind::UnexpectedEnd)),
        }
    }
}

/// Bytes, and what they can be cut out of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) bytes: &'a [u8],
    owner: &'a Bytes,
}

impl Shared<'_> {
    pub(crate) fn to_bytes(self) -> Bytes {
        self.owner.slice_ref(self.bytes)
    }
}

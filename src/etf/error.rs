//! What can be wrong with a term: its bytes, or, rarely, its value.

/// Bytes that are no term, or more than we agreed to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {kind}")]
pub struct DecodeError {
    /// How far reading came.
    pub offset: usize,
    /// What was wrong there.
    pub kind: DecodeErrorKind,
}

/// What is wrong with bytes that should be a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The term needs more bytes than there are, or announces more elements than could follow.
    #[error("the term is cut short")]
    UnexpectedEnd,
    /// Another byte stands where 131 should.
    #[error("a term on its own starts with 131, not {0}")]
    Version(u8),
    /// No such tag, or one that has no place inside a term (compressed terms, internal tags).
    #[error("{0} is no tag of a term")]
    Tag(u8),
    /// An atom, a pid or an integer has to stand here.
    #[error("expected {0} inside a larger term")]
    Expected(&'static str),
    /// The text of an atom is not UTF-8.
    #[error("the text of an atom is not UTF-8")]
    AtomText,
    /// An atom of more than 255 characters.
    #[error("an atom has at most 255 characters")]
    AtomTooLong,
    /// The program's atom table is full.
    #[error("the atom table is full")]
    AtomTableFull,
    /// The frame's header names no such atom.
    #[error("the frame has no cached atom {0}")]
    CachedAtom(u8),
    /// NaN, an infinity, or a text that is no number.
    #[error("not a finite float")]
    Float,
    /// A bit string whose last byte counts for no bits, for more than eight, or is missing.
    #[error("a bit string with an impossible number of bits")]
    Bits,
    /// A reference without words or of more than five, or whose first word is out of range.
    #[error("a reference with impossible words")]
    Reference,
    /// A creation that does not fit the old tag it came with.
    #[error("a creation out of range")]
    Creation,
    /// A fun with an arity or a number of variables that no fun has.
    #[error("a fun with an impossible arity or number of variables")]
    Fun,
    /// A native record with unknown flags, or a field twice.
    #[error("a native record with unknown flags or a field that stands twice")]
    Record,
    /// A key stands twice in a map.
    #[error("a key stands twice in a map")]
    DuplicateKey,
    /// Nested deeper than [`Limits::max_depth`](super::Limits::max_depth).
    #[error("nested too deep")]
    TooDeep,
    /// A compressed term larger than [`Limits::max_inflated`](super::Limits::max_inflated).
    #[error("the compressed term is too large")]
    TooLarge,
    /// A compressed term that does not inflate to the size it announces.
    #[error("the compressed term is damaged")]
    Compressed,
    /// Bytes are left after the term.
    #[error("bytes are left after the term")]
    TrailingBytes,
}

/// A value that has no encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Erlang has no NaN and no infinities.
    #[error("a float that is not finite has no encoding")]
    NotFinite,
    /// More elements or bytes than the format can count: 2^32.
    #[error("too large for the external format")]
    TooLarge,
    /// A fun that closes over more than 255 variables.
    #[error("a fun closes over at most 255 variables")]
    Fun,
}

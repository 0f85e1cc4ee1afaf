//! Binaries: short ones held in place, long ones shared with the frame they came in.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

/// A binary of whole bytes. Cloning never copies more than 23 bytes.
#[derive(Clone)]
pub struct Binary(Repr);

#[derive(Clone)]
enum Repr {
    Inline(Inline),
    Copied(Arc<[u8]>),
    Shared(Arc<Bytes>),
}

/// Aligned, so that the term around it is one tag and three words: compilers move that well, and a
/// tag followed by 31 bytes badly (terms are moved for a living).
#[derive(Clone)]
#[repr(align(8))]
struct Inline {
    len: u8,
    bytes: [u8; INLINE],
}

/// As many bytes as fit without making a term larger.
const INLINE: usize = 23;

/// A slice keeps the whole frame that it was cut from alive, so short ones are copied, as the emulator
/// does for heap binaries.
const SHARED_FROM: usize = 64;

impl Binary {
    /// A binary that copies these bytes.
    #[must_use]
    pub fn copied(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE {
            return Self(Repr::Copied(bytes.into()));
        }
        let mut inline = Inline { len: bytes.len() as u8, bytes: [0; INLINE] };
        inline.bytes[..bytes.len()].copy_from_slice(bytes);
        Self(Repr::Inline(inline))
    }

    /// Whether a binary of this length, cut out of a frame, is kept as a slice of it.
    pub(crate) fn is_worth_sharing(len: usize) -> bool {
        len >= SHARED_FROM
    }

    /// The bytes, without a copy where they are shared already.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Repr::Shared(bytes) => Bytes::clone(bytes),
            Repr::Inline(_) | Repr::Copied(_) => Bytes::copy_from_slice(self),
        }
    }

    /// The bytes as a shared slice, where they are one: what a writer can hand on without a copy.
    #[must_use]
    pub fn as_shared(&self) -> Option<&Bytes> {
        match &self.0 {
            Repr::Shared(bytes) => Some(bytes),
            Repr::Inline(_) | Repr::Copied(_) => None,
        }
    }

    /// The text, where the bytes are UTF-8, as Elixir's strings are.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }
}

impl Deref for Binary {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(inline) => &inline.bytes[..usize::from(inline.len)],
            Repr::Copied(bytes) => bytes,
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl From<Bytes> for Binary {
    fn from(bytes: Bytes) -> Self {
        if Self::is_worth_sharing(bytes.len()) { Self(Repr::Shared(Arc::new(bytes))) } else { Self::copied(&bytes) }
    }
}

impl From<&[u8]> for Binary {
    fn from(bytes: &[u8]) -> Self {
        Self::copied(bytes)
    }
}

impl From<&str> for Binary {
    fn from(text: &str) -> Self {
        Self::copied(text.as_bytes())
    }
}

impl From<Vec<u8>> for Binary {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Binary {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl AsRef<[u8]> for Binary {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Binary {}

impl Hash for Binary {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<<\"{}\">>", self.escape_ascii())
    }
}

/// A string of bits whose last byte is only partly used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BitString {
    bytes: Binary,
    bits: u8,
}

impl BitString {
    /// The bits of `bytes`, of which the last byte counts for its `bits` highest (1 to 7).
    ///
    /// `None` if there is no byte or `bits` is out of range (8 bits make it a [`Binary`]). Unused
    /// bits are cleared, so that equal bit strings are equal bytes.
    #[must_use]
    pub fn new(bytes: Binary, bits: u8) -> Option<Self> {
        let last = *bytes.last()?;
        if !(1..=7).contains(&bits) {
            return None;
        }
        let cleared = last & (0xFF << (8 - bits));
        if cleared == last {
            return Some(Self { bytes, bits });
        }
        let mut copy = bytes.to_vec();
        *copy.last_mut()? = cleared;
        Some(Self { bytes: copy.into(), bits })
    }

    /// The bytes, the last one only partly used.
    #[must_use]
    pub fn bytes(&self) -> &Binary {
        &self.bytes
    }

    /// How many bits of the last byte count: 1 to 7, the highest ones.
    #[must_use]
    pub fn last_bits(&self) -> u8 {
        self.bits
    }

    /// How many bits in all.
    #[must_use]
    pub fn bit_len(&self) -> usize {
        (self.bytes.len() - 1) * 8 + usize::from(self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_the_same_bytes_are_equal() {
        let shared = Binary::from(Bytes::from(vec![1; 100]));
        assert!(shared.as_shared().is_some());
        assert_eq!(shared, Binary::copied(&[1; 100]));
        assert_eq!(Binary::from("abc"), Binary::from(Bytes::from_static(b"abc")));
    }

    #[test]
    fn a_short_slice_does_not_pin_its_frame() {
        let frame = Bytes::from(vec![0; 1000]);
        assert!(Binary::from(frame.slice(0..63)).as_shared().is_none());
        assert!(Binary::from(frame.slice(0..64)).as_shared().is_some());
    }

    #[test]
    fn unused_bits_do_not_tell_bit_strings_apart() {
        let make = |byte: u8| BitString::new(Binary::copied(&[byte]), 3);
        assert_eq!(make(0b1010_0000), make(0b1011_1111));
        assert_eq!(make(0b1010_0000).map(|bits| bits.bit_len()), Some(3));
        assert_eq!(BitString::new(Binary::copied(&[]), 1), None);
        assert_eq!(BitString::new(Binary::copied(&[1]), 8), None);
    }
}

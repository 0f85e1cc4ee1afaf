//! The tag bytes of the external term format, in one table.

/// The first byte of a term, which says what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) u8);

macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Tag {
            $($(#[$doc])* pub(crate) const $name: Self = Self($value);)*

            /// Every tag by its name in OTP's documentation.
            #[cfg(test)]
            pub(crate) const KNOWN: &[(&str, u8)] = &[$((stringify!($name), $value)),*];
        }
    };
}

tags! {
    /// OTP 29.
    RECORD = 67;
    NEW_FLOAT = 70;
    BIT_BINARY = 77;
    /// Only at the top level of a stored term, never in the distribution.
    COMPRESSED = 80;
    ATOM_CACHE_REF = 82;
    NEW_PID = 88;
    NEW_PORT = 89;
    NEWER_REFERENCE = 90;
    SMALL_INTEGER = 97;
    INTEGER = 98;
    /// A float as text.
    FLOAT = 99;
    /// Latin-1.
    ATOM = 100;
    REFERENCE = 101;
    PORT = 102;
    PID = 103;
    SMALL_TUPLE = 104;
    LARGE_TUPLE = 105;
    NIL = 106;
    STRING = 107;
    LIST = 108;
    BINARY = 109;
    SMALL_BIG = 110;
    LARGE_BIG = 111;
    NEW_FUN = 112;
    EXPORT = 113;
    NEW_REFERENCE = 114;
    /// Latin-1.
    SMALL_ATOM = 115;
    MAP = 116;
    ATOM_UTF8 = 118;
    SMALL_ATOM_UTF8 = 119;
    V4_PORT = 120;
    LOCAL = 121;
}

/// The version byte in front of a term that stands alone.
pub(crate) const VERSION: u8 = 131;

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn no_number_stands_for_two_tags() {
        for (at, (name, value)) in Tag::KNOWN.iter().enumerate() {
            assert!(Tag::KNOWN[..at].iter().all(|(_, other)| other != value), "{name}");
        }
    }
}

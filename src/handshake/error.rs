//! Why a handshake failed, by who is to blame.

use crate::dflags::DFlags;
use crate::term::NodeName;

/// Whether a length is the first two bytes of a TLS connection: a handshake record (22) of some version 3.
const fn is_tls(len: usize) -> bool {
    len >> 8 == 22 && len & 0xff <= 4
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer's bytes are no such message.
    #[error("the peer's {message} message is malformed")]
    Malformed {
        /// Which message was read.
        message: &'static str,
    },
    /// The peer announced a message longer than any of the handshake.
    #[error("the peer announced a handshake message of {len} bytes{}", if is_tls(*.len) { "; does the peer speak TLS?" } else { "" })]
    TooLong {
        /// The announced length.
        len: usize,
    },
    /// The peer's message is none that may come now.
    #[error("the peer sent a message with tag {tag} instead of its {expected}")]
    Unexpected {
        /// Which message was due.
        expected: &'static str,
        /// The first byte of the one that came.
        tag: u8,
    },
    /// The peer calls itself something that is no node name (OTP closes without an answer).
    #[error("the peer's name {name:?} does not take the form name@host")]
    BadName {
        /// As it came, read as Latin-1.
        name: String,
    },
    /// Another node answered than the one that was dialled.
    #[error("dialled {dialled}, but {answered:?} answered")]
    WrongName {
        /// Whom we dialled.
        dialled: NodeName,
        /// Who answered.
        answered: String,
    },
    /// The peer goes by our own name.
    #[error("the peer has our own name, {name}")]
    OurName {
        /// The name.
        name: NodeName,
    },
    /// One side lacks flags that the other demands.
    #[error("incompatible peer: {0}")]
    Incompatible(MissingFlags),
    /// The peer does not let us in: its allow list or its mandatory flags (`not_allowed`).
    #[error("the peer does not allow the connection (its list of allowed nodes, or flags that we lack)")]
    NotAllowed,
    /// We do not let the peer in.
    #[error("the peer is not on the list of allowed nodes")]
    Refused,
    /// Both dial each other, and the attempt of the node with the greater name goes on: the peer's if we
    /// dialled (`nok` came), our own if we were dialled (we sent it).
    #[error("both nodes connect to each other at once; the other attempt goes on")]
    Simultaneous,
    /// There is a connection between these names already (`alive`), and it is not to be replaced.
    #[error("a connection between these nodes exists already")]
    Alive,
    /// A third contender: a connection to that name exists, and another caller is about to replace it.
    #[error("another connection of that node is being set up already")]
    Contended,
    /// The peer answered our challenge with the digest of another cookie.
    #[error("the peer has another cookie")]
    BadCookie,
    /// The peer closed upon our answer to its challenge, as it does when the cookies differ.
    #[error("the peer rejected our cookie")]
    CookieRejected,
    /// The peer closed before the handshake was over.
    #[error("the peer closed while its {expected} was due")]
    Closed {
        /// Which message was due.
        expected: &'static str,
    },
}

/// The mandatory flags that each side lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingFlags {
    /// Those that we lack.
    pub ours: DFlags,
    /// Those that the peer lacks.
    pub theirs: DFlags,
}

impl std::fmt::Display for MissingFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.ours.is_empty(), self.theirs.is_empty()) {
            (true, _) => write!(f, "it lacks {}", self.theirs),
            (false, true) => write!(f, "we lack {}", self.ours),
            (false, false) => write!(f, "it lacks {}; we lack {}", self.theirs, self.ours),
        }
    }
}

//! What a peer did wrong on a connection. Every one of these ends the connection, as on a BEAM.

use crate::etf::DecodeError;

/// What a peer did wrong on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Malformed: a frame announced as longer than we accept.
    #[error("a frame of {len} bytes is announced, over our limit of {limit}")]
    TooLong {
        /// The announced length.
        len: usize,
        /// Ours.
        limit: usize,
    },
    /// Malformed: the frame does not start as the frames of this link do, but with these two bytes
    /// (0 where there are none).
    #[error("a frame starts with {0:?}, which no frame of this connection does")]
    Form([u8; 2]),
    /// Malformed: the header that names atoms.
    #[error("the header of a frame: {0}")]
    Header(DecodeError),
    /// Misbehaved: the header names a slot of the atom cache that was never filled.
    #[error("slot {0} of the atom cache is empty")]
    EmptySlot(u16),
    /// Malformed: the control message is no term.
    #[error("a control message: {0}")]
    Control(DecodeError),
    /// Malformed: the control message is no tuple that starts with a number.
    #[error("a control message that is no tuple with an operation")]
    NoOp,
    /// Misbehaved: an operation that does not exist, or that no peer of OTP 26 or later sends.
    #[error("unknown control message {0}")]
    UnknownOp(i64),
    /// Malformed: the tuple has not as many elements as its operation has.
    #[error("control message {op} with {arity} elements")]
    Arity {
        /// The number of the operation.
        op: u8,
        /// How many elements there are.
        arity: usize,
    },
    /// Malformed: an element of the tuple is of the wrong type.
    #[error("control message {op} without {expected} where one belongs")]
    Element {
        /// The number of the operation.
        op: u8,
        /// What should have been there.
        expected: &'static str,
    },
    /// Misbehaved: the signal claims to come from a process of another node.
    #[error("control message {0} in the name of another node's process")]
    Forged(u8),
    /// Malformed: the message or reason is no term.
    #[error("a payload: {0}")]
    Payload(DecodeError),
    /// Misbehaved: "the complete control message must lie in the first fragment".
    #[error("a control message that does not end in its first fragment")]
    SplitControl,
    /// Misbehaved: a sequence of fragments starts whose id is in use.
    #[error("sequence {0} starts again before its end")]
    OpenTwice(u64),
    /// Misbehaved: a fragment of a sequence that never started.
    #[error("a fragment of sequence {0}, which did not start")]
    UnknownSequence(u64),
    /// Misbehaved: fragments count down to 1, one by one.
    #[error("fragment {got} of sequence {sequence} where {expected} is next")]
    FragmentOrder {
        /// The id of the sequence.
        sequence: u64,
        /// The number due; 0 where any but that may come.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// Refused: more messages are coming in pieces at once than we hold.
    #[error("more than {0} messages in fragments at once")]
    TooManySequences(usize),
    /// Refused: the pieces of incomplete messages take more room than we give them.
    #[error("more than {0} bytes of incomplete messages")]
    TooMuchBuffered(usize),
}

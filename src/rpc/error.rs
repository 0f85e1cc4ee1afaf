//! How a remote call fails.

use crate::process::{Exited, SendError};
use crate::term::{Atom, Term};

/// A call of a function on another node failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The function raised: `class` says how.
    #[error("the remote function failed: {class} {reason}")]
    Remote {
        /// `error`, `exit` or `throw`.
        class: Class,
        /// The reason, or what was thrown.
        reason: Term,
        /// The stack, of errors only.
        stack: Option<Term>,
    },
    /// The process that ran the call was ended by an exit signal of this reason.
    #[error("the remote process was ended: {0}")]
    Signal(Term),
    /// No answer in time; the remote process goes on.
    #[error("the call timed out")]
    Timeout,
    /// There is no connection to the node, or it was lost.
    #[error("no connection to {}", .0.as_str())]
    NoConnection(Atom),
    /// The node cannot spawn for others (it did not negotiate SPAWN).
    #[error("{} does not serve remote spawns", .0.as_str())]
    NotSupported(Atom),
    /// The node refused to spawn: `badopt`, `system_limit`.
    #[error("the remote node refused to spawn: {}", .0.as_str())]
    Refused(Atom),
    /// The request was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The result is not of the expected type, or no term.
    #[error("the result cannot be decoded: {0}")]
    Decode(String),
}

impl From<Exited> for RpcError {
    /// The process that calls has ended.
    fn from(exited: Exited) -> Self {
        Self::Send(exited.into())
    }
}

/// Erlang's three classes of exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `erlang:error/1`, or a failure of the runtime's.
    Error,
    /// `exit/1`.
    Exit,
    /// `throw/1`.
    Throw,
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Exit => "exit",
            Self::Throw => "throw",
        })
    }
}

//! What can go wrong between a node and an EPMD, named for who is to blame.

use std::io;
use std::net::SocketAddr;

/// Why an EPMD could not be asked, started, or did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing listens at the address: no EPMD runs on that machine.
    #[error("no EPMD at {0}: connection refused")]
    NoEpmd(SocketAddr),
    /// The EPMD runs and does not know the name: no such node on that machine.
    #[error("the name {0:?} is not registered with the EPMD")]
    NameNotRegistered(String),
    /// The EPMD refuses the name: a running node has it.
    #[error("the name {0:?} is already in use")]
    NameInUse(String),
    /// Ours: no EPMD takes such a name. 1 to 255 characters of UTF-8, none of them NUL.
    #[error("not a name that can be registered: {0:?}")]
    InvalidName(String),
    /// Ours: EPMDs take at most 1,020 bytes of extra data.
    #[error("{0} bytes of extra data, at most 1020 can be registered")]
    ExtraTooLong(usize),
    /// The EPMD said nothing for too long.
    #[error("the EPMD at {addr} timed out ({phase})")]
    TimedOut {
        /// Whom we asked.
        addr: SocketAddr,
        /// What we waited for.
        phase: Phase,
    },
    /// The EPMD closed the connection without a word: it honours no such request from us, or has no
    /// room for more.
    #[error("the EPMD closed the connection without an answer")]
    Refused,
    /// KILL while nodes are registered, and without `relaxed_command_check`.
    #[error("the EPMD does not let itself be killed: nodes are registered with it")]
    LiveNodes,
    /// The answer is not what an EPMD says.
    #[error("malformed reply from the EPMD: {0}")]
    MalformedReply(&'static str),
    /// Ours: another EPMD already serves the address.
    #[error("{0} is in use: an EPMD is already running there")]
    AddressInUse(SocketAddr),
    /// Ours: `ERL_EPMD_PORT` or `ERL_EPMD_ADDRESS` holds something else than ports and addresses.
    #[error("{variable} is set to {value:?}, which is not {expected}")]
    BadSetting {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The operating system refused.
    #[error("EPMD connection failed: {0}")]
    Io(io::ErrorKind),
}

/// The part of an exchange with an EPMD that a time-out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting.
    Connect,
    /// From the request to its whole answer.
    Answer,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Answer => "waiting for its answer",
        })
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

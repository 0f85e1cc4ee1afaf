//! Why a peer could not be reached, and why a connection ended.

use std::io;
use std::net::SocketAddr;

use crate::epmd;
use crate::handshake::HandshakeError;
use crate::term::Atom;

/// A node could not be connected to; each variant is a step on the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Not of the form `name@host`.
    #[error("{} is not a node name: it takes the form name@host", .0.as_str())]
    BadName(Atom),
    /// It is this node itself.
    #[error("that is this node itself")]
    Ourselves,
    /// The host has no address.
    #[error("the host {0} has no address: {1}")]
    Resolve(String, String),
    /// Its machine's EPMD could not be asked, or does not know the name.
    #[error(transparent)]
    Epmd(#[from] epmd::Error),
    /// Nothing listens at the port that EPMD told.
    #[error("connection to {0} refused: the node has gone, or a firewall is in between")]
    Refused(SocketAddr),
    /// A step took too long.
    #[error("timed out: {0}")]
    TimedOut(&'static str),
    /// The two nodes did not come to terms.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Another attempt, usually the peer's own, took over.
    #[error("another attempt to connect took over")]
    Superseded,
    /// This node is shutting down, or its name is not known yet.
    #[error("this node is shutting down")]
    ShuttingDown,
    /// TLS failed: certificates that do not convince, or a peer without TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// The operating system refused.
    #[error("connection failed: {0}")]
    Io(io::ErrorKind),
}

impl DialError {
    /// Of a socket; what TLS itself complains of keeps its words.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match error.get_ref() {
            Some(inner) => Self::Tls(inner.to_string()),
            None => Self::Io(error.kind()),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The peer closed it: `connection_closed`.
    #[error("the peer closed the connection")]
    ByPeer,
    /// Nothing came for the whole tick time: `net_tick_timeout`.
    #[error("nothing was heard for the whole tick time")]
    NetTick,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// The operating system ended it.
    #[error("connection failed: {0}")]
    Io(io::ErrorKind),
    /// `disconnect` was asked for on this side.
    #[error("disconnected")]
    Requested,
    /// The peer said that this connection is dead and proved itself on another.
    #[error("the peer reconnected")]
    Replaced,
    /// This node shuts down.
    #[error("the node shut down")]
    Shutdown,
}

impl Closed {
    /// The reason that `nodedown` has on a BEAM.
    #[must_use]
    pub fn nodedown_reason(&self) -> &'static str {
        match self {
            Self::NetTick => "net_tick_timeout",
            Self::Requested => "disconnect",
            Self::Shutdown => "net_kernel_terminated",
            Self::ByPeer | Self::Protocol(_) | Self::Io(_) | Self::Replaced => "connection_closed",
        }
    }
}

//! What passes between processes: one type for local and remote alike.
//!
//! Erlang calls these signals; their wire form is the control message (`dist`, OTP's "Distribution
//! Protocol", section "Protocol between Connected Nodes"). Which node a signal goes to is known by
//! whoever carries it: a name here is a name on that node.

use crate::etf::Encoded;
use crate::term::{Atom, Pid, Ref, Term};

/// A signal on its way to a process.
#[derive(Debug, Clone)]
pub(crate) enum Signal {
    /// `To ! Body`.
    Message { from: Option<Pid>, to: Target, body: Encoded },
    /// `link(To)`.
    Link { from: Pid, to: Pid },
    /// `unlink(To)`: answered by `UnlinkAck` of the same id, before any later signal.
    Unlink { id: u64, from: Pid, to: Pid },
    /// The answer to `Unlink`.
    UnlinkAck { id: u64, from: Pid, to: Pid },
    /// A linked process ended, or a link could not be made.
    Exit { from: Pid, to: Pid, reason: Encoded },
    /// `exit(To, Reason)`.
    Exit2 { from: Pid, to: Target, reason: Encoded },
    /// `monitor(process, To)`; `to` is a pid or a name.
    Monitor { from: Pid, to: Target, reference: Ref },
    /// `demonitor(Reference)`.
    Demonitor { from: Pid, to: Target, reference: Ref },
    /// A monitored process ended; `from` is what was monitored: a pid, or the name as given.
    Down { from: Target, to: Pid, reference: Ref, reason: Encoded },
    /// `group_leader(Leader, To)`.
    GroupLeader { leader: Pid, to: Pid },
    /// `spawn_request(Node, …)`.
    SpawnRequest(Box<SpawnRequest>),
    /// The answer to `SpawnRequest`, before any other signal of the new process.
    SpawnReply { id: Ref, to: Pid, linked: bool, monitored: bool, result: Result<Pid, Atom> },
}

impl Signal {
    /// About how many bytes it takes on the wire.
    pub(crate) fn cost(&self) -> usize {
        const CONTROL: usize = 96;
        CONTROL
            + match self {
                Self::Message { body, .. } => body.len(),
                Self::Exit { reason, .. } | Self::Exit2 { reason, .. } | Self::Down { reason, .. } => reason.len(),
                Self::SpawnRequest(request) => request.args.len(),
                Self::Link { .. }
                | Self::Unlink { .. }
                | Self::UnlinkAck { .. }
                | Self::Monitor { .. }
                | Self::Demonitor { .. }
                | Self::GroupLeader { .. }
                | Self::SpawnReply { .. } => 0,
            }
    }
}

/// Whom a signal addresses, on the node it is carried to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Pid(Pid),
    Name(Atom),
    Alias(Ref),
}

/// A request to spawn `module:function(args…)`.
#[derive(Debug, Clone)]
pub(crate) struct SpawnRequest {
    /// Identifies the request, and is the reference of the monitor if one is asked for.
    pub(crate) id: Ref,
    pub(crate) from: Pid,
    pub(crate) group_leader: Pid,
    pub(crate) module: Atom,
    pub(crate) function: Atom,
    pub(crate) arity: u8,
    /// The list of options as it came: `link`, `monitor`, `{monitor, […]}`, `{priority, _}`…
    pub(crate) options: Term,
    /// The list of arguments.
    pub(crate) args: Encoded,
}

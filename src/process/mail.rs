//! What a mailbox holds.

use crate::etf::{DecodeError, Encoded};
use crate::signal::Target;
use crate::term::{Atom, Pid, Ref, Term};

/// One item of a mailbox.
///
/// A BEAM process would find all of these as messages; [`Mail::term`] gives the form they have there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Mail {
    /// A message.
    Message(Message),
    /// A monitored process ended: `{'DOWN', Ref, process, Pid | {Name, Node}, Reason}`.
    Down(Down),
    /// An exit signal, to a process that traps them: `{'EXIT', Pid, Reason}`.
    Exit(ExitSignal),
    /// The answer to a request to spawn: `{spawn_reply, Ref, ok | error, Pid | Reason}`.
    SpawnReply(SpawnReply),
}

/// A message, still encoded: it is decoded in the task of the process that reads it.
#[derive(Debug, Clone)]
pub struct Message {
    body: Encoded,
    alias: Option<Ref>,
    sender: Option<Pid>,
}

/// The end of a monitored process.
#[derive(Debug, Clone)]
pub struct Down {
    /// The reference that `monitor` gave.
    pub reference: Ref,
    pub(crate) node: Atom,
    pub(crate) target: Target,
    /// The exit reason; `noproc` or `noconnection` where there was no process or no node.
    pub reason: Encoded,
}

/// An exit signal that was trapped.
#[derive(Debug, Clone)]
pub struct ExitSignal {
    /// The process that ended, or that called `exit/2`.
    pub from: Pid,
    /// Its reason.
    pub reason: Encoded,
}

/// The answer to a request to spawn.
#[derive(Debug, Clone)]
pub struct SpawnReply {
    /// The reference of the request, and of the monitor if one was asked for.
    pub reference: Ref,
    /// The new process, or why there is none: `notsup`, `badopt`, `system_limit`, `noconnection`.
    pub result: Result<Pid, Atom>,
}

impl Message {
    pub(crate) fn new(body: Encoded, alias: Option<Ref>, sender: Option<Pid>) -> Self {
        Self { body, alias, sender }
    }

    /// Who sent it, where the connection tells.
    pub(crate) fn sender(&self) -> Option<Pid> {
        self.sender
    }

    /// The message as bytes.
    #[must_use]
    pub fn body(&self) -> &Encoded {
        &self.body
    }

    /// The alias it was sent through, if it was.
    #[must_use]
    pub fn alias(&self) -> Option<Ref> {
        self.alias
    }

    /// The message as a term.
    ///
    /// # Errors
    /// [`DecodeError`], if the sender sent what is no term.
    pub fn term(&self) -> Result<Term, DecodeError> {
        self.body.term()
    }
}

impl Down {
    /// What was monitored: a pid, or `{Name, Node}`.
    #[must_use]
    pub fn object(&self) -> Term {
        match self.target {
            Target::Pid(pid) => pid.into(),
            Target::Name(name) => Term::tuple([name.into(), self.node.into()]),
            Target::Alias(alias) => alias.into(),
        }
    }
}

impl Mail {
    /// About the bytes it takes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Message(message) => message.body.len(),
                Self::Down(down) => down.reason.len(),
                Self::Exit(exit) => exit.reason.len(),
                Self::SpawnReply(_) => 0,
            }
    }

    /// What the message says, as a value that serde knows. Other mail is taken as the message that a BEAM process
    /// would find.
    ///
    /// # Errors
    /// [`Error`](crate::serde::Error), if it is not of the type's shape, or no term.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::serde::Error> {
        match self {
            Self::Message(message) => message.body().decode(),
            Self::Down(_) | Self::Exit(_) | Self::SpawnReply(_) => crate::serde::from_term(&self.term()?),
        }
    }

    /// The message that a BEAM process would find.
    ///
    /// # Errors
    /// [`DecodeError`], if the sender sent what is no term.
    pub fn term(&self) -> Result<Term, DecodeError> {
        Ok(match self {
            Self::Message(message) => message.term()?,
            Self::Down(down) => Term::tuple([
                Term::atom("DOWN"),
                down.reference.into(),
                Term::atom("process"),
                down.object(),
                down.reason.term()?,
            ]),
            Self::Exit(exit) => Term::tuple([Term::atom("EXIT"), exit.from.into(), exit.reason.term()?]),
            Self::SpawnReply(SpawnReply { reference, result }) => {
                let (outcome, value) = match result {
                    Ok(pid) => ("ok", Term::from(*pid)),
                    Err(reason) => ("error", Term::from(*reason)),
                };
                Term::tuple([Term::atom("spawn_reply"), (*reference).into(), Term::atom(outcome), value])
            }
        })
    }
}

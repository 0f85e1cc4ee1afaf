//! The conventions of `gen`: requests with a from-tag, and the replies to them.
//!
//! A caller takes a monitor whose reference is an alias too, and sends `{'$gen_call', {Pid, Tag}, Request}`.
//! The tag says where the reply goes: `[alias | Ref]` and `[[alias | Ref] | _]` to the alias `Ref`, any other
//! to the pid (`gen.erl`).

use std::time::Duration;

use super::{AliasMode, Dest, Exited, Mail, Message, Process, SendError};
use crate::etf::Encoded;
use crate::term::{Atom, Pid, Ref, Term, atom::known};

/// Who asked, and how to answer.
#[derive(Debug, Clone)]
pub struct From {
    pid: Pid,
    tag: Term,
}

/// What a message means to a server.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// `{'$gen_call', From, Request}`.
    Call(From, Encoded),
    /// `{'$gen_cast', Request}`.
    Cast(Encoded),
    /// `{system, From, Request}`.
    System(From, Encoded),
    /// Anything else.
    Info,
}

/// A call to a server failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No reply came in time. The server was not told.
    #[error("the call timed out")]
    Timeout,
    /// The connection to the server's node was lost, or could not be made: `{nodedown, Node}`.
    #[error("no connection to {}", .0.as_str())]
    NoConnection(Atom),
    /// The server ended before it replied, or there was none (`noproc`).
    #[error("the server ended: {0}")]
    Exit(Term),
    /// The request was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The reply is not what the caller expected, or no term.
    #[error("the reply cannot be decoded: {0}")]
    Decode(String),
}

impl std::convert::From<Exited> for CallError {
    fn from(exited: Exited) -> Self {
        Self::Send(exited.into())
    }
}

impl From {
    /// Reads `{Pid, Tag}`.
    pub(crate) fn parse(from: &Encoded) -> Option<Self> {
        let from = from.term().ok()?;
        match from.as_tuple()? {
            [Term::Pid(pid), tag] => Some(Self { pid: *pid, tag: tag.clone() }),
            _ => None,
        }
    }

    /// The caller.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What the reply carries beside its value.
    #[must_use]
    pub fn tag(&self) -> &Term {
        &self.tag
    }

    /// The alias that the reply goes to, if the tag names one.
    pub(crate) fn alias(&self) -> Option<Ref> {
        let alias_of = |tag: &Term| {
            let list = tag.as_list()?;
            match (list.as_terms()?, list.tail()?) {
                ([Term::Atom(alias)], Term::Ref(reference)) if *alias == known::alias() => Some(**reference),
                _ => None,
            }
        };
        alias_of(&self.tag).or_else(|| {
            let outer = self.tag.as_list()?;
            if let [inner] = outer.as_terms()? { alias_of(inner) } else { None }
        })
    }
}

/// Reads a message as servers do.
pub(crate) fn classify(message: &Message) -> Request {
    let body = message.body();
    let Some(elements) = body.parts() else { return Request::Info };
    match &elements[..] {
        [kind, from, request] if kind.is_atom("$gen_call") => match From::parse(from) {
            Some(from) => Request::Call(from, request.clone()),
            None => Request::Info,
        },
        [kind, from, request] if kind.is_atom("system") => match From::parse(from) {
            Some(from) => Request::System(from, request.clone()),
            None => Request::Info,
        },
        [kind, request] if kind.is_atom("$gen_cast") => Request::Cast(request.clone()),
        _ => Request::Info,
    }
}

impl Process {
    /// Replies to a call.
    ///
    /// # Errors
    /// As [`Process::send`]. A caller that is gone is no error.
    pub fn reply(&self, to: &From, reply: &Term) -> Result<(), SendError> {
        self.reply_encoded(to, &encode(reply)?)
    }

    /// Replies with a term that is encoded already.
    pub(crate) fn reply_encoded(&self, to: &From, reply: &Encoded) -> Result<(), SendError> {
        let message = Encoded::tuple(&[encode(&to.tag)?, reply.clone()]);
        match to.alias() {
            Some(alias) => self.send_now(alias, message),
            None => self.send_now(to.pid, message),
        }
    }

    /// Calls a server and waits for its reply: `gen_server:call/3`. No time-out where `timeout` is `None`.
    ///
    /// Cancel-safe: dropped, it stops waiting; a late reply is dropped at the alias.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(
        &mut self,
        to: impl Into<Dest>,
        request: &Term,
        timeout: Option<Duration>,
    ) -> Result<Term, CallError> {
        let reply = self.call_encoded(to.into(), encode(request)?, timeout).await?;
        reply.term().map_err(|error| CallError::Decode(error.to_string()))
    }

    /// As [`Process::call`], with request and reply as bytes.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_encoded(
        &mut self,
        to: impl Into<Dest>,
        request: Encoded,
        timeout: Option<Duration>,
    ) -> Result<Encoded, CallError> {
        self.call_labelled("$gen_call", to.into(), request, timeout).await
    }

    /// A call whose message begins with another label, such as `system`.
    pub(crate) async fn call_labelled(
        &mut self,
        label: &str,
        to: Dest,
        request: Encoded,
        timeout: Option<Duration>,
    ) -> Result<Encoded, CallError> {
        let to = match self.located(to).await {
            Err(SendError::Nobody(_)) => return Err(CallError::Exit(known::noproc().into())),
            located => located?,
        };
        let seen = self.mark();
        let reference = self.monitor_alias(to.clone(), AliasMode::ReplyDemonitor)?;
        let guard = DemonitorGuard { process: self, reference };
        let process = &mut *guard.process;
        let tag = crate::term::List::improper(vec![known::alias().into()], reference.into());
        let from = Term::tuple([process.pid().into(), tag]);
        let message = Encoded::tuple(&[encode(&Term::atom(label))?, encode(&from)?, request]);
        process.send_encoded(to, message).await.or_else(|error| match error {
            // The DOWN of the monitor says `noproc`.
            SendError::NoName(_) => Ok(()),
            other => Err(other),
        })?;
        let answer = process.receive_from(seen, |mail| answer_to(mail, reference));
        let answer = match timeout {
            Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_elapsed| CallError::Timeout)?,
            None => answer.await,
        };
        answer?
    }
}

fn encode(term: &Term) -> Result<Encoded, SendError> {
    Encoded::new(term).map_err(|error| SendError::Encode(error.into()))
}

/// The reply to the call of this reference, or the end of the server that should have given it.
fn answer_to(mail: &Mail, reference: Ref) -> Option<Result<Encoded, CallError>> {
    match mail {
        Mail::Message(message) => {
            // A reply sent to the pid instead of the alias counts too: callers match on the message only.
            let elements = message.body().parts()?;
            let [tag, reply] = &elements[..] else { return None };
            let is_ours = message.alias() == Some(reference) || tag_names(tag, reference);
            is_ours.then(|| Ok(reply.clone()))
        }
        Mail::Down(down) if down.reference == reference => Some(Err(failure(down))),
        Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
    }
}

fn tag_names(tag: &Encoded, reference: Ref) -> bool {
    let Ok(tag) = tag.term() else { return false };
    tag.as_ref() == Some(reference)
        || tag.as_list().and_then(|list| list.tail()).and_then(Term::as_ref) == Some(reference)
}

fn failure(down: &super::Down) -> CallError {
    if down.reason.is_atom("noconnection") {
        return CallError::NoConnection(down.node);
    }
    match down.reason.term() {
        Ok(reason) => CallError::Exit(reason),
        Err(error) => CallError::Decode(error.to_string()),
    }
}

/// Ends monitor and alias however the call ends, also where its future is dropped.
struct DemonitorGuard<'a> {
    process: &'a mut Process,
    reference: Ref,
}

impl Drop for DemonitorGuard<'_> {
    fn drop(&mut self) {
        self.process.demonitor(self.reference);
    }
}

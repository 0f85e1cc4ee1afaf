//! Calls of functions on other nodes, as `erpc` makes them.
//!
//! A SPAWN_REQUEST of `erpc:execute_call(Ref, M, F, A)` with a monitor: SPAWN_REPLY comes first, then the DOWN whose
//! reason is the result.

use std::time::Duration;

use super::error::{Class, RpcError};
use crate::etf::Encoded;
use crate::process::{Down, Mail, Process, Replies, SendError, SpawnOptions};
use crate::term::{Atom, Pid, Ref, Term, atom::known};

/// A function to call on a node.
pub(crate) struct Call<'a> {
    pub(crate) node: Atom,
    pub(crate) module: Atom,
    pub(crate) function: Atom,
    /// The list of arguments.
    pub(crate) args: &'a Encoded,
    /// Gets what the function prints.
    pub(crate) group_leader: Pid,
    pub(crate) timeout: Option<Duration>,
}

/// Calls and waits. Dropping the future stops waiting; the remote process goes on, as with `erpc:call/5`.
pub(crate) async fn call(process: &mut Process, call: &Call<'_>) -> Result<Encoded, RpcError> {
    let seen = process.mark();
    let reference = process.router().make_ref();
    let id = request_call(process, call, reference).await?;
    let guard = Abandon { process, id };
    let answer = guard.process.receive_from(seen, |mail| answer(mail, id, reference, call.node));
    let answer = match call.timeout {
        Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_elapsed| RpcError::Timeout)?,
        None => answer.await,
    };
    answer?
}

/// Sends the request of a call, whose answer is read by [`answer`].
pub(crate) async fn request_call(process: &Process, call: &Call<'_>, reference: Ref) -> Result<Ref, RpcError> {
    let term = |term: Term| Encoded::of(&term).map_err(SendError::from);
    let args = Encoded::list(&[
        term(reference.into())?,
        term(call.module.into())?,
        term(call.function.into())?,
        call.args.clone(),
    ]);
    let mfa = (known::erpc(), Atom::new("execute_call"), 4);
    let options = SpawnOptions { monitor: true, replies: Replies::Errors, ..SpawnOptions::default() };
    Ok(process.spawn_request(call.node, mfa, args, call.group_leader, &options).await?)
}

/// Calls without waiting for anything: `erpc:cast`.
pub(crate) async fn cast(process: &Process, call: &Call<'_>) -> Result<(), RpcError> {
    let term = |term: Term| Encoded::of(&term).map_err(SendError::from);
    let args = Encoded::list(&[term(call.module.into())?, term(call.function.into())?, call.args.clone()]);
    let mfa = (known::erpc(), Atom::new("execute_cast"), 3);
    process.spawn_request(call.node, mfa, args, call.group_leader, &SpawnOptions::default()).await?;
    Ok(())
}

/// The result of the call of these references, once the mail that carries it has come.
pub(crate) fn answer(mail: &Mail, id: Ref, reference: Ref, node: Atom) -> Option<Result<Encoded, RpcError>> {
    match mail {
        Mail::SpawnReply(reply) if reply.reference == id => match reply.result {
            // Only errors are asked for.
            Ok(_) => None,
            Err(why) => Some(Err(refusal(node, why))),
        },
        Mail::Down(down) if down.reference == id => Some(outcome(down, reference, node)),
        Mail::Message(_) | Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
    }
}

pub(super) fn refusal(node: Atom, why: Atom) -> RpcError {
    match why.as_str() {
        "notsup" => RpcError::NotSupported(node),
        "noconnection" => RpcError::NoConnection(node),
        _ => RpcError::Refused(why),
    }
}

fn outcome(down: &Down, reference: Ref, node: Atom) -> Result<Encoded, RpcError> {
    let decode = |encoded: &Encoded| encoded.term().map_err(|error| RpcError::Decode(error.to_string()));
    let elements = down.reason.parts().unwrap_or_default();
    let remote = |class, why: &Encoded, stack: Option<&Encoded>| {
        let stack = stack.map(decode).transpose()?;
        Err(RpcError::Remote { class, reason: decode(why)?, stack })
    };
    match &elements[..] {
        [id, class, value] if id.as_ref() == Some(reference) && class.is_atom("return") => Ok(value.clone()),
        [id, class, thrown] if id.as_ref() == Some(reference) && class.is_atom("throw") => {
            remote(Class::Throw, thrown, None)
        }
        [id, class, why] if id.as_ref() == Some(reference) && class.is_atom("exit") => remote(Class::Exit, why, None),
        [id, class, why] if id.as_ref() == Some(reference) && class.is_atom("error") => remote(Class::Error, why, None),
        [id, class, why, stack] if id.as_ref() == Some(reference) && class.is_atom("error") => {
            remote(Class::Error, why, Some(stack))
        }
        _ if down.reason.is_atom("noconnection") => Err(RpcError::NoConnection(node)),
        _ => Err(RpcError::Signal(decode(&down.reason)?)),
    }
}

/// Stops the monitor of a call that nobody waits for any more, and throws its mail away.
struct Abandon<'a> {
    process: &'a mut Process,
    id: Ref,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.process.demonitor(self.id);
        let id = self.id;
        let is_reply = |mail: &Mail| matches!(mail, Mail::SpawnReply(reply) if reply.reference == id).then_some(());
        let _ended = self.process.try_receive_match(is_reply);
    }
}

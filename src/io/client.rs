//! Printing to a group leader, and waiting until it has printed.

use crate::process::{Dest, Mail, Process};
use crate::term::{Pid, Term, atom::known};

/// Prints text; returns once the device has answered, or is gone. Its reply, `None` where it is gone.
pub(crate) async fn put_chars(process: &mut Process, device: Pid, text: &str) -> Option<Term> {
    let seen = process.mark();
    let reference = process.monitor(Dest::Pid(device)).ok()?;
    let request = Term::tuple([Term::atom("put_chars"), Term::atom("unicode"), Term::from(text)]);
    let message = Term::tuple([Term::atom("io_request"), process.pid().into(), reference.into(), request]);
    process.send(device, &message).await.ok()?;
    let reply = process.receive_from(seen, |mail| match mail {
        Mail::Message(message) => {
            let elements = message.body().parts()?;
            let [kind, reply_as, reply] = &elements[..] else { return None };
            let is_ours = kind.is_atom("io_reply") && reply_as.as_ref() == Some(reference);
            is_ours.then(|| reply.term().ok())
        }
        Mail::Down(down) if down.reference == reference => Some(None),
        Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
    });
    let reply = reply.await.ok()?;
    process.demonitor(reference);
    reply.or_else(|| Some(Term::tuple([known::error().into(), Term::atom("terminated")])))
}

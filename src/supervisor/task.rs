//! Tasks: what Elixir's `Task.Supervised` runs for `Task.Supervisor`.
//!
//! `start_link/2` waits for the caller's `{Owner, Ref, ReplyTo, Callers, MFA}` and sends `{Ref, Result}`; `start_link/3`
//! has its function already, and nobody waits for what it returns.

use std::time::Duration;

use crate::etf::Encoded;
use crate::node::Node;
use crate::process::{Dest, Exit, Mail, Process, reason};
use crate::rpc::{CallContext, Raise, Returned, exit_reason};
use crate::term::{Pid, Term, atom::known};

/// How long a task waits for its function.
const WAIT: Duration = Duration::from_secs(5);

pub(super) fn export(node: &Node) {
    const MODULE: &str = "Elixir.Task.Supervised";
    node.export_terms(MODULE, "start_link", 2, |context, args| async move {
        let owner = owner(&args[0])?;
        let monitor = args[1].is_atom("monitor");
        Ok(start(&context, move |node, task| reply(node, task, owner, monitor)))
    });
    node.export_terms(MODULE, "start_link", 3, |context, args| async move {
        let owner = owner(&args[0])?;
        let mfa = args[2].clone();
        Ok(start(&context, move |node, task| async move { outcome(run(&node, &task, owner, &mfa).await).0 }))
    });
}

/// `{Node, PidOrName, Pid}`.
fn owner(owner: &Term) -> Result<Pid, Raise> {
    match owner.as_tuple() {
        Some([_, _, Term::Pid(pid)]) => Ok(*pid),
        _ => Err(Raise::badarg()),
    }
}

fn start<F, Fut>(context: &CallContext, body: F) -> Term
where
    F: FnOnce(Node, Process) -> Fut + Send + 'static,
    Fut: Future<Output = Exit> + Send + 'static,
{
    let node = context.node.clone();
    let process = node.process();
    let pid = process.pid();
    let _just_made = process.link(context.process.pid());
    context.node.run(process, move |process| body(node, process));
    Term::tuple([known::ok().into(), pid.into()])
}

async fn reply(node: Node, mut task: Process, owner: Pid, monitor: bool) -> Exit {
    let Ok(watch) = task.monitor(owner) else { return Exit::normal() };
    let order = task.receive_match(|mail| match mail {
        Mail::Message(message) => order(message.body(), owner).map(Ok),
        Mail::Down(down) if down.reference == watch => Some(Err(down.reason.clone())),
        Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
    });
    let order = if monitor { tokio::time::timeout(WAIT, order).await } else { Ok(order.await) };
    let (reference, reply_to, mfa) = match order {
        Err(_elapsed) => return Term::from(known::timeout()).into(),
        Ok(Err(_ended)) => return Exit::normal(),
        Ok(Ok(Err(why))) => return Exit::encoded(Encoded::tuple(&[reason::shutdown(), why])),
        Ok(Ok(Ok(order))) => order,
    };
    task.demonitor(watch);
    let (exit, value) = outcome(run(&node, &task, owner, &mfa).await);
    if let (Some(value), Some(to)) = (value, Dest::from_term(&reply_to)) {
        let _gone = task.send_encoded(to, Encoded::tuple(&[reason::of(&reference), value])).await;
    }
    exit
}

/// `{Owner, Ref, ReplyTo, Callers, MFA}`; before Elixir 1.13 without `ReplyTo`.
fn order(message: &Encoded, owner: Pid) -> Option<(Term, Term, Term)> {
    let parts = message.parts()?;
    let (from, reference, to, mfa) = match &parts[..] {
        [from, reference, to, _callers, mfa] => (from, reference, to, mfa),
        [from, reference, _callers, mfa] => (from, reference, from, mfa),
        _ => return None,
    };
    if from.as_pid() != Some(owner) {
        return None;
    }
    Some((reference.term().ok()?, to.term().ok()?, mfa.term().ok()?))
}

async fn run(node: &Node, task: &Process, owner: Pid, mfa: &Term) -> Returned {
    let Some([Term::Atom(module), Term::Atom(function), args]) = mfa.as_tuple() else { return Err(Raise::badarg()) };
    let context = CallContext { node: node.clone(), process: task.share(), caller: owner };
    node.apply(context, *module, *function, reason::of(args)).await
}

/// Why the task ends, and what it answers.
fn outcome(returned: Returned) -> (Exit, Option<Encoded>) {
    match returned {
        Ok(value) => (Exit::normal(), Some(value)),
        failed => (exit_reason(failed).into(), None),
    }
}

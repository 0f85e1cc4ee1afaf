//! `rex`: what of `rpc` does not go through `erpc`.
//!
//! `block_call`, `sbcast`, `server_call`'s ancestors and the raw forms of C nodes. Since OTP 25 `rpc:call` itself is
//! `erpc:call`. Whatever is blocked on runs in this one process, so a lock or a registration made by a
//! `block_call` stays.

use std::sync::Arc;

use super::context::CallContext;
use super::exports::{Exports, Raise, Returned};
use super::server::apply;
use crate::etf::Encoded;
use crate::node::Node;
use crate::process::call::{Request, classify};
use crate::process::{Dest, From, Mail, Process, reason};
use crate::term::{Atom, Pid, Term, atom::known};

/// A call in one of rex's forms.
struct Call {
    module: Atom,
    function: Atom,
    args: Encoded,
    output: Output,
}

/// Where the output of a call goes.
#[derive(Clone, Copy)]
enum Output {
    GroupLeader(Pid),
    User,
    /// As `{rex_stdout, Binary}` to the caller.
    Caller,
}

/// Serves `rex` for ever.
pub(crate) async fn serve(node: Node, exports: Arc<Exports>, mut process: Process) {
    loop {
        let Ok(mail) = process.receive().await else { return };
        let Mail::Message(message) = mail else { continue };
        match classify(&message) {
            Request::Call(from, request) => handle_call(&node, &exports, &mut process, from, &request).await,
            Request::Cast(request) => {
                if let Some(("cast", call)) = parse_call(&request) {
                    run_apart(&node, &exports, process.pid(), call, |_process, _result| {});
                }
            }
            Request::System(..) => {}
            Request::Info => handle_raw(&node, &exports, &process, message.body()),
        }
    }
}

async fn handle_call(node: &Node, exports: &Arc<Exports>, process: &mut Process, from: From, request: &Encoded) {
    match parse_call(request) {
        Some(("call", call)) => run_apart(node, exports, from.pid(), call, move |process, result| {
            let _caller_is_gone = process.reply_encoded(&from, &result);
        }),
        Some(("block_call", call)) => {
            let result = run_here(node, exports, process, from.pid(), call).await;
            let _caller_is_gone = process.reply_encoded(&from, &result);
        }
        _ => tracing::debug!("unknown call to rex"),
    }
}

/// `{From, Request}` as C nodes and `sbcast` send it.
fn handle_raw(node: &Node, exports: &Arc<Exports>, process: &Process, body: &Encoded) {
    let Some(elements) = body.parts() else { return };
    let [from, request] = &elements[..] else { return };
    let Some(from) = from.as_pid() else { return };
    if request.is_atom("features_request") {
        let features = Term::list(vec![known::erpc().into()]);
        return answer(process, from, vec![Term::atom("features_reply"), process.pid().node.into(), features]);
    }
    if let Some(("call", call)) = parse_call(request) {
        return run_apart(node, exports, from, call, move |process, result| {
            let reply = Encoded::tuple(&[reason::of(&known::rex().into()), result]);
            let _caller_is_gone = process.send_now(from, reply);
        });
    }
    let Some(elements) = request.parts() else { return };
    match &elements[..] {
        [kind, name, message] if kind.is_atom("sbcast") => sbcast(process, from, name, message.clone()),
        [kind, name, message] if kind.is_atom("send") => {
            let wrapped = Encoded::tuple(&[reason::of(&from.into()), message.clone()]);
            if let Err(outcome) = send_to_name(process, name, wrapped) {
                answer(process, from, vec![known::rex().into(), process.pid().node.into(), outcome]);
            }
        }
        _ => tracing::debug!("unknown message to rex"),
    }
}

fn sbcast(process: &Process, from: Pid, name: &Encoded, message: Encoded) {
    let node = process.pid().node;
    let outcome = send_to_name(process, name, message).err().unwrap_or_else(|| node.into());
    answer(process, from, vec![known::rex().into(), node.into(), outcome]);
}

fn answer(process: &Process, to: Pid, elements: Vec<Term>) {
    let _caller_is_gone = process.send_now(to, reason::of(&Term::tuple(elements)));
}

/// `{nonexisting_name, Name}` where there is no such process.
fn send_to_name(process: &Process, name: &Encoded, message: Encoded) -> Result<(), Term> {
    let missing = |name: Term| Term::tuple([Term::atom("nonexisting_name"), name]);
    let Some(atom) = name.as_atom() else { return Err(missing(name.term().unwrap_or_default())) };
    process.send_now(Dest::Name(atom), message).map_err(|_no_such_name| missing(atom.into()))
}

/// `{Kind, M, F, A, GroupLeader}`.
fn parse_call(request: &Encoded) -> Option<(&'static str, Call)> {
    let elements = request.parts()?;
    let [kind, module, function, args, output] = &elements[..] else { return None };
    let kind = ["call", "block_call", "cast"].into_iter().find(|name| kind.is_atom(name))?;
    let output = match (output.as_pid(), output.as_atom()) {
        (Some(pid), _) => Output::GroupLeader(pid),
        (None, Some(name)) if name == "send_stdout_to_caller" => Output::Caller,
        _ => Output::User,
    };
    Some((kind, Call { module: module.as_atom()?, function: function.as_atom()?, args: args.clone(), output }))
}

/// Runs a call in a process of its own, which answers.
fn run_apart(
    node: &Node,
    exports: &Arc<Exports>,
    caller: Pid,
    call: Call,
    answer: impl FnOnce(&Process, Encoded) + Send + 'static,
) {
    let process = node.process();
    let leader = group_leader(node, caller, call.output);
    process.cell().lock().group_leader = leader;
    let (node, exports) = (node.clone(), Arc::clone(exports));
    node.clone().run(process, move |process| async move {
        let context = CallContext { node, process: process.share(), caller };
        let result = apply(context, &exports, call.module, call.function, call.args).await;
        answer(&process, outcome(result));
    });
}

/// Runs a call in the process of `rex` itself: the next request waits.
async fn run_here(node: &Node, exports: &Exports, process: &mut Process, caller: Pid, call: Call) -> Encoded {
    let own_leader = process.group_leader();
    process.cell().lock().group_leader = group_leader(node, caller, call.output);
    let context = CallContext { node: node.clone(), process: process.share(), caller };
    let result = apply(context, exports, call.module, call.function, call.args).await;
    process.cell().lock().group_leader = own_leader;
    outcome(result)
}

fn group_leader(node: &Node, caller: Pid, output: Output) -> Pid {
    match output {
        Output::GroupLeader(pid) => pid,
        Output::User => node.user(),
        Output::Caller => crate::io::stdout_for(node, caller),
    }
}

/// The value; what was thrown; `{badrpc, {'EXIT', Reason}}`.
pub(super) fn outcome(returned: Returned) -> Encoded {
    let badrpc = |why: Term| {
        let exit = Term::tuple([Term::atom("EXIT"), why]);
        reason::of(&Term::tuple([known::badrpc().into(), exit]))
    };
    match returned {
        Ok(value) => value,
        Err(Raise::Throw(thrown)) => reason::of(&thrown),
        Err(Raise::Exit(why)) => badrpc(why),
        Err(Raise::Error(why, stack)) => badrpc(Term::tuple([why, Term::list(stack)])),
    }
}

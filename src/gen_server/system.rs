//! System messages: what `sys` asks of any OTP process.

use super::GenServer;
use crate::etf::Encoded;
use crate::process::{From, Process};
use crate::term::{Atom, Term, atom::known};

/// What a system message asks of the loop.
pub(super) enum System {
    Answered,
    /// Whether to take no more requests.
    Suspended(bool),
    /// End with this reason.
    Terminate(Encoded),
}

pub(super) fn handle_system<S: GenServer>(
    request: &Encoded,
    from: &From,
    server: &S,
    process: &Process,
    suspended: bool,
) -> System {
    let reply = |term: Term| {
        if let Err(error) = process.reply(from, &term) {
            tracing::debug!(%error, "reply to a system message not sent");
        }
    };
    let Ok(request) = request.term() else { return System::Answered };
    let (name, argument) = match (request.as_atom(), request.as_tuple()) {
        (Some(name), _) => (name, None),
        (None, Some([Term::Atom(name), argument, ..])) => (*name, Some(argument)),
        _ => (known::undefined(), None),
    };
    match (name.as_str(), argument) {
        ("get_state", None) => reply(shown_state(server.state(), from)),
        ("get_status", None) => reply(status(server, process, suspended)),
        ("suspend", None) => {
            reply(known::ok().into());
            return System::Suspended(true);
        }
        ("resume", None) => {
            reply(known::ok().into());
            return System::Suspended(false);
        }
        ("terminate", Some(reason)) => {
            reply(known::ok().into());
            return System::Terminate(crate::process::reason::of(reason));
        }
        ("debug", Some(_)) => reply(known::ok().into()),
        ("replace_state", Some(_)) => reply(error(Term::from(known::notsup()))),
        _ => reply(error(Term::tuple([Term::atom("unknown_system_msg"), request.clone()]))),
    }
    System::Answered
}

fn error(reason: Term) -> Term {
    Term::tuple([known::error().into(), reason])
}

/// OTP 25's `sys` takes the bare state, later ones `{ok, State}`. The caller's reference tells them apart: since 26
/// a reference that is an alias has five words.
fn shown_state(state: Term, from: &From) -> Term {
    match from.alias() {
        Some(alias) if alias.words().len() == 3 => state,
        _ => Term::tuple([known::ok().into(), state]),
    }
}

/// `{status, Pid, {module, Module}, [PDict, Running, Parent, Debug, Misc]}`.
fn status<S: GenServer>(server: &S, process: &Process, suspended: bool) -> Term {
    let running = Term::atom(if suspended { "suspended" } else { "running" });
    let name = process.cell().lock().name;
    let header = format!("Status for generic server {}", name.map_or("undefined", |name| name.as_str()));
    let state = Term::tuple([Term::Atom(Atom::new("State")), server.state()]);
    let misc = Term::list(vec![
        Term::tuple([Term::atom("header"), crate::term::List::from_text(&header).into()]),
        Term::tuple([Term::atom("data"), Term::list(vec![state])]),
    ]);
    let module = Term::tuple([
        Term::atom("module"),
        Term::from(Atom::try_new(server.module()).unwrap_or_else(|_too_long| known::nil())),
    ]);
    let parent = process.pid().into();
    let items = vec![Term::nil(), running, parent, Term::nil(), misc];
    Term::tuple([Term::atom("status"), process.pid().into(), module, Term::list(items)])
}

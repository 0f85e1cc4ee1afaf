//! A device: what `user` and other group leaders of this node answer.

use super::format::{format, text_of};
use crate::process::{Mail, Process};
use crate::term::{List, Term, atom::known};

/// Where the text of a device goes.
pub(crate) trait Sink: Send + 'static {
    /// Takes a piece of text, not necessarily whole lines.
    fn put(&mut self, process: &Process, text: &str);
}

/// Serves I/O requests for ever. There is no input: reads give `eof`.
pub(crate) async fn serve(mut process: Process, mut sink: impl Sink) {
    loop {
        let Ok(mail) = process.receive().await else { return };
        let Mail::Message(message) = mail else { continue };
        let Ok(message) = message.term() else { continue };
        let Some([kind, Term::Pid(from), reply_as, request]) = message.as_tuple() else { continue };
        if !kind.is_atom("io_request") {
            continue;
        }
        let reply = answer(request, &process, &mut sink);
        let reply = Term::tuple([Term::atom("io_reply"), reply_as.clone(), reply]);
        if let Err(error) = process.try_send(*from, &reply) {
            tracing::debug!(%error, "reply of an I/O device not sent");
        }
    }
}

fn answer(request: &Term, process: &Process, sink: &mut impl Sink) -> Term {
    let elements: Vec<Term> = match request {
        Term::Atom(_) => vec![request.clone()],
        Term::Tuple(tuple) => tuple.to_vec(),
        _ => return error("request"),
    };
    let name = elements.first().and_then(Term::as_atom).unwrap_or_else(known::undefined);
    // Requests without an encoding are those of old clients, in Latin-1.
    let arguments = match elements.get(1) {
        Some(Term::Atom(encoding)) if encoding == "unicode" || encoding == "latin1" => &elements[2..],
        _ => elements.get(1..).unwrap_or_default(),
    };
    match (name.as_str(), arguments) {
        ("put_chars", [chars]) => put(text_of(chars), "put_chars", process, sink),
        ("put_chars", [module, function, arguments]) if module.is_atom("io_lib") => {
            put(formatted(function, arguments), "format", process, sink)
        }
        ("put_chars", [_, _, _]) => error("put_chars"),
        ("requests", [requests]) => all(requests, process, sink),
        ("get_line" | "get_chars" | "get_until", _) => Term::atom("eof"),
        ("getopts", []) => options(),
        ("get_geometry" | "setopts" | "get_password", _) => error("enotsup"),
        _ => error("request"),
    }
}

fn put(text: Option<String>, otherwise: &str, process: &Process, sink: &mut impl Sink) -> Term {
    match text {
        Some(text) => {
            sink.put(process, &text);
            known::ok().into()
        }
        None => error(otherwise),
    }
}

fn error(reason: &str) -> Term {
    Term::tuple([known::error().into(), Term::atom(reason)])
}

fn options() -> Term {
    let option = |name: &str, value: Term| Term::tuple([Term::atom(name), value]);
    Term::list(vec![option("binary", known::true_().into()), option("encoding", Term::atom("unicode"))])
}

/// Several requests at once: stops at the first that fails.
fn all(requests: &Term, process: &Process, sink: &mut impl Sink) -> Term {
    let mut last = known::ok().into();
    for request in requests.as_list().unwrap_or(&List::nil()) {
        last = answer(&request, process, sink);
        if matches!(last.as_tuple(), Some([Term::Atom(failed), _]) if *failed == known::error()) {
            return last;
        }
    }
    last
}

/// What `io_lib` would make of it: `io:format/3` sends format and arguments as they are.
fn formatted(function: &Term, arguments: &Term) -> Option<String> {
    let arguments: Vec<Term> = arguments.as_list()?.iter().map(std::borrow::Cow::into_owned).collect();
    match (function.as_atom()?.as_str(), &arguments[..]) {
        ("format" | "fwrite", [control, arguments]) => {
            let arguments: Vec<Term> = arguments.as_list()?.iter().map(std::borrow::Cow::into_owned).collect();
            format(&text_of(control)?, &arguments)
        }
        ("write", [term, ..]) => format("~w", std::slice::from_ref(term)),
        ("nl", []) => Some("\n".into()),
        _ => None,
    }
}

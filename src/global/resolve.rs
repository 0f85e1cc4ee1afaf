//! Whose name stays where two processes have it: the standard funs of `global`, and those of the program.

use crate::node::Node;
use crate::process::Process;
use crate::rpc::{CallContext, Raise};
use crate::term::{Atom, Fun, Pid, Term};

use super::table::Entry;

/// The module under which the program's own resolvers are called.
const OURS: &str = "tiebeam_resolver";

/// A fun of `global`'s own.
pub(super) fn standard(name: &str) -> Term {
    Fun::Export { module: Atom::new("global"), function: Atom::new(name), arity: 3 }.into()
}

/// Lets nodes of the cluster call a resolver of the program's; the fun that names it.
pub(super) fn export_resolver<F>(node: &Node, resolver: F) -> Term
where
    F: Fn(&Term, Pid, Pid) -> Option<Pid> + Send + Sync + 'static,
{
    let function = Atom::new(&format!("resolver_{}", node.exports().len()));
    node.export_terms(OURS, function, 3, move |_context, args| {
        let decided = match (args[1].as_pid(), args[2].as_pid()) {
            (Some(first), Some(second)) => Ok(resolver(&args[0], first, second).map_or_else(none, Term::from)),
            _ => Err(Raise::badarg()),
        };
        std::future::ready(decided)
    });
    Fun::Export { module: Atom::new(OURS), function, arity: 3 }.into()
}

fn none() -> Term {
    Term::atom("none")
}

/// Exports `resolve_it/4`, which other nodes call for names of our processes, and the standard funs.
pub(super) fn export(node: &Node) {
    for name in ["random_exit_name", "random_notify_name", "notify_all_name"] {
        node.export_terms("global", name, 3, move |context, args| async move {
            run_standard(&context.process, name, &args[0], &args[1], &args[2])
        });
    }
    node.export_terms("global", "resolve_it", 4, |context, args| async move {
        let [method, name, first, second] = &args[..] else { return Err(Raise::badarg()) };
        Ok(resolve_it(context, method, name, first, second).await)
    });
}

async fn resolve_it(context: CallContext, method: &Term, name: &Term, first: &Term, second: &Term) -> Term {
    let Term::Fun(fun) = method else { return none() };
    let (module, function) = match &**fun {
        Fun::Export { module, function, arity: 3 } => (*module, *function),
        // The closure that `register_name/2` of some releases makes.
        Fun::Local(local) if local.module == "global" && local.arity == 3 => {
            (Atom::new("global"), Atom::new("random_exit_name"))
        }
        Fun::Export { .. } | Fun::Local(_) => return none(),
    };
    let args = crate::process::reason::of(&Term::list(vec![name.clone(), first.clone(), second.clone()]));
    let node = context.node.clone();
    let decided = node.apply(context, module, function, args).await;
    decided.ok().and_then(|decided| decided.term().ok()).unwrap_or_else(none)
}

fn run_standard(process: &Process, which: &str, name: &Term, first: &Term, second: &Term) -> Result<Term, Raise> {
    let (Some(first), Some(second)) = (first.as_pid(), second.as_pid()) else { return Err(Raise::badarg()) };
    // "Random" by name only: all nodes must choose the same.
    let (kept, other) = if first.node < second.node { (first, second) } else { (second, first) };
    let conflict = || vec![Term::atom("global_name_conflict"), name.clone()];
    let tell = |pid: Pid, message: Vec<Term>| {
        let _gone = process.send_now(pid, crate::process::reason::of(&Term::tuple(message)));
    };
    match which {
        "random_exit_name" => {
            let _we_have_ended = process.exit(other, &Term::atom("kill"));
            Ok(kept.into())
        }
        "random_notify_name" => {
            tell(other, conflict());
            Ok(kept.into())
        }
        _ => {
            tell(first, [conflict(), vec![second.into()]].concat());
            tell(second, [conflict(), vec![first.into()]].concat());
            Ok(none())
        }
    }
}

/// Asks the node of our process which of the two stays: `ours`, `theirs` or `neither`.
pub(super) async fn decide(node: &Node, name: Term, ours: &Entry, theirs: Pid) -> &'static str {
    let args = vec![ours.method.clone(), name, theirs.into(), ours.pid.into()];
    let rpc = node.rpc(ours.pid.node);
    match rpc.call_term(Atom::new("global"), Atom::new("resolve_it"), args).await {
        Ok(kept) if kept.as_pid() == Some(theirs) => "theirs",
        Ok(kept) if kept.as_pid() == Some(ours.pid) => "ours",
        Ok(_) => "neither",
        // Its node is gone, or has no `:global`.
        Err(_) => "theirs",
    }
}

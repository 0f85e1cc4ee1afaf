//! Functions of `erlang`, and Elixir's names for them: who is here, what time it is, what hashes to what.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::answer;
use crate::node::{Node, NodeKind};
use crate::phash2::{phash2, phash2_range};
use crate::rpc::Raise;
use crate::term::{Atom, NodeName, Term, atom::known};

const ELIXIR_NODE: &str = "Elixir.Node";
const ELIXIR_PROCESS: &str = "Elixir.Process";

pub(super) fn export(node: &Node) {
    for (module, name) in [("erlang", "node"), (ELIXIR_NODE, "self")] {
        answer(node, module, name, 0, |context, _| Ok(context.node.name().into()));
    }
    for (module, name) in [("erlang", "is_alive"), (ELIXIR_NODE, "alive?")] {
        answer(node, module, name, 0, |_, _| Ok(known::true_().into()));
    }
    for (module, name) in [("erlang", "nodes"), (ELIXIR_NODE, "list")] {
        answer(node, module, name, 0, |context, _| nodes(&context.node, &Term::atom("visible")));
        answer(node, module, name, 1, |context, args| nodes(&context.node, &args[0]));
    }
    answer(node, "erlang", "self", 0, |context, _| Ok(context.process.pid().into()));
    answer(node, "erlang", "registered", 0, |context, _| {
        let names: Vec<Term> = context.node.registered().into_iter().map(Term::from).collect();
        Ok(names.into())
    });
    answer(node, "erlang", "whereis", 1, |context, args| {
        let name = args[0].as_atom().ok_or_else(Raise::badarg)?;
        Ok(context.node.whereis(name).map_or_else(|| known::undefined().into(), Term::from))
    });
    answer(node, ELIXIR_PROCESS, "whereis", 1, |context, args| {
        let name = args[0].as_atom().ok_or_else(Raise::badarg)?;
        Ok(context.node.whereis(name).map_or_else(|| known::nil().into(), Term::from))
    });
    answer(node, "erlang", "phash2", 1, |_, args| Ok(phash2(&args[0]).into()));
    answer(node, "erlang", "phash2", 2, |_, args| {
        let range = args[1].as_i64().and_then(|range| u64::try_from(range).ok()).ok_or_else(Raise::badarg)?;
        phash2_range(&args[0], range).map(Term::from).ok_or_else(Raise::badarg)
    });
    export_modules(node);
    export_time(node);
}

/// `nodes/1`: of one kind, or of several.
fn nodes(node: &Node, kinds: &Term) -> Result<Term, Raise> {
    let mut names: Vec<NodeName> = Vec::new();
    let listed = kinds.list_items().unwrap_or_else(|| vec![kinds.clone()]);
    for kind in listed {
        let kind = kind.as_atom().ok_or_else(Raise::badarg)?;
        match kind.as_str() {
            "visible" => names.extend(node.nodes_of(NodeKind::Visible)),
            "hidden" => names.extend(node.nodes_of(NodeKind::Hidden)),
            "connected" => names.extend(node.nodes_of(NodeKind::Connected)),
            "this" => names.push(node.name()),
            "known" => {
                names.push(node.name());
                names.extend(node.nodes_of(NodeKind::Connected));
            }
            _ => return Err(Raise::badarg()),
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(Term::from).collect::<Vec<_>>().into())
}

/// What is asked of modules: those with an exported function are there, and nothing else.
fn export_modules(node: &Node) {
    fn module(term: &Term) -> Result<Atom, Raise> {
        term.as_atom().ok_or_else(Raise::badarg)
    }
    answer(node, "erlang", "function_exported", 3, |context, args| {
        let arity = args[2].as_i64().ok_or_else(Raise::badarg)?;
        let wanted = (module(&args[0])?, module(&args[1])?);
        Ok(context.node.exports().iter().any(|(m, f, a)| (*m, *f) == wanted && i64::from(*a) == arity).into())
    });
    answer(node, "erlang", "module_loaded", 1, |context, args| {
        Ok(context.node.exports_module(module(&args[0])?).into())
    });
    answer(node, "code", "ensure_loaded", 1, |context, args| {
        let module = module(&args[0])?;
        Ok(if context.node.exports_module(module) {
            Term::tuple([Term::atom("module"), module.into()])
        } else {
            Term::tuple([known::error().into(), Term::atom("nofile")])
        })
    });
    answer(node, "code", "is_loaded", 1, |context, args| {
        Ok(if context.node.exports_module(module(&args[0])?) {
            Term::tuple([Term::atom("file"), Term::atom("native")])
        } else {
            known::false_().into()
        })
    });
}

fn export_time(node: &Node) {
    for module in ["erlang", "os"] {
        answer(node, module, "system_time", 0, |_, _| in_unit(since_epoch(), &Term::atom("native")));
        answer(node, module, "system_time", 1, |_, args| in_unit(since_epoch(), &args[0]));
    }
    answer(node, "erlang", "monotonic_time", 0, |context, _| in_unit(context.node.uptime(), &Term::atom("native")));
    answer(node, "erlang", "monotonic_time", 1, |context, args| in_unit(context.node.uptime(), &args[0]));
    answer(node, "erlang", "timestamp", 0, |_, _| {
        let now = since_epoch();
        let (mega, seconds) = (now.as_secs() / 1_000_000, now.as_secs() % 1_000_000);
        Ok(Term::tuple([mega.into(), seconds.into(), now.subsec_micros().into()]))
    });
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time in the unit asked for; native units are nanoseconds here, as on most BEAMs.
fn in_unit(time: Duration, unit: &Term) -> Result<Term, Raise> {
    let parts_a_second: u128 = match (unit.as_atom().as_ref().map(Atom::as_str), unit.as_i64()) {
        (Some("native" | "nanosecond" | "nano_seconds"), _) => 1_000_000_000,
        (Some("microsecond" | "micro_seconds"), _) => 1_000_000,
        (Some("millisecond" | "milli_seconds"), _) => 1_000,
        (Some("second" | "seconds"), _) => 1,
        (None, Some(parts)) if parts > 0 => u128::from(parts.unsigned_abs()),
        _ => return Err(Raise::badarg()),
    };
    Ok((time.as_nanos() * parts_a_second / 1_000_000_000).into())
}

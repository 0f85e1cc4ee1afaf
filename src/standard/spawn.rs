//! `spawn`, `spawn_link`, `spawn_monitor` and `spawn_opt` of `erlang` and Elixir's `Node`, in the calling process's name.
//!
//! Where a node cannot be reached, a BEAM gives the pid of a process of its own that ends with `noconnection`; so does
//! this one.

use super::acts::atom;
use crate::node::Node;
use crate::process::{Process, SpawnOptions, reason};
use crate::rpc::{CallContext, Raise, RpcError};
use crate::term::{Atom, Term, atom::known};

pub(super) fn export(node: &Node) {
    let link = || SpawnOptions { link: true, ..SpawnOptions::default() };
    let monitor = || SpawnOptions { monitor: true, ..SpawnOptions::default() };
    let plain = SpawnOptions::default;
    for (name, options) in [("spawn", plain as fn() -> _), ("spawn_link", link), ("spawn_monitor", monitor)] {
        for module in ["erlang", "Elixir.Node"] {
            for arity in [2, 4] {
                node.export_terms(module, name, arity, move |context, args| async move {
                    spawn(context, &args, options()).await
                });
            }
        }
    }
    for (module, name, arity) in [
        ("erlang", "spawn_opt", 3),
        ("erlang", "spawn_opt", 5),
        ("Elixir.Node", "spawn", 3),
        ("Elixir.Node", "spawn", 5),
    ] {
        node.export_terms(module, name, arity, |context, args| async move {
            let [what @ .., list] = &args[..] else { return Err(Raise::badarg()) };
            spawn(context, what, options(list)?).await
        });
    }
}

/// `Node, Fun` or `Node, M, F, A`.
async fn spawn(mut context: CallContext, args: &[Term], options: SpawnOptions) -> Result<Term, Raise> {
    let to = atom(&args[0])?;
    let (module, function, list) = match &args[1..] {
        [fun @ Term::Fun(_)] => (known::erlang(), known::apply(), Term::list(vec![fun.clone(), Term::nil()])),
        [module, function, list] if list.as_list().is_some_and(|list| list.is_proper()) => {
            (atom(module)?, atom(function)?, list.clone())
        }
        _ => return Err(Raise::badarg()),
    };
    let rpc = context.node.rpc(to).group_leader(context.group_leader());
    let spawned = rpc.spawn_encoded(&mut context.process, (module, function), reason::of(&list), &options).await;
    let (pid, reference) = match spawned {
        Ok(spawned) => spawned,
        Err(RpcError::NoConnection(_)) => failed(&context, known::noconnection(), &options)?,
        Err(RpcError::NotSupported(_)) => failed(&context, known::notsup(), &options)?,
        Err(RpcError::Refused(why)) if why != known::badopt() => return Err(Raise::error(why)),
        Err(_) => return Err(Raise::badarg()),
    };
    Ok(if options.monitor { Term::tuple([pid.into(), reference.into()]) } else { pid.into() })
}

/// A process of this node that ends at once, tied to the caller as the one would have been that could not be spawned.
fn failed(
    context: &CallContext,
    why: Atom,
    options: &SpawnOptions,
) -> Result<(crate::term::Pid, crate::term::Ref), Raise> {
    let process: Process = context.node.process();
    let pid = process.pid();
    let ended = |_ended| Raise::badarg();
    if options.link {
        context.process.link(pid).map_err(ended)?;
    }
    let reference = if options.monitor {
        context.process.monitor(pid).map_err(ended)?
    } else {
        context.process.router().make_ref()
    };
    process.end(&reason::of(&why.into()));
    Ok((pid, reference))
}

/// `link`, `monitor`, and options for the other node.
fn options(list: &Term) -> Result<SpawnOptions, Raise> {
    let list = list.as_list().filter(|list| list.is_proper()).ok_or_else(Raise::badarg)?;
    let mut options = SpawnOptions::default();
    for option in list {
        match &*option {
            option if option.is_atom("link") => options.link = true,
            option if option.is_atom("monitor") => options.monitor = true,
            option => options.others.push(option.clone()),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_ours_or_the_other_node_s() {
        let priority = Term::tuple([Term::atom("priority"), Term::atom("high")]);
        let list = Term::list(vec![Term::atom("link"), priority.clone()]);
        let options = options(&list).expect("a list");
        assert!(options.link && !options.monitor);
        assert_eq!(options.term(), Term::list(vec![known::link().into(), priority]));
        assert!(super::options(&Term::atom("link")).is_err());
    }
}

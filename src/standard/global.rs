//! Module `global`, carried out in this node's name: what registers and locks does so for the calling process.

use crate::global::{GlobalError, Registering, all_nodes, release, set_lock};
use crate::node::Node;
use crate::rpc::{CallContext, Raise};
use crate::term::{Atom, Fun, Term, atom::known};

pub(super) fn export(node: &Node) {
    for (name, arity, replace) in [
        ("register_name", 2, false),
        ("register_name", 3, false),
        ("re_register_name", 2, true),
        ("re_register_name", 3, true),
    ] {
        node.export_terms("global", name, arity, move |context, args| async move {
            let pid = args[1].as_pid().ok_or_else(Raise::badarg)?;
            let method = args.get(2).cloned().unwrap_or_else(standard_resolver);
            let what = if replace { Registering::Replace(pid, method) } else { Registering::Register(pid, method) };
            Ok(match context.node.global().change(args[0].clone(), what).await {
                Ok(()) => known::yes().into(),
                Err(GlobalError::Taken) => known::no().into(),
                Err(_) => return Err(Raise::badarg()),
            })
        });
    }
    node.export_terms("global", "unregister_name", 1, |context, args| async move {
        // What is not registered is free already.
        if context.node.global().whereis(args[0].clone()).is_some() {
            let done = context.node.global().change(args[0].clone(), Registering::Unregister).await;
            done.map_err(|_hidden| Raise::badarg())?;
        }
        Ok(known::ok().into())
    });
    super::answer(node, "global", "whereis_name", 1, |context, args| {
        Ok(context.node.global().whereis(args[0].clone()).map_or_else(|| known::undefined().into(), Term::from))
    });
    super::answer(node, "global", "registered_names", 0, |context, _| Ok(context.node.global().names().into()));
    node.export_terms("global", "send", 2, |context, args| async move {
        let Some(pid) = context.node.global().whereis(args[0].clone()) else {
            let what = Term::tuple([args[0].clone(), args[1].clone()]);
            return Err(Raise::Exit(Term::tuple([known::badarg().into(), what])));
        };
        context.process.send(pid, &args[1]).await.map_err(|_ended| Raise::badarg())?;
        Ok(pid.into())
    });
    for arity in 1..=3 {
        node.export_terms("global", "set_lock", arity, |mut context, args| async move {
            let (id, nodes) = lock_arguments(&context, &args)?;
            let retries = match args.get(2) {
                None => None,
                Some(term) if term.is_atom("infinity") => None,
                Some(term) => Some(term.as_i64().and_then(|n| u32::try_from(n).ok()).ok_or_else(Raise::badarg)?),
            };
            if args.len() > 1 {
                // Nodes that are named are connected to.
                nodes.iter().for_each(|node| context.process.begin_to_connect(*node));
            }
            let set = set_lock(&mut context.process, &id, &nodes, retries).await;
            Ok(set.map_err(|_ended| Raise::badarg())?.into())
        });
    }
    for arity in [1, 2] {
        node.export_terms("global", "del_lock", arity, |mut context, args| async move {
            let (id, nodes) = lock_arguments(&context, &args)?;
            release(&mut context.process, &id, &nodes).await.map_err(|_ended| Raise::badarg())?;
            Ok(known::true_().into())
        });
    }
    node.export_terms("global", "sync", 0, |context, _| async move {
        context.node.global().sync().await.map_err(|_hidden| Raise::badarg())?;
        Ok(known::ok().into())
    });
}

fn standard_resolver() -> Term {
    Fun::Export { module: Atom::new("global"), function: Atom::new("random_exit_name"), arity: 3 }.into()
}

/// `{Resource, Requester}`, and the nodes: all that are visible where none are named.
fn lock_arguments(context: &CallContext, args: &[Term]) -> Result<(Term, Vec<Atom>), Raise> {
    if args[0].as_tuple().is_none_or(|id| id.len() != 2) {
        return Err(Raise::badarg());
    }
    let nodes = match args.get(1) {
        None => all_nodes(&context.node),
        Some(nodes) => {
            let nodes = nodes.as_list().filter(|list| list.is_proper()).ok_or_else(Raise::badarg)?;
            nodes.iter().map(|node| node.as_atom().ok_or_else(Raise::badarg)).collect::<Result<_, _>>()?
        }
    };
    Ok((args[0].clone(), nodes))
}

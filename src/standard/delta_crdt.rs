//! Module `'Elixir.DeltaCrdt'`, carried out in this node's name on any replica: by pid, name or `{name, node}`.

use super::acts;
use super::items;
use crate::node::Node;
use crate::process::Dest;
use crate::rpc::{CallContext, Raise};
use crate::term::{Map, Term, atom::known};

const MODULE: &str = "Elixir.DeltaCrdt";

pub(super) fn export(node: &Node) {
    // Each with its arguments before the optional time-out.
    for (name, given) in [("put", 3), ("merge", 2), ("delete", 2), ("drop", 2), ("get", 2), ("take", 2), ("to_map", 1)]
    {
        for arity in [given, given + 1] {
            node.export_terms(MODULE, name, arity, move |context, args| on_replica(context, name, args, given.into()));
        }
    }
    for arity in [1, 2] {
        // `read/2` takes keys, or a time-out.
        node.export_terms(MODULE, "read", arity, move |context, args| async move {
            let keys = args.get(1).filter(|keys| keys.as_list().is_some()).is_some();
            if keys {
                return on_replica(context, "take", args, 2).await;
            }
            on_replica(context, "to_map", args, 1).await
        });
    }
    node.export_terms(MODULE, "read", 3, |context, args| on_replica(context, "take", args, 2));
    for arity in [3, 4] {
        node.export_terms(MODULE, "mutate", arity, move |context, args| on_replica(context, "mutate", args, 3));
    }
    node.export_terms(MODULE, "mutate_async", 3, |context, args| async move {
        let operation = Term::tuple([Term::atom("operation"), Term::tuple([args[1].clone(), args[2].clone()])]);
        let to = Dest::from_term(&args[0]).ok_or_else(Raise::badarg)?;
        context.node.gen_cast(to, &operation).await.map_err(|_hidden| Raise::badarg())?;
        Ok(known::ok().into())
    });
    node.export_terms(MODULE, "set_neighbours", 2, |context, args| async move {
        let to = Dest::from_term(&args[0]).ok_or_else(Raise::badarg)?;
        let message = Term::tuple([Term::atom("set_neighbours"), args[1].clone()]);
        context.process.send(to, &message).await.map_err(|_ended| Raise::badarg())?;
        Ok(known::ok().into())
    });
}

/// `given` arguments, and perhaps a time-out after them.
async fn on_replica(mut context: CallContext, name: &str, args: Vec<Term>, given: usize) -> Result<Term, Raise> {
    let timeout = args.get(given).cloned().unwrap_or_else(|| Term::from(5000));
    let limit = acts::timeout(&timeout)?;
    let one = |function, args| Term::tuple([Term::atom("operation"), operation(function, args)]);
    let many = |operations: Vec<Term>| Term::tuple([Term::atom("bulk_operation"), Term::list(operations)]);
    let read = |keys: Vec<Term>| Term::tuple([Term::atom("read"), Term::list(keys)]);
    let request = match name {
        "put" => one("add", args[1..3].to_vec()),
        "merge" => {
            let pairs = args[1].as_map().ok_or_else(Raise::badarg)?;
            many(pairs.iter().map(|(key, value)| operation("add", vec![key.clone(), value.clone()])).collect())
        }
        "delete" => one("remove", vec![args[1].clone()]),
        "drop" => many(items(&args[1])?.into_iter().map(|key| operation("remove", vec![key])).collect()),
        "get" => read(vec![args[1].clone()]),
        "take" => read(items(&args[1])?),
        "mutate" => one(args[1].as_atom().ok_or_else(Raise::badarg)?.as_str(), items(&args[2])?),
        _ => Term::atom("read"),
    };
    let call = [args[0].clone(), request, timeout];
    let answer = acts::gen_call(&mut context.process, "Elixir.GenServer", &call, limit).await?;
    match (name, &answer) {
        ("get", Term::Map(found)) => Ok(value(found, &args[1])),
        ("put" | "merge" | "delete" | "drop", Term::Atom(ok)) if *ok == "ok" => Ok(args[0].clone()),
        ("put" | "merge" | "delete" | "drop", _) => Err(Raise::error(Term::tuple([Term::atom("badmatch"), answer]))),
        _ => Ok(answer),
    }
}

fn operation(function: &str, args: Vec<Term>) -> Term {
    Term::tuple([Term::atom(function), Term::list(args)])
}

fn value(found: &Map, key: &Term) -> Term {
    found.get(key).cloned().unwrap_or_else(|| Term::atom("nil"))
}

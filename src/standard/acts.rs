//! Functions that act in this node's name: sending, and calling servers.

use std::time::Duration;

use crate::node::Node;
use crate::process::{CallError, Dest, Process};
use crate::rpc::{CallContext, Raise};
use crate::term::{Atom, Term, atom::known};

pub(super) fn export(node: &Node) {
    for (module, name) in [("erlang", "send"), ("Elixir.Process", "send"), ("Elixir.Kernel", "send")] {
        node.export_terms(module, name, 2, |context, args| async move { send(&context, &args[0], &args[1]).await });
    }
    node.export_terms("erlang", "exit", 2, |context, args| async move {
        let pid = args[0].as_pid().ok_or_else(Raise::badarg)?;
        let _we_have_ended = context.process.exit(pid, &args[1]);
        Ok(known::true_().into())
    });
    export_gen(node);
}

async fn send(context: &CallContext, to: &Term, message: &Term) -> Result<Term, Raise> {
    let dest = Dest::from_term(to).ok_or_else(Raise::badarg)?;
    context.process.send(dest, message).await.map_err(|_no_such_name| Raise::badarg())?;
    Ok(message.clone())
}

/// A time-out argument: milliseconds or `infinity`.
pub(super) fn timeout(term: &Term) -> Result<Option<Duration>, Raise> {
    match term {
        Term::Atom(infinity) if *infinity == known::infinity() => Ok(None),
        term => {
            let milliseconds = term.as_i64().and_then(|ms| u64::try_from(ms).ok()).ok_or_else(Raise::badarg)?;
            Ok(Some(Duration::from_millis(milliseconds)))
        }
    }
}

fn export_gen(node: &Node) {
    for (module, arity) in [("gen_server", 2), ("gen_server", 3), ("Elixir.GenServer", 2), ("Elixir.GenServer", 3)] {
        node.export_terms(module, "call", arity, move |mut context, args| async move {
            let limit = args.get(2).map_or(Ok(Some(Duration::from_secs(5))), timeout)?;
            gen_call(&mut context.process, module, &args, limit).await
        });
    }
    for module in ["gen_server", "Elixir.GenServer"] {
        node.export_terms(module, "cast", 2, |context, args| async move {
            let dest = Dest::from_term(&args[0]).ok_or_else(Raise::badarg)?;
            let message = Term::tuple([known::gen_cast().into(), args[1].clone()]);
            let _no_such_name = context.process.send(dest, message).await;
            Ok(known::ok().into())
        });
    }
    for arity in 2..=4 {
        node.export_terms("gen_server", "multi_call", arity, |context, args| async move {
            multi_call(&context.node, &args).await
        });
    }
}

/// A failed call exits with `{Reason, {Module, call, Args}}`.
pub(super) async fn gen_call(
    process: &mut Process,
    module: &str,
    args: &[Term],
    limit: Option<Duration>,
) -> Result<Term, Raise> {
    let dest = Dest::from_term(&args[0]).ok_or_else(Raise::badarg)?;
    let failed = |why: Term| {
        let call = Term::tuple([Term::atom(module), Term::atom("call"), args.to_vec().into()]);
        Raise::Exit(Term::tuple([why, call]))
    };
    process.call(dest, &args[1], limit).await.map_err(|error| match error {
        CallError::Timeout => failed(known::timeout().into()),
        CallError::NoConnection(node) => failed(Term::tuple([known::nodedown().into(), node.into()])),
        CallError::Exit(reason) => failed(reason),
        CallError::Send(_) | CallError::Decode(_) => Raise::badarg(),
    })
}

/// `[Nodes,] Name, Request [, Timeout]`: `{Replies, BadNodes}`.
async fn multi_call(node: &Node, args: &[Term]) -> Result<Term, Raise> {
    let all = || std::iter::once(node.name()).chain(node.nodes()).map(crate::term::NodeName::atom).collect();
    let (nodes, rest): (Vec<Atom>, &[Term]) = match &args[0] {
        Term::List(nodes) => (nodes.iter().map(|node| atom(&node)).collect::<Result<_, _>>()?, &args[1..]),
        _ => (all(), args),
    };
    let [name, request, limit @ ..] = rest else { return Err(Raise::badarg()) };
    let limit = limit.first().map_or(Ok(None), timeout)?;
    let (mut replies, mut bad) = (Vec::new(), Vec::new());
    for (node, reply) in node.multi_call::<Term>(nodes, atom(name)?, request, limit).await {
        match reply {
            Ok(reply) => replies.push(Term::tuple([node.into(), reply])),
            Err(_) => bad.push(node.into()),
        }
    }
    Ok(Term::tuple([replies.into(), bad.into()]))
}

pub(super) fn atom(term: &Term) -> Result<Atom, Raise> {
    term.as_atom().ok_or_else(Raise::badarg)
}

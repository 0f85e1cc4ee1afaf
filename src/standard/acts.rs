//! Functions that act in this node's name: connecting, sending, calling other nodes.

use std::time::Duration;

use crate::node::Node;
use crate::process::{CallError, Dest, Process};
use crate::rpc::{CallContext, Class, Raise, RpcError};
use crate::term::{Atom, List, Term, atom::known};

pub(super) fn export(node: &Node) {
    export_net(node);
    for (module, name) in [("erlang", "send"), ("Elixir.Process", "send"), ("Elixir.Kernel", "send")] {
        node.export_terms(module, name, 2, |context, args| async move { send(&context, &args[0], &args[1]).await });
    }
    node.export_terms("erlang", "exit", 2, |context, args| async move {
        let pid = args[0].as_pid().ok_or_else(Raise::badarg)?;
        let _we_have_ended = context.process.exit(pid, &args[1]);
        Ok(known::true_().into())
    });
    export_rpc(node);
    export_gen(node);
}

fn export_net(node: &Node) {
    for (module, name) in [("net_kernel", "connect_node"), ("Elixir.Node", "connect")] {
        node.export_terms(module, name, 1, |context, args| async move {
            let peer = args[0].as_atom().ok_or_else(Raise::badarg)?;
            Ok((peer == context.node.name().atom() || context.node.connect(peer).await.is_ok()).into())
        });
    }
    for (module, name) in [("erlang", "disconnect_node"), ("Elixir.Node", "disconnect")] {
        node.export_terms(module, name, 1, |context, args| async move {
            let peer = args[0].as_atom().ok_or_else(Raise::badarg)?;
            // The caller may sit behind that very connection: the answer goes first.
            let Some(_connected) = context.node.connections().iter().find(|c| c.peer().name == peer) else {
                return Ok(known::false_().into());
            };
            let node = context.node.clone();
            context.node.spawn_task(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                node.disconnect(peer).await;
            });
            Ok(known::true_().into())
        });
    }
    for (module, name) in [("net_adm", "ping"), ("Elixir.Node", "ping")] {
        node.export_terms(module, name, 1, |context, args| async move {
            let peer = args[0].as_atom().ok_or_else(Raise::badarg)?;
            let request = Term::tuple([Term::atom("is_auth"), context.node.name().into()]);
            let answer = context.node.process().call((known::net_kernel(), peer), &request, None).await;
            Ok(Term::atom(if answer.is_ok_and(|answer| answer.is_atom("yes")) { "pong" } else { "pang" }))
        });
    }
    node.export_terms("net_adm", "names", 0, |context, _| async move { names(&context.node).await });
}

async fn names(node: &Node) -> Result<Term, Raise> {
    let config = crate::epmd::Config::from_vars(|name| std::env::var(name).ok()).map_err(|_bad| Raise::badarg())?;
    tracing::trace!(node = %node.name(), "names");
    Ok(match crate::net::epmd_client::names(config.local()).await {
        Ok(names) => {
            let entry = |(name, port): (String, u16)| Term::tuple([List::from_text(&name).into(), port.into()]);
            Term::tuple([known::ok().into(), names.into_iter().map(entry).collect::<Vec<_>>().into()])
        }
        Err(_) => Term::tuple([known::error().into(), Term::atom("address")]),
    })
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

fn export_rpc(node: &Node) {
    for (module, arity) in [("rpc", 4), ("rpc", 5), ("erpc", 4), ("erpc", 5)] {
        node.export_terms(module, "call", arity, move |context, args| async move {
            let limit = args.get(4).map_or(Ok(None), timeout)?;
            let result = call(&context.node, &args[0], &args[1..4], limit).await?;
            if module == "rpc" { rpc_result(result) } else { erpc_result(result) }
        });
    }
    node.export_terms("rpc", "cast", 4, |context, args| async move {
        let (node, module, function) = (atom(&args[0])?, atom(&args[1])?, atom(&args[2])?);
        let list: Vec<Term> = items(&args[3])?;
        let _not_connected = context.node.rpc(node).cast(module, function, list).await;
        Ok(known::true_().into())
    });
    for arity in 3..=5 {
        node.export_terms("rpc", "multicall", arity, |context, args| async move {
            let (nodes, mfa, limit) = multicall_arguments(&context.node, &args)?;
            let mut results = Vec::new();
            let mut bad = Vec::new();
            for (node, result) in call_all(&context.node, nodes, mfa, limit).await? {
                match result {
                    Err(RpcError::NoConnection(_) | RpcError::Timeout | RpcError::NotSupported(_)) => {
                        bad.push(node.into())
                    }
                    result => results.push(rpc_result(result)?),
                }
            }
            Ok(Term::tuple([results.into(), bad.into()]))
        });
    }
    for arity in [4, 5] {
        node.export_terms("erpc", "multicall", arity, |context, args| async move {
            let (nodes, mfa, limit) = multicall_arguments(&context.node, &args)?;
            let results = call_all(&context.node, nodes, mfa, limit).await?;
            Ok(results.into_iter().map(|(_, result)| tagged(result)).collect::<Vec<_>>().into())
        });
    }
}

type Outcome = Result<Term, RpcError>;

async fn call(node: &Node, to: &Term, mfa: &[Term], limit: Option<Duration>) -> Result<Outcome, Raise> {
    let (to, module, function) = (atom(to)?, atom(&mfa[0])?, atom(&mfa[1])?);
    let args = items(&mfa[2])?;
    let mut rpc = node.rpc(to);
    if let Some(limit) = limit {
        rpc = rpc.timeout(limit);
    }
    Ok(rpc.call_term(module, function, args).await)
}

/// What `rpc:call` makes of an outcome: `{badrpc, Reason}` for all that is no value and was not thrown.
fn rpc_result(outcome: Outcome) -> Result<Term, Raise> {
    let badrpc = |why: Term| Term::tuple([known::badrpc().into(), why]);
    let exit = |why: Term| badrpc(Term::tuple([known::exit_signal().into(), why]));
    Ok(match outcome {
        Ok(value) => value,
        Err(RpcError::Remote { class: Class::Throw, reason, .. }) => reason,
        Err(RpcError::Remote { class: Class::Exit, reason, .. } | RpcError::Signal(reason)) => exit(reason),
        Err(RpcError::Remote { class: Class::Error, reason, stack }) => {
            exit(Term::tuple([reason, stack.unwrap_or_default()]))
        }
        Err(RpcError::Timeout) => badrpc(known::timeout().into()),
        Err(RpcError::NoConnection(_)) => badrpc(known::nodedown().into()),
        Err(RpcError::NotSupported(_)) => badrpc(known::notsup().into()),
        Err(RpcError::Refused(why)) => exit(why.into()),
        Err(RpcError::Send(_) | RpcError::Decode(_)) => return Err(Raise::badarg()),
    })
}

/// What `erpc:call` raises.
fn erpc_result(outcome: Outcome) -> Result<Term, Raise> {
    let erpc = |why: Atom| Raise::error(Term::tuple([known::erpc().into(), why.into()]));
    let exception = |why: Term| Term::tuple([Term::atom("exception"), why]);
    outcome.map_err(|error| match error {
        RpcError::Remote { class: Class::Throw, reason, .. } => Raise::Throw(reason),
        RpcError::Remote { class: Class::Exit, reason, .. } => Raise::Exit(exception(reason)),
        RpcError::Remote { class: Class::Error, reason, stack } => {
            Raise::error(Term::tuple([Term::atom("exception"), reason, stack.unwrap_or_default()]))
        }
        RpcError::Signal(reason) => Raise::Exit(Term::tuple([Term::atom("signal"), reason])),
        RpcError::Timeout => erpc(known::timeout()),
        RpcError::NoConnection(_) => erpc(known::noconnection()),
        RpcError::NotSupported(_) => erpc(known::notsup()),
        RpcError::Refused(why) => erpc(why),
        RpcError::Send(_) | RpcError::Decode(_) => Raise::badarg(),
    })
}

/// An outcome as `erpc:multicall` lists it: `{ok, Value}`, or the class and what was raised.
fn tagged(outcome: Outcome) -> Term {
    let tuple = |class: Atom, what: Term| Term::tuple([class.into(), what]);
    match erpc_result(outcome) {
        Ok(value) => tuple(known::ok(), value),
        Err(Raise::Throw(thrown)) => tuple(known::throw(), thrown),
        Err(Raise::Exit(why)) => tuple(known::exit(), why),
        Err(Raise::Error(why, _)) => tuple(known::error(), why),
    }
}

type Mfa = (Atom, Atom, Vec<Term>);

/// `[Nodes,] M, F, A [, Timeout]`; without nodes, all visible ones and this.
fn multicall_arguments(node: &Node, args: &[Term]) -> Result<(Vec<Atom>, Mfa, Option<Duration>), Raise> {
    let (nodes, rest) = match &args[0] {
        Term::List(nodes) => (nodes.iter().map(|node| atom(&node)).collect::<Result<Vec<_>, _>>()?, &args[1..]),
        _ => {
            let all = std::iter::once(node.name()).chain(node.nodes());
            (all.map(crate::term::NodeName::atom).collect(), args)
        }
    };
    let [module, function, list, limit @ ..] = rest else { return Err(Raise::badarg()) };
    let limit = limit.first().map_or(Ok(None), timeout)?;
    Ok((nodes, (atom(module)?, atom(function)?, items(list)?), limit))
}

async fn call_all(
    node: &Node,
    nodes: Vec<Atom>,
    (module, function, args): Mfa,
    limit: Option<Duration>,
) -> Result<Vec<(Atom, Outcome)>, Raise> {
    let outcomes = node.multicall(nodes.iter().copied(), (module, function), args, limit).await;
    Ok(nodes.into_iter().zip(outcomes).collect())
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

fn atom(term: &Term) -> Result<Atom, Raise> {
    term.as_atom().ok_or_else(Raise::badarg)
}

fn items(term: &Term) -> Result<Vec<Term>, Raise> {
    let list = term.as_list().filter(|list| list.is_proper()).ok_or_else(Raise::badarg)?;
    Ok(list.iter().map(std::borrow::Cow::into_owned).collect())
}

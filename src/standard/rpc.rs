//! Modules `rpc` and `erpc`, carried out in this node's name towards others, with their results and errors.

use std::time::Duration;

use super::acts::{atom, timeout};
use super::items;
use crate::etf::Encoded;
use crate::node::Node;
use crate::process::reason;
use crate::rpc::{CallContext, Class, Raise, RpcError};
use crate::term::{Atom, Term, atom::known};

pub(super) fn export(node: &Node) {
    export_calls(node);
    export_casts(node);
    export_multicalls(node);
    export_servers(node);
    export_parallel(node);
}

type Mfa = (Atom, Atom, Vec<Term>);

fn function_clause() -> Raise {
    Raise::error(Term::atom("function_clause"))
}

/// `{erpc, badarg}`, as `erpc` says it.
fn erpc_badarg() -> Raise {
    Raise::error(Term::tuple([known::erpc().into(), known::badarg().into()]))
}

fn nodes(term: &Term) -> Result<Vec<Atom>, Raise> {
    items(term)?.iter().map(atom).collect()
}

/// `M, F, A`, or `Fun`, which is `erlang:apply(Fun, [])`.
fn mfa(args: &[Term]) -> Result<Mfa, Raise> {
    match args {
        [module, function, args] => Ok((atom(module)?, atom(function)?, items(args)?)),
        [fun @ Term::Fun(_)] => Ok((known::erlang(), known::apply(), vec![fun.clone(), Term::nil()])),
        _ => Err(Raise::badarg()),
    }
}

fn export_calls(node: &Node) {
    for (module, arity) in [("rpc", 4), ("rpc", 5), ("erpc", 2), ("erpc", 3), ("erpc", 4), ("erpc", 5)] {
        node.export_terms(module, "call", arity, move |context, args| async move {
            let parsed = call_arguments(&args);
            if module == "rpc" {
                let (to, mfa, limit) = parsed?;
                return rpc_result(call(&context.node, to, mfa, limit).await);
            }
            let (to, mfa, limit) = parsed.map_err(|_not_a_call| erpc_badarg())?;
            erpc_result(call(&context.node, to, mfa, limit).await)
        });
    }
    for arity in [4, 5] {
        node.export_terms("rpc", "block_call", arity, |context, args| async move { block_call(&context, &args).await });
    }
    for arity in [1, 2] {
        node.export_terms("rpc", "pinfo", arity, move |context, args| async move {
            let pid = args[0].as_pid().ok_or_else(Raise::badarg)?;
            let (info, rpc) = (Atom::new("process_info"), context.node.rpc(pid.node));
            if arity == 1 {
                return rpc_result(rpc.call_term(known::erlang(), info, args).await);
            }
            block_result(rpc.block_call_encoded(known::erlang(), info, encoded(&args)?).await, &args)
        });
    }
}

/// `Node, M, F, A [, Timeout]` or `Node, Fun [, Timeout]`.
fn call_arguments(args: &[Term]) -> Result<(Atom, Mfa, Option<Duration>), Raise> {
    let to = atom(&args[0])?;
    let (what, limit) = match args {
        [_, what @ .., limit] if what.len() == 3 || (what.len() == 1 && args.len() == 3) => (what, Some(limit)),
        [_, what @ ..] => (what, None),
        [] => return Err(Raise::badarg()),
    };
    Ok((to, mfa(what)?, limit.map_or(Ok(None), timeout)?))
}

async fn block_call(context: &CallContext, args: &[Term]) -> Result<Term, Raise> {
    let to = args[0].as_atom().ok_or_else(function_clause)?;
    let (module, function, list) = mfa(&args[1..4]).map_err(|_not_a_call| function_clause())?;
    let mut rpc = context.node.rpc(to).group_leader(context.group_leader());
    if let Some(limit) = args.get(4) {
        if let Some(limit) = timeout(limit).map_err(|_no_time| function_clause())? {
            rpc = rpc.timeout(limit);
        }
    }
    block_result(rpc.block_call_encoded(module, function, encoded(&list)?).await, args)
}

/// What comes from `rex` is the result; that it did not come is told as `gen_server:call` tells it.
fn block_result(outcome: Result<Encoded, RpcError>, args: &[Term]) -> Result<Term, Raise> {
    match outcome {
        Ok(result) => result.term().map_err(|_undecodable| Raise::badarg()),
        Err(RpcError::Signal(why)) => {
            let call = Term::tuple([Term::atom("gen_server"), Term::atom("call"), args.to_vec().into()]);
            Err(Raise::Exit(Term::tuple([why, call])))
        }
        Err(error) => rpc_result(Err(error)),
    }
}

fn encoded(args: &[Term]) -> Result<Encoded, Raise> {
    Encoded::new(&Term::list(args.to_vec())).map_err(|_unencodable| Raise::badarg())
}

fn export_casts(node: &Node) {
    for (module, arity) in [("rpc", 4), ("erpc", 2), ("erpc", 4)] {
        node.export_terms(module, "cast", arity, move |context, args| async move {
            let bad = |raise| if module == "rpc" { raise } else { erpc_badarg() };
            let to = atom(&args[0]).map_err(bad)?;
            let (m, f, list) = mfa(&args[1..]).map_err(bad)?;
            let _not_connected = context.node.rpc(to).group_leader(context.group_leader()).cast(m, f, list).await;
            Ok(if module == "rpc" { known::true_() } else { known::ok() }.into())
        });
    }
    for arity in [2, 4] {
        node.export_terms("erpc", "multicast", arity, |context, args| async move {
            let to = nodes(&args[0]).map_err(|_no_nodes| erpc_badarg())?;
            let (module, function, list) = mfa(&args[1..]).map_err(|_not_a_call| erpc_badarg())?;
            let _sent = context.node.multicast(to, (module, function), list).await;
            Ok(known::ok().into())
        });
    }
    for arity in [3, 4] {
        node.export_terms("rpc", "eval_everywhere", arity, |context, args| async move {
            let (to, what) = targets(&context.node, &args, 4)?;
            let (module, function, list) = mfa(what)?;
            let _sent = context.node.multicast(to, (module, function), list).await;
            Ok(Term::atom("abcast"))
        });
    }
    for arity in [2, 3] {
        node.export_terms("rpc", "abcast", arity, |context, args| async move {
            let (to, what) = targets(&context.node, &args, 3)?;
            let [name, message] = what else { return Err(function_clause()) };
            let _sent = context.node.abcast(to, atom(name)?, message).await;
            Ok(Term::atom("abcast"))
        });
    }
}

/// The nodes, where there are as many arguments as with nodes, and the rest; without them, this node and all visible.
fn targets<'a>(node: &Node, args: &'a [Term], with_nodes: usize) -> Result<(Vec<Atom>, &'a [Term]), Raise> {
    if args.len() < with_nodes {
        return Ok((node.this_and_visible(), args));
    }
    if args[0].as_list().is_none() {
        return Err(function_clause());
    }
    Ok((nodes(&args[0])?, &args[1..]))
}

fn export_multicalls(node: &Node) {
    for arity in 3..=5 {
        node.export_terms("rpc", "multicall", arity, |context, args| async move {
            let (nodes, what) = match &args[0] {
                Term::List(_) => (nodes(&args[0])?, &args[1..]),
                _ => (context.node.this_and_visible(), &args[..]),
            };
            let (mfa, limit) = multicall_arguments(what)?;
            let mut results = Vec::new();
            let mut bad = Vec::new();
            for (node, result) in call_all(&context.node, nodes, mfa, limit).await {
                match result {
                    Err(RpcError::NoConnection(_) | RpcError::Timeout) => bad.push(node.into()),
                    result => results.push(rpc_result(result)?),
                }
            }
            Ok(Term::tuple([results.into(), bad.into()]))
        });
    }
    for arity in 2..=5 {
        node.export_terms("erpc", "multicall", arity, |context, args| async move {
            let parsed = nodes(&args[0]).and_then(|nodes| Ok((nodes, multicall_arguments(&args[1..])?)));
            let (nodes, (mfa, limit)) = parsed.map_err(|_not_a_call| erpc_badarg())?;
            let results = call_all(&context.node, nodes, mfa, limit).await;
            Ok(results.into_iter().map(|(_, result)| tagged(result)).collect::<Vec<_>>().into())
        });
    }
}

/// `M, F, A [, Timeout]` or `Fun [, Timeout]`.
fn multicall_arguments(what: &[Term]) -> Result<(Mfa, Option<Duration>), Raise> {
    match what {
        [_, _, _] | [_] => Ok((mfa(what)?, None)),
        [what @ .., limit] => Ok((mfa(what)?, timeout(limit)?)),
        [] => Err(Raise::badarg()),
    }
}

fn export_servers(node: &Node) {
    for arity in [2, 3] {
        node.export_terms("rpc", "sbcast", arity, |context, args| async move {
            let (to, what) = targets(&context.node, &args, 3)?;
            let [name, message] = what else { return Err(function_clause()) };
            let sent = context.node.sbcast(to, atom(name)?, message).await;
            let (good, bad) = sent.map_err(|_ended| Raise::badarg())?;
            Ok(Term::tuple([names(good), names(bad)]))
        });
        node.export_terms("rpc", "multi_server_call", arity, |context, args| async move {
            let (to, what) = targets(&context.node, &args, 3)?;
            let [name, request] = what else { return Err(function_clause()) };
            let name = name.as_atom().ok_or_else(function_clause)?;
            let replies = context.node.multi_server_call::<Term>(to, name, request).await;
            let (replies, bad) = replies.map_err(|_ended| Raise::badarg())?;
            Ok(Term::tuple([replies.into(), names(bad)]))
        });
    }
    node.export_terms("rpc", "server_call", 4, |context, args| async move {
        let (Some(to), Some(name)) = (args[0].as_atom(), args[1].as_atom()) else { return Err(function_clause()) };
        match context.node.rpc(to).server_call::<Term>(name, &args[2], &args[3]).await {
            Ok(reply) => Ok(reply),
            Err(RpcError::NoConnection(_)) => Ok(Term::tuple([known::error().into(), known::nodedown().into()])),
            Err(_) => Err(Raise::badarg()),
        }
    });
}

fn names(nodes: Vec<Atom>) -> Term {
    nodes.into_iter().map(Term::from).collect::<Vec<_>>().into()
}

fn export_parallel(node: &Node) {
    node.export_terms("rpc", "parallel_eval", 1, |context, args| async move {
        let calls = items(&args[0]).map_err(|_no_list| function_clause())?;
        let calls: Option<Vec<Mfa>> = calls.iter().map(|call| call.as_tuple().and_then(|c| mfa(c).ok())).collect();
        let results = context.node.parallel_eval(calls.ok_or_else(function_clause)?).await;
        Ok(results.into_iter().map(rpc_result).collect::<Result<Vec<_>, _>>()?.into())
    });
    node.export_terms("rpc", "pmap", 3, |context, args| async move {
        let Some([Term::Atom(module), Term::Atom(function)]) = args[0].as_tuple() else {
            return Err(function_clause());
        };
        let further: Vec<Encoded> = items(&args[1])?.iter().map(reason::of).collect();
        let list = items(&args[2]).map_err(|_no_list| function_clause())?;
        let results = context.node.pmap::<Term, _>((*module, *function), &further, list).await;
        results.map(Term::from).map_err(|_failed| Raise::Exit(known::badrpc().into()))
    });
}

type Outcome = Result<Term, RpcError>;

async fn call(node: &Node, to: Atom, (module, function, args): Mfa, limit: Option<Duration>) -> Outcome {
    let mut rpc = node.rpc(to);
    if let Some(limit) = limit {
        rpc = rpc.timeout(limit);
    }
    rpc.call_term(module, function, args).await
}

async fn call_all(
    node: &Node,
    nodes: Vec<Atom>,
    (module, function, args): Mfa,
    limit: Option<Duration>,
) -> Vec<(Atom, Outcome)> {
    let outcomes = node.multicall(nodes.iter().copied(), (module, function), args, limit).await;
    nodes.into_iter().zip(outcomes).collect()
}

/// What `rpc:call` makes of an outcome: `{badrpc, Reason}` for all that is no value and was not thrown.
fn rpc_result(outcome: Outcome) -> Result<Term, Raise> {
    let badrpc = |why: Term| Term::tuple([known::badrpc().into(), why]);
    let exit = |why: Term| badrpc(Term::tuple([known::exit_signal().into(), why]));
    // What looks like a caught exit is taken for one, wherever it comes from.
    let value = |value: Term| match value.as_tuple() {
        Some([tag, _]) if tag.is_atom("EXIT") => badrpc(value),
        _ => value,
    };
    Ok(match outcome {
        Ok(returned) => value(returned),
        Err(RpcError::Remote { class: Class::Throw, reason, .. }) => value(reason),
        Err(RpcError::Remote { class: Class::Exit, reason, .. } | RpcError::Signal(reason)) => exit(reason),
        Err(RpcError::Remote { class: Class::Error, reason, stack: Some(stack) }) => exit(Term::tuple([reason, stack])),
        Err(RpcError::Remote { class: Class::Error, reason, stack: None }) => exit(reason),
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
        RpcError::Remote { class: Class::Error, reason, stack: Some(stack) } => {
            Raise::error(Term::tuple([Term::atom("exception"), reason, stack]))
        }
        // `{erpc, Reason}` that the other side raised.
        RpcError::Remote { class: Class::Error, reason, stack: None } => Raise::error(reason),
        RpcError::Signal(reason) => Raise::Exit(Term::tuple([Term::atom("signal"), reason])),
        RpcError::Timeout => erpc(known::timeout()),
        RpcError::NoConnection(_) => erpc(known::noconnection()),
        RpcError::NotSupported(_) => erpc(known::notsup()),
        RpcError::Refused(why) => erpc(why),
        RpcError::Send(_) | RpcError::Decode(_) => erpc_badarg(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn list(terms: impl IntoIterator<Item = i32>) -> Term {
        terms.into_iter().map(Term::from).collect::<Vec<_>>().into()
    }

    #[test]
    fn arguments_of_a_call_end_with_a_time_or_not() {
        let (node, m, f, a) = (Term::atom("n@h"), Term::atom("m"), Term::atom("f"), list([300, 2]));
        let parsed = call_arguments(&[node.clone(), m.clone(), f.clone(), a.clone()]).expect("a call");
        assert_eq!((parsed.0.as_str(), parsed.2), ("n@h", None));
        let limited = call_arguments(&[node.clone(), m.clone(), f.clone(), a.clone(), 7.into()]).expect("a call");
        assert_eq!(limited.2, Some(Duration::from_millis(7)));
        assert!(call_arguments(&[node.clone(), m.clone(), f.clone(), a, (-1).into()]).is_err());
        assert!(call_arguments(&[node, m, f, 1.into()]).is_err());
    }

    #[test]
    fn what_looks_like_an_exit_is_a_badrpc() {
        let exit = Term::tuple([known::exit_signal().into(), 1.into()]);
        let badrpc = Term::tuple([known::badrpc().into(), exit.clone()]);
        assert_eq!(rpc_result(Ok(exit.clone())), Ok(badrpc.clone()));
        let thrown = RpcError::Remote { class: Class::Throw, reason: exit, stack: None };
        assert_eq!(rpc_result(Err(thrown)), Ok(badrpc));
    }
}

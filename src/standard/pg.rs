//! Module `pg`, for the scopes of this node.

use super::answer;
use crate::node::Node;
use crate::pg::{Pg, PgError};
use crate::process::RegisterError;
use crate::rpc::{CallContext, Raise};
use crate::term::{Atom, Pid, Term, atom::known};

pub(super) fn export(node: &Node) {
    for (name, arity) in [("start", 1), ("start_link", 0), ("start_link", 1)] {
        answer(node, "pg", name, arity, |context, args| {
            let scope = scope(args)?;
            Ok(match context.node.start_pg(scope) {
                Ok(pg) => Term::tuple([known::ok().into(), pg.pid().into()]),
                Err(RegisterError::Taken) => {
                    let pid = context.node.whereis(scope).map_or_else(|| known::undefined().into(), Term::from);
                    let why = Term::tuple([Term::atom("already_started"), pid]);
                    Term::tuple([known::error().into(), why])
                }
                Err(_) => return Err(Raise::badarg()),
            })
        });
    }
    for arity in [2, 3] {
        answer(node, "pg", "join", arity, |context, args| {
            let pids = read_pids(args.last().unwrap_or(&Term::nil()))?;
            // Looked at by the caller, before the scope is asked.
            if let Some(foreign) = pids.iter().find(|pid| pid.node != context.node.name().atom()) {
                return Err(raise(PgError::NoLocal(*foreign)));
            }
            let ([group, _], pg) = given(context, args, "join_local")?;
            pg.join_all(&group, &pids).map(|()| known::ok().into()).map_err(raise)
        });
        answer(node, "pg", "leave", arity, |context, args| {
            let ([group, pids], pg) = given(context, args, "leave_local")?;
            match pg.leave_all(&group, &read_pids(&pids)?) {
                Ok(()) => Ok(known::ok().into()),
                Err(PgError::NotJoined) => Ok(Term::atom("not_joined")),
                Err(error) => Err(raise(error)),
            }
        });
    }
    for arity in [1, 2] {
        answer(node, "pg", "get_members", arity, |context, args| members(context, args, |pg, group| pg.members(group)));
        answer(node, "pg", "get_local_members", arity, |context, args| {
            members(context, args, |pg, group| pg.local_members(group))
        });
    }
    for arity in [0, 1] {
        answer(node, "pg", "which_groups", arity, |context, args| groups(context, args, Pg::groups));
        answer(node, "pg", "which_local_groups", arity, |context, args| groups(context, args, Pg::local_groups));
    }
}

/// The first argument; without one, the scope `pg`.
fn scope(args: &[Term]) -> Result<Atom, Raise> {
    args.first().map_or_else(|| Ok(Atom::new("pg")), |scope| scope.as_atom().ok_or_else(Raise::badarg))
}

/// The scope that runs, and the two arguments behind its name.
fn given(context: &CallContext, args: &[Term], request: &str) -> Result<([Term; 2], Pg), Raise> {
    let (named, rest) = args.split_at(args.len() - 2);
    let (scope, [group, pids]) = (scope(named)?, [rest[0].clone(), rest[1].clone()]);
    let Some(pg) = context.node.running_pg(scope) else {
        // As `gen_server:call/3` to a name that nobody has.
        let request = Term::tuple([Term::atom(request), group, pids]);
        let call = vec![Term::from(scope), request, known::infinity().into()];
        let call = Term::tuple([Term::atom("gen_server"), Term::atom("call"), Term::list(call)]);
        return Err(Raise::Exit(Term::tuple([known::noproc().into(), call])));
    };
    Ok(([group, pids], pg))
}

fn read_pids(term: &Term) -> Result<Vec<Pid>, Raise> {
    if let Term::Pid(pid) = term {
        return Ok(vec![*pid]);
    }
    let list = term.as_list().filter(|list| list.is_proper() && !list.is_empty()).ok_or_else(Raise::badarg)?;
    list.iter().map(|pid| pid.as_pid().ok_or_else(Raise::badarg)).collect()
}

fn raise(error: PgError) -> Raise {
    match error {
        PgError::NoLocal(pid) => Raise::error(Term::tuple([Term::atom("nolocal"), pid.into()])),
        _ => Raise::badarg(),
    }
}

fn members(context: &CallContext, args: &[Term], get: fn(&Pg, &Term) -> Vec<Pid>) -> Result<Term, Raise> {
    let (named, rest) = args.split_at(args.len() - 1);
    let pg = context.node.running_pg(scope(named)?);
    let pids = pg.map(|pg| get(&pg, &rest[0])).unwrap_or_default();
    Ok(Term::list(pids.into_iter().map(Term::Pid).collect::<Vec<_>>()))
}

fn groups(context: &CallContext, args: &[Term], get: fn(&Pg) -> Vec<Term>) -> Result<Term, Raise> {
    let pg = context.node.running_pg(scope(args)?).ok_or_else(Raise::badarg)?;
    Ok(Term::list(get(&pg)))
}

//! `'Elixir.Horde.Cluster'` for callers on other nodes: the members of a registry or supervisor, here or elsewhere.

use std::time::Duration;

use crate::node::Node;
use crate::process::{CallError, Dest};
use crate::rpc::{CallContext, Raise};
use crate::term::{Term, atom::known};

pub(super) fn export(node: &Node) {
    node.export_terms("Elixir.Horde.Cluster", "members", 1, |context, args| on_member(context, args, false));
    for arity in [2, 3] {
        node.export_terms("Elixir.Horde.Cluster", "set_members", arity, |context, args| on_member(context, args, true));
    }
}

/// Both are calls of the member's process, here or elsewhere.
async fn on_member(mut context: CallContext, args: Vec<Term>, set: bool) -> Result<Term, Raise> {
    let dest = Dest::from_term(&args[0]).ok_or_else(Raise::badarg)?;
    let request = if set { Term::tuple([Term::atom("set_members"), args[1].clone()]) } else { Term::atom("members") };
    let limit = Duration::from_secs(5);
    let answer = context.process.call(dest, &request, Some(limit)).await;
    answer.map_err(|error| {
        let function = if set { "set_members" } else { "members" };
        let call = Term::tuple([Term::atom("Elixir.Horde.Cluster"), Term::atom(function), args.into()]);
        let why = match error {
            CallError::Exit(why) => why,
            CallError::NoConnection(node) => Term::tuple([known::nodedown().into(), node.into()]),
            _ => known::timeout().into(),
        };
        Raise::Exit(Term::tuple([why, call]))
    })
}

//! `'Elixir.Horde.DynamicSupervisor'` for callers on other nodes, carried out through the member's process.

use std::time::Duration;

use crate::node::Node;
use crate::process::{CallError, Dest};
use crate::rpc::{CallContext, Raise};
use crate::term::{Term, atom::known};

const MODULE: &str = "Elixir.Horde.DynamicSupervisor";

pub(super) fn export(node: &Node) {
    for name in ["start_child", "terminate_child"] {
        node.export_terms(MODULE, name, 2, move |context, args| async move {
            let request = Term::tuple([Term::atom(name), args[1].clone()]);
            ask(context, &args, name, request, None).await
        });
    }
    for name in ["which_children", "count_children"] {
        node.export_terms(MODULE, name, 1, move |context, args| async move {
            ask(context, &args, name, Term::atom(name), None).await
        });
    }
    node.export_terms(MODULE, "wait_for_quorum", 2, |context, args| async move {
        let limit = match &args[1] {
            term if term.is_atom("infinity") => None,
            term => {
                let ms = term.as_i64().and_then(|ms| u64::try_from(ms).ok()).ok_or_else(Raise::badarg)?;
                Some(Duration::from_millis(ms))
            }
        };
        ask(context, &args, "wait_for_quorum", Term::atom("wait_for_quorum"), limit).await
    });
}

async fn ask(
    mut context: CallContext,
    args: &[Term],
    name: &str,
    request: Term,
    limit: Option<Duration>,
) -> Result<Term, Raise> {
    let dest = args.first().and_then(Dest::from_term).ok_or_else(Raise::badarg)?;
    context.process.call(dest, &request, limit).await.map_err(|error| {
        let call = Term::tuple([Term::atom(MODULE), Term::atom(name), args.to_vec().into()]);
        let why = match error {
            CallError::Exit(why) => why,
            CallError::NoConnection(node) => Term::tuple([known::nodedown().into(), node.into()]),
            _ => known::timeout().into(),
        };
        Raise::Exit(Term::tuple([why, call]))
    })
}

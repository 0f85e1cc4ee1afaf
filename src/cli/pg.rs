//! `tiebeam pg NODE [SCOPE] [GROUP]`: groups of processes and their members, as a node knows them.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::session::Session;
use super::{Global, output};
use crate::term::{Atom, Term};
use crate::text::{self, Syntax};

#[derive(Debug, Args)]
pub(super) struct PgArgs {
    /// The node, name@host.
    node: String,
    /// The scope.
    #[arg(default_value = "pg")]
    scope: String,
    /// One group, a term; all otherwise.
    group: Option<String>,
}

pub(super) async fn run(global: &Global, args: PgArgs) -> anyhow::Result<ExitCode> {
    let scope = Term::from(text::name(&args.scope)?);
    let group = args.group.as_deref().map(|group| text::parse(group, Syntax::Auto)).transpose()?;
    let session = Session::open(global, &args.node).await?;
    let rpc = session.node.rpc(session.peer.atom());
    let ask = async |function: &str, args| rpc.call_term(Atom::new("pg"), Atom::new(function), args).await;
    let (groups, syntax) = match group {
        Some((group, syntax)) => (vec![group], syntax),
        None => {
            let groups = ask("which_groups", vec![scope.clone()]).await;
            let groups = groups.with_context(|| format!("{} runs no scope {}", args.node, args.scope))?;
            let mut groups: Vec<Term> =
                groups.as_list().into_iter().flatten().map(std::borrow::Cow::into_owned).collect();
            groups.sort_unstable();
            (groups, Syntax::Erlang)
        }
    };
    for group in groups {
        let members = ask("get_members", vec![scope.clone(), group.clone()]).await?;
        for member in members.as_list().context("the members are no list")?.iter() {
            show(global, &text::print(&group, syntax), &member, syntax);
        }
    }
    session.close().await;
    Ok(ExitCode::SUCCESS)
}

fn show(global: &Global, group: &str, pid: &Term, syntax: Syntax) {
    let node = pid.as_pid().map_or_else(String::new, |pid| pid.node.as_str().to_owned());
    let shown = text::print(pid, syntax);
    if global.json {
        output::line(&output::object([("group", group.into()), ("pid", shown.into()), ("node", node.into())]));
    } else {
        output::line(&format!("{group} => {shown} {node}"));
    }
}

//! `tiebeam global NODE [NAME]`: the cluster's names as a node knows them.

use std::process::ExitCode;

use clap::Args;

use super::session::Session;
use super::{Global, exit, output};
use crate::term::{Atom, Term};
use crate::text::{self, Syntax};

#[derive(Debug, Args)]
pub(super) struct GlobalArgs {
    /// The node, name@host.
    node: String,
    /// Where this name is, a term; all names otherwise.
    name: Option<String>,
}

pub(super) async fn run(global: &Global, args: GlobalArgs) -> anyhow::Result<ExitCode> {
    let name = args.name.as_deref().map(|name| text::parse(name, Syntax::Auto)).transpose()?;
    let session = Session::open(global, &args.node).await?;
    let rpc = session.node.rpc(session.peer.atom());
    let ask = async |function: &str, args| rpc.call_term(Atom::new("global"), Atom::new(function), args).await;
    let (names, syntax, wanted) = match name {
        Some((name, syntax)) => (vec![name], syntax, true),
        None => {
            let names = ask("registered_names", vec![]).await?;
            (names.as_list().into_iter().flatten().map(std::borrow::Cow::into_owned).collect(), Syntax::Erlang, false)
        }
    };
    let mut found = !wanted;
    for name in names {
        let pid = ask("whereis_name", vec![name.clone()]).await?;
        if pid.is_atom("undefined") {
            continue;
        }
        found = true;
        show(global, &text::print(&name, syntax), &pid, syntax);
    }
    session.close().await;
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn show(global: &Global, name: &str, pid: &Term, syntax: Syntax) {
    let node = pid.as_pid().map_or_else(String::new, |pid| pid.node.as_str().to_owned());
    let shown = text::print(pid, syntax);
    if global.json {
        output::line(&output::object([("name", name.into()), ("pid", shown.into()), ("node", node.into())]));
    } else {
        output::line(&format!("{name} => {shown} {node}"));
    }
}

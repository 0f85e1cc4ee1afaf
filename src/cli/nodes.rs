//! `tiebeam nodes NODE`: the peers that a node sees.

use std::process::ExitCode;

use clap::Args;

use super::session::Session;
use super::{Global, output};
use crate::term::{Atom, Term};

#[derive(Debug, Args)]
pub(super) struct NodesArgs {
    /// The node, name@host.
    node: String,
    /// Hidden peers too (this command's own node is one).
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(global: &Global, args: NodesArgs) -> anyhow::Result<ExitCode> {
    let session = Session::open(global, &args.node).await?;
    let kind = Term::atom(if args.all { "connected" } else { "visible" });
    let rpc = session.node.rpc(session.peer.atom());
    let nodes = rpc.call_term(Atom::new("erlang"), Atom::new("nodes"), vec![kind]).await?;
    let ours = session.node.name();
    let names = nodes.as_list().into_iter().flatten().filter_map(|node| node.as_atom());
    for name in names.filter(|name| *name != ours.atom()) {
        if global.json {
            output::line(&output::object([("node", name.as_str().into())]));
        } else {
            output::line(name.as_str());
        }
    }
    session.close().await;
    Ok(ExitCode::SUCCESS)
}

//! The functions that BEAM peers and their tools expect of any node, with a BEAM's names, results and errors.
//!
//! [`export`] adds those that only look; every node has them. [`Node::export_standard`] adds those that act in this
//! node's name.

mod acts;
mod delta_crdt;
mod erlang;
mod global;
mod info;
mod nodes;
mod observer;
mod pg;
mod process;
mod rpc;
mod spawn;
mod system;
mod watch;

use std::future::ready;

pub(crate) use self::watch::{watch_nodes, watch_nodes_as};

use crate::node::Node;
use crate::rpc::{CallContext, Raise};
use crate::term::{Term, atom::known};

/// Lets peers look at the node.
pub(crate) fn export(node: &Node) {
    erlang::export(node);
    process::export(node);
    system::export(node);
    info::export(node);
    observer::export(node);
    watch::export(node);
}

/// Lets peers end this node: `init:stop/0`.
pub(crate) fn export_init_stop(node: &Node) {
    node.export_terms("init", "stop", 0, |context, _| async move {
        let node = context.node.clone();
        // The answer goes first, as on a BEAM, whose init stops one application after the other.
        context.node.spawn_task(async move {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            node.ask_to_stop();
        });
        Ok(known::ok().into())
    });
}

impl Node {
    /// Lets peers have this node connect, send and call in its own name: `net_kernel:connect_node/1`, `erlang:send/2`,
    /// `rpc:call/4`, `gen_server:call/2` and their like, with a BEAM's arguments, results and errors.
    pub fn export_standard(&self) {
        acts::export(self);
        watch::export_monitor_node(self);
        nodes::export(self);
        rpc::export(self);
        spawn::export(self);
        global::export(self);
        delta_crdt::export(self);
        pg::export(self);
    }
}

/// The elements of a list that a function takes.
fn items(term: &Term) -> Result<Vec<Term>, Raise> {
    term.list_items().ok_or_else(Raise::badarg)
}

/// Exports a function that answers at once.
fn answer<F>(node: &Node, module: &str, name: &str, arity: u8, function: F)
where
    F: Fn(&CallContext, &[Term]) -> Result<Term, Raise> + Send + Sync + 'static,
{
    node.export_terms(module, name, arity, move |context, args| ready(function(&context, &args)));
}

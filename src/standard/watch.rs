//! Who comes and goes, told to others: `tiebeam:watch_nodes/1` for processes elsewhere, which cannot subscribe with this
//! node themselves, and `erlang:monitor_node/2`.

use super::answer;
use crate::node::{MonitorNodes, Node};
use crate::process::Mail;
use crate::rpc::{CallContext, Raise};
use crate::term::{Term, atom::known};

pub(super) fn export(node: &Node) {
    answer(node, "tiebeam", "watch_nodes", 1, |context, args| watch_nodes(context, &args[0]));
}

/// Lets peers monitor nodes in this node's name.
pub(super) fn export_monitor_node(node: &Node) {
    for (module, name) in [("erlang", "monitor_node"), ("Elixir.Node", "monitor")] {
        for arity in [2, 3] {
            answer(node, module, name, arity, monitor_node);
        }
    }
}

/// The message comes to the process that the call runs in: that of `rex`, if it came by `rpc:block_call`.
fn monitor_node(context: &CallContext, args: &[Term]) -> Result<Term, Raise> {
    let peer = args[0].as_atom().ok_or_else(Raise::badarg)?;
    let on = match args[1].as_atom() {
        Some(on) if on == known::true_() => true,
        Some(off) if off == known::false_() => false,
        _ => return Err(Raise::badarg()),
    };
    if let Some(options) = args.get(2) {
        let options = options.as_list().filter(|options| options.is_proper()).ok_or_else(Raise::badarg)?;
        if !options.iter().all(|option| option.is_atom("allow_passive_connect")) {
            return Err(Raise::badarg());
        }
    }
    let _we_have_ended = context.process.monitor_node(peer, on);
    Ok(known::true_().into())
}

/// What `net_kernel:monitor_nodes(true, [nodedown_reason])` tells, forwarded to a pid.
pub(crate) fn watch_nodes(context: &CallContext, to: &Term) -> Result<Term, Raise> {
    watch_nodes_as(context, to, vec![MonitorNodes::list().nodedown_reason()])
}

/// A process of its own subscribes with each of these options and forwards all that its mailbox gets to a pid; it ends with
/// that.
pub(crate) fn watch_nodes_as(context: &CallContext, to: &Term, options: Vec<MonitorNodes>) -> Result<Term, Raise> {
    let to = to.as_pid().ok_or_else(Raise::badarg)?;
    let watcher = context.node.process();
    let pid = watcher.pid();
    options.into_iter().for_each(|options| context.node.monitor_nodes_as(&watcher, options));
    context.node.run(watcher, move |mut watcher| async move {
        let Ok(reference) = watcher.monitor(to) else { return };
        while let Ok(mail) = watcher.receive().await {
            match mail {
                Mail::Down(down) if down.reference == reference => return,
                mail => {
                    if let Ok(message) = mail.term() {
                        let _gone = watcher.send(to, &message).await;
                    }
                }
            }
        }
    });
    Ok(Term::tuple([known::ok().into(), pid.into()]))
}

//! Who comes and goes, told to others: `tiebeam:watch_nodes/1` for processes elsewhere, which cannot subscribe with this
//! node themselves, and `erlang:monitor_node/2`.

use super::answer;
use crate::node::{Node, NodeEvent};
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

/// Forwards node events, and whatever else its mailbox gets, to a pid; ends with it.
pub(crate) fn watch_nodes(context: &CallContext, pid: &Term) -> Result<Term, Raise> {
    let to = pid.as_pid().ok_or_else(Raise::badarg)?;
    let mut events = context.node.monitor_nodes();
    let watcher = context.node.spawn(move |mut watcher| async move {
        let Ok(reference) = watcher.monitor(to) else { return };
        loop {
            let forwarded = tokio::select! {
                event = events.next() => event_message(&event),
                mail = watcher.receive() => match mail {
                    Err(_ended) => return,
                    Ok(Mail::Down(down)) if down.reference == reference => return,
                    Ok(mail) => mail.term().ok(),
                },
            };
            if let Some(message) = forwarded {
                let _gone = watcher.send(to, &message).await;
            }
        }
    });
    Ok(Term::tuple([known::ok().into(), watcher.into()]))
}

/// As `net_kernel:monitor_nodes(true, [nodedown_reason])` sends it: visible nodes only.
fn event_message(event: &NodeEvent) -> Option<Term> {
    let (kind, peer, details) = match event {
        NodeEvent::Up(peer) => (known::nodeup(), peer, Vec::new()),
        NodeEvent::Down(peer, closed) => {
            let reason = Term::atom(closed.nodedown_reason());
            (known::nodedown(), peer, vec![Term::tuple([Term::atom("nodedown_reason"), reason])])
        }
    };
    (!peer.hidden).then(|| Term::tuple([kind.into(), peer.name.into(), Term::list(details)]))
}

//! Functions of `Node`, `net_kernel`, `net_adm` and `auth` that act in this node's name: connections and cookies.

use std::time::Duration;

use super::acts::atom;
use super::answer;
use crate::handshake::Cookie;
use crate::node::{MonitorNodes, Node};
use crate::rpc::Raise;
use crate::term::{Atom, List, Term, atom::known};

pub(super) fn export(node: &Node) {
    export_connections(node);
    export_cookies(node);
    export_monitor_nodes(node);
    node.export_terms("net_adm", "names", 0, |context, _| async move { names(&context.node).await });
}

fn export_connections(node: &Node) {
    for (module, name) in [("net_kernel", "connect_node"), ("Elixir.Node", "connect")] {
        node.export_terms(module, name, 1, |context, args| async move {
            let peer = args[0].as_atom().ok_or_else(|| Raise::error(Term::atom("function_clause")))?;
            Ok((peer == context.node.name().atom() || context.node.connect(peer).await.is_ok()).into())
        });
    }
    for (module, name) in [("erlang", "disconnect_node"), ("net_kernel", "disconnect"), ("Elixir.Node", "disconnect")] {
        node.export_terms(module, name, 1, |context, args| async move {
            let peer = args[0].as_atom();
            // The caller may sit behind that very connection: the answer goes first.
            let Some(peer) = peer.filter(|peer| context.node.connections().iter().any(|c| c.peer().name == *peer))
            else {
                return Ok(known::false_().into());
            };
            let node = context.node.clone();
            context.node.spawn_task(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                node.disconnect(peer).await;
            });
            Ok(known::true_().into())
        });
    }
    for (module, name) in [("net_adm", "ping"), ("Elixir.Node", "ping")] {
        node.export_terms(module, name, 1, |context, args| async move {
            let peer = args[0].as_atom().ok_or_else(|| Raise::error(Term::atom("function_clause")))?;
            Ok(Term::atom(if context.node.ping(peer).await { "pong" } else { "pang" }))
        });
    }
}

fn export_cookies(node: &Node) {
    let shown = |cookie: &Cookie| Term::atom(&cookie.reveal());
    for module in ["erlang", "Elixir.Node"] {
        answer(node, module, "get_cookie", 0, move |context, _| Ok(shown(&context.node.get_cookie())));
        answer(node, module, "set_cookie", 1, |context, args| {
            context.node.set_cookie(cookie(&args[0])?);
            Ok(known::true_().into())
        });
        answer(node, module, "set_cookie", 2, |context, args| {
            context.node.set_cookie_for(atom(&args[0])?, cookie(&args[1])?);
            Ok(known::true_().into())
        });
    }
    answer(node, "erlang", "get_cookie", 1, move |context, args| {
        Ok(shown(&context.node.get_cookie_for(atom(&args[0])?)))
    });
}

/// Subscribes the calling process: one that lasts, such as `rex` in a `block_call`.
fn export_monitor_nodes(node: &Node) {
    for arity in [1, 2] {
        answer(node, "net_kernel", "monitor_nodes", arity, |context, args| {
            let Some(flag) = args[0].as_bool() else { return Ok(known::error().into()) };
            let options = match args.get(1).map_or(Ok(MonitorNodes::plain()), MonitorNodes::from_term) {
                Ok(options) => options,
                Err(why) => return Ok(Term::tuple([known::error().into(), why])),
            };
            if flag {
                context.node.monitor_nodes_as(&context.process, options);
            } else {
                context.node.demonitor_nodes_as(&context.process, options);
            }
            Ok(known::ok().into())
        });
    }
}

fn cookie(term: &Term) -> Result<Cookie, Raise> {
    Cookie::new(atom(term)?.as_str()).map_err(|_no_cookie| Raise::badarg())
}

async fn names(node: &Node) -> Result<Term, Raise> {
    let config = crate::epmd::Config::from_vars(|name| std::env::var(name).ok()).map_err(|_bad| Raise::badarg())?;
    tracing::trace!(node = %node.name(), "names");
    Ok(match crate::net::epmd_client::names(config.local()).await {
        Ok(names) => {
            let entry = |(name, port): (String, u16)| Term::tuple([List::from_text(&name).into(), port.into()]);
            Term::tuple([known::ok().into(), names.into_iter().map(entry).collect::<Vec<_>>().into()])
        }
        Err(_) => Term::tuple([known::error().into(), Atom::new("address").into()]),
    })
}

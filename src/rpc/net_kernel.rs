//! `net_kernel`: what pings ask, and how C nodes spawn.
//!
//! `net_adm:ping` calls `{is_auth, Node}` with no time-out, and disconnects from a node that answers anything but
//! `yes`: under prevent_overlapping_partitions that would cost us the whole cluster.

use std::sync::Arc;

use super::context::CallContext;
use super::exports::Exports;
use super::server::{apply, exit_reason};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::node::Node;
use crate::process::{Exit, From};
use crate::term::{Atom, Term, atom::known};

/// The server registered as `net_kernel`.
pub(crate) struct NetKernel {
    pub(crate) exports: Arc<Exports>,
}

impl GenServer for NetKernel {
    async fn call(&mut self, request: Encoded, from: From, context: &mut Context) -> Result<Reply, Exit> {
        let parts = request.parts().unwrap_or_default();
        let name = parts.first().and_then(Encoded::as_atom).or_else(|| request.as_atom());
        Ok(match (name.map_or("", |name| name.as_str()), &parts[..]) {
            ("is_auth", _) => Term::from(known::yes()).into(),
            ("spawn" | "spawn_link", [_, module, function, args, leader]) => {
                let link = name.is_some_and(|name| name == "spawn_link");
                self.spawn(context, from, [module, function, args, leader], link)
            }
            ("spawn_opt", [_, module, function, args, _options, link, leader]) => {
                self.spawn(context, from, [module, function, args, leader], link.is_atom("link"))
            }
            ("longnames", _) => Term::from(context.node.name().host().contains('.')).into(),
            ("nodename", _) => Term::from(context.node.name()).into(),
            ("get_net_ticktime" | "ticktime", _) => {
                Term::tuple([Term::atom("ticktime"), context.node.config().net_ticktime.as_secs().into()]).into()
            }
            _ => Term::from(known::badarg()).into(),
        })
    }

    fn module(&self) -> &str {
        "net_kernel"
    }
}

impl NetKernel {
    /// Spawns as releases before SPAWN_REQUEST did: the new process itself answers with its pid.
    fn spawn(&self, context: &Context, from: From, mfa: [&Encoded; 4], link: bool) -> Reply {
        let [module, function, args, leader] = mfa;
        let (Some(module), Some(function)) = (module.as_atom(), function.as_atom()) else {
            let why = Term::tuple([known::badarg().into(), Term::nil()]);
            return Term::tuple([known::exit_signal().into(), why]).into();
        };
        let process = context.node.process();
        if let Some(leader) = leader.as_pid() {
            process.cell().lock().group_leader = leader;
        }
        if link {
            if let Ok(mut state) = process.cell().live() {
                state.link_to(from.pid());
            }
        }
        let _caller_is_gone = process.reply(&from, &process.pid().into());
        let job = Job { exports: Arc::clone(&self.exports), module, function, args: args.clone() };
        let node = context.node.clone();
        context.node.run(process, move |process| job.run(CallContext { node, process, caller: from.pid() }));
        Reply::Later
    }
}

struct Job {
    exports: Arc<Exports>,
    module: Atom,
    function: Atom,
    args: Encoded,
}

impl Job {
    async fn run(self, context: CallContext) -> Exit {
        exit_reason(apply(context, &self.exports, self.module, self.function, self.args).await).into()
    }
}

/// What `net_adm:ping` asks a node's `net_kernel`, and what it answers with `yes`.
pub(crate) fn is_auth(node: &Node) -> Term {
    Term::tuple([Term::atom("is_auth"), node.name().into()])
}

impl Node {
    /// Whether a node can be reached, connecting to it where needed: `net_adm:ping/1`. One that does not answer as it
    /// should is disconnected from.
    pub async fn ping(&self, peer: impl Into<Atom>) -> bool {
        let peer = peer.into();
        let answer = self.process().call((known::net_kernel(), peer), &is_auth(self), None).await;
        let is_there = answer.is_ok_and(|answer| answer.is_atom("yes"));
        if !is_there {
            self.disconnect(peer).await;
        }
        is_there
    }
}

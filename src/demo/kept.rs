//! A counter that goes on where its next incarnation runs: it hands its number over when it is told to end.

use std::time::Duration;

use num_bigint::BigInt;

use super::Counter;
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::horde::Handoff;
use crate::horde::registry::NameConflict;
use crate::process::{Exit, From, Mail};
use crate::rpc::{CallContext, Raise};
use crate::term::{Pid, Term, atom::known};

struct Kept {
    counter: Counter,
    handoff: Handoff,
    key: Term,
    /// Whose exit signals are looked at here: they may say where the number goes.
    parent: Pid,
}

/// `{Replica, Key, Initial}`: what was left under the key in that replica of this node goes on, or this number.
pub(super) fn start(context: &CallContext, args: &[Term], parent: Pid) -> Result<Pid, Raise> {
    let [Term::Atom(replica), key, Term::Integer(initial)] = args else { return Err(Raise::badarg()) };
    let pid = context.node.whereis(*replica);
    let crdt = context.node.delta_crdts().into_iter().find(|crdt| Some(crdt.pid()) == pid);
    let handoff = context.node.horde_handoff(crdt.ok_or_else(Raise::badarg)?);
    let counter = Counter { value: initial.to_big() };
    Ok(context.node.spawn_server(Kept { counter, handoff, key: key.clone(), parent }).pid())
}

impl Kept {
    async fn picked_up(&self) -> Option<BigInt> {
        match self.handoff.pick_up::<Term>(&self.key, Duration::ZERO).await {
            Ok(Some(Term::Integer(value))) => Some(value.to_big()),
            _ => None,
        }
    }
}

impl GenServer for Kept {
    async fn init(&mut self, context: &mut Context) -> Result<(), Exit> {
        context.process.trap_exit(true);
        context.process.link(self.parent)?;
        if let Some(value) = self.picked_up().await {
            self.counter.value = value;
        }
        Ok(())
    }

    async fn call(&mut self, request: Encoded, from: From, context: &mut Context) -> Result<Reply, Exit> {
        self.counter.call(request, from, context).await
    }

    async fn cast(&mut self, request: Encoded, context: &mut Context) -> Result<(), Exit> {
        if let Some((_, Term::Integer(state))) = request.term().ok().as_ref().and_then(NameConflict::read_state) {
            // Both counted while they did not see each other.
            self.counter.value += state.to_big();
            return Ok(());
        }
        self.counter.cast(request, context).await
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        let Mail::Exit(exit) = mail else { return Ok(()) };
        let state: Term = self.counter.value.clone().into();
        if let Some(conflict) = NameConflict::parse(&exit) {
            if let Err(error) = conflict.send_state(&context.node, &state).await {
                tracing::warn!(%error, "the winner does not get the loser's state");
            }
        } else if exit.reason.is_atom(known::normal().as_str()) {
            return Ok(());
        } else {
            match self.handoff.stash(&self.key, &state).await {
                Ok(reached) => tracing::debug!(key = %self.key, reached, "state handed over"),
                Err(error) => tracing::warn!(%error, key = %self.key, "state not handed over"),
            }
        }
        Err(Exit::encoded(exit.reason))
    }

    fn state(&self) -> Term {
        self.counter.state()
    }

    fn module(&self) -> &str {
        "Elixir.Tiebeam.Demo.KeptCounter"
    }
}

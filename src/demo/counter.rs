//! `counter`: a GenServer with a number, restarted however often it ends.

use num_bigint::BigInt;

use super::stopped;
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::node::Node;
use crate::process::{Exit, From, Mail, Process, RegisterError};
use crate::term::{Pid, Term};

/// The server: calls `get`, `{add, N}`, `reset`, `{stop, Reason}`; cast `{add, N}`.
pub(crate) struct Counter {
    pub(crate) value: BigInt,
    /// Linked before the first request, as `start_link` does.
    pub(crate) parent: Option<Pid>,
}

impl GenServer for Counter {
    async fn init(&mut self, context: &mut Context) -> Result<(), Exit> {
        if let Some(parent) = self.parent {
            context.process.link(parent)?;
        }
        Ok(())
    }

    async fn call(&mut self, request: Encoded, _from: From, _context: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().unwrap_or_default();
        let answer = match (&request, request.as_tuple()) {
            (Term::Atom(get), _) if get == "get" => self.shown(),
            (Term::Atom(reset), _) if reset == "reset" => {
                self.value = BigInt::ZERO;
                self.shown()
            }
            (_, Some([add, Term::Integer(n)])) if add.is_atom("add") => {
                self.value += n.to_big();
                self.shown()
            }
            (_, Some([stop, reason])) if stop.is_atom("stop") => {
                return Ok(stopped(&crate::process::reason::of(reason)));
            }
            _ => return Err(Term::tuple([Term::atom("bad_call"), request]).into()),
        };
        Ok(answer.into())
    }

    async fn cast(&mut self, request: Encoded, _context: &mut Context) -> Result<(), Exit> {
        let request = request.term().unwrap_or_default();
        match request.as_tuple() {
            Some([add, Term::Integer(n)]) if add.is_atom("add") => self.value += n.to_big(),
            _ => return Err(Term::tuple([Term::atom("bad_cast"), request]).into()),
        }
        Ok(())
    }

    fn state(&self) -> Term {
        self.shown()
    }

    fn module(&self) -> &str {
        "Elixir.Tiebeam.Demo.Counter"
    }
}

impl Counter {
    fn shown(&self) -> Term {
        self.value.clone().into()
    }
}

/// Starts `counter`, and again whenever it ends.
pub(super) fn start_supervised(node: &Node) -> Result<(), RegisterError> {
    let first = start(node)?;
    let again = node.clone();
    node.spawn(move |supervisor| supervise(again, supervisor, first));
    Ok(())
}

fn start(node: &Node) -> Result<Pid, RegisterError> {
    node.spawn_server(Counter { value: BigInt::ZERO, parent: None }).register("counter")
}

async fn supervise(node: Node, mut supervisor: Process, first: Pid) -> Exit {
    let mut child = first;
    loop {
        let Ok(watch) = supervisor.monitor(child) else { return Exit::normal() };
        let is_down = |mail: &Mail| matches!(mail, Mail::Down(down) if down.reference == watch).then_some(());
        if supervisor.receive_match(is_down).await.is_err() || *node.stopping().borrow() {
            return Exit::shutdown();
        }
        match start(&node) {
            Ok(pid) => child = pid,
            Err(error) => {
                tracing::warn!(%error, "cannot restart the counter");
                return Exit::from(Term::atom("name_taken"));
            }
        }
    }
}

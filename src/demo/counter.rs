//! `counter`: a GenServer with a number, restarted however often it ends.

use num_bigint::BigInt;

use super::stopped;
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::node::Node;
use crate::process::{Exit, From};
use crate::supervisor::{ChildSpec, Intensity, SupervisorError};
use crate::term::Term;

/// The server: calls `get`, `{add, N}`, `reset`, `{stop, Reason}`; cast `{add, N}`.
pub(crate) struct Counter {
    pub(crate) value: BigInt,
}

impl GenServer for Counter {
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

/// Starts `counter` under a supervisor, which starts it again however often it ends.
pub(super) async fn start_supervised(node: &Node) -> Result<(), SupervisorError> {
    let counter = ChildSpec::registered("counter", || Counter { value: BigInt::ZERO });
    let supervisor = node.supervisor().name("Elixir.Tiebeam.Demo.Supervisor");
    supervisor.intensity(Intensity::UNLIMITED).child(counter).start().await?;
    Ok(())
}

//! The demo services of `tiebeam node --demo`: functions of `Tiebeam.Demo`, the processes `echo` and
//! `counter`, and three supervisors.

mod counter;
mod functions;
mod kept;

use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::node::Node;
use crate::process::{Exit, From, Mail};
use crate::supervisor::SupervisorError;
use crate::term::Term;

pub(crate) use self::counter::Counter;

/// Exports the functions and starts the processes.
///
/// # Errors
/// [`SupervisorError`], if `echo` or `counter` is taken.
pub async fn start(node: &Node) -> Result<(), SupervisorError> {
    functions::export(node);
    node.export_standard();
    node.spawn_server(Echo).register("echo").map_err(SupervisorError::from)?;
    node.dynamic_supervisor().name("Elixir.Tiebeam.Demo.DynamicSupervisor").start()?;
    node.task_supervisor().name("Elixir.Tiebeam.Demo.TaskSupervisor").start()?;
    counter::start_supervised(node).await
}

/// Answers `{From, Ref, Term}` with `{Ref, Term}`, and as a GenServer any call with its request.
pub(crate) struct Echo;

impl GenServer for Echo {
    async fn call(&mut self, request: Encoded, _from: From, _context: &mut Context) -> Result<Reply, Exit> {
        match request.parts().as_deref() {
            Some([stop, reason]) if stop.is_atom("stop") => Ok(stopped(reason)),
            _ => Ok(Reply::Now(request)),
        }
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        let Mail::Message(message) = mail else { return Ok(()) };
        let parts = message.body().parts().unwrap_or_default();
        if let [from, reference, term] = &parts[..] {
            if let Some(from) = from.as_pid() {
                let reply = Encoded::tuple(&[reference.clone(), term.clone()]);
                // Waits while the connection is busy: an echo must not fill the node's memory.
                let _gone = context.process.send_encoded(from, reply).await;
            }
        }
        Ok(())
    }

    fn state(&self) -> Term {
        Term::nil()
    }

    fn module(&self) -> &str {
        "Elixir.Tiebeam.Demo.Echo"
    }
}

/// The answer to `{stop, Reason}`: `ok`, and the server ends.
fn stopped(reason: &Encoded) -> Reply {
    Reply::Stop(crate::process::reason::of(&Term::atom("ok")), Exit::encoded(reason.clone()))
}

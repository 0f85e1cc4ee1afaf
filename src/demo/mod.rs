//! The demo services of `tiebeam node --demo`: functions of `Tiebeam.Demo`, and the processes `echo` and `counter`.

mod counter;
mod functions;
mod kept;

use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::node::Node;
use crate::process::{Exit, From, Mail, RegisterError};
use crate::term::Term;

pub(crate) use self::counter::Counter;

/// Exports the functions and starts the processes.
///
/// # Errors
/// [`RegisterError`], if `echo` or `counter` is taken.
pub fn start(node: &Node) -> Result<(), RegisterError> {
    functions::export(node);
    node.export_standard();
    let _echo = node.spawn_server(Echo).register("echo")?;
    counter::start_supervised(node)
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

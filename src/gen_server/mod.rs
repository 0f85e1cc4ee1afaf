//! Servers that Erlang's `gen_server` and Elixir's `GenServer` can call.
//!
//! A server is a value with a state; its process takes one request after the other. Calls come as
//! `{'$gen_call', From, Request}`, casts as `{'$gen_cast', Request}`, and `sys` messages (`get_state`, `suspend`,
//! `terminate`…) are answered by the loop itself.

mod server;
mod system;

use std::future::{Future, ready};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::etf::Encoded;
use crate::node::Node;
use crate::process::{CallError, Dest, Exit, From, Mail, Process, SendError};
use crate::term::{Atom, Pid, Term, atom::known};

pub(crate) use self::server::serve;

/// A server: its state, and what it does with what comes.
///
/// Each method may end the server by returning the [`Exit`] to end with.
pub trait GenServer: Send + 'static {
    /// Begins, before the first request is looked at.
    ///
    /// # Errors
    /// The reason to end with.
    fn init(&mut self, context: &mut Context) -> impl Future<Output = Result<(), Exit>> + Send {
        let _ = context;
        ready(Ok(()))
    }

    /// A call.
    ///
    /// # Errors
    /// The reason to end with; the caller sees it in place of a reply.
    fn call(
        &mut self,
        request: Encoded,
        from: From,
        context: &mut Context,
    ) -> impl Future<Output = Result<Reply, Exit>> + Send;

    /// A cast.
    ///
    /// # Errors
    /// The reason to end with.
    fn cast(&mut self, request: Encoded, context: &mut Context) -> impl Future<Output = Result<(), Exit>> + Send {
        let _ = (request, context);
        ready(Ok(()))
    }

    /// Any other mail: a bare message, the DOWN of a monitor, a trapped exit signal.
    ///
    /// # Errors
    /// The reason to end with.
    fn info(&mut self, mail: Mail, context: &mut Context) -> impl Future<Output = Result<(), Exit>> + Send {
        let _ = (mail, context);
        ready(Ok(()))
    }

    /// What [`Context::continue_with`] left to be done, before any other request: `handle_continue/2`.
    ///
    /// # Errors
    /// The reason to end with.
    fn handle_continue(
        &mut self,
        continuation: Encoded,
        context: &mut Context,
    ) -> impl Future<Output = Result<(), Exit>> + Send {
        let _ = (continuation, context);
        ready(Ok(()))
    }

    /// The time-out that [`Context::timeout_after`] set has passed without mail.
    ///
    /// # Errors
    /// The reason to end with.
    fn timeout(&mut self, context: &mut Context) -> impl Future<Output = Result<(), Exit>> + Send {
        let _ = context;
        ready(Ok(()))
    }

    /// The server ends for a reason that it gave itself, or that `sys:terminate` or its parent gave.
    fn terminate(&mut self, reason: &Encoded, context: &mut Context) -> impl Future<Output = ()> + Send {
        let _ = (reason, context);
        ready(())
    }

    /// The state, as `sys:get_state/1` shows it.
    fn state(&self) -> Term {
        Term::atom("undefined")
    }

    /// The module whose server this is, as `sys:get_status/1` shows it.
    fn module(&self) -> &str {
        "tiebeam"
    }
}

/// What a call is answered with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// This, now.
    Now(Encoded),
    /// Nothing yet: the server, or any task, will use [`Process::reply`] or [`Node::reply`] with the caller's [`From`].
    Later,
    /// The server ends with that reason, and the caller gets this once [`GenServer::terminate`] has run:
    /// `{stop, Reason, Reply, State}`.
    Stop(Encoded, Exit),
}

impl std::convert::From<Term> for Reply {
    /// A term that cannot be encoded (a float that is not a number) becomes `badarg`.
    fn from(reply: Term) -> Self {
        Self::Now(crate::process::reason::of(&reply))
    }
}

/// What a server has at hand: its node, its process, its next time-out.
#[derive(Debug)]
pub struct Context {
    /// The node.
    pub node: Node,
    /// The server's process.
    pub process: Process,
    parent: Option<Pid>,
    timeout: Option<Duration>,
    continuation: Option<Encoded>,
    hibernate: bool,
}

impl Context {
    pub(crate) fn new(node: Node, process: Process) -> Self {
        Self { node, process, parent: None, timeout: None, continuation: None, hibernate: false }
    }

    /// The process that started this one by a link: its exit signal ends a server that traps exits, too.
    #[must_use]
    pub fn parent(&self) -> Option<Pid> {
        self.parent
    }

    /// Has [`GenServer::handle_continue`] called once this request is done: `{continue, Continuation}`.
    pub fn continue_with(&mut self, continuation: impl Into<Term>) {
        self.continuation = Some(crate::process::reason::of(&continuation.into()));
    }

    /// Gives back memory that a mailbox grown long holds, before the next request: `hibernate`.
    pub fn hibernate(&mut self) {
        self.hibernate = true;
    }

    /// Has [`GenServer::timeout`] called, if no mail comes for so long after this request. Mail that waits already is
    /// taken first.
    pub fn timeout_after(&mut self, delay: Duration) {
        self.timeout = Some(delay);
    }
}

impl Node {
    /// Starts a server as a new process.
    #[must_use = "without its pid nobody can call it"]
    pub fn spawn_server<S: GenServer>(&self, server: S) -> Started {
        Started { node: self.clone(), pid: self.serve(self.process(), server, None) }
    }
}

impl Node {
    /// Starts a server that is linked to another process, as `gen_server:start_link` links it to the caller's: an exit
    /// signal of that process ends it, even where it traps exits.
    #[must_use = "without its pid nobody can call it"]
    pub fn spawn_server_link<S: GenServer>(&self, server: S, parent: Pid) -> Started {
        let process = self.process();
        let _just_made = process.link(parent);
        Started { node: self.clone(), pid: self.serve(process, server, Some(parent)) }
    }

    /// As [`Node::spawn_server_link`], with a name from the first request on; else `{already_started, Pid}`.
    pub(crate) fn start_server_link<S: GenServer>(&self, server: S, parent: Pid, name: Atom) -> Result<Pid, Term> {
        let process = self.process();
        if process.register(name).is_err() {
            let other = self.whereis(name).map_or_else(|| known::undefined().into(), Term::from);
            return Err(Term::tuple([Term::atom("already_started"), other]));
        }
        let _just_made = process.link(parent);
        Ok(self.serve(process, server, Some(parent)))
    }

    /// Runs a server as a process that exists already.
    pub(crate) fn serve<S: GenServer>(&self, process: Process, server: S, parent: Option<Pid>) -> Pid {
        let pid = process.pid();
        let node = self.clone();
        self.run(process, move |process| serve(server, Context { parent, ..Context::new(node, process) }));
        pid
    }

    /// Replies to a call that was answered with [`Reply::Later`], from any task: `gen_server:reply/2`.
    ///
    /// # Errors
    /// [`SendError`]. A caller that is gone is no error.
    pub fn reply(&self, to: &From, reply: impl Serialize) -> Result<(), SendError> {
        self.process().reply_encoded(to, &Encoded::of(&reply)?)
    }
}

/// How long a call waits where nothing else is said, as `gen_server:call/2`.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

impl Node {
    /// Calls a server and decodes its reply: `GenServer.call`, with its time-out of five seconds.
    ///
    /// The call is made in the name of a process of its own; [`Process::call`] makes it in that of another.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn gen_call<T: DeserializeOwned>(
        &self,
        to: impl Into<Dest>,
        request: impl Serialize,
    ) -> Result<T, CallError> {
        let request = Encoded::of(&request).map_err(|error| CallError::Send(error.into()))?;
        let reply = self.process().call_encoded(to, request, Some(CALL_TIMEOUT)).await?;
        reply.decode().map_err(|error| CallError::Decode(error.to_string()))
    }

    /// Sends a server a request that has no reply: `GenServer.cast`.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn gen_cast(&self, to: impl Into<Dest>, request: impl Serialize) -> Result<(), SendError> {
        let label = crate::process::reason::of(&Term::Atom(known::gen_cast()));
        self.process().send_encoded(to, Encoded::tuple(&[label, Encoded::of(&request)?])).await
    }

    /// Calls the servers of one name on several nodes at once: what each replied, in the order of the nodes.
    pub async fn multi_call<T: DeserializeOwned + Send + 'static>(
        &self,
        nodes: impl IntoIterator<Item = Atom>,
        name: Atom,
        request: impl Serialize,
        timeout: Option<Duration>,
    ) -> Vec<(Atom, Result<T, CallError>)> {
        let request = Encoded::of(&request);
        let calls: Vec<_> = nodes
            .into_iter()
            .map(|node| {
                let (process, request) = (self.process(), request.clone());
                (node, tokio::spawn(call_one(process, (name, node), request, timeout)))
            })
            .collect();
        let mut replies = Vec::with_capacity(calls.len());
        for (node, call) in calls {
            replies.push((node, call.await.unwrap_or(Err(CallError::Timeout))));
        }
        replies
    }
}

async fn call_one<T: DeserializeOwned>(
    mut process: Process,
    to: (Atom, Atom),
    request: Result<Encoded, crate::serde::Error>,
    timeout: Option<Duration>,
) -> Result<T, CallError> {
    let request = request.map_err(|error| CallError::Send(error.into()))?;
    let reply = process.call_encoded(to, request, timeout).await?;
    reply.decode().map_err(|error| CallError::Decode(error.to_string()))
}

/// A server that has been started.
#[derive(Debug, Clone)]
pub struct Started {
    node: Node,
    pid: Pid,
}

impl Started {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Registers it under a name.
    ///
    /// # Errors
    /// [`RegisterError`](crate::process::RegisterError), if the name is taken.
    pub fn register(self, name: impl Into<Atom>) -> Result<Pid, crate::process::RegisterError> {
        self.node.router().register(name.into(), self.pid)?;
        Ok(self.pid)
    }
}

#[cfg(test)]
mod tests;

//! The process of a scope: it finds the scopes of other nodes, and tells them of members.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use super::PgError;
use super::state::{Act, State};
use super::wire::Message;
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply, serve};
use crate::node::{Node, NodeEvent, Observer};
use crate::process::{Dest, Exit, From, Mail, Process, reason};
use crate::term::{Atom, Pid, Ref, Term};

/// What the process and the handles share.
#[derive(Debug)]
pub(super) struct Shared {
    node: Node,
    /// Under its name on every node; without one, the scope is alone.
    name: Option<Atom>,
    /// The scope's own process, in whose name everything is sent.
    process: Process,
    state: Mutex<State>,
    monitors: Mutex<HashMap<Pid, Ref>>,
    ended: AtomicBool,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub(super) fn runs(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    pub(super) fn join(&self, group: Term, pids: &[Pid]) -> Result<(), PgError> {
        let foreign = pids.iter().find(|pid| !self.node.router().is_ours(**pid));
        if let Some(foreign) = foreign {
            return Err(PgError::NoLocal(*foreign));
        }
        self.change(|state| state.join(group, pids));
        Ok(())
    }

    pub(super) fn leave(&self, group: &Term, pids: &[Pid]) -> Result<(), PgError> {
        if self.change(|state| state.leave(group, pids)) { Ok(()) } else { Err(PgError::NotJoined) }
    }

    /// Changes the state, and does what follows before anybody else can change it: peers see changes in their order.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        for act in state.take_acts() {
            self.perform(act);
        }
        result
    }

    fn perform(&self, act: Act) {
        let mut monitors = self.monitors.lock().unwrap_or_else(PoisonError::into_inner);
        match act {
            Act::Send(to, message) => {
                let _whoever_ended_needs_it_no_more = self.process.send_now(to, reason::of(&message.term()));
            }
            Act::Monitor(pid) => {
                if let Ok(reference) = self.process.monitor(pid) {
                    monitors.insert(pid, reference);
                }
            }
            Act::Demonitor(pid) => {
                // What it finds in the mailbox already is a process that has left every group.
                if let Some(reference) = monitors.remove(&pid) {
                    self.process.share().demonitor(reference);
                }
            }
        }
    }

    fn discover(&self, node: Atom) {
        if let Some(name) = self.name {
            let message = Message::Discover(self.pid(), 0).term();
            let _gone_again = self.process.send_now(Dest::Remote(name, node), reason::of(&message));
        }
    }
}

/// A scope greets every visible node that comes.
struct Watcher(std::sync::Weak<Shared>);

impl Observer for Watcher {
    fn node_event(&self, event: &NodeEvent) {
        if let (NodeEvent::Up(peer), Some(shared)) = (event, self.0.upgrade()) {
            if !peer.hidden && shared.runs() {
                shared.discover(peer.name.atom());
            }
        }
    }
}

/// Starts a scope in a process that has its name, or, without one, a scope that nobody else knows.
pub(super) fn start(node: &Node, scope: Atom, named: Option<Process>) -> Arc<Shared> {
    let name = named.is_some().then_some(scope);
    let process = named.as_ref().map_or_else(|| node.process(), Process::share);
    let running = named.unwrap_or_else(|| process.share());
    let shared = Arc::new(Shared {
        node: node.clone(),
        name,
        state: Mutex::new(State::new(process.pid())),
        process,
        monitors: Mutex::default(),
        ended: AtomicBool::new(false),
    });
    node.observe(Arc::new(Watcher(Arc::downgrade(&shared))));
    for peer in node.nodes() {
        shared.discover(peer.atom());
    }
    let (server, serving) = (Server(Arc::clone(&shared)), node.clone());
    node.run(running, move |process| serve(server, Context::new(serving, process)));
    shared
}

struct Server(Arc<Shared>);

impl GenServer for Server {
    /// Members are changed on their own node, so nobody calls.
    async fn call(&mut self, request: Encoded, _: From, _: &mut Context) -> Result<Reply, Exit> {
        tracing::debug!(request = ?request.term(), "unknown call to a pg scope");
        Ok(Reply::Later)
    }

    async fn cast(&mut self, request: Encoded, _: &mut Context) -> Result<(), Exit> {
        self.message(request.term().ok().as_ref());
        Ok(())
    }

    async fn info(&mut self, mail: Mail, _: &mut Context) -> Result<(), Exit> {
        match mail {
            Mail::Message(message) => self.message(message.term().ok().as_ref()),
            Mail::Down(down) => {
                if let Some(pid) = down.object().as_pid() {
                    let known = {
                        let mut monitors = self.0.monitors.lock().unwrap_or_else(PoisonError::into_inner);
                        monitors.get(&pid) == Some(&down.reference) && monitors.remove(&pid).is_some()
                    };
                    if known {
                        self.0.change(|state| state.down(pid));
                    }
                }
            }
            Mail::Exit(_) | Mail::SpawnReply(_) => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _: &Encoded, _: &mut Context) {
        self.0.ended.store(true, Ordering::Release);
        self.0.state().end();
    }

    fn module(&self) -> &str {
        "pg"
    }
}

impl Server {
    fn message(&self, term: Option<&Term>) {
        match term.and_then(Message::read) {
            Some(message) => self.0.change(|state| state.handle(message)),
            None => tracing::debug!(?term, "message that no pg scope sends"),
        }
    }
}

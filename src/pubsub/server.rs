//! The processes of a pubsub: workers, which get what other nodes broadcast, and the one that keeps them and watches
//! subscribers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hashbrown::HashMap;

use super::stream::Queue;
use super::topics::{self, Subscriber, Topics};
use super::wire::{Forward, PLAIN};
use super::{Dispatcher, PubSubError};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply, serve};
use crate::node::Node;
use crate::pg::Pg;
use crate::process::{Exit, From, Mail, Process, reason};
use crate::term::{Atom, Binary, Pid, Ref, Term};

/// What the processes and the handles share.
pub(super) struct Shared {
    pub(super) setup: Setup,
    name: Atom,
    /// Keeps the workers, watches subscribers, and sends what nobody else is named for.
    keeper: Process,
    workers: Mutex<HashMap<Ref, Worker>>,
    topics: RwLock<Topics>,
    streams: AtomicU64,
    ended: AtomicBool,
}

/// What a pubsub was started with.
pub(super) struct Setup {
    pub(super) node: Node,
    pub(super) pg: Pg,
    /// Those that this node listens to; it sends to the first so many.
    pub(super) groups: Vec<Atom>,
    pub(super) broadcast_pool_size: usize,
    pub(super) dispatchers: HashMap<Atom, Arc<dyn Dispatcher>>,
}

struct Worker {
    group: Atom,
    process: Process,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).field("groups", &self.setup.groups).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn keeper(&self) -> Process {
        self.keeper.share()
    }

    pub(super) fn runs(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    pub(super) fn subscribe_stream(
        &self,
        topic: Binary,
        metadata: Term,
        queue: &Arc<Queue>,
    ) -> Result<u64, PubSubError> {
        let mut topics = self.topics_mut();
        if !self.runs() {
            return Err(PubSubError::Ended);
        }
        let id = self.streams.fetch_add(1, Ordering::Relaxed);
        topics.add_stream(topic, id, metadata, Arc::clone(queue));
        Ok(id)
    }

    pub(super) fn subscribe_process(&self, topic: Binary, pid: Pid, metadata: Term) -> Result<(), PubSubError> {
        if !self.setup.node.router().is_ours(pid) {
            return Err(PubSubError::NoLocal(pid));
        }
        let mut topics = self.topics_mut();
        if !self.runs() {
            return Err(PubSubError::Ended);
        }
        // One that has ended is down at once, which is looked at once the topics are free.
        topics.add_process(topic, pid, metadata, || self.keeper.monitor(pid)).map_err(|_exited| PubSubError::Ended)
    }

    pub(super) fn unsubscribe(&self, topic: &Binary, subscriber: Subscriber) {
        let mut topics = self.topics_mut();
        if let Some(reference) = topics.remove(topic, subscriber) {
            self.keeper.share().demonitor(reference);
        }
    }

    /// Hands a message to this node's subscribers.
    pub(super) fn dispatch(&self, sender: &Process, from: Option<Subscriber>, forward: &Forward) {
        let Some(rows) = self.topics.read().unwrap_or_else(PoisonError::into_inner).of(&forward.topic) else { return };
        let Forward { message, dispatcher, .. } = forward;
        if *dispatcher == PLAIN {
            return topics::plain(&rows, sender, from, message);
        }
        match self.setup.dispatchers.get(dispatcher) {
            Some(known) => topics::by(known.as_ref(), &rows, sender, from, message),
            None => {
                tracing::trace!(pubsub = %self.name, %dispatcher, "unknown dispatcher: the message is delivered as it is");
                topics::plain(&rows, sender, from, message);
            }
        }
    }

    /// Ends all of it; streams end, names and groups are left.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let workers = std::mem::take(&mut *self.workers());
        workers.values().for_each(|worker| worker.process.end(&reason::shutdown()));
        self.topics_mut().end();
        self.keeper.end(&reason::shutdown());
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<Ref, Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topics_mut(&self) -> std::sync::RwLockWriteGuard<'_, Topics> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        self.topics_mut().counts()
    }
}

/// Starts the processes, each worker under the name of its group.
pub(super) fn start(setup: Setup, name: Atom) -> Result<Arc<Shared>, PubSubError> {
    let mut registered = Vec::with_capacity(setup.groups.len());
    for group in &setup.groups {
        let process = setup.node.process();
        process.register(*group)?;
        registered.push((*group, process));
    }
    let (node, keeper) = (setup.node.clone(), setup.node.process());
    let shared = Arc::new(Shared {
        setup,
        name,
        keeper: keeper.share(),
        workers: Mutex::default(),
        topics: RwLock::default(),
        streams: AtomicU64::new(0),
        ended: AtomicBool::new(false),
    });
    for (group, process) in registered {
        run_worker(&shared, group, process);
    }
    let (kept, serving) = (Keeper(Arc::clone(&shared)), node.clone());
    node.run(keeper, move |process| serve(kept, Context::new(serving, process)));
    Ok(shared)
}

/// Runs a process as the worker of its group.
fn run_worker(shared: &Arc<Shared>, group: Atom, process: Process) {
    let node = &shared.setup.node;
    let Ok(reference) = shared.keeper.monitor(process.pid()) else { return };
    shared.workers().insert(reference, Worker { group, process: process.share() });
    let (pid, worker, serving) = (process.pid(), Serving(Arc::clone(shared)), node.clone());
    node.run(process, move |process| serve(worker, Context::new(serving, process)));
    if let Err(error) = shared.setup.pg.join(Term::Atom(group), pid) {
        tracing::warn!(%group, %error, "a worker of a pubsub cannot join its group");
    }
}

/// `Phoenix.PubSub.PG2Worker`.
struct Serving(Arc<Shared>);

impl GenServer for Serving {
    /// Nobody calls.
    async fn call(&mut self, request: Encoded, _: From, _: &mut Context) -> Result<Reply, Exit> {
        tracing::debug!(request = ?request.term(), "unknown call to a worker of a pubsub");
        Ok(Reply::Later)
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        let Mail::Message(message) = mail else { return Ok(()) };
        match Forward::read(message.body()) {
            Some(forward) => self.0.dispatch(&context.process, None, &forward),
            None => tracing::debug!(pubsub = %self.0.name, "message that no pubsub sends"),
        }
        Ok(())
    }

    fn state(&self) -> Term {
        self.0.name.into()
    }

    fn module(&self) -> &str {
        "Elixir.Phoenix.PubSub.PG2Worker"
    }
}

/// Starts a worker again that has ended, and forgets subscribers that have.
struct Keeper(Arc<Shared>);

impl GenServer for Keeper {
    async fn call(&mut self, request: Encoded, _: From, _: &mut Context) -> Result<Reply, Exit> {
        tracing::debug!(request = ?request.term(), "unknown call to the keeper of a pubsub");
        Ok(Reply::Later)
    }

    async fn info(&mut self, mail: Mail, _: &mut Context) -> Result<(), Exit> {
        let Mail::Down(down) = mail else { return Ok(()) };
        let worker = self.0.workers().remove(&down.reference);
        if let Some(Worker { group, .. }) = worker {
            self.again(group);
        } else if let Some(pid) = down.object().as_pid() {
            self.0.topics_mut().down(pid, down.reference);
        }
        Ok(())
    }

    fn module(&self) -> &str {
        "Elixir.Phoenix.PubSub.PG2"
    }
}

impl Keeper {
    fn again(&self, group: Atom) {
        let node = &self.0.setup.node;
        if !self.0.runs() || *node.stopping().borrow() {
            return;
        }
        let process = node.process();
        match process.register(group) {
            Ok(()) => run_worker(&self.0, group, process),
            Err(error) => tracing::warn!(%group, %error, "a worker of a pubsub cannot start again"),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.end();
    }
}

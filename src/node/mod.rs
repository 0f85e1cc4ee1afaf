//! A node: who is connected, what comes and goes, and the processes between.
//!
//! A [`Node`] is a handle, cheap to clone. All its work runs in tasks that [`Node::shutdown`] joins.

pub(crate) mod accept;
mod config;
mod cookie;
mod cookies;
pub(crate) mod dial;
mod events;
mod extensions;
mod monitor_nodes;
pub(crate) mod registration;
mod slots;
mod tasks;
mod up;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

pub use self::cookie::CookieFileError;
pub use self::events::{NodeEvent, NodeEvents};
pub use self::monitor_nodes::{MonitorNodes, NodeType};
pub use self::registration::{EpmdMode, EpmdUse};

pub(crate) use self::config::Config;
pub(crate) use self::events::Observer;

use self::cookies::Cookies;
use self::events::Events;
use self::extensions::Extensions;
use self::slots::Slots;
use self::tasks::Tasks;
use crate::net::Closed;
pub use crate::net::{DialError, Peer};
use crate::process::router::{Identity, Router};
use crate::process::{Outcome, Process, reason, run};
use crate::term::{Atom, Creation, NodeName, Pid, atom::known};

/// A node of a BEAM cluster.
#[derive(Debug, Clone)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    cookies: Cookies,
    router: Arc<Router>,
    slots: Slots,
    events: Events,
    subscribers: monitor_nodes::Subscribers,
    extensions: Extensions,
    tasks: Arc<Tasks>,
    /// True once the node shuts down.
    stopping: watch::Sender<bool>,
    /// True once somebody wants it to.
    asked_to_stop: watch::Sender<bool>,
    listening: OnceLock<SocketAddr>,
    epmd: Mutex<EpmdUse>,
    connections: AtomicU64,
    started: Instant,
}

/// Which peers to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeKind {
    /// Joined visibly: `nodes()`.
    Visible,
    /// They or we are hidden.
    Hidden,
    /// Both.
    Connected,
    /// This node itself.
    This,
    /// All that are connected, and this one.
    Known,
}

impl Node {
    /// A node that nobody knows of yet: no listener, no name in any EPMD.
    pub(crate) fn new(config: Config, creation: Creation, ref_salt: u32) -> Self {
        let (connect, wishes) = mpsc::unbounded_channel();
        let identity = Identity { node: config.name.atom(), creation };
        let router = Arc::new(Router::new(identity, ref_salt, config.busy_limit, connect));
        let node = Self(Arc::new(Inner {
            cookies: Cookies::new(&config),
            config,
            router,
            slots: Slots::default(),
            events: Events::default(),
            subscribers: monitor_nodes::Subscribers::default(),
            extensions: Extensions::default(),
            tasks: Arc::new(Tasks::new()),
            stopping: watch::channel(false).0,
            asked_to_stop: watch::channel(false).0,
            listening: OnceLock::new(),
            epmd: Mutex::new(EpmdUse::Off),
            connections: AtomicU64::new(0),
            started: Instant::now(),
        }));
        node.spawn_task(dial::connect_on_demand(node.clone(), wishes));
        node
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> NodeName {
        NodeName::new(self.0.router.identity().node.as_str()).unwrap_or(self.0.config.name)
    }

    /// The incarnation, the same for all of this node's life.
    #[must_use]
    pub fn creation(&self) -> Creation {
        self.0.router.identity().creation
    }

    /// Where peers can reach this node.
    #[must_use]
    pub fn listening(&self) -> Option<SocketAddr> {
        self.0.listening.get().copied()
    }

    pub(crate) fn set_listening(&self, address: SocketAddr) {
        // A node has one listener, and this is said when it has been made.
        let _said_already = self.0.listening.set(address);
    }

    /// Which EPMD the node is registered with.
    #[must_use]
    pub fn epmd(&self) -> EpmdUse {
        *self.0.epmd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_epmd_use(&self, used: EpmdUse) {
        *self.0.epmd.lock().unwrap_or_else(PoisonError::into_inner) = used;
    }

    /// How long the node has been up.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Connects to a node, or finds that it is connected. Sending connects by itself; this tells why it cannot.
    ///
    /// # Errors
    /// [`DialError`], which names the step that failed.
    pub async fn connect(&self, peer: impl Into<Atom>) -> Result<(), DialError> {
        dial::connect(self, peer.into()).await
    }

    /// Keeps a connection to a node for as long as this one runs: tries again, with ever longer pauses, when it fails
    /// or is lost.
    pub fn keep_connected(&self, peer: NodeName) {
        self.spawn_task(dial::keep_connected(self.clone(), peer));
    }

    /// Waits until somebody asks this node to shut down: a peer's `init:stop()`, where
    /// [`NodeBuilder::allow_init_stop`](crate::NodeBuilder::allow_init_stop) lets it. The program then calls
    /// [`Node::shutdown`]. Cancel-safe.
    pub async fn stopped(&self) {
        let (mut stopping, mut asked) = (self.0.stopping.subscribe(), self.0.asked_to_stop.subscribe());
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => {}
            _ = asked.wait_for(|asked| *asked) => {}
        }
    }

    /// Lets [`Node::stopped`] return.
    pub(crate) fn ask_to_stop(&self) {
        self.0.asked_to_stop.send_replace(true);
    }

    /// Closes the connection to a node. Whether there was one.
    pub async fn disconnect(&self, peer: impl Into<Atom>) -> bool {
        let Some(connection) = self.0.slots.up(peer.into()) else { return false };
        connection.close(Closed::Requested);
        connection.gone().await;
        true
    }

    /// The visible peers, as `nodes()`.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeName> {
        self.nodes_of(NodeKind::Visible)
    }

    /// The nodes of a kind, as `nodes/1` and `Node.list/1`.
    #[must_use]
    pub fn nodes_of(&self, kind: NodeKind) -> Vec<NodeName> {
        let wanted = |peer: &Peer| match kind {
            NodeKind::Visible => !peer.hidden,
            NodeKind::Hidden => peer.hidden,
            NodeKind::Connected | NodeKind::Known => true,
            NodeKind::This => false,
        };
        let this = matches!(kind, NodeKind::This | NodeKind::Known).then(|| self.name());
        // A connection that nobody can hear of any more is none, though its slot is not free yet.
        let up = self.0.slots.all_up().into_iter().filter(|connection| !connection.is_down());
        let peers = up.map(|connection| *connection.peer()).filter(wanted).map(|peer| peer.name);
        this.into_iter().chain(peers).collect()
    }

    /// All connections, with what they count.
    pub(crate) fn connections(&self) -> Vec<Arc<crate::net::Connection>> {
        self.0.slots.all_up()
    }

    /// Every `nodeup` and `nodedown` from now on, hidden peers' included.
    #[must_use]
    pub fn monitor_nodes(&self) -> NodeEvents {
        self.0.events.stream()
    }

    /// Has an observer told of each node event before any traffic that follows it.
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) {
        self.0.events.observe(observer);
    }

    /// A new process in the hands of the caller.
    #[must_use]
    pub fn process(&self) -> Process {
        let initial_call = (Atom::new("tiebeam"), known::process(), 0);
        Process::new(Arc::clone(&self.0.router), self.0.router.whereis(known::user()), initial_call)
    }

    /// Runs a future as a new process: when it ends, so does the process, for the reason it returns; when the process is
    /// ended by a signal, the future is dropped.
    pub fn spawn<F, Fut>(&self, body: F) -> Pid
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let process = self.process();
        let pid = process.pid();
        self.run(process, body);
        pid
    }

    /// Runs a future as a process that exists already.
    pub(crate) fn run<F, Fut>(&self, process: Process, body: F)
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.tasks.spawn(run(process, body));
    }

    /// Runs a future that the node's shutdown waits for.
    pub(crate) fn spawn_task(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(future);
    }

    /// Lets a module keep names, which are then destinations: `{via, Module, Name}`.
    pub fn add_registry(&self, module: impl Into<Atom>, registry: Arc<dyn crate::process::Registry>) {
        self.0.router.add_registry(module.into(), registry);
    }

    /// The process that a name is registered for on this node.
    #[must_use]
    pub fn whereis(&self, name: impl Into<Atom>) -> Option<Pid> {
        self.0.router.whereis(name.into())
    }

    /// All names that processes of this node are registered under.
    #[must_use]
    pub fn registered(&self) -> Vec<Atom> {
        self.0.router.registered()
    }

    /// Frees a name; the process that had it.
    pub fn unregister(&self, name: impl Into<Atom>) -> Option<Pid> {
        self.0.router.unregister(name.into())
    }

    /// The device of last resort for output.
    pub(crate) fn user(&self) -> Pid {
        self.0.router.whereis(known::user()).unwrap_or_else(|| self.0.router.root())
    }

    pub(crate) fn router(&self) -> &Arc<Router> {
        &self.0.router
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// State that a service keeps with this node, made when first asked for.
    pub(crate) fn extension<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.0.extensions.of()
    }

    pub(crate) fn next_connection_id(&self) -> u64 {
        self.0.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Becomes true when the node shuts down.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// Says goodbye: ends all processes, closes all connections so that peers see `nodedown` at once, and joins
    /// every task.
    pub async fn shutdown(&self) {
        self.0.stopping.send_replace(true);
        for connection in self.0.slots.all_up() {
            // What was sent before goes out, unless the peer does not read.
            let _does_not_read = tokio::time::timeout(Duration::from_secs(2), connection.drained()).await;
        }
        // All at once: a peer that hears of it from another peer first takes it for a partition.
        for connection in self.0.slots.shut() {
            connection.gone().await;
        }
        for cell in self.0.router.cells() {
            self.0.router.end(&cell, &reason::shutdown());
        }
        self.0.tasks.joined().await;
    }
}

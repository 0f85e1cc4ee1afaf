//! An EPMD: a program of its own, or embedded in a node.
//!
//! One task accepts, and each connection has its own, so that none waits for another. What a connection
//! may hold up is bounded: requests have an idle time-out, and when all seats are taken the connection
//! that has been without a finished request for longest makes room. Registrations are never evicted.

mod connection;
mod listen;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::epmd::answer::{Answer, Asker, Daemon};
use crate::epmd::registry::{Registry, Slot};
use crate::epmd::request::Request;
use crate::epmd::{Config, Error};

/// How an EPMD runs. The default is erts' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen. Port 0 takes any free one.
    pub listen: Config,
    /// How long a connection may be idle before its request is complete.
    pub packet_timeout: Duration,
    /// Obey KILL while nodes are registered, and STOP at all.
    pub relaxed_command_check: bool,
    /// To test clients with: wait that long before serving an accepted connection.
    pub delay_accept: Duration,
    /// To test clients with: wait that long before each reply.
    pub delay_write: Duration,
    /// How many connections are served at once; all but a few of them can be registrations.
    pub max_connections: usize,
    /// How many names of dead nodes are remembered.
    pub remembered_names: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Config::default(),
            packet_timeout: Duration::from_secs(60),
            relaxed_command_check: false,
            delay_accept: Duration::ZERO,
            delay_write: Duration::ZERO,
            max_connections: 4096,
            remembered_names: 1000,
        }
    }
}

/// An EPMD that listens. It serves once it runs.
#[derive(Debug)]
pub struct EpmdServer {
    listeners: Vec<TcpListener>,
    local_addrs: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

/// Why an EPMD has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was sent KILL.
    Killed,
    /// It was told to by its own program.
    ShutDown,
}

impl EpmdServer {
    /// Binds all addresses, or none. `Error::AddressInUse` most likely means that another EPMD runs
    /// already, which will do as well.
    pub async fn bind(settings: Settings) -> Result<Self, Error> {
        let listeners = listen::bind(&settings.listen)?;
        let local_addrs = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let epmd_port = local_addrs.first().map_or(settings.listen.port, SocketAddr::port);
        let capacity = settings.max_connections.saturating_sub(SEATS_FOR_QUESTIONS).max(1);
        let daemon = Daemon {
            registry: Registry::new(capacity, settings.remembered_names),
            epmd_port,
            relaxed_command_check: settings.relaxed_command_check,
        };
        let state = State { daemon, waiting: BTreeMap::new(), held: HashMap::new(), next_seat: 0 };
        let shared = Shared { settings, state: Mutex::new(state), killed: Notify::new() };
        Ok(Self { listeners, local_addrs, shared: Arc::new(shared) })
    }

    /// The addresses that it listens on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Serves until `shutdown` is ready, or a KILL. Nodes that are registered then lose their
    /// connection, and register with the next EPMD.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Ended {
        let Self { listeners, shared, .. } = self;
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        let mut starved = false;
        let mut turn = 0;
        let ended = loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break Ended::ShutDown,
                () = shared.killed.notified() => break Ended::Killed,
                accepted = accept(&listeners, turn, shared.settings.delay_accept) => accepted,
            };
            turn += 1;
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    starved = false;
                    match shared.take_seat() {
                        Some(seat) => drop(connections.spawn(connection::serve(seat, stream, peer))),
                        None => tracing::warn!(%peer, "connection refused: all seats are taken by registered nodes"),
                    }
                }
                Err(error) if is_the_peers(&error) => tracing::debug!(%error, "accept"),
                // Most likely out of file descriptors.
                Err(error) => {
                    if !starved {
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    starved = true;
                    shared.lock().evict_longest_waiting();
                    sleep(ACCEPT_BACK_OFF).await;
                }
            }
        };
        drop(listeners);
        connections.shutdown().await;
        ended
    }

    /// Serves in a task of its own.
    pub fn spawn(self) -> Running {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        Running { stop, task: tokio::spawn(self.run(async move { stopped.notified().await })) }
    }
}

/// An EPMD that serves in a task of its own. Dropped, it ends without being waited for.
#[derive(Debug)]
pub struct Running {
    stop: Arc<Notify>,
    task: JoinHandle<Ended>,
}

impl Running {
    /// Ends it and all its connections, and waits until that is done.
    pub async fn shutdown(mut self) {
        self.stop.notify_one();
        let _ = (&mut self.task).await;
    }

    /// Waits until a KILL has ended it.
    pub async fn ended(&mut self) -> Ended {
        (&mut self.task).await.unwrap_or(Ended::ShutDown)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    state: Mutex<State>,
    killed: Notify,
}

#[derive(Debug)]
struct State {
    daemon: Daemon,
    /// Connections that have not got their answer, in the order of their arrival.
    waiting: BTreeMap<u64, Arc<Notify>>,
    /// Connections that are registrations.
    held: HashMap<Slot, Held>,
    next_seat: u64,
}

#[derive(Debug)]
struct Held {
    leave: Arc<Notify>,
    stream: Arc<TcpStream>,
}

/// One connection's place, given back when dropped: with the registration, if it has become one.
#[derive(Debug)]
struct Seat {
    shared: Arc<Shared>,
    number: u64,
    /// Tells the connection's task to end.
    leave: Arc<Notify>,
    slot: Option<Slot>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_seat(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.lock();
        if state.waiting.len() + state.held.len() >= self.settings.max_connections && !state.evict_longest_waiting() {
            return None;
        }
        state.next_seat += 1;
        let (number, leave) = (state.next_seat, Arc::new(Notify::new()));
        state.waiting.insert(number, Arc::clone(&leave));
        Some(Seat { shared: Arc::clone(self), number, leave, slot: None })
    }
}

impl State {
    fn evict_longest_waiting(&mut self) -> bool {
        let Some((_, leave)) = self.waiting.pop_first() else { return false };
        leave.notify_one();
        true
    }

    /// A node that has closed is gone, though its own task may not have seen it yet: without this, one
    /// that restarts at once could find its name in use.
    fn bury(&mut self, slot: Slot) {
        if self.held.get(&slot).is_some_and(|held| listen::has_ended(&held.stream)) {
            self.daemon.registry.unregister(slot);
            self.release(slot);
        }
    }

    fn bury_all(&mut self) {
        let slots: Vec<_> = self.held.keys().copied().collect();
        slots.into_iter().for_each(|slot| self.bury(slot));
    }

    fn release(&mut self, slot: Slot) {
        if let Some(held) = self.held.remove(&slot) {
            held.leave.notify_one();
        }
    }
}

impl Seat {
    /// Answers the one request of this connection.
    fn handle(&mut self, request: Request, asker: Asker, stream: &Arc<TcpStream>) -> Answer {
        let mut state = self.shared.lock();
        match &request {
            Request::Alive2(node) => match state.daemon.registry.slot_of(&node.name) {
                Some(slot) => state.bury(slot),
                None if state.daemon.registry.is_full() => state.bury_all(),
                None => {}
            },
            Request::Kill => state.bury_all(),
            _ => {}
        }
        let answer = state.daemon.handle(request, asker);
        match &answer {
            Answer::Registered(slot, _) => {
                state.waiting.remove(&self.number);
                let held = Held { leave: Arc::clone(&self.leave), stream: Arc::clone(stream) };
                state.held.insert(*slot, held);
                self.slot = Some(*slot);
            }
            Answer::Stopped(slot, _) => state.release(*slot),
            Answer::Close(_) | Answer::Reply(_) | Answer::Refused(..) | Answer::Exit(_) => {}
        }
        answer
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.waiting.remove(&self.number);
        if let Some(slot) = self.slot {
            state.daemon.registry.unregister(slot);
            state.held.remove(&slot);
        }
    }
}

/// The next connection to any of the listeners, each of which is the first to be looked at in turn.
async fn accept(listeners: &[TcpListener], turn: usize, delay: Duration) -> io::Result<(TcpStream, SocketAddr)> {
    let (last, first) = listeners.split_at(turn % listeners.len());
    let accepted = std::future::poll_fn(|cx| {
        let mut polled = first.iter().chain(last).map(|listener| listener.poll_accept(cx));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    });
    let accepted = accepted.await;
    if !delay.is_zero() {
        sleep(delay).await;
    }
    accepted
}

/// Whether it is only this one connection that failed, before it was accepted.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}

/// So many seats are not for registrations: others must still be able to ask.
const SEATS_FOR_QUESTIONS: usize = 8;
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;

//! Replicas of Elixir's `DeltaCrdt`: maps that all nodes can write and that become equal by themselves.
//!
//! A replica is a process under a name, as `DeltaCrdt.start_link/2` starts it: `DeltaCrdt.put/4`, `read/2` and their
//! like work on it from any node, and it syncs with replicas of Elixir and of Rust alike. From this node it is read and
//! written without going through its mailbox.
//!
//! ```no_run
//! # async fn example(node: tiebeam::Node) -> Result<(), Box<dyn std::error::Error>> {
//! let crdt = node.delta_crdt("store").start()?;
//! crdt.set_neighbours([("store", "a@127.0.0.1")]);
//! crdt.put("key", 1).await?;
//! let one: Option<i64> = crdt.get("key")?;
//! # let _ = one;
//! # Ok(())
//! # }
//! ```

mod builder;
mod client;
mod data;
mod server;
#[cfg(feature = "storage")]
mod storage;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

pub use self::builder::{DeltaCrdtBuilder, StartError};
pub use self::client::{Operation, Remote};
#[cfg(feature = "storage")]
pub use self::storage::StorageError;
use hashbrown::HashMap;

use crate::crdt::{Change, Replica, is_partial};
use crate::etf::Encoded;
use crate::node::Node;
use crate::process::Dest;
use crate::process::reason;
use crate::signal::{Signal, Target};
use crate::term::{Pid, Term};

/// A key that changed, as `on_diffs` tells it.
#[derive(Debug, Clone, PartialEq)]
pub enum Diff {
    /// `{add, key, value}`: the key reads as this now.
    Add(Term, Term),
    /// `{remove, key}`: the key is gone, or reads as `nil`.
    Remove(Term),
}

impl From<Change> for Diff {
    fn from(change: Change) -> Self {
        match change.value {
            Some(value) => Self::Add(change.key, value),
            None => Self::Remove(change.key),
        }
    }
}

/// A replica could not be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaCrdtError {
    /// The replica has ended.
    #[error("the replica has ended")]
    Ended,
    /// The write is not on the disk. It is kept in memory, not told to any neighbour, and tried again: it may still come
    /// true.
    #[cfg(feature = "storage")]
    #[error("not stored: {0}")]
    Storage(#[from] StorageError),
    /// A replica of Elixir ends when it compares a key of this form.
    #[error("keys of the form {{partial, _}} end replicas of Elixir")]
    Key,
    /// A key or value is no term, or not of the type asked for.
    #[error(transparent)]
    Serde(#[from] crate::serde::Error),
}

/// Called with every list of diffs, in order, one after the other; it must not block.
pub(crate) type OnDiffs = Arc<dyn Fn(&[Diff]) + Send + Sync>;

/// What the process and the handles share.
pub(crate) struct Shared {
    replica: RwLock<Replica>,
    name: String,
    me: Pid,
    started: Instant,
    on_diffs: Option<OnDiffs>,
    streams: Mutex<Vec<std::sync::Weak<Queue>>>,
    /// The process knows already that there are writes to be told of.
    told: AtomicBool,
    ended: AtomicBool,
    /// Messages with data of other replicas that were taken in.
    syncs: AtomicU64,
    /// What the callback has not been told of yet, in the order of the changes.
    untold: Mutex<VecDeque<Vec<Diff>>>,
    /// Held by whoever tells it.
    telling: Mutex<()>,
    /// Set before the replica runs, if it is stored.
    #[cfg(feature = "storage")]
    store: std::sync::OnceLock<Arc<storage::Store>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Replica> {
        self.replica.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Replica> {
        self.replica.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Local time: nanoseconds since the replica started.
    fn local(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Changes the replica, and tells of what changed.
    fn change<T>(&self, act: impl FnOnce(&mut Replica) -> (T, Vec<Change>)) -> T {
        let mut replica = self.write();
        let (result, changes) = act(&mut replica);
        if changes.is_empty() {
            return result;
        }
        // Still under the lock, so that all are told in the order of the changes.
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if self.on_diffs.is_none() && streams.is_empty() {
            return result;
        }
        let diffs: Vec<Diff> = changes.into_iter().map(Diff::from).collect();
        streams.retain(|stream| match stream.upgrade() {
            Some(queue) => {
                queue.push(&diffs);
                true
            }
            None => false,
        });
        drop(streams);
        if self.on_diffs.is_some() {
            self.untold.lock().unwrap_or_else(PoisonError::into_inner).push_back(diffs);
        }
        drop(replica);
        self.tell();
        result
    }

    /// Calls back for all that has not been told of. One at a time does; a callback that writes finds itself telling, and
    /// what it wrote is told of next.
    fn tell(&self) {
        let Some(on_diffs) = &self.on_diffs else { return };
        let next = || self.untold.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        loop {
            let telling = match self.telling.try_lock() {
                Ok(telling) => telling,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            while let Some(diffs) = next() {
                on_diffs(&diffs);
            }
            drop(telling);
            // What came since the last look was left to us.
            if self.untold.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
        }
    }

    /// Has the storage write what changed.
    fn store(&self) {
        #[cfg(feature = "storage")]
        if let Some(store) = self.store.get() {
            store.wake();
        }
    }

    /// Waits until all that changed so far is stored, if anything is.
    #[cfg_attr(not(feature = "storage"), expect(clippy::unused_async, reason = "there is no storage to wait for"))]
    async fn stored(&self) -> Result<(), DeltaCrdtError> {
        #[cfg(feature = "storage")]
        if let Some(store) = self.store.get() {
            let changes = self.read().state.changes;
            store.wake();
            store.committed(changes).await?;
        }
        Ok(())
    }

    /// Whether writes are stored, and take their time.
    fn is_stored(&self) -> bool {
        #[cfg(feature = "storage")]
        return self.store.get().is_some();
        #[cfg(not(feature = "storage"))]
        false
    }

    fn end(&self) {
        #[cfg(feature = "storage")]
        if let Some(store) = self.store.get() {
            store.stop();
        }
        self.ended.store(true, Ordering::Release);
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(queue) = stream.upgrade() {
                queue.end();
            }
        }
    }
}

/// A replica that this node runs. Clones are the same replica.
#[derive(Clone)]
pub struct DeltaCrdt {
    node: Node,
    shared: Arc<Shared>,
}

/// Its node, which would show its replicas, is left out.
impl std::fmt::Debug for DeltaCrdt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaCrdt").field("pid", &self.shared.me).finish_non_exhaustive()
    }
}

/// How much a replica was changed since it started: what Elixir's tell by the event `[:delta_crdt, :sync, :done]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SyncFigures {
    /// Messages with data of other replicas that were taken in.
    pub syncs: u64,
    /// Keys that these and the writes here changed, read differently or not: the sum of the event's `keys_updated_count`.
    pub keys_updated: u64,
}

/// How often it is seen whether neighbours have acknowledged.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl DeltaCrdt {
    /// The replica's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.shared.me
    }

    /// The name that it was started under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How much it was changed since it started.
    #[must_use]
    pub fn sync_figures(&self) -> SyncFigures {
        let keys_updated = self.shared.read().state.keys_updated;
        SyncFigures { syncs: self.shared.syncs.load(Ordering::Relaxed), keys_updated }
    }

    /// Makes these its neighbours: what it syncs with, in one direction, from it to them. Replicas that should be equal
    /// are neighbours of each other.
    pub fn set_neighbours<D: Into<Dest>>(&self, neighbours: impl IntoIterator<Item = D>) {
        let addresses = neighbours.into_iter().filter_map(|dest| address(&dest.into())).collect();
        self.set_neighbour_terms(addresses);
    }

    pub(crate) fn set_neighbour_terms(&self, addresses: Vec<Term>) {
        let message = Term::tuple([Term::atom("set_neighbours"), Term::list(addresses)]);
        self.tell(reason::of(&message));
    }

    /// Its neighbours, as they are addressed.
    #[must_use]
    pub fn neighbours(&self) -> Vec<Term> {
        self.shared.read().neighbours().cloned().collect()
    }

    /// Compares with all neighbours at once, without waiting for the next tick.
    pub fn sync(&self) {
        self.tell(reason::of(&Term::atom("sync_now")));
    }

    /// Waits until all neighbours that are there have what is written here by now, for so long at most. Whether they have.
    /// Cancel-safe.
    pub async fn synced(&self, within: Duration) -> bool {
        let compared = async {
            // What the first comparison brings to light goes to the other side after its acknowledgement; who has
            // acknowledged the second has taken it in.
            for _ in 0..2 {
                let since = self.shared.now();
                while !self.shared.read().has_compared_since(since) {
                    self.sync();
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        };
        tokio::time::timeout(within, compared).await.is_ok()
    }

    /// What changes from now on. A stream that is not read keeps what changed.
    #[must_use]
    pub fn diffs(&self) -> Diffs {
        let queue = Arc::new(Queue::default());
        if self.shared.ended.load(Ordering::Acquire) {
            queue.end();
        }
        self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&queue));
        Diffs(queue)
    }

    /// The value of a key.
    #[must_use]
    pub fn get_term(&self, key: &Term) -> Option<Term> {
        self.shared.read().state.get(key).cloned()
    }

    /// Whether this value stands under the key, read or not: of concurrent writes all stand until the next write.
    pub(crate) fn holds(&self, key: &Term, value: &Term) -> bool {
        let replica = self.shared.read();
        replica.state.map.get(key).is_some_and(|elements| elements.iter().any(|(element, _)| element.value == *value))
    }

    /// All keys with their values, as they are at this moment.
    #[must_use]
    pub fn entries(&self) -> Vec<(Term, Term)> {
        let replica = self.shared.read();
        replica.state.map.iter().map(|(key, elements)| (key.clone(), elements.value().clone())).collect()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.read().state.map.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes in one step: nobody reads a part of it.
    pub(crate) fn mutate_all(&self, operations: Vec<Operation>) -> Result<(), DeltaCrdtError> {
        if self.shared.ended.load(Ordering::Acquire) {
            return Err(DeltaCrdtError::Ended);
        }
        if operations.iter().any(|operation| is_partial(operation.key())) {
            return Err(DeltaCrdtError::Key);
        }
        let local = self.shared.local();
        let repeats = operations.len() > 1 && {
            let mut keys = hashbrown::HashSet::with_capacity(operations.len());
            !operations.iter().all(|operation| keys.insert(operation.key()))
        };
        let pending = self.shared.change(|replica| {
            let mut before: HashMap<Term, Option<Term>> = HashMap::new();
            if repeats {
                let was = |key: &Term| (key.clone(), replica.state.told(key).cloned());
                before.extend(operations.iter().map(|operation| was(operation.key())));
            }
            let changes = operations.into_iter().filter_map(|operation| match operation {
                Operation::Add(key, value) => replica.add(&key, value, local),
                Operation::Remove(key) => replica.remove(&key),
            });
            let mut changes: Vec<Change> = changes.collect();
            if repeats {
                changes = net(changes, &mut before);
            }
            (replica.has_pending(), changes)
        });
        self.shared.store();
        if pending && !self.shared.told.swap(true, Ordering::AcqRel) {
            self.tell(reason::of(&Term::atom("push")));
        }
        Ok(())
    }

    /// Ends the replica, after a last word to its neighbours.
    pub async fn stop(&self) {
        let mut process = self.node.process();
        if let Ok(reference) = process.monitor(self.shared.me) {
            let _ended_already = process.exit(self.shared.me, &Term::atom("shutdown"));
            let _down = process.down(reference).await;
        }
    }

    fn tell(&self, body: Encoded) {
        let to = Target::Pid(self.shared.me);
        self.node.router().deliver(Signal::Message { from: None, to, body });
    }
}

/// Of several changes of a key the last, unless it is what was there before.
fn net(changes: Vec<Change>, before: &mut HashMap<Term, Option<Term>>) -> Vec<Change> {
    let mut net: Vec<Change> = Vec::new();
    for change in changes.into_iter().rev() {
        let Some(was) = before.remove(&change.key) else { continue };
        if was != change.value {
            net.push(change);
        }
    }
    net.reverse();
    net
}

/// A neighbour's address as it stands in messages.
pub(crate) fn address(dest: &Dest) -> Option<Term> {
    match dest {
        Dest::Pid(pid) => Some(Term::Pid(*pid)),
        Dest::Name(name) => Some(Term::Atom(*name)),
        Dest::Remote(name, node) => Some(Term::tuple([Term::Atom(*name), Term::Atom(*node)])),
        Dest::Alias(_) | Dest::Global(_) | Dest::Via(..) => None,
    }
}

/// Replicas of one node, by name.
#[derive(Debug, Default)]
pub(crate) struct Local(Mutex<Vec<DeltaCrdt>>);

impl Node {
    /// Sets up a replica that will be registered under this name.
    pub fn delta_crdt(&self, name: &str) -> DeltaCrdtBuilder {
        DeltaCrdtBuilder::new(self.clone(), name)
    }

    /// The replicas that this node runs.
    #[must_use]
    pub fn delta_crdts(&self) -> Vec<DeltaCrdt> {
        let all = self.extension::<Local>();
        let mut all = all.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|crdt| !crdt.shared.ended.load(Ordering::Acquire));
        all.clone()
    }
}

/// A stream of what changes in a replica; it ends with the replica.
#[derive(Debug)]
pub struct Diffs(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue(Mutex<Queued>);

#[derive(Debug, Default)]
struct Queued {
    diffs: VecDeque<Diff>,
    waker: Option<Waker>,
    ended: bool,
}

impl Queue {
    fn push(&self, diffs: &[Diff]) {
        let mut queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queued.diffs.extend(diffs.iter().cloned());
        if let Some(waker) = queued.waker.take() {
            waker.wake();
        }
    }

    fn end(&self) {
        let mut queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queued.ended = true;
        if let Some(waker) = queued.waker.take() {
            waker.wake();
        }
    }
}

impl Diffs {
    /// The next diff; `None` once the replica has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Diff> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Diff>> {
        let mut queued = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match queued.diffs.pop_front() {
            Some(diff) => Poll::Ready(Some(diff)),
            None if queued.ended => Poll::Ready(None),
            None => {
                queued.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl futures_core::Stream for Diffs {
    type Item = Diff;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Diff>> {
        self.get_mut().poll(cx)
    }
}

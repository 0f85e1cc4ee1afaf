//! Starting a replica: `DeltaCrdt.start_link/2` with its options.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::server::Server;
use super::{DeltaCrdt, Diff, Local, OnDiffs, Shared, address};
use crate::crdt::{Replica, Settings, State};
use crate::node::Node;
use crate::process::{Dest, RegisterError};
use crate::term::Term;

/// Sets a replica up; made by `Node::delta_crdt`.
#[must_use = "a replica starts with `start`"]
pub struct DeltaCrdtBuilder {
    node: Node,
    name: String,
    sync_interval: Duration,
    max_sync_size: Option<usize>,
    neighbours: Vec<Term>,
    on_diffs: Option<OnDiffs>,
}

impl std::fmt::Debug for DeltaCrdtBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaCrdtBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl DeltaCrdtBuilder {
    pub(super) fn new(node: Node, name: &str) -> Self {
        let sync_interval = Duration::from_millis(200);
        Self { node, name: name.into(), sync_interval, max_sync_size: None, neighbours: Vec::new(), on_diffs: None }
    }

    /// How often it compares with its neighbours; `sync_interval`, 200 ms. Small writes do not wait for it.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How many keys one message carries at most. Unlike Elixir's `max_sync_size` it loses nothing: what is more comes
    /// in further messages.
    pub fn max_sync_size(mut self, keys: usize) -> Self {
        self.max_sync_size = Some(keys);
        self
    }

    /// Its first neighbours; see [`DeltaCrdt::set_neighbours`].
    pub fn neighbours<D: Into<Dest>>(mut self, neighbours: impl IntoIterator<Item = D>) -> Self {
        self.neighbours = neighbours.into_iter().filter_map(|dest| address(&dest.into())).collect();
        self
    }

    /// Called with each list of changes, in order, one after the other, by one of those who write; it must not block. It may
    /// write itself: what that changes is told next. [`DeltaCrdt::diffs`] is the same as a stream.
    pub fn on_diffs(mut self, callback: impl Fn(&[Diff]) + Send + Sync + 'static) -> Self {
        self.on_diffs = Some(Box::new(callback));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`RegisterError`], if the name is taken.
    pub fn start(self) -> Result<DeltaCrdt, RegisterError> {
        let process = self.node.process();
        process.register(self.name.as_str())?;
        let me = process.pid();
        let state = State::new(&replica_id(), 0);
        let defaults = Settings::default();
        let max_sync_size = self.max_sync_size.unwrap_or(defaults.max_sync_size);
        let replica = Replica::new(state, me, Settings { max_sync_size, ..defaults });
        let shared = Arc::new(Shared {
            replica: RwLock::new(replica),
            me,
            started: Instant::now(),
            on_diffs: self.on_diffs,
            streams: Mutex::default(),
            told: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            untold: Mutex::default(),
            telling: Mutex::default(),
        });
        let crdt = DeltaCrdt { node: self.node.clone(), shared: Arc::clone(&shared) };
        let local = self.node.extension::<Local>();
        local.0.lock().unwrap_or_else(PoisonError::into_inner).push(crdt.clone());
        Server::start(&self.node, shared, process, self.sync_interval);
        if !self.neighbours.is_empty() {
            crdt.set_neighbour_terms(self.neighbours);
        }
        Ok(crdt)
    }
}

/// An id that no other incarnation had, and that no BEAM takes: those take up to 10^9.
fn replica_id() -> Term {
    let random = getrandom::u64().unwrap_or_else(|_none| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| u64::try_from(now.as_nanos()).unwrap_or(1))
    });
    Term::from((1_u64 << 33) + random % ((1 << 52) - (1 << 33)))
}

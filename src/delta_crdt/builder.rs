//! Starting a replica: `DeltaCrdt.start_link/2` with its options.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::server::Server;
use super::{DeltaCrdt, Diff, Local, OnDiffs, Shared, address};
use crate::crdt::{Replica, Settings, State};
use crate::node::Node;
use crate::process::{Dest, Process, RegisterError};
use crate::supervisor::ChildSpec;
use crate::term::{Pid, Term};

/// Sets a replica up; made by `Node::delta_crdt`.
#[must_use = "a replica starts with `start`"]
#[derive(Clone)]
pub struct DeltaCrdtBuilder {
    node: Node,
    name: String,
    sync_interval: Duration,
    max_sync_size: Option<usize>,
    neighbours: Vec<Term>,
    on_diffs: Option<OnDiffs>,
    parent: Option<Pid>,
    #[cfg(feature = "storage")]
    storage: Option<std::path::PathBuf>,
}

/// How long a child waits for the file of the one before it.
#[cfg(feature = "storage")]
const FILE_FREE_WITHIN: Duration = Duration::from_secs(4);

/// A replica cannot start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its name cannot be registered.
    #[error(transparent)]
    Name(#[from] RegisterError),
    /// Its storage cannot be used.
    #[cfg(feature = "storage")]
    #[error(transparent)]
    Storage(#[from] super::StorageError),
}

impl std::fmt::Debug for DeltaCrdtBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaCrdtBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl DeltaCrdtBuilder {
    pub(super) fn new(node: Node, name: &str) -> Self {
        let sync_interval = Duration::from_millis(200);
        Self {
            node,
            name: name.into(),
            sync_interval,
            max_sync_size: None,
            neighbours: Vec::new(),
            on_diffs: None,
            parent: None,
            #[cfg(feature = "storage")]
            storage: None,
        }
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
        self.on_diffs = Some(Arc::new(callback));
        self
    }

    /// Keeps it on disk, in a sub-folder of this folder: a write is done, and told to neighbours, once the disk has it, and
    /// a replica that starts with the same name and folder goes on where the last one ended, however it ended. Without,
    /// it lives in memory.
    #[cfg(feature = "storage")]
    pub fn storage(mut self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.storage = Some(folder.into());
        self
    }

    /// Links it to this process, as `start_link` links it to the caller's: an exit signal of that one ends it.
    pub fn link(mut self, parent: Pid) -> Self {
        self.parent = Some(parent);
        self
    }

    /// The replica as a supervisor's child, under its name: `DeltaCrdt.child_spec/1`. It is started anew as it was set up;
    /// with a storage it goes on where it ended.
    ///
    /// ```
    /// # use tiebeam::{Cookie, Node, node::EpmdMode};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = Node::builder("child_spec@127.0.0.1").cookie(Cookie::new("secret")?);
    /// # let node = builder.epmd(EpmdMode::Off).start().await?;
    /// let replica = node.delta_crdt("store").neighbours([("store", "a@127.0.0.1")]);
    /// node.supervisor().child(replica.child_spec()).start().await?;
    /// assert!(node.whereis("store").is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn child_spec(self) -> ChildSpec {
        ChildSpec::new(Term::atom(&self.name), move |_, parent| {
            let builder = self.clone().link(parent);
            Box::pin(async move { builder.start_as_child().await })
        })
    }

    /// The one before may not have let go of its file yet.
    async fn start_as_child(self) -> Result<Pid, Term> {
        let name = self.name.clone();
        #[cfg(feature = "storage")]
        let last = Instant::now() + FILE_FREE_WITHIN;
        let error = loop {
            match self.clone().start() {
                Ok(crdt) => return Ok(crdt.pid()),
                #[cfg(feature = "storage")]
                Err(StartError::Storage(super::StorageError::InUse { .. })) if Instant::now() < last => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => break error,
            }
        };
        Err(match (&error, self.node.whereis(name.as_str())) {
            (StartError::Name(_), Some(other)) => Term::tuple([Term::atom("already_started"), other.into()]),
            _ => Term::binary(error.to_string()),
        })
    }

    /// Starts it. With a storage, what is there is read first.
    ///
    /// # Errors
    /// [`StartError`], if the name is taken or the storage cannot be used.
    pub fn start(mut self) -> Result<DeltaCrdt, StartError> {
        #[cfg(feature = "storage")]
        if let Some(folder) = &self.storage {
            let path = super::storage::file(folder, &self.name);
            let opened = super::storage::open(&path, &replica_id(), 0)?;
            return self.start_opened(opened, path);
        }
        let state = State::new(&replica_id(), 0);
        let (shared, process) = self.shared(state)?;
        Ok(self.run(shared, process))
    }

    /// Starts it with a storage that is open.
    #[cfg(feature = "storage")]
    pub(super) fn start_opened(
        mut self,
        opened: super::storage::Opened,
        path: std::path::PathBuf,
    ) -> Result<DeltaCrdt, StartError> {
        let super::storage::Opened { database, open, mut state } = opened;
        state.note_touched();
        let (shared, process) = self.shared(state)?;
        let store = shared.store.get_or_init(|| Arc::new(super::storage::Store::new()));
        store
            .start(database, open, path.clone(), Arc::clone(&shared))
            .map_err(|error| super::StorageError::Io { path, why: error.to_string() })?;
        store.wake();
        Ok(self.run(shared, process))
    }

    fn shared(&mut self, state: State) -> Result<(Arc<Shared>, Process), StartError> {
        let process = self.node.process();
        process.register(self.name.as_str())?;
        if let Some(parent) = self.parent {
            let _just_made = process.link(parent);
        }
        let me = process.pid();
        let defaults = Settings::default();
        let max_sync_size = self.max_sync_size.unwrap_or(defaults.max_sync_size);
        let replica = Replica::new(state, me, Settings { max_sync_size, ..defaults });
        let shared = Arc::new(Shared {
            replica: RwLock::new(replica),
            name: self.name.clone(),
            me,
            started: Instant::now(),
            on_diffs: self.on_diffs.take(),
            streams: Mutex::default(),
            told: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            untold: Mutex::default(),
            telling: Mutex::default(),
            #[cfg(feature = "storage")]
            store: std::sync::OnceLock::new(),
        });
        Ok((shared, process))
    }

    fn run(self, shared: Arc<Shared>, process: Process) -> DeltaCrdt {
        let crdt = DeltaCrdt { node: self.node.clone(), shared: Arc::clone(&shared) };
        let local = self.node.extension::<Local>();
        local.0.lock().unwrap_or_else(PoisonError::into_inner).push(crdt.clone());
        Server::start(&self.node, shared, process, self.sync_interval, self.parent);
        if !self.neighbours.is_empty() {
            crdt.set_neighbour_terms(self.neighbours);
        }
        crdt
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

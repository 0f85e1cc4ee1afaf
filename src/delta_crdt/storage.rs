//! Replicas that outlive their program: an embedded database, written in atomic batches.
//!
//! A thread of its own writes what changed, together with the context it was seen under, and whoever waits for a write is
//! told when the disk has it; many writes share a batch. Nothing is sent to a neighbour before it is on the disk, so a
//! replica that comes back never makes a dot a second time. The database is `redb`: one file, checksums, and after a crash
//! the last whole batch.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use redb::{Database, ReadableTable, TableDefinition};
use tokio::sync::watch;

use super::{Shared, wire};
use crate::crdt::{Context, Dot, Flavour, Replicas, State, value_term};
use crate::etf;
use crate::term::Term;

/// Keys with what stands under them, both in the external format.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// The replica's id, its context, and what else is not of a key.
const REPLICA: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("replica");
/// What this module writes; another is refused.
const FORMAT: &[u8] = b"tiebeam replica 1";

/// After a failure the disk is tried again this much later.
const AGAIN: Duration = Duration::from_secs(1);

/// A replica's storage cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The folder or file cannot be opened or written.
    #[error("{path} cannot be used: {why}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system or the database says.
        why: String,
    },
    /// Another replica, perhaps of another program, has it open.
    #[error("{path} is in use by another replica")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// What is there is damaged, or was not written by a replica. The file is left as it is: move it away to begin anew.
    #[error("{path} is damaged or no replica's storage ({why}); it was left as it is: move it away to begin anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The replica has ended before this was written.
    #[error("the storage was closed before this was written")]
    Closed,
}

/// How far the disk is.
#[derive(Debug, Clone, Default)]
struct Durable {
    /// All changes up to this one are there.
    changes: u64,
    /// Those up to this one could not be written; they are tried again.
    failed: Option<(u64, StorageError)>,
    /// The thread has let go of the file: nothing more is written.
    closed: bool,
}

/// Opens the database, at first and after it failed.
pub(super) type Open = Box<dyn Fn() -> Result<Database, StorageError> + Send>;

/// What the replica and the thread that writes share.
#[derive(Debug)]
pub(super) struct Store {
    wanted: Mutex<Wanted>,
    wake: Condvar,
    durable: watch::Sender<Durable>,
}

#[derive(Debug, Default)]
struct Wanted {
    write: bool,
    stop: bool,
}

/// What is written at once.
struct Batch {
    changes: u64,
    keys: Vec<(Term, Option<Term>)>,
    replica: Term,
}

/// A database with what was in it.
pub(super) struct Opened {
    pub(super) database: Database,
    /// Opens it again after it failed.
    pub(super) open: Open,
    pub(super) state: State,
}

/// The file of a replica: a folder for each under the one given.
pub(super) fn file(folder: &Path, name: &str) -> PathBuf {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let escaped: String = name
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    // No name leads out of the folder.
    let escaped = if escaped.starts_with('.') { escaped.replacen('.', "%2E", 1) } else { escaped };
    folder.join(escaped).join("replica.redb")
}

/// Opens the storage in a file and reads what is there, or begins a new one for the replica `id`.
pub(super) fn open(path: &Path, id: &Term, local: i64) -> Result<Opened, StorageError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| io(path, &error))?;
    }
    let path = path.to_owned();
    open_with(path.clone(), id, local, Box::new(move || database(&path)))
}

pub(super) fn open_with(path: PathBuf, id: &Term, local: i64, open: Open) -> Result<Opened, StorageError> {
    let damaged = |why: String| StorageError::Damaged { path: path.clone(), why };
    let load = || {
        let database = open()?;
        let state = read(&database, local).map_err(damaged)?;
        Ok((database, state.unwrap_or_else(|| State::new(id, local))))
    };
    // redb panics on some damaged files, such as one that was cut off.
    let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(load));
    let (database, state) = loaded.unwrap_or_else(|_panic| Err(damaged("it is cut off, or its pages are".into())))?;
    Ok(Opened { database, open, state })
}

fn io(path: &Path, why: &impl ToString) -> StorageError {
    StorageError::Io { path: path.to_owned(), why: why.to_string() }
}

fn database(path: &Path) -> Result<Database, StorageError> {
    let damaged = |why: String| StorageError::Damaged { path: path.to_owned(), why };
    // An empty file would be made a database of; it was one, perhaps.
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        return Err(damaged("it is empty".into()));
    }
    Database::create(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StorageError::InUse { path: path.to_owned() },
        redb::DatabaseError::Storage(redb::StorageError::Io(error))
            if error.kind() == std::io::ErrorKind::InvalidData =>
        {
            damaged("it is no database".into())
        }
        redb::DatabaseError::Storage(redb::StorageError::Io(error)) => io(path, &error),
        other => damaged(other.to_string()),
    })
}

/// What was stored; `None` in a new database.
pub(super) fn read(database: &Database, local: i64) -> Result<Option<State>, String> {
    let why = |error: &dyn std::fmt::Display| error.to_string();
    let transaction = database.begin_read().map_err(|error| why(&error))?;
    let replica = match transaction.open_table(REPLICA) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(why(&error)),
    };
    let field = |name: &str| replica.get(name).map_err(|error| why(&error));
    let Some(format) = field("format")? else { return Err("it says no format".into()) };
    if format.value() != FORMAT {
        return Err("it is of another format".into());
    }
    let Some(replica) = field("replica")? else { return Err("it has no replica".into()) };
    let replica = term(replica.value())?;
    let mut replicas = Replicas::default();
    let (me, context, early, keys) = read_replica(&replica, &mut replicas).ok_or("its replica is none")?;
    let mut state = State::restored(&me, replicas, context, early, local);
    let entries = transaction.open_table(ENTRIES).map_err(|error| why(&error))?;
    for entry in entries.iter().map_err(|error| why(&error))? {
        let (key, value) = entry.map_err(|error| why(&error))?;
        let value = value.value().split_first_chunk().filter(|(sum, rest)| **sum == checksum(key.value(), rest));
        let (_, value) = value.ok_or("an entry is not what was written")?;
        let (key, value) = (term(key.value())?, term(value)?);
        let elements =
            wire::read_elements(&value, &mut state.replicas, &mut None).flatten().ok_or("a value of it is none")?;
        state.restore_key(&key, elements, local);
    }
    if state.map.len() != keys {
        return Err(format!("it has {} of {keys} keys", state.map.len()));
    }
    Ok(Some(state))
}

/// Stands before each value: pages that the database does not happen to check are checked all the same.
fn checksum(key: &[u8], value: &[u8]) -> [u8; 16] {
    let mut sum = md5::Context::new();
    sum.consume((key.len() as u64).to_be_bytes());
    sum.consume(key);
    sum.consume(value);
    sum.finalize().0
}

fn term(bytes: &[u8]) -> Result<Term, String> {
    etf::decode(&bytes::Bytes::copy_from_slice(bytes)).map_err(|error| error.to_string())
}

/// `{Id, [{Replica, Counter}], [{Replica, Counter}], Keys}`: its own id, its context, what it saw replaced beyond that, and how
/// many keys there are.
fn replica_term(state: &State) -> Term {
    let dots = |dots: &mut dyn Iterator<Item = Dot>| {
        Term::list(dots.map(|dot| crate::crdt::dot_term(dot, &state.replicas)).collect::<Vec<_>>())
    };
    let id = state.replicas.id(state.me).clone();
    let keys = Term::from(state.map.len() as u64);
    Term::tuple([id, dots(&mut state.context.iter()), dots(&mut state.early()), keys])
}

fn read_replica(term: &Term, replicas: &mut Replicas) -> Option<(Term, Context, Vec<Dot>, usize)> {
    let [id, context, early, keys] = term.as_tuple()? else { return None };
    let mut dots = |list: &Term| -> Option<Vec<Dot>> {
        let list = list.as_list().filter(|list| list.is_proper())?;
        list.iter().map(|dot| wire::read_dot(&dot, replicas)).collect()
    };
    let mut seen = Context::default();
    dots(context)?.into_iter().for_each(|dot| seen.raise(dot));
    Some((id.clone(), seen, dots(early)?, usize::try_from(keys.as_i64()?).ok()?))
}

impl Store {
    pub(super) fn new() -> Self {
        Self { wanted: Mutex::default(), wake: Condvar::new(), durable: watch::channel(Durable::default()).0 }
    }

    /// Something changed.
    pub(super) fn wake(&self) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).write = true;
        self.wake.notify_one();
    }

    /// Writes what is left and lets go of the file.
    pub(super) fn stop(&self) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.notify_one();
    }

    /// Waits until the file is free.
    pub(super) async fn closed(&self) {
        let mut durable = self.durable.subscribe();
        let _writer_gone = durable.wait_for(|durable| durable.closed).await;
    }

    /// Waits until the disk has all changes up to this one. Cancel-safe.
    pub(super) async fn committed(&self, changes: u64) -> Result<(), StorageError> {
        let mut durable = self.durable.subscribe();
        let decided = |durable: &Durable| {
            let failed = durable.failed.as_ref().is_some_and(|(upto, _)| *upto >= changes);
            durable.changes >= changes || failed || durable.closed
        };
        let Ok(durable) = durable.wait_for(decided).await else { return Err(StorageError::Closed) };
        match &durable.failed {
            _ if durable.changes >= changes => Ok(()),
            Some((_, why)) => Err(why.clone()),
            None => Err(StorageError::Closed),
        }
    }

    /// Starts the thread that writes.
    pub(super) fn start(
        self: &Arc<Self>,
        opened: Database,
        open: Open,
        path: PathBuf,
        shared: Arc<Shared>,
    ) -> std::io::Result<()> {
        let store = Arc::clone(self);
        let work = move || {
            store.work(Some(opened), &open, &path, &shared);
            store.durable.send_modify(|durable| durable.closed = true);
        };
        std::thread::Builder::new().name("tiebeam-store".into()).spawn(work).map(drop)
    }

    fn work(&self, mut database: Option<Database>, open: &Open, path: &Path, shared: &Shared) {
        // Nothing yet: a new replica's id is to be there before its first dot.
        let mut stored = None;
        loop {
            let stop = self.wait(None);
            let Some(batch) = Batch::take(shared, stored) else {
                if stop {
                    return;
                }
                continue;
            };
            let written = match database.take().map_or_else(open, Ok) {
                Ok(open) => write(&open, &batch, path).map(|()| open),
                Err(error) => Err(error),
            };
            match written {
                Ok(open) => {
                    database = Some(open);
                    stored = Some(batch.changes);
                    self.durable.send_replace(Durable { changes: batch.changes, ..Durable::default() });
                }
                Err(error) => {
                    // A database that failed has to be opened anew.
                    tracing::error!(%error, "a replica's writes are not on the disk; trying again");
                    self.durable.send_modify(|durable| durable.failed = Some((batch.changes, error)));
                    batch.put_back(shared);
                    if stop {
                        return;
                    }
                    self.wait(Some(AGAIN));
                    self.wake();
                }
            }
        }
    }

    /// Waits for something to do, or so long for the end; whether it is to end.
    fn wait(&self, only_end: Option<Duration>) -> bool {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = only_end {
            let waited = self.wake.wait_timeout_while(wanted, limit, |wanted| !wanted.stop);
            return waited.unwrap_or_else(PoisonError::into_inner).0.stop;
        }
        while !wanted.write && !wanted.stop {
            wanted = self.wake.wait(wanted).unwrap_or_else(PoisonError::into_inner);
        }
        wanted.write = false;
        wanted.stop
    }
}

impl Batch {
    /// What changed since so many changes were stored; `None` if nothing did.
    fn take(shared: &Shared, stored: Option<u64>) -> Option<Self> {
        let state = &mut shared.write().state;
        if stored == Some(state.changes) {
            return None;
        }
        let touched = state.take_touched();
        let keys = touched.into_iter().map(|key| {
            let value = state.map.get(&key).map(|elements| value_term(elements, &state.replicas, Flavour::default()));
            (key, value)
        });
        Some(Self { changes: state.changes, keys: keys.collect(), replica: replica_term(state) })
    }

    fn put_back(self, shared: &Shared) {
        shared.write().state.touch_again(self.keys.into_iter().map(|(key, _)| key));
    }
}

fn write(database: &Database, batch: &Batch, path: &Path) -> Result<(), StorageError> {
    let encoded = |term: &Term| {
        let bytes = etf::encode(term);
        bytes.inspect_err(|error| tracing::error!(%error, %term, "a term cannot be stored"))
    };
    let store = || -> Result<(), Box<dyn std::error::Error>> {
        let transaction = database.begin_write()?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            for (key, value) in &batch.keys {
                let Ok(key) = encoded(key) else { continue };
                match value.as_ref().map(&encoded) {
                    Some(Ok(value)) => {
                        let value = [&checksum(&key, &value)[..], &value].concat();
                        entries.insert(&key[..], &value[..])?;
                    }
                    Some(Err(_)) => {}
                    None => drop(entries.remove(&key[..])?),
                }
            }
            let mut replica = transaction.open_table(REPLICA)?;
            replica.insert("format", FORMAT)?;
            if let Ok(bytes) = encoded(&batch.replica) {
                replica.insert("replica", &bytes[..])?;
            }
        }
        transaction.commit()?;
        Ok(())
    };
    store().map_err(|error| io(path, &error))
}

//! Replicas on disk: they go on where they ended, refuse what is damaged, and lose nothing that was acknowledged.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::node;
use crate::delta_crdt::{DeltaCrdt, DeltaCrdtError, StartError, StorageError, storage};
use crate::term::Term;

fn id_and_counter(crdt: &DeltaCrdt) -> (Term, u64) {
    let replica = crdt.shared.read();
    let state = &replica.state;
    (state.replicas.id(state.me).clone(), state.context.get(state.me))
}

#[tokio::test]
async fn a_replica_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let node = node("crdt-stored").await;
    let start = || node.delta_crdt("Elixir.My/store").storage(folder.path()).start();
    let crdt = start().unwrap();
    for key in 0..100 {
        crdt.put(key, key).await.unwrap();
    }
    crdt.delete(7).await.unwrap();
    crdt.put(8, "again").await.unwrap();
    let before = (id_and_counter(&crdt), crdt.to_map());
    // Somebody else has it open.
    let same = node.delta_crdt("other").storage(folder.path().join("x")).start();
    assert!(same.is_ok());
    let path = storage::file(folder.path(), "Elixir.My/store");
    assert!(path.exists(), "{path:?}");
    assert!(matches!(storage::open(&path, &Term::from(1), 0), Err(StorageError::InUse { .. })));
    crdt.stop().await;
    let crdt = start().unwrap();
    assert_eq!((id_and_counter(&crdt), crdt.to_map()), before);
    assert_eq!(crdt.get::<String>(8).unwrap().as_deref(), Some("again"));
    // The next dot is a new one.
    crdt.put("new", 1).await.unwrap();
    assert_eq!(id_and_counter(&crdt), (before.0.0, before.0.1 + 1));
    node.shutdown().await;
}

#[tokio::test]
async fn what_is_damaged_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let node = node("crdt-damaged").await;
    let start = || node.delta_crdt("store").storage(folder.path()).start();
    let crdt = start().unwrap();
    for key in 0..2_000 {
        let value = "x".repeat(100);
        crdt.shared.write().add(&Term::from(key), Term::binary(&value), 0);
    }
    crdt.put("end", 1).await.unwrap();
    crdt.stop().await;
    let path = storage::file(folder.path(), "store");
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    // One byte of each value, those in pages that are no longer used included.
    let values: Vec<usize> = (0..whole.len() - 100).filter(|at| whole[*at..at + 100] == [b'x'; 100]).collect();
    assert!(!values.is_empty());
    values.iter().for_each(|at| flipped[at + 50] ^= 1);
    for damaged in [flipped, whole[..whole.len() / 2].to_vec(), b"not a database at all".to_vec(), Vec::new()] {
        std::fs::write(&path, &damaged).unwrap();
        let refused = start();
        assert!(matches!(refused, Err(StartError::Storage(StorageError::Damaged { .. }))), "{:?}", refused.err());
        assert!(std::fs::read(&path).unwrap().len() >= damaged.len(), "the file is there");
        // The name is free again.
        assert!(node.whereis("store").is_none());
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(start().unwrap().len(), 2_001);
    node.shutdown().await;
}

#[tokio::test]
async fn nobody_waits_for_a_storage_that_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let node = node("crdt-closed").await;
    let crdt = node.delta_crdt("store").storage(folder.path()).start().unwrap();
    crdt.put("before", 1).await.unwrap();
    crdt.shared.store.get().unwrap().stop();
    crdt.shared.store.get().unwrap().closed().await;
    // As a write that began before the end was known.
    crdt.shared.write().add(&Term::binary("late"), Term::from(2), 0);
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), crdt.shared.stored()).await;
    assert_eq!(waited.expect("it is told"), Err(DeltaCrdtError::Storage(StorageError::Closed)));
    node.shutdown().await;
}

/// A disk that can be full.
struct Disk {
    disk: Arc<InMemoryBackend>,
    full: Arc<AtomicBool>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    fn room(&self) -> std::io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
        self.disk.read(offset, len)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.room()?;
        self.disk.set_len(len)
    }

    fn sync_data(&self, eventual: bool) -> std::io::Result<()> {
        self.room()?;
        self.disk.sync_data(eventual)
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.room()?;
        self.disk.write(offset, data)
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_waited_for() {
    let node = node("crdt-full").await;
    let (disk, full) = (Arc::new(InMemoryBackend::new()), Arc::new(AtomicBool::new(false)));
    let (again, switch) = (Arc::clone(&disk), Arc::clone(&full));
    let open = move || {
        let backend = Disk { disk: Arc::clone(&again), full: Arc::clone(&switch) };
        redb::Builder::new()
            .create_with_backend(backend)
            .map_err(|error| StorageError::Io { path: "disk".into(), why: error.to_string() })
    };
    let opened = storage::open_with(Path::new("disk").into(), &Term::from(1), 0, Box::new(open)).unwrap();
    let crdt = node.delta_crdt("store").start_opened(opened, "disk".into()).unwrap();
    crdt.put("before", 1).await.unwrap();
    full.store(true, Ordering::SeqCst);
    let refused = crdt.put("full", 2).await;
    assert!(matches!(refused, Err(DeltaCrdtError::Storage(_))), "{refused:?}");
    assert_eq!(crdt.get::<i64>("before").unwrap(), Some(1), "it still answers");
    full.store(false, Ordering::SeqCst);
    // What was refused is tried again, and what comes now is stored with it.
    let mut tries = 0;
    while crdt.put("after", 3).await.is_err() {
        tries += 1;
        assert!(tries < 100, "the disk has room again");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    crdt.stop().await;
    let backend = Disk { disk, full };
    let database = redb::Builder::new().create_with_backend(backend).unwrap();
    let state = storage::read(&database, 0).unwrap().unwrap();
    let stored = |key: &str| state.get(&Term::binary(key)).cloned();
    assert_eq!([stored("before"), stored("full"), stored("after")], [1, 2, 3].map(|n| Some(Term::from(n))));
    node.shutdown().await;
}

//! The process of a replica and its handles: callbacks that write, replicas that are killed, diffs as Elixir has them.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::node;
use crate::delta_crdt::{DeltaCrdt, DeltaCrdtError, Diff, Operation};
use crate::node::Node;
use crate::term::Term;

fn add(key: &str, value: i64) -> Diff {
    Diff::Add(Term::binary(key), value.into())
}

#[tokio::test]
async fn a_callback_may_write() {
    let node = node("crdt-callback").await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let (all, crdt) = (Arc::clone(&told), Arc::new(OnceLock::<DeltaCrdt>::new()));
    let inner = Arc::clone(&crdt);
    let builder = node.delta_crdt("store").on_diffs(move |diffs| {
        all.lock().unwrap().extend(diffs.to_vec());
        if diffs == [add("one", 1)] {
            let write = Operation::Add(Term::binary("two"), 2.into());
            inner.get().expect("it was started").mutate_all(vec![write]).expect("it is there");
        }
    });
    crdt.set(builder.start().unwrap()).unwrap();
    crdt.get().unwrap().put("one", 1).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [add("one", 1), add("two", 2)]);
    node.shutdown().await;
}

#[tokio::test]
async fn what_is_killed_says_so() {
    let node = node("crdt-killed").await;
    let crdt = node.delta_crdt("store").start().unwrap();
    let mut diffs = crdt.diffs();
    node.process().exit(crdt.pid(), &Term::atom("kill")).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), diffs.next()).await;
    assert_eq!(ended.expect("the stream ends"), None);
    assert_eq!(crdt.put("key", 1).await, Err(DeltaCrdtError::Ended));
    node.shutdown().await;
}

/// As `DeltaCrdt`'s `diffs_to_callback` compares what is read before and after: `nil` is nothing, and of several writes of
/// a key in one operation the outcome counts.
#[tokio::test]
async fn diffs_are_of_what_is_read() {
    let node = node("crdt-diffs").await;
    let crdt = node.delta_crdt("store").start().unwrap();
    let mut diffs = crdt.diffs();
    crdt.put("nothing", None::<i64>).await.unwrap();
    crdt.delete("nothing").await.unwrap();
    crdt.put("key", 1).await.unwrap();
    crdt.put("key", 1).await.unwrap();
    crdt.put("key", None::<i64>).await.unwrap();
    let key = || Term::binary("key");
    let add = |value: i64| Operation::Add(key(), value.into());
    crdt.mutate_all(vec![add(5), Operation::Remove(key())]).unwrap();
    crdt.mutate_all(vec![Operation::Remove(key()), add(6), add(7)]).unwrap();
    crdt.put("end", 0).await.unwrap();
    let mut told = Vec::new();
    while told.last() != Some(&self::add("end", 0)) {
        told.push(diffs.next().await.unwrap());
    }
    assert_eq!(told, [self::add("key", 1), Diff::Remove(key()), self::add("key", 7), self::add("end", 0)]);
    node.shutdown().await;
}

/// As `keys_updated_count` counts: a key that is written again counts again, one that is not there is no change.
#[tokio::test]
async fn figures_count_what_changed() {
    let node = node("crdt-figures").await;
    let crdt = node.delta_crdt("store").start().unwrap();
    crdt.mutate(Operation::add("one", 1).unwrap()).await.unwrap();
    crdt.mutate_async(Operation::add("one", 1).unwrap()).unwrap();
    crdt.mutate(Operation::remove("other").unwrap()).await.unwrap();
    assert_eq!(crdt.sync_figures().keys_updated, 2);
    let second = node.delta_crdt("second").start().unwrap();
    crdt.set_neighbours(["second"]);
    until(|| second.sync_figures().syncs > 0).await;
    assert_eq!(second.sync_figures().keys_updated, 1);
    let keys = [Term::binary("one"), Term::binary("other")];
    assert_eq!((crdt.read(), crdt.read_keys(&keys)), (second.to_map(), second.to_map()));
    node.shutdown().await;
}

async fn until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it comes true");
}

fn running(node: &Node) -> Option<DeltaCrdt> {
    node.delta_crdts().into_iter().find(|crdt| node.whereis("store") == Some(crdt.pid()))
}

#[tokio::test]
async fn a_supervisor_starts_it_again() {
    let node = node("crdt-child").await;
    let builder = node.delta_crdt("store");
    #[cfg(feature = "storage")]
    let folder = tempfile::tempdir().unwrap();
    #[cfg(feature = "storage")]
    let builder = builder.storage(folder.path());
    // Only its parent ends a supervisor.
    let mut process = node.process();
    process.trap_exit(true);
    let supervisor = node.supervisor().link(process.pid()).child(builder.child_spec()).start().await.unwrap();
    let first = running(&node).expect("it is started");
    first.put("key", 1).await.unwrap();
    node.process().exit(first.pid(), &Term::atom("kill")).unwrap();
    until(|| running(&node).is_some_and(|crdt| crdt.pid() != first.pid())).await;
    let second = running(&node).unwrap();
    #[cfg(feature = "storage")]
    assert_eq!(second.get("key").unwrap(), Some(1));
    // It ends with its supervisor.
    let end = process.monitor(second.pid()).unwrap();
    process.exit(supervisor, &Term::atom("shutdown")).unwrap();
    process.down(end).await.unwrap();
    assert_eq!(node.whereis("store"), None);
    node.shutdown().await;
}

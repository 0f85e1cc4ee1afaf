//! The process of a replica and its handles: callbacks that write, replicas that are killed, diffs as Elixir has them.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::node;
use crate::delta_crdt::{DeltaCrdt, DeltaCrdtError, Diff, Operation};
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
    let ended = tokio::time::timeout(Duration::from_secs(20), diffs.next()).await;
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

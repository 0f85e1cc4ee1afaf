//! Supervisors of a node that nobody else sees.

use std::time::Duration;

use super::*;
use crate::etf::Encoded;
use crate::gen_server::{Context, Reply};
use crate::process::{Exit, From};
use crate::term;

struct Worker;

impl GenServer for Worker {
    async fn call(&mut self, _: Encoded, _: From, context: &mut Context) -> Result<Reply, Exit> {
        Ok(Reply::Stop(
            Encoded::of(&context.process.pid()).map_err(|_unencodable| Exit::normal())?,
            Term::atom("crash").into(),
        ))
    }
}

async fn node() -> Node {
    let node = Node::builder("supervised@127.0.0.1").cookie(crate::Cookie::new("c").expect("a cookie")).unlisted();
    node.start().await.expect("a node without a listener starts")
}

async fn children(node: &Node, supervisor: Pid) -> Vec<(String, Term)> {
    let all: Vec<(Term, Term, Term, Term)> =
        node.gen_call(supervisor, term!(:which_children)).await.expect("a supervisor answers");
    all.into_iter().map(|(id, pid, _, _)| (id.to_string(), pid)).collect()
}

async fn crash(node: &Node, name: &str) {
    let _pid: Term = node.gen_call(name, term!(:crash)).await.expect("a worker answers, then ends");
}

async fn restarted(strategy: Strategy) -> Vec<bool> {
    let node = node().await;
    let mut supervisor = node.supervisor().strategy(strategy);
    for name in ["a", "b", "c"] {
        supervisor = supervisor.child(ChildSpec::registered(name, || Worker));
    }
    let supervisor = supervisor.start().await.expect("its children start");
    let before = children(&node, supervisor).await;
    assert_eq!(before.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
    crash(&node, "b").await;
    loop {
        let after = children(&node, supervisor).await;
        if after[1] != before[1] && after.iter().all(|(_, pid)| pid.as_pid().is_some()) {
            node.shutdown().await;
            return before.iter().zip(&after).map(|(old, new)| old != new).collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_strategy_says_who_else_is_restarted() {
    assert_eq!(restarted(Strategy::OneForOne).await, [false, true, false]);
    assert_eq!(restarted(Strategy::RestForOne).await, [true, true, false]);
    assert_eq!(restarted(Strategy::OneForAll).await, [true, true, true]);
}

#[tokio::test]
async fn too_many_restarts_end_the_supervisor_and_its_children() {
    let node = node().await;
    let supervisor = node.supervisor().intensity(Intensity { restarts: 1, within: Duration::from_secs(60) });
    let supervisor = supervisor.child(ChildSpec::registered("other", || Worker));
    let pid = supervisor.child(ChildSpec::registered("a", || Worker)).start().await.expect("its children start");
    let mut watcher = node.process();
    let (watch, other) = (watcher.monitor(pid).expect("alive"), watcher.monitor("other").expect("alive"));
    crash(&node, "a").await;
    while node.whereis("a").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    crash(&node, "a").await;
    for reference in [watch, other] {
        let down = watcher.down(reference).await.expect("the watcher lives");
        assert!(down.reason.is_atom("shutdown"), "{:?}", down.reason.term());
    }
    assert_eq!(node.whereis("a"), None);
    node.shutdown().await;
}

#[tokio::test]
async fn a_child_that_does_not_start_takes_back_those_before_it() {
    let node = node().await;
    let supervisor = node.supervisor().child(ChildSpec::registered("a", || Worker));
    let bad = ChildSpec::new(Term::atom("b"), |_, _| Box::pin(async { Err(Term::atom("no")) }));
    let started = supervisor.child(bad).start().await;
    let why = Term::tuple([Term::atom("failed_to_start_child"), Term::atom("b"), Term::atom("no")]);
    assert_eq!(started, Err(SupervisorError::Child(why)));
    while node.whereis("a").is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.shutdown().await;
}

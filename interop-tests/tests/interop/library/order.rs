//! `nodeup` before every message of its connection and `nodedown` after the last, while connections come and go under fire.
//!
//! A process of this program and one of a BEAM each watch the other node, and are written to all the time by processes of
//! it, whose sends connect by themselves. Whatever comes outside of a `nodeup` and its `nodedown` is a violation.

use std::time::Duration;

use interop_tests::Release;
use tiebeam::node::MonitorNodes;
use tiebeam::{Atom, Node, Process, Term};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Duo, PATIENCE};

/// How often the connection is lost, where TIEBEAM_LONG does not ask for more.
const SHORT: u32 = 50;
const LONG: u32 = 1000;

/// What one side has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    ups: u32,
    downs: u32,
    messages: u64,
    /// Messages of the connection that is up.
    of_this: u32,
    violations: u32,
}

impl Seen {
    fn event(&mut self, kind: &str) {
        match kind {
            "nodeup" if self.ups == self.downs => *self = Self { ups: self.ups + 1, of_this: 0, ..*self },
            "nodedown" if self.ups == self.downs + 1 => self.downs += 1,
            "fire" if self.ups == self.downs + 1 => {
                self.messages += 1;
                self.of_this += 1;
            }
            _ => self.violations += 1,
        }
    }
}

pub(super) fn node_events_frame_the_messages_of_their_connection(release: Release) {
    let times = if interop_tests::is_long_run("1,000 connections under fire") { LONG } else { SHORT };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    runtime.block_on(async {
        let scenario = under_fire(release, times);
        timeout(PATIENCE * (2 + times / 10), scenario).await.expect("the scenario comes to its end");
    });
}

async fn under_fire(release: Release, times: u32) {
    let mut duo = Duo::new(release).await;
    let (told, mut seen) = watch::channel(Seen::default());
    let mut watcher = duo.node.process();
    watcher.register("watcher").expect("a free name");
    duo.node.monitor_nodes_as(&watcher, MonitorNodes::plain());
    let peer = duo.peer();
    let watching = tokio::spawn(async move { watched(&mut watcher, peer, &told).await });
    assert_eq!(duo.eval("tiebeam_peer:under_fire(N, 4)."), "ok");
    let fire: Vec<_> = (0..4).map(|_| fire(&duo.node, peer)).collect();

    for turn in 0..times {
        let ready = seen.wait_for(|seen| seen.ups == seen.downs + 1 && seen.ups > turn && seen.of_this > 2);
        let ready = timeout(PATIENCE, ready).await;
        let ready = ready.unwrap_or_else(|_late| panic!("turn {turn} on {release:?}")).map(|seen| *seen);
        assert_eq!(ready.expect("the watcher lives").violations, 0);
        // In turn from here and from there, where a connection that the kernel has not heard of yet cannot be closed.
        while seen.borrow().downs <= turn {
            if turn % 2 == 0 {
                duo.node.disconnect(peer).await;
            } else {
                duo.eval("erlang:disconnect_node(N).");
            }
            let gone = timeout(Duration::from_millis(500), seen.wait_for(|seen| seen.downs > turn)).await;
            if let Ok(gone) = gone {
                gone.expect("the watcher lives");
            }
        }
    }
    let end = duo.node.process();
    for pid in fire {
        end.exit(pid, &tiebeam::term!(:kill)).expect("it lives");
    }
    let theirs = duo.eval("tiebeam_peer:ceased_fire().");
    watching.abort();
    let ours = *seen.borrow();
    println!("{release:?}: {times} disconnects; here {ours:?}, there {theirs}");
    assert_eq!(ours.violations, 0, "{ours:?}");
    assert!(ours.downs >= times && ours.messages > u64::from(times), "{ours:?}");
    let theirs: Vec<u64> =
        theirs.trim_matches(['{', '}']).split(',').map(|count| count.parse().expect("a count")).collect();
    let [ups, downs, messages, violations] = theirs[..] else { panic!("{theirs:?}") };
    assert_eq!(violations, 0);
    // A BEAM tells of no connection that is lost before its kernel has heard of it.
    assert!(ups >= downs && downs >= u64::from(times) * 9 / 10 && messages > u64::from(times), "{theirs:?}");
    // The BEAM's own log is no matter here: its kernel complains of callers that are cut off in the middle of accepting them.
    duo.node.shutdown().await;
}

/// Counts what comes until it is stopped.
async fn watched(watcher: &mut Process, peer: Atom, told: &watch::Sender<Seen>) {
    while let Ok(mail) = watcher.receive().await {
        let message = mail.term().expect("a term");
        let parts = message.as_tuple().expect("a tuple");
        let kind = parts[0].as_atom().expect("its kind");
        assert!(kind == "fire" || parts[1] == Term::from(peer), "{message}");
        told.send_modify(|seen| seen.event(kind.as_str()));
    }
}

/// A process that writes to the BEAM's watcher, now and then so much that it goes in fragments.
fn fire(node: &Node, peer: Atom) -> tiebeam::Pid {
    node.spawn(move |process| async move {
        let large = vec![7_u8; 150_000];
        for n in 0_u64.. {
            let body: &[u8] = if n % 40 == 39 { &large } else { b"small" };
            let message = Term::tuple([Term::atom("fire"), Term::binary(body)]);
            if process.send((Atom::new("watcher"), peer), message).await.is_err() {
                return;
            }
            if n % 4 == 3 {
                // No faster than a mailbox is read.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    })
}

//! Two nodes in one program, over loopback, with an EPMD of their own.

use std::time::Duration;

use tiebeam::node::{EpmdMode, NodeEvent};
use tiebeam::process::{CallError, Dest, Mail, Process};
use tiebeam::rpc::{Class, Raise, RpcError};
use tiebeam::{Cookie, Node, Term, epmd};

/// A test that takes longer hangs.
const AT_MOST: Duration = Duration::from_secs(60);

async fn pair(name: &str) -> (Node, Node) {
    let port = interop_tests::free_port();
    (start(&format!("{name}_a@127.0.0.1"), port).await, start(&format!("{name}_b@127.0.0.1"), port).await)
}

async fn start(name: &str, port: u16) -> Node {
    let epmd = epmd::Config { port, ..epmd::Config::default() };
    let cookie = Cookie::new("two_nodes").expect("a cookie");
    let builder = Node::builder(name).cookie(cookie).epmd(EpmdMode::Auto).epmd_config(epmd);
    builder.start().await.expect("the node starts")
}

async fn next(process: &mut Process) -> Term {
    let mail = tokio::time::timeout(AT_MOST, process.receive()).await.expect("mail comes in time");
    mail.expect("the process lives").term().expect("mail is a term")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_large_message_is_not_left_behind() {
    let (a, b) = pair("large").await;
    let mut receiver = b.process();
    let sender = a.process();
    for size in [16_000, 17_000, 65_536, 200_000, 3_000_000] {
        let large = Term::from(bytes::Bytes::from(vec![7_u8; size]));
        sender.send(receiver.pid(), &large).await.expect("connected");
        sender.send(receiver.pid(), 1).await.expect("connected");
        assert!(next(&mut receiver).await == large, "{size} bytes");
        assert_eq!(next(&mut receiver).await, Term::from(1), "behind {size} bytes");
    }
    // More than the busy limit, so that the sender has to wait for the writer.
    let large = Term::from(bytes::Bytes::from(vec![7_u8; 65_536]));
    let sending = tokio::spawn(async move {
        for _ in 0..500 {
            sender.send(Dest::Pid(receiver.pid()), &large).await.expect("connected");
        }
        (sender, receiver)
    });
    let sent = tokio::time::timeout(AT_MOST, sending).await.expect("the writer goes on");
    let (_sender, mut receiver) = sent.expect("no panic");
    for _ in 0..500 {
        next(&mut receiver).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_functions_are_called_and_fail_as_they_fail() {
    let (a, b) = pair("rpc").await;
    b.export("math", "add", |(x, y): (i64, i64)| async move { Ok(x + y) });
    b.export("math", "fail", |(): ()| async move { Err::<(), _>(Raise::error(Term::atom("oops"))) });
    let rpc = a.rpc(b.name());
    assert_eq!(rpc.call::<i64>("math", "add", (1, 2)).await, Ok(3));
    let undef = rpc.call::<i64>("math", "nope", (1,)).await.expect_err("not exported");
    assert!(matches!(undef, RpcError::Remote { class: Class::Error, ref reason, .. } if reason.is_atom("undef")));
    let badarg = rpc.call::<i64>("math", "add", ("one", 2)).await.expect_err("no integer");
    assert!(matches!(badarg, RpcError::Remote { class: Class::Error, ref reason, .. } if reason.is_atom("badarg")));
    let oops = rpc.call::<()>("math", "fail", ()).await.expect_err("it fails");
    assert!(matches!(oops, RpcError::Remote { class: Class::Error, ref reason, .. } if reason.is_atom("oops")));
    let nobody = a.rpc("nobody@127.0.0.1").call::<i64>("math", "add", (1, 2)).await;
    assert!(matches!(nobody, Err(RpcError::NoConnection(_))), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn monitors_links_and_events_tell_of_a_shutdown() {
    let (a, b) = pair("events").await;
    let mut events = a.monitor_nodes();
    let mut me = a.process();
    me.trap_exit(true);
    let there = b.process();
    there.register("there").expect("a free name");
    me.monitor(("there", b.name())).expect("it lives");
    me.link(there.pid()).expect("it lives");
    let alive = tokio::time::timeout(AT_MOST, events.next()).await.expect("an event");
    assert!(matches!(alive, NodeEvent::Up(peer) if peer.name == b.name()));
    // The link has arrived when a call behind it has been answered.
    let ping = Term::tuple([Term::atom("is_auth"), Term::from(a.name())]);
    assert_eq!(me.call(("net_kernel", b.name()), &ping, Some(AT_MOST)).await, Ok(Term::atom("yes")));

    drop(there);
    let Mail::Exit(exit) = me.receive().await.expect("trapped") else { panic!("links first") };
    assert!(exit.reason.is_atom("normal"));
    let Mail::Down(down) = me.receive().await.expect("it lives") else { panic!("a DOWN was due") };
    assert!(down.reason.is_atom("normal"));
    assert_eq!(down.object(), Term::tuple([Term::atom("there"), Term::from(b.name())]));

    tokio::time::timeout(AT_MOST, b.shutdown()).await.expect("the shutdown ends");
    let gone = tokio::time::timeout(AT_MOST, events.next()).await.expect("an event");
    assert!(matches!(gone, NodeEvent::Down(peer, _) if peer.name == b.name()));
    let call = me.call(("there", b.name()), &Term::nil(), Some(AT_MOST)).await;
    assert!(matches!(call, Err(CallError::NoConnection(_))), "{call:?}");
    tokio::time::timeout(AT_MOST, a.shutdown()).await.expect("the shutdown ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_the_middle_of_connecting_comes_to_its_end() {
    let port = interop_tests::free_port();
    let stays = start("middle_b@127.0.0.1", port).await;
    let peer = stays.name();
    for turn in 0..200_u32 {
        let node = start(&format!("middle_a{turn}@127.0.0.1"), port).await;
        let (dialling, dialled) = (node.clone(), node.name());
        let dial = tokio::spawn(async move { dialling.connect(peer).await });
        // From both sides, and at every step of the handshake.
        let other = stays.clone();
        let back = tokio::spawn(async move { other.connect(dialled).await });
        let until = std::time::Instant::now() + Duration::from_micros(u64::from(turn) * 20);
        while std::time::Instant::now() < until {
            tokio::task::yield_now().await;
        }
        tokio::time::timeout(AT_MOST, node.shutdown()).await.unwrap_or_else(|_late| panic!("turn {turn}"));
        let _refused_or_not = tokio::join!(dial, back);
    }
}

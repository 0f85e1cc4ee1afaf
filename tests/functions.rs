//! What `rpc`, `erpc` and `Node` offer a program, between two nodes over loopback.

use std::time::Duration;

use tiebeam::etf::Encoded;
use tiebeam::node::NodeKind;
use tiebeam::process::{Answer, Dest, Mail, Process, Registry, SendError};
use tiebeam::rpc::{Class, Raise, RequestIds, Response, RpcError};
use tiebeam::{Atom, Cookie, Node, NodeBuilder, Term, epmd};
use tokio::sync::watch;

/// A test that takes longer hangs.
const AT_MOST: Option<Duration> = Some(Duration::from_secs(60));

async fn pair(name: &str) -> (Node, Node) {
    let port = interop_tests::free_port();
    (start(&format!("{name}_a@127.0.0.1"), port).await, start(&format!("{name}_b@127.0.0.1"), port).await)
}

fn builder(name: &str, port: u16) -> NodeBuilder {
    let epmd = epmd::Config { port, ..epmd::Config::default() };
    Node::builder(name).cookie(Cookie::new("functions").expect("a cookie")).epmd_config(epmd)
}

async fn start(name: &str, port: u16) -> Node {
    let node = builder(name, port).start().await.expect("the node starts");
    node.export("math", "add", |(x, y): (i64, i64)| async move { Ok(x + y) });
    node.export("math", "sleep", |(ms,): (u64,)| async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(ms)
    });
    node.export("math", "fail", |(): ()| async move { Err::<(), _>(Raise::error(Term::atom("oops"))) });
    node
}

/// Exports `gate:pass`, whose calls return, each with its number, once the gate is open for it.
fn gate(node: &Node) -> watch::Sender<u64> {
    let gate = watch::Sender::new(0_u64);
    let opened = gate.clone();
    node.export("gate", "pass", move |(n,): (u64,)| {
        let mut opened = opened.subscribe();
        async move {
            let _open_or_torn_down = opened.wait_for(|open| *open >= n).await;
            Ok(n)
        }
    });
    gate
}

fn mf(module: &str, function: &str) -> (Atom, Atom) {
    (Atom::new(module), Atom::new(function))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_in_any_order_and_abandoned() {
    let (a, b) = pair("requests").await;
    let gate = gate(&b);
    let mut me = a.process();
    let rpc = a.rpc(b.name());
    let mut ids = RequestIds::new();
    for n in [3_u64, 1, 2] {
        ids.add(rpc.send_request(&me, "gate", "pass", (n,)).await.expect("sent"), n);
    }
    assert_eq!(ids.wait_response::<u64>(&mut me, Some(Duration::ZERO)).await, Ok(Response::None));
    for n in 1..=3 {
        gate.send_replace(n);
        assert_eq!(ids.receive_response::<u64>(&mut me, AT_MOST).await, Ok(Some((n, Ok(n)))));
    }
    assert_eq!(ids.receive_response::<u64>(&mut me, AT_MOST).await, Ok(None));
    assert!(ids.is_empty());
    // A request that takes too long is abandoned: nothing of it comes later.
    let slow = rpc.send_request(&me, "gate", "pass", (4,)).await.expect("sent");
    let given_up = slow.receive_response::<u64>(&mut me, Some(Duration::from_millis(1))).await;
    assert_eq!(given_up, Err(RpcError::Timeout));
    let fails = rpc.send_request(&me, "math", "fail", ()).await.expect("sent");
    let mail = me.receive().await.expect("it lives");
    let response = fails.check_response::<()>(&mail).expect("nothing else can come");
    assert!(
        matches!(response, Err(RpcError::Remote { class: Class::Error, ref reason, .. }) if reason.is_atom("oops"))
    );
    assert!(slow.check_response::<u64>(&mail).is_none());
    gate.send_replace(5);
    let after = rpc.send_request(&me, "gate", "pass", (5,)).await.expect("sent");
    let mail = me.receive().await.expect("it lives");
    assert_eq!(after.check_response::<u64>(&mail), Some(Ok(5)), "not the late answer of the abandoned one");
    assert_eq!(rpc.call::<i64>("math", "add", (1, 2)).await, Ok(3));
    assert!(me.try_receive_match(|mail| Some(mail.clone())).expect("it lives").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_beside_each_other() {
    let (a, b) = pair("parallel").await;
    a.connect(b.name().atom()).await.expect("it is there");
    let gate = gate(&b);
    let slow = a.rpc(b.name()).async_call("gate", "pass", (1,)).expect("terms");
    let slow = slow.nb_yield::<u64>(Duration::ZERO).await.expect_err("not yet");
    gate.send_replace(1);
    assert_eq!(slow.yield_result::<u64>().await, Ok(1));
    let calls = (0..10).map(|n| (Atom::new("math"), Atom::new("add"), (n, n)));
    let doubled: Vec<_> = (0..10).map(|n| Ok(2 * n)).collect();
    assert_eq!(a.parallel_eval::<i64, _>(calls).await, doubled);
    let further = [Encoded::of(&100).expect("a term")];
    assert_eq!(a.pmap::<i64, _>(mf("math", "add"), &further, 1..5).await, Ok(vec![101, 102, 103, 104]));
    assert!(a.pmap::<i64, _>(mf("math", "add"), &further, ["x"]).await.is_err());
    assert_eq!(a.rpc(b.name()).block_call::<i64>("math", "add", (1, 2)).await, Ok(3));
    assert_eq!(a.rpc(a.name()).block_call::<i64>("math", "add", (1, 2)).await, Ok(3));
    let failed = a.rpc(b.name()).block_call::<()>("math", "fail", ()).await;
    assert!(matches!(failed, Err(RpcError::Remote { class: Class::Exit, .. })), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_to_a_name_on_many_nodes() {
    let (a, b) = pair("gather").await;
    a.connect(b.name().atom()).await.expect("it is there");
    let mut there = b.process();
    there.register("there").expect("a free name");
    let (ours, theirs) = (a.name().atom(), b.name().atom());
    assert_eq!(a.sbcast(a.this_and_visible(), "there", 1).await, Ok((vec![theirs], vec![ours])));
    a.abcast(a.this_and_visible(), "there", 2).await.expect("terms");
    for n in [1, 2] {
        assert_eq!(there.receive().await.expect("it lives").decode::<i32>(), Ok(n));
    }
    let serving = tokio::spawn(async move {
        for _ in 0..2 {
            let (from, question): (tiebeam::Pid, Term) = match there.receive().await.expect("it lives").term() {
                Ok(Term::Tuple(pair)) => (pair[0].as_pid().expect("a pid"), pair[1].clone()),
                other => panic!("{other:?}"),
            };
            let answer = Term::tuple([Term::atom("there"), there.pid().node.into(), question]);
            there.send(from, &answer).await.expect("connected");
        }
    });
    let asked = a.multi_server_call::<i32>(a.this_and_visible(), "there", 3).await;
    assert_eq!(asked, Ok((vec![3], vec![ours])));
    assert_eq!(a.rpc(theirs).server_call::<i32>("there", Term::atom("there"), 4).await, Ok(4));
    serving.await.expect("no panic");
    let gone = a.rpc(theirs).server_call::<i32>("there", Term::atom("there"), 4).await;
    assert_eq!(gone, Err(RpcError::NoConnection(theirs)));
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_spawned_with_links_and_monitors() {
    let (a, b) = pair("spawn").await;
    let mut me = a.process();
    me.trap_exit(true);
    let rpc = a.rpc(b.name());
    // Linked to a process that ends at once: the end still arrives.
    for _ in 0..50 {
        let pid = rpc.spawn_link(&mut me, "math", "nope", ()).await.expect("spawned");
        assert_eq!(pid.node, b.name().atom());
        let Mail::Exit(exit) = me.receive().await.expect("it lives") else { panic!("an exit was due") };
        assert_eq!(exit.from, pid);
        assert!(exit.reason.parts().is_some_and(|reason| reason[0].is_atom("undef")));
    }
    let (pid, reference) = rpc.spawn_monitor(&mut me, "math", "sleep", (1,)).await.expect("spawned");
    let down = me.down(reference).await.expect("it lives");
    assert_eq!(down.object(), Term::from(pid));
    assert!(down.reason.is_atom("normal"));
    let nowhere = a.rpc("nobody@127.0.0.1").spawn(&mut me, "math", "add", (1, 2)).await;
    assert!(matches!(nowhere, Err(RpcError::NoConnection(_))), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_change_at_run_time_and_lists_tell_who_is_there() {
    // Name servers that are still meeting would connect again what has just been disconnected.
    let port = interop_tests::free_port();
    let start = async |name| builder(name, port).connect_all(false).start().await.expect("the node starts");
    let (a, b) = (start("cookies_a@127.0.0.1").await, start("cookies_b@127.0.0.1").await);
    let other = Cookie::new("other").expect("a cookie");
    b.set_cookie(other.clone());
    assert!(a.connect(b.name().atom()).await.is_err());
    a.set_cookie_for(b.name().atom(), other.clone());
    assert_eq!(a.get_cookie_for(b.name().atom()).reveal(), "other");
    assert_eq!(a.get_cookie().reveal(), "functions");
    assert!(a.ping(b.name().atom()).await);
    assert_eq!(a.nodes_of(NodeKind::This), [a.name()]);
    assert_eq!(a.nodes_of(NodeKind::Known), [a.name(), b.name()]);
    assert!(a.nodes_of(NodeKind::Hidden).is_empty());
    // Whoever is told of the end finds it so.
    let mut events = a.monitor_nodes();
    assert!(a.disconnect(b.name().atom()).await);
    events.next().await;
    assert!(a.nodes().is_empty());
    assert!(!a.ping("nobody@127.0.0.1").await);
}

/// Names kept by a module of the program's own, which counts what it sends.
#[derive(Debug, Default)]
struct Yellow(std::sync::Mutex<Vec<(Term, tiebeam::Pid)>>, std::sync::atomic::AtomicUsize);

impl Registry for Yellow {
    fn register_name(&self, name: Term, pid: tiebeam::Pid) -> Answer<'_, bool> {
        let mut names = self.0.lock().expect("no panic");
        let is_free = names.iter().all(|(taken, _)| *taken != name);
        if is_free {
            names.push((name, pid));
        }
        Box::pin(std::future::ready(is_free))
    }

    fn unregister_name(&self, name: Term) -> Answer<'_, ()> {
        self.0.lock().expect("no panic").retain(|(taken, _)| *taken != name);
        Box::pin(std::future::ready(()))
    }

    fn whereis_name(&self, name: Term) -> Answer<'_, Option<tiebeam::Pid>> {
        let found = self.0.lock().expect("no panic").iter().find(|(taken, _)| *taken == name).map(|(_, pid)| *pid);
        // Not known at once, as where another node has to be asked.
        Box::pin(async move {
            tokio::task::yield_now().await;
            found
        })
    }

    fn send<'a>(
        &'a self,
        from: &'a Process,
        name: Term,
        message: Encoded,
    ) -> Answer<'a, Result<tiebeam::Pid, SendError>> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Box::pin(async move {
            let pid = self.whereis_name(name.clone()).await.ok_or(SendError::Nobody(name))?;
            from.send_encoded(pid, message).await?;
            Ok(pid)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_is_sent_to_called_and_monitored() {
    let (a, b) = pair("addresses").await;
    let yellow = std::sync::Arc::new(Yellow::default());
    a.add_registry("Elixir.Yellow", yellow.clone());
    let server = b.process();
    server.register("server").expect("a free name");
    let pid = server.pid();
    let alias = server.alias();
    let local = a.process();
    local.register("local").expect("a free name");
    a.connect(b.name().atom()).await.expect("it is there");
    assert!(yellow.register_name(1.into(), pid).await);
    assert!(!yellow.register_name(1.into(), local.pid()).await);
    b.global().register("everywhere", pid).await.expect("a free name");
    tokio::time::timeout(Duration::from_secs(60), async {
        while a.global().whereis("everywhere") != Some(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("names spread");
    let via = Dest::Via(Atom::new("Elixir.Yellow"), 1.into());
    let global = Dest::Global(Term::atom("everywhere"));
    let remote = [Dest::from(pid), ("server", b.name()).into(), global.clone(), via.clone()];
    // The server tells callers how many messages it has got before.
    let serving = tokio::spawn(async move {
        let mut server = server;
        let mut messages = 0;
        loop {
            let Ok(mail) = server.receive().await else { return };
            let term = mail.term().expect("a term");
            match term.as_tuple() {
                Some([label, from, _]) if label.is_atom("$gen_call") => {
                    let from = from.as_tuple().expect("a caller");
                    let reply = Term::tuple([from[1].clone(), Term::from(messages)]);
                    server.send(from[0].as_pid().expect("a pid"), &reply).await.expect("connected");
                }
                Some([stop]) if stop.is_atom("stop") => return,
                _ => messages += 1,
            }
        }
    });
    let mut me = a.process();
    for (n, dest) in remote.iter().enumerate() {
        me.send(dest.clone(), "message").await.expect("it is there");
        assert_eq!(me.call(dest.clone(), &Term::nil(), AT_MOST).await, Ok(Term::from(n + 1)), "{dest:?}");
    }
    me.send(alias, "message").await.expect("connected");
    me.send("local", "message").await.expect("it is there");
    assert_eq!(yellow.1.load(std::sync::atomic::Ordering::Relaxed), 1, "the module's own way of sending");
    let nobody = me.send(Dest::Via(Atom::new("Elixir.Yellow"), 2.into()), 1).await;
    assert_eq!(nobody, Err(SendError::Nobody(2.into())));
    let mut watched = Vec::new();
    for dest in remote {
        watched.push(me.monitor(dest).expect("it lives"));
    }
    // The monitors have arrived when a call behind them is answered.
    assert_eq!(me.call(pid, &Term::nil(), AT_MOST).await, Ok(Term::from(5)));
    me.send(via, Term::tuple([Term::atom("stop")])).await.expect("it is there");
    for reference in watched {
        let down = tokio::time::timeout(Duration::from_secs(60), me.down(reference)).await.expect("in time");
        assert!(down.expect("it lives").reason.is_atom("normal"));
    }
    serving.await.expect("no panic");
}

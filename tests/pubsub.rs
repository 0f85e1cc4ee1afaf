//! Pubsubs of two and three Rust nodes: what one broadcasts, the subscribers of the others get.
#![cfg(feature = "pubsub")]

use std::time::Duration;

use tiebeam::node::EpmdMode;
use tiebeam::pubsub::{PubSub, Subscription};
use tiebeam::{Cookie, Node, Process, epmd};

/// A test that takes longer hangs.
const AT_MOST: Duration = Duration::from_secs(60);

/// Nodes that are connected, each with a pubsub of these sizes: listened to, and sent to.
async fn cluster<const N: usize>(name: &str, sizes: [(usize, usize); N]) -> Vec<(Node, PubSub)> {
    let port = interop_tests::free_port();
    let mut nodes: Vec<(Node, PubSub)> = Vec::new();
    for (n, (pool, broadcast)) in sizes.into_iter().enumerate() {
        let epmd = epmd::Config { port, ..epmd::Config::default() };
        let builder = Node::builder(format!("{name}_{n}@127.0.0.1")).cookie(Cookie::new("pubsub").expect("a cookie"));
        let node = builder.epmd(EpmdMode::Auto).epmd_config(epmd).start().await.expect("the node starts");
        let builder = node.pubsub("MyApp.PubSub").pool_size(pool).broadcast_pool_size(broadcast);
        let pubsub = builder.start().expect("the names are free");
        for (other, _) in &nodes {
            node.connect(other.name().atom()).await.expect("a node that listens");
        }
        nodes.push((node, pubsub));
    }
    for (node, pubsub) in &nodes {
        let first = pubsub.groups()[0];
        let all = || node.pg("Elixir.Phoenix.PubSub").members(first).len() == N;
        eventually(all).await;
    }
    nodes
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(AT_MOST, wait).await.expect("it comes true in time");
}

async fn next(subscription: &mut Subscription) -> i64 {
    let message = tokio::time::timeout(AT_MOST, subscription.next()).await.expect("a message comes in time");
    message.expect("the pubsub runs").expect("nothing was lost").decode().expect("a number")
}

async fn mail(process: &mut Process) -> i64 {
    let mail = tokio::time::timeout(AT_MOST, process.receive()).await.expect("mail comes in time");
    mail.expect("the process lives").decode().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_gets_a_broadcast_once_and_only_the_named_one_a_direct_one() {
    let nodes = cluster("all", [(1, 1), (1, 1), (1, 1)]).await;
    let mut heard: Vec<_> = nodes.iter().map(|(_, pubsub)| pubsub.subscribe("t").unwrap()).collect();
    let mut process = nodes[1].0.process();
    nodes[1].1.subscribe_process("t", process.pid()).unwrap();
    let [(_, a), (b, _), (c, _)] = &nodes[..] else { panic!("three nodes") };
    a.broadcast("other", 0).await.unwrap();
    a.broadcast("t", 1).await.unwrap();
    a.broadcast_from(&heard[0], "t", 2).await.unwrap();
    a.local_broadcast("t", 3).unwrap();
    a.direct_broadcast(c.name().atom(), "t", 4).await.unwrap();
    a.direct_broadcast(a.node_name().atom(), "t", 5).await.unwrap();
    a.broadcast("t", 6).await.unwrap();
    for n in [1, 2, 6] {
        assert_eq!(next(&mut heard[1]).await, n, "{}", b.name());
        assert_eq!(mail(&mut process).await, n);
    }
    for n in [1, 2, 4, 6] {
        assert_eq!(next(&mut heard[2]).await, n);
    }
    // What goes by way of a worker is not in order with what does not.
    let mut own = Vec::new();
    for _ in 0..4 {
        own.push(next(&mut heard[0]).await);
    }
    own.sort_unstable();
    assert_eq!(own, [1, 3, 5, 6]);
    for (node, _) in &nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_grows_without_losing_anything_where_who_listens_to_more_sends_to_as_many_as_before() {
    let nodes = cluster("pool", [(1, 1), (4, 1), (4, 4)]).await;
    let mut heard: Vec<_> = nodes.iter().map(|(_, pubsub)| pubsub.subscribe("t").unwrap()).collect();
    let (third, pubsub) = &nodes[2];
    // The third sends to all four groups, of which the first has one.
    eventually(|| third.pg("Elixir.Phoenix.PubSub").members(pubsub.groups()[3]).len() == 2).await;
    let senders: Vec<_> = (0..64).map(|_| third.process()).collect();
    for (n, sender) in senders.iter().enumerate() {
        pubsub.used_by(sender).broadcast("t", i64::try_from(n).unwrap()).await.unwrap();
    }
    let mut second = Vec::new();
    for _ in 0..64 {
        second.push(next(&mut heard[1]).await);
    }
    second.sort_unstable();
    assert_eq!(second, (0..64).collect::<Vec<_>>());
    // Whoever sends to one group reaches all, in order, whatever its pid.
    let sender = nodes[1].0.process();
    for n in 100..150 {
        nodes[1].1.used_by(&sender).broadcast("t", n).await.unwrap();
        nodes[0].1.broadcast("t", n + 1000).await.unwrap();
    }
    let mut first = Vec::new();
    while ![149, 1149].iter().all(|last| first.contains(last)) {
        first.push(next(&mut heard[0]).await);
    }
    let some = first.iter().filter(|n| **n < 64).count();
    assert!((1..64).contains(&some), "a part of what went to four groups: {some}");
    for range in [100..150, 1100..1150] {
        let got: Vec<_> = first.iter().copied().filter(|n| range.contains(n)).collect();
        assert_eq!(got, range.collect::<Vec<_>>());
    }
    for (node, _) in &nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_leave_and_come_back() {
    let nodes = cluster("back", [(1, 1), (1, 1)]).await;
    let [(a, here), (b, there)] = &nodes[..] else { panic!("two nodes") };
    let mut heard = there.subscribe("t").unwrap();
    let members = |node: &Node| node.pg("Elixir.Phoenix.PubSub").members(here.groups()[0]).len();
    for round in 0..5 {
        a.disconnect(b.name().atom()).await;
        eventually(|| members(a) == 1).await;
        here.broadcast("t", -1).await.unwrap();
        a.connect(b.name().atom()).await.unwrap();
        eventually(|| members(a) == 2).await;
        here.broadcast("t", round).await.unwrap();
        assert_eq!(next(&mut heard).await, round);
    }
    there.stop();
    eventually(|| members(a) == 1).await;
    assert!(heard.next().await.is_none());
    let again = b.pubsub("MyApp.PubSub").start().unwrap();
    let mut heard = again.subscribe("t").unwrap();
    eventually(|| members(a) == 2).await;
    here.broadcast("t", 7).await.unwrap();
    assert_eq!(next(&mut heard).await, 7);
    a.shutdown().await;
    b.shutdown().await;
}

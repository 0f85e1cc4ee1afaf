//! The order of `nodeup`, messages and `nodedown`, under fire.

use std::time::Duration;

use tiebeam::node::MonitorNodes;
use tiebeam::{Cookie, Node, Term, epmd};

async fn start(name: &str, port: u16) -> Node {
    let epmd = epmd::Config { port, ..epmd::Config::default() };
    let cookie = Cookie::new("monitor_nodes").expect("a cookie");
    // A node that is cut off again and again would be cut off from all by `global`.
    let builder = Node::builder(name).cookie(cookie).epmd_config(epmd).connect_all(false);
    builder.prevent_overlapping_partitions(false).start().await.expect("the node starts")
}

/// How often the nodes lose each other.
const TIMES: usize = 1000;

/// Between a `nodeup` and its `nodedown` any message may come, and outside of them none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_message_comes_before_its_nodeup_or_after_its_nodedown() {
    let port = interop_tests::free_port();
    let (a, b) = (start("under_fire_a@127.0.0.1", port).await, start("under_fire_b@127.0.0.1", port).await);
    let mut me = a.process();
    a.monitor_nodes_as(&me, MonitorNodes::map().connection_id());
    let to = me.pid();
    for sender in 0..4_i64 {
        b.spawn(move |process| async move {
            for n in 0_i64.. {
                // Sends connect by themselves.
                if process.send(to, (sender, n)).await.is_err() {
                    return;
                }
                if n % 8 == 0 {
                    // No faster than a mailbox is read.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
    let breaking = tokio::spawn({
        let (a, b) = (a.clone(), b.clone());
        async move {
            // One that the other side does not know of yet cannot be ended from there: until there were enough.
            for n in 0_u64.. {
                let _busy = a.connect(b.name().atom()).await;
                // Either side ends it, after a time in which messages come.
                tokio::time::sleep(Duration::from_micros(n % 7 * 300)).await;
                if n % 2 == 0 {
                    a.disconnect(b.name().atom()).await
                } else {
                    b.disconnect(a.name().atom()).await
                };
            }
        }
    });
    let (mut up, mut downs, mut messages) = (None, 0, 0_u64);
    while downs < TIMES {
        let mail = tokio::time::timeout(Duration::from_secs(60), me.receive()).await;
        let mail = mail.unwrap_or_else(|_late| panic!("nothing more after {downs} nodedowns, {messages} messages"));
        let mail = mail.expect("it lives").term().expect("a term");
        let tuple = mail.as_tuple().expect("tuples only");
        if tuple[0].is_atom("nodeup") {
            let connection = tuple[2].as_map().and_then(|map| map.get(&Term::atom("connection_id")).cloned());
            assert_eq!(up, None, "a nodeup follows a nodedown");
            assert!(connection.is_some());
            up = connection;
        } else if tuple[0].is_atom("nodedown") {
            let connection = tuple[2].as_map().and_then(|map| map.get(&Term::atom("connection_id")).cloned());
            assert_eq!(up, connection, "the connection that was up is the one that is down");
            (up, downs) = (None, downs + 1);
        } else {
            assert!(up.is_some(), "after {downs} nodedowns: {mail} came outside of any connection");
            messages += 1;
        }
    }
    breaking.abort();
    assert!(messages > TIMES as u64, "only {messages} messages were in flight");
    println!("{downs} connections, {messages} messages in order");
    tokio::join!(a.shutdown(), b.shutdown());
}

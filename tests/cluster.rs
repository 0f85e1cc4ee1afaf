//! A program's own hooks: what the strategies do is done through them.
#![cfg(feature = "cluster")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tiebeam::cluster::{Hooked, Hooks, Strategy};
use tiebeam::node::{DialError, EpmdMode, NodeKind};
use tiebeam::term::NodeName;
use tiebeam::{Cookie, Node, NodeBuilder, epmd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A test that takes longer hangs.
const AT_MOST: Duration = Duration::from_secs(60);

/// Writes down what it is asked, and does it; takes one node for connected.
#[derive(Default)]
struct Recorder {
    asked: Arc<Mutex<Vec<String>>>,
    elsewhere: Option<NodeName>,
}

impl Recorder {
    fn note(&self, what: &str, peer: NodeName) {
        self.asked.lock().expect("nobody panics with it").push(format!("{what} {peer}"));
    }
}

impl Hooks for Recorder {
    fn connect<'a>(&'a self, node: &'a Node, peer: NodeName) -> Hooked<'a, Result<(), DialError>> {
        self.note("connect", peer);
        Box::pin(node.connect(peer.atom()))
    }

    fn disconnect<'a>(&'a self, node: &'a Node, peer: NodeName) -> Hooked<'a, bool> {
        self.note("disconnect", peer);
        Box::pin(node.disconnect(peer.atom()))
    }

    fn connected(&self, node: &Node) -> Vec<NodeName> {
        node.nodes_of(NodeKind::Connected).into_iter().chain(self.elsewhere).collect()
    }
}

fn builder(name: &str, port: u16) -> NodeBuilder {
    let epmd = epmd::Config { port, ..epmd::Config::default() };
    let cookie = Cookie::new("cluster").expect("a cookie");
    Node::builder(name).cookie(cookie).epmd(EpmdMode::Auto).epmd_config(epmd)
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(AT_MOST, waiting).await.unwrap_or_else(|_elapsed| panic!("never: {what}"));
}

/// A metadata service of Rancher's on loopback, with these containers.
async fn rancher(ips: Arc<Mutex<Vec<&'static str>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {}
            let ips = ips.lock().expect("nobody panics with it").clone();
            let containers: Vec<String> = ips.iter().map(|ip| format!(r#"{{"ips":["{ip}"]}}"#)).collect();
            let body = format!(r#"{{"containers":[{}]}}"#, containers.join(","));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn strategies_connect_and_disconnect_through_the_hooks_of_the_builder() {
    let (port, ips) = (interop_tests::free_port(), Arc::new(Mutex::new(vec!["127.0.0.1"])));
    let metadata = rancher(Arc::clone(&ips)).await;
    let peer = builder("hooked_peer@127.0.0.1", port).start().await.expect("the node starts");
    let strategy = format!("rancher:node_basename=hooked_peer,metadata=127.0.0.1:{metadata},polling_interval=50");
    let hooks = Recorder::default();
    let asked = Arc::clone(&hooks.asked);
    let node = builder("hooked@127.0.0.1", port)
        .cluster(strategy.parse::<Strategy>().expect("a strategy"))
        .cluster_hooks(hooks)
        .start()
        .await
        .expect("the node starts");
    until("connected", || node.nodes_of(NodeKind::Connected).contains(&peer.name())).await;
    ips.lock().expect("nobody panics with it").clear();
    let log = || asked.lock().expect("nobody panics with it").clone();
    until("left", || log().last().is_some_and(|last| last.starts_with("disconnect"))).await;
    assert_eq!(log(), ["connect hooked_peer@127.0.0.1", "disconnect hooked_peer@127.0.0.1"]);
    node.shutdown().await;
    peer.shutdown().await;
}

#[tokio::test]
async fn what_the_hooks_take_for_connected_is_not_connected_to() {
    let port = interop_tests::free_port();
    let first = builder("listed_a@127.0.0.1", port).start().await.expect("the node starts");
    let second = builder("listed_b@127.0.0.1", port).connect_all(false).start().await.expect("the node starts");
    let hooks = Recorder { elsewhere: Some(first.name()), ..Recorder::default() };
    let asked = Arc::clone(&hooks.asked);
    let node = builder("listing@127.0.0.1", port)
        .cluster(Strategy::Static(vec![first.name(), second.name()]))
        .cluster_hooks(hooks)
        .start()
        .await
        .expect("the node starts");
    // One thread runs what is started in turn: an attempt at the first would have been noted before this one.
    until("connected", || node.nodes_of(NodeKind::Connected).contains(&second.name())).await;
    assert_eq!(*asked.lock().expect("nobody panics with it"), ["connect listed_b@127.0.0.1"]);
    for node in [node, first, second] {
        node.shutdown().await;
    }
}

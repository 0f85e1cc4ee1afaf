//! A client that needs no name of its own: a peer gives it one. `cargo run --example dynamic_name b@127.0.0.1`

use tiebeam::{Cookie, Node};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let peer = std::env::args().nth(1).unwrap_or_else(|| "b@127.0.0.1".into());
    let node = Node::builder("me@127.0.0.1").cookie(Cookie::new("secret")?).dynamic(&peer).start().await?;
    let sum: i64 = node.rpc(peer.as_str()).call("lists", "sum", (vec![-1, 2, 3],)).await?;
    println!("{} got {sum}", node.name());
    node.shutdown().await;
    Ok(())
}

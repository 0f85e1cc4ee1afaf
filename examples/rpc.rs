//! Calls functions of a BEAM: `cargo run --example rpc a@127.0.0.1`

use std::time::Duration;

use tiebeam::rpc::RpcError;
use tiebeam::{Cookie, Node};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let peer = std::env::args().nth(1).unwrap_or_else(|| "a@127.0.0.1".into());
    let node = Node::builder("rpc@127.0.0.1").cookie(Cookie::new("secret")?).start().await?;

    let sum: i64 = node.rpc(peer.as_str()).call("lists", "sum", (vec![-1, 2, 3],)).await?;
    println!("lists:sum([-1, 2, 3]) is {sum}");

    let slow = node.rpc(peer.as_str()).timeout(Duration::from_millis(100));
    match slow.call::<()>("timer", "sleep", (10_000,)).await {
        Err(RpcError::Timeout) => println!("timer:sleep(10000) takes too long"),
        other => println!("timer:sleep(10000): {other:?}"),
    }
    node.shutdown().await;
    Ok(())
}

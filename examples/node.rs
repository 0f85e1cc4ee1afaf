//! A node with the demo services; call it from iex: `:rpc.call(:"rust@127.0.0.1", Tiebeam.Demo, :fib, [200])`.

use tiebeam::{Cookie, Node};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let node = Node::builder("rust@127.0.0.1").cookie(Cookie::new("secret")?).start().await?;
    tiebeam::demo::start(&node).await?;
    println!("{} listens on {:?}", node.name(), node.listening());
    node.stopped().await;
    Ok(())
}

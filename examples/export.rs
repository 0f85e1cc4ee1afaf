//! Lets iex call a Rust function: `:rpc.call(:"math@127.0.0.1", Elixir.Math, :add, [1, 2])`

use tiebeam::rpc::Raise;
use tiebeam::{Cookie, Node};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::builder("math@127.0.0.1").cookie(Cookie::new("secret")?).start().await?;
    node.export("Elixir.Math", "add", |(a, b): (i64, i64)| async move { Ok(a + b) });
    node.export("Elixir.Math", "divide", |(a, b): (i64, i64)| async move {
        a.checked_div(b).ok_or_else(|| Raise::error(tiebeam::Term::atom("badarith")))
    });
    println!("{} serves Elixir.Math", node.name());
    node.stopped().await;
    Ok(())
}

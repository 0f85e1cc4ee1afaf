//! Hears and says what Phoenix broadcasts on `rooms:lobby`: `cargo run --example pubsub phoenix@127.0.0.1`

use tiebeam::pubsub::Broadcast;
use tiebeam::{Cookie, Node, Term, term};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::builder("rust@127.0.0.1").cookie(Cookie::new("secret")?).start().await?;
    node.connect(std::env::args().nth(1).unwrap_or_else(|| "phoenix@127.0.0.1".into()).as_str()).await?;
    let pubsub = node.pubsub("MyApp.PubSub").start()?;
    let mut lobby = pubsub.subscribe("rooms:lobby")?;
    // As `MyAppWeb.Endpoint.broadcast("rooms:lobby", "new_msg", %{"body" => "hi"})`: browsers get it too.
    pubsub.channel_broadcast("rooms:lobby", "new_msg", term!(%{"body" => "hi from Rust"})).await?;
    while let Some(message) = lobby.next().await {
        match message?.decode::<Broadcast<Term>>() {
            Ok(Broadcast { event, payload, .. }) => println!("{event}: {payload}"),
            Err(_) => println!("something that is no event"),
        }
    }
    Ok(())
}

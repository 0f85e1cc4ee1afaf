//! A process that iex can talk to: `send({:greeter, :"me@127.0.0.1"}, {self(), "Ann"}); flush()`

use tiebeam::{Cookie, Node, Pid};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::builder("me@127.0.0.1").cookie(Cookie::new("secret")?).start().await?;
    let mut me = node.process();
    me.register("greeter")?;
    println!("{:?} is registered as greeter", me.pid());
    loop {
        match me.receive().await?.decode::<(Pid, String)>() {
            Ok((from, name)) => me.send(from, format!("Hello, {name}, from Rust")).await?,
            Err(error) => eprintln!("not understood: {error}"),
        }
    }
}

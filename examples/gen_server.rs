//! A GenServer in Rust: `GenServer.call({:counter, :"count@127.0.0.1"}, {:add, 5})`

use serde::Deserialize;
use tiebeam::etf::Encoded;
use tiebeam::gen_server::{Context, GenServer, Reply};
use tiebeam::process::{Exit, From};
use tiebeam::{Cookie, Node, Term};

struct Counter(i64);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Get,
    Add(i64),
}

impl GenServer for Counter {
    async fn call(&mut self, request: Encoded, _from: From, _context: &mut Context) -> Result<Reply, Exit> {
        match request.decode() {
            Ok(Request::Get) => {}
            Ok(Request::Add(n)) => self.0 += n,
            Err(_) => return Err(Term::atom("bad_call").into()),
        }
        Ok(Term::from(self.0).into())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::builder("count@127.0.0.1").cookie(Cookie::new("secret")?).start().await?;
    let pid = node.spawn_server(Counter(0)).register("counter")?;
    println!("{pid:?} counts");
    node.stopped().await;
    Ok(())
}

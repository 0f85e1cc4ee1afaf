//! What a server may ask of its loop.

use std::time::Duration;

use super::*;
use crate::term;

/// Notes what is done with it, in order.
struct Notes(Vec<Term>);

impl GenServer for Notes {
    async fn init(&mut self, context: &mut Context) -> Result<(), Exit> {
        context.continue_with(Term::atom("begun"));
        Ok(())
    }

    async fn call(&mut self, request: Encoded, from: From, context: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().unwrap_or_default();
        self.0.push(request.clone());
        match request.as_atom().as_ref().map_or("", Atom::as_str) {
            "later" => {
                let node = context.node.clone();
                tokio::spawn(async move { node.reply(&from, term!(:late)) });
                return Ok(Reply::Later);
            }
            "continue" => context.continue_with(Term::atom("continued")),
            "hibernate" => context.hibernate(),
            "timeout" => context.timeout_after(Duration::from_millis(1)),
            "stop" => return Ok(Reply::Stop(crate::process::reason::of(&Term::atom("bye")), Exit::shutdown())),
            _ => {}
        }
        Ok(Term::list(self.0.clone()).into())
    }

    async fn handle_continue(&mut self, continuation: Encoded, _: &mut Context) -> Result<(), Exit> {
        self.0.push(continuation.term().unwrap_or_default());
        Ok(())
    }

    async fn timeout(&mut self, context: &mut Context) -> Result<(), Exit> {
        self.0.push(Term::atom("timed_out"));
        let _nobody = context.process.send("reporter", &Term::atom("timed_out")).await;
        Ok(())
    }

    async fn terminate(&mut self, reason: &Encoded, context: &mut Context) {
        let told = Term::tuple([Term::atom("terminated"), reason.term().unwrap_or_default()]);
        let _nobody = context.process.send("reporter", &told).await;
    }
}

async fn node() -> Node {
    let node = Node::builder("server@127.0.0.1").cookie(crate::Cookie::new("c").expect("a cookie")).unlisted();
    node.start().await.expect("a node without a listener starts")
}

async fn ask(node: &Node, server: Pid, request: &str) -> Vec<String> {
    let said: Vec<Atom> = node.gen_call(server, Term::atom(request)).await.expect("a server answers");
    said.iter().map(|atom| atom.as_str().to_owned()).collect()
}

#[tokio::test]
async fn what_was_left_to_be_done_comes_before_the_next_request() {
    let node = node().await;
    let server = node.spawn_server(Notes(Vec::new())).pid();
    assert_eq!(ask(&node, server, "continue").await, ["begun", "continue"]);
    assert_eq!(ask(&node, server, "hibernate").await, ["begun", "continue", "continued", "hibernate"]);
    let late: Atom = node.gen_call(server, term!(:later)).await.expect("somebody answers");
    assert_eq!(late, Atom::new("late"));
    node.shutdown().await;
}

#[tokio::test]
async fn an_idle_server_is_told_of_its_time_out() {
    let node = node().await;
    let mut reporter = node.process();
    reporter.register("reporter").expect("a free name");
    let server = node.spawn_server(Notes(Vec::new())).pid();
    ask(&node, server, "timeout").await;
    let said: Atom = reporter.receive().await.expect("alive").decode().expect("an atom");
    assert_eq!(said, Atom::new("timed_out"));
    assert_eq!(ask(&node, server, "last").await, ["begun", "timeout", "timed_out", "last"]);
    node.shutdown().await;
}

#[tokio::test]
async fn a_server_terminates_before_its_last_reply() {
    let node = node().await;
    let mut reporter = node.process();
    reporter.register("reporter").expect("a free name");
    let server = node.spawn_server(Notes(Vec::new())).pid();
    let watch = reporter.monitor(server).expect("alive");
    let bye: Atom = node.gen_call(server, term!(:stop)).await.expect("the reply comes");
    assert_eq!(bye, Atom::new("bye"));
    let told = reporter.try_receive_match(|mail| mail.term().ok()).expect("alive").expect("told before the reply");
    assert_eq!(told, Term::tuple([Term::atom("terminated"), Term::atom("shutdown")]));
    assert!(reporter.down(watch).await.expect("alive").reason.is_atom("shutdown"));
    node.shutdown().await;
}

#[tokio::test]
async fn the_exit_of_its_parent_ends_a_server_that_traps_exits() {
    let node = node().await;
    let mut reporter = node.process();
    reporter.register("reporter").expect("a free name");
    let parent = node.process();
    let server = node.spawn_server_link(Notes(Vec::new()), parent.pid()).pid();
    node.router().cell(server).expect("it lives").lock().trap_exit = true;
    ask(&node, server, "ready").await;
    parent.exit(server, &Term::atom("enough")).expect("the parent lives");
    let told = reporter.receive().await.expect("alive").term().expect("a term");
    assert_eq!(told, Term::tuple([Term::atom("terminated"), Term::atom("enough")]));
    node.shutdown().await;
}

//! The process of a replica: it monitors neighbours, compares, answers `DeltaCrdt`'s calls, and tells of writes.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashMap;

use super::{DeltaCrdt, Diff, Operation, Shared, wire};
use crate::crdt::{Outgoing, Replica};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply, serve};
use crate::node::Node;
use crate::process::{Dest, Exit, From, Mail, Process};
use crate::signal::{Signal, Target};
use crate::term::{List, Map, Ref, Term, atom::known};

pub(super) struct Server {
    crdt: DeltaCrdt,
    interval: Duration,
    monitors: HashMap<Term, Ref>,
}

impl Server {
    pub(super) fn start(node: &Node, shared: Arc<Shared>, process: Process, interval: Duration) {
        process.trap_exit(true);
        let crdt = DeltaCrdt { node: node.clone(), shared };
        let server = Self { crdt, interval, monitors: HashMap::new() };
        let context_node = node.clone();
        node.run(process, move |process| serve(server, Context::new(context_node, process)));
    }

    fn shared(&self) -> &Shared {
        &self.crdt.shared
    }

    /// Compares with every neighbour that is there.
    fn tick(&mut self, process: &Process) {
        let addresses: Vec<Term> = self.shared().read().neighbours().cloned().collect();
        for address in addresses {
            if self.monitors.contains_key(&address) || address == Term::Pid(process.pid()) {
                continue;
            }
            if let Some(Ok(reference)) = Dest::from_term(&address).map(|dest| process.monitor(dest)) {
                self.monitors.insert(address, reference);
            }
        }
        let now = self.shared().now();
        let out = self.shared().write().tick(now, |address| self.monitors.contains_key(address));
        self.send(process, out);
    }

    fn push(&self, process: &Process) {
        self.shared().told.store(false, Ordering::Release);
        let out = self.shared().write().push();
        self.send(process, out);
    }

    fn send(&self, process: &Process, out: Vec<Outgoing>) {
        for Outgoing { to, flavour, message } in out {
            let Some(dest) = Dest::from_term(&to) else { continue };
            let term = wire::term(&message, &self.shared().read().state.replicas, flavour);
            let sent = match Encoded::new(&term) {
                Ok(encoded) => process.send_now(dest, encoded).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = sent {
                tracing::debug!(%to, %error, "message to a neighbour not sent");
            }
        }
    }

    fn set_neighbours(&mut self, addresses: Vec<Term>, process: &mut Process) {
        let gone: Vec<Term> = self.monitors.keys().filter(|address| !addresses.contains(address)).cloned().collect();
        for address in gone {
            if let Some(reference) = self.monitors.remove(&address) {
                process.demonitor(reference);
            }
        }
        self.shared().write().set_neighbours(addresses);
        self.tick(process);
    }

    /// What another replica says, or a part of the process itself.
    fn message(&mut self, term: &Term, process: &mut Process) {
        if let Term::Atom(atom) = term {
            match atom.as_str() {
                "push" => self.push(process),
                // Timers send it, and whoever wants a comparison now.
                "sync" => {
                    self.tick(process);
                    self.sync_later(process);
                }
                "sync_now" => self.tick(process),
                _ => tracing::debug!(message = %atom, "unknown message to a replica"),
            }
            return;
        }
        let addresses = match term.as_tuple() {
            Some([tag, addresses]) if tag.is_atom("set_neighbours") => addresses.as_list(),
            _ => None,
        };
        if let Some(list) = addresses.filter(|list| list.is_proper()) {
            return self.set_neighbours(owned(list), process);
        }
        let (now, local) = (self.shared().now(), self.shared().local());
        let handle = |replica: &mut Replica| {
            let Some(read) = wire::read(term, &mut replica.state.replicas) else { return (None, Vec::new()) };
            if let (Some(flavour), Some(from)) = (read.flavour, wire::sender(&read.message, self.crdt.pid())) {
                replica.learn_flavour(from, flavour);
            }
            let keys = read.message.data_keys();
            let (out, changes) = replica.handle(read.message, now, local);
            (Some((out, keys, changes.len())), changes)
        };
        match self.shared().change(handle) {
            Some((out, keys, changed)) => {
                if let Some(keys) = keys {
                    tracing::debug!(replica = ?self.crdt.pid(), keys, changed, "sync done");
                }
                self.send(process, out);
            }
            None => tracing::debug!("message that no replica sends"),
        }
    }

    fn sync_later(&self, process: &Process) {
        let (router, to) = (Arc::clone(process.router()), Target::Pid(process.pid()));
        let interval = self.interval;
        self.crdt.node.spawn_task(async move {
            tokio::time::sleep(interval).await;
            router.deliver(Signal::Message { from: None, to, body: crate::process::reason::of(&Term::atom("sync")) });
        });
    }

    fn answer(&self, request: &Term) -> Result<Term, Exit> {
        let bad = || Exit::from(Term::tuple([Term::atom("function_clause"), request.clone()]));
        if request.is_atom("read") {
            return Ok(Term::Map(self.crdt.to_map()));
        }
        match request.as_tuple() {
            Some([tag, keys]) if tag.is_atom("read") => {
                let keys = keys.as_list().filter(|list| list.is_proper()).ok_or_else(bad)?;
                let mut map = Map::new();
                for (key, value) in self.crdt.take(&owned(keys)) {
                    map.insert(key, value);
                }
                Ok(Term::Map(map))
            }
            Some([tag, one]) if tag.is_atom("operation") => {
                self.crdt.mutate_all(vec![operation(one).ok_or_else(bad)?]).map_err(|_partial| bad())?;
                Ok(known::ok().into())
            }
            Some([tag, many]) if tag.is_atom("bulk_operation") => {
                let many = many.as_list().filter(|list| list.is_proper()).ok_or_else(bad)?;
                let many = many.iter().map(|one| operation(&one)).collect::<Option<_>>().ok_or_else(bad)?;
                self.crdt.mutate_all(many).map_err(|_partial| bad())?;
                Ok(known::ok().into())
            }
            _ => Err(bad()),
        }
    }
}

fn owned(list: &List) -> Vec<Term> {
    list.iter().map(Cow::into_owned).collect()
}

/// `{add, [key, value]}` or `{remove, [key]}`.
fn operation(term: &Term) -> Option<Operation> {
    let [function, args] = term.as_tuple()? else { return None };
    let args = owned(args.as_list().filter(|list| list.is_proper())?);
    match (function.as_atom()?.as_str(), &args[..]) {
        ("add", [key, value]) => Some(Operation::Add(key.clone(), value.clone())),
        ("remove", [key]) => Some(Operation::Remove(key.clone())),
        _ => None,
    }
}

impl GenServer for Server {
    async fn init(&mut self, context: &mut Context) -> Result<(), Exit> {
        self.tick(&context.process);
        self.sync_later(&context.process);
        Ok(())
    }

    /// A request that no replica understands is refused to its caller alone: one caller's mistake takes nobody's data.
    async fn call(&mut self, request: Encoded, from: From, context: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().map_err(|_malformed| Exit::from(Term::atom("badarg")))?;
        match self.answer(&request) {
            Ok(reply) => Ok(reply.into()),
            Err(why) => {
                tracing::debug!(%request, "bad request to a replica");
                let why = why.reason().term().unwrap_or_else(|_malformed| Term::atom("badarg"));
                let _gone = context.process.reply(&from, &Term::tuple([Term::atom("error"), why]));
                Ok(Reply::Later)
            }
        }
    }

    async fn cast(&mut self, request: Encoded, _: &mut Context) -> Result<(), Exit> {
        let Ok(request) = request.term() else { return Ok(()) };
        let operation = match request.as_tuple() {
            Some([tag, one]) if tag.is_atom("operation") => operation(one),
            _ => None,
        };
        if let Some(operation) = operation {
            let _partial = self.crdt.mutate_all(vec![operation]);
        }
        Ok(())
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        match mail {
            Mail::Message(message) => match message.term() {
                Ok(term) => self.message(&term, &mut context.process),
                Err(error) => tracing::debug!(%error, "message to a replica is no term"),
            },
            Mail::Down(down) => {
                let address = self.monitors.iter().find(|(_, reference)| **reference == down.reference);
                if let Some(address) = address.map(|(address, _)| address.clone()) {
                    self.monitors.remove(&address);
                    self.shared().write().handle_down(&address);
                }
            }
            Mail::Exit(exit) => {
                // As in Elixir: only an orderly request or the end of somebody linked ends it.
                let reason = exit.reason.term().unwrap_or_else(|_malformed| Term::nil());
                if !reason.is_atom("normal") {
                    return Err(Exit::from(reason));
                }
            }
            Mail::SpawnReply(_) => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _: &Encoded, context: &mut Context) {
        self.push(&context.process);
        self.tick(&context.process);
        self.shared().end();
    }

    fn state(&self) -> Term {
        Term::Map(self.crdt.to_map())
    }

    fn module(&self) -> &str {
        "Elixir.DeltaCrdt.CausalCrdt"
    }
}

impl Diff {
    /// As `on_diffs` gives it: `{:add, key, value}` or `{:remove, key}`.
    #[must_use]
    pub fn term(&self) -> Term {
        match self {
            Self::Add(key, value) => Term::tuple([Term::atom("add"), key.clone(), value.clone()]),
            Self::Remove(key) => Term::tuple([Term::atom("remove"), key.clone()]),
        }
    }
}

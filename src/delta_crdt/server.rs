//! The process of a replica: it monitors neighbours, compares, answers `DeltaCrdt`'s calls, and tells of writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::task::AbortHandle;

use super::{DeltaCrdt, Diff, Operation, Shared, data, wire};
use crate::crdt::{Data, Message, Outgoing, Replicas, node_of};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::node::Node;
use crate::process::outbox::Outbox;
use crate::process::{Dest, Exit, From, Mail, Process};
use crate::signal::{Signal, Target};
use crate::term::{Atom, Pid, Ref, Term, atom::known};

pub(super) struct Server {
    crdt: DeltaCrdt,
    interval: Duration,
    watched: HashMap<Term, Watch>,
    /// The next tick.
    timer: Option<AbortHandle>,
}

/// A neighbour that is monitored.
struct Watch {
    monitor: Ref,
    /// The connection that the monitor stands on. What says what a neighbour has seen is sent over no other: if this one
    /// is gone, so may be what was sent before, and the monitor will tell.
    outbox: Option<Arc<Outbox>>,
}

/// Keys that are joined before others may read and write again.
const JOINED_AT_ONCE: usize = 2_000;

/// Leaves that are hashed before others may write again.
const HASHED_AT_ONCE: usize = 10_000;

/// More replicas than that is no cluster, but somebody who makes them up.
const MAX_REPLICAS: usize = 1 << 20;

impl Drop for Server {
    /// However it ends, nobody waits for it any longer.
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
        self.shared().end();
    }
}

impl Server {
    pub(super) fn start(node: &Node, shared: Arc<Shared>, process: Process, interval: Duration, parent: Option<Pid>) {
        process.trap_exit(true);
        let crdt = DeltaCrdt { node: node.clone(), shared };
        let server = Self { crdt, interval, watched: HashMap::new(), timer: None };
        node.serve(process, server, parent);
    }

    fn shared(&self) -> &Shared {
        &self.crdt.shared
    }

    /// Compares with every neighbour that is there.
    async fn tick(&mut self, process: &Process) {
        let addresses: Vec<Term> = self.shared().read().neighbours().cloned().collect();
        for address in addresses {
            if !self.watched.contains_key(&address) && address != Term::Pid(process.pid()) {
                self.watch(address, process);
            }
        }
        while !self.shared().write().state.update_some_hashes(HASHED_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        let now = self.shared().now();
        let out = self.shared().write().tick(now);
        self.send(process, out).await;
    }

    fn watch(&mut self, address: Term, process: &Process) {
        let Some(dest) = Dest::from_term(&address) else { return };
        let outbox = self.outbox(&address, process);
        let Ok(monitor) = process.monitor(dest) else { return };
        // The monitor stands on the connection that was there before and after.
        let same = match (&outbox, self.outbox(&address, process)) {
            (Some(before), Some(after)) => Arc::ptr_eq(before, &after),
            (before, after) => before.is_none() && after.is_none(),
        };
        if same {
            self.shared().write().handle_up(&address);
            self.watched.insert(address, Watch { monitor, outbox });
        } else {
            process.share().demonitor(monitor);
        }
    }

    /// The way to another node; `None` for what is here.
    fn outbox(&self, address: &Term, process: &Process) -> Option<Arc<Outbox>> {
        let node = node_of(address)?;
        (node != process.pid().node).then(|| process.router().outbox(node))
    }

    async fn push(&self, process: &Process) {
        self.shared().told.store(false, Ordering::Release);
        let has_room = |address: &Term| {
            let watch = self.watched.get(address);
            watch.is_some_and(|watch| watch.outbox.as_ref().is_none_or(|outbox| outbox.check_writable().is_ok()))
        };
        let out = self.shared().write().push(has_room);
        self.send(process, out).await;
    }

    /// Sends each over the connection on which its neighbour is watched; to others, all over the same. Nothing that a crash
    /// could undo is told: first the storage has it.
    async fn send(&self, process: &Process, out: Vec<Outgoing>) {
        if out.is_empty() {
            return;
        }
        if let Err(error) = self.shared().stored().await {
            tracing::debug!(%error, "neighbours are not told");
            let mut replica = self.shared().write();
            out.iter().for_each(|outgoing| replica.handle_unsent(&outgoing.to));
            return;
        }
        let mut ways: HashMap<Atom, Option<Arc<Outbox>>> = HashMap::new();
        for (address, watch) in &self.watched {
            if let (Some(node), Some(outbox)) = (node_of(address), &watch.outbox) {
                ways.insert(node, Some(Arc::clone(outbox)));
            }
        }
        for Outgoing { to, flavour, message } in out {
            let Some(dest) = Dest::from_term(&to) else { continue };
            let replicas = self.shared().read().state.replicas.clone();
            let body = match data::encoded(&message, &replicas, flavour) {
                Ok(body) => body,
                Err(error) => {
                    tracing::warn!(%to, %error, "message to a neighbour cannot be encoded");
                    self.shared().write().handle_unsent(&to);
                    continue;
                }
            };
            let home = process.pid().node;
            let node = node_of(&to).unwrap_or(home);
            let way =
                if node == home { None } else { ways.entry(node).or_insert_with(|| self.outbox(&to, process)).clone() };
            match way {
                None => {
                    if let Err(error) = process.send_now(dest, body) {
                        tracing::debug!(%to, %error, "message to a neighbour not sent");
                    }
                }
                Some(outbox) => {
                    let target = match dest {
                        Dest::Pid(pid) => Target::Pid(pid),
                        Dest::Remote(name, _) => Target::Name(name),
                        _ => continue,
                    };
                    let from = Some(process.pid());
                    outbox.push(process.pid(), Signal::Message { from, to: target, body });
                }
            }
        }
    }

    async fn set_neighbours(&mut self, addresses: Vec<Term>, process: &mut Process) {
        let gone: Vec<Term> = self.watched.keys().filter(|address| !addresses.contains(address)).cloned().collect();
        for address in gone {
            if let Some(watch) = self.watched.remove(&address) {
                process.demonitor(watch.monitor);
            }
        }
        self.shared().write().set_neighbours(addresses);
        self.tick(process).await;
    }

    /// What another replica says, or a part of the process itself.
    async fn message(&mut self, body: &Encoded, sender: Option<Pid>, process: &mut Process) {
        if let Some(message) = self.read(sender, |replicas| data::read(body, replicas)) {
            return self.said(message, sender, process).await;
        }
        let term = match body.term() {
            Ok(term) => term,
            Err(error) => return tracing::debug!(%error, "message to a replica is no term"),
        };
        if let Term::Atom(atom) = &term {
            match atom.as_str() {
                "push" => self.push(process).await,
                // Timers send it, and whoever wants a comparison now.
                "sync" => {
                    self.tick(process).await;
                    self.sync_later(process);
                }
                "sync_now" => self.tick(process).await,
                _ => tracing::debug!(message = %atom, "unknown message to a replica"),
            }
            return;
        }
        let addresses = match term.as_tuple() {
            Some([tag, addresses]) if tag.is_atom("set_neighbours") => addresses.list_items(),
            _ => None,
        };
        if let Some(addresses) = addresses {
            return self.set_neighbours(addresses, process).await;
        }
        match self.read(sender, |replicas| wire::read(&term, replicas)) {
            Some(message) => self.said(message, sender, process).await,
            None => tracing::debug!(?sender, "message that no replica sends"),
        }
    }

    async fn said(&self, message: Message, sender: Option<Pid>, process: &Process) {
        match message {
            Message::Data(data) => self.join(data, sender).await,
            message => {
                let (now, local) = (self.shared().now(), self.shared().local());
                let out = self.shared().change(|replica| replica.handle(message, sender, now, local));
                self.send(process, out).await;
                let answered = self.shared().now();
                if answered > now {
                    self.shared().write().answered(now, answered);
                }
            }
        }
    }

    /// Reads a message without holding others up: ids of replicas that are new are added by this process alone.
    fn read(&self, sender: Option<Pid>, read: impl FnOnce(&mut Replicas) -> Option<wire::Read>) -> Option<Message> {
        let mut replicas = self.shared().read().state.replicas.clone();
        let before = replicas.len();
        let read = read(&mut replicas)?;
        if !wire::is_from(&read.message, sender, self.crdt.pid()) {
            return None;
        }
        if replicas.len() > MAX_REPLICAS {
            tracing::warn!(?sender, replicas = replicas.len(), "a message with too many replicas is refused");
            return None;
        }
        let flavour = read.flavour.zip(sender);
        if replicas.len() > before || flavour.is_some() {
            let mut replica = self.shared().write();
            replica.state.replicas = replicas;
            if let Some((flavour, from)) = flavour {
                replica.learn_flavour(from, flavour);
            }
        }
        Some(read.message)
    }

    /// Takes data in, some keys at a time, so that others read and write meanwhile.
    async fn join(&self, Data { dots, keys }: Data, sender: Option<Pid>) {
        let local = self.shared().local();
        let (all, mut changed) = (keys.len(), 0);
        let before = self.shared().read().state.keys_updated;
        let mut keys = keys.into_iter();
        while keys.len() > 0 {
            changed += self.shared().change(|replica| {
                let changes = replica.join(keys.by_ref().take(JOINED_AT_ONCE), &dots, local);
                (changes.len(), changes)
            });
            if keys.len() > 0 {
                tokio::task::yield_now().await;
            }
        }
        self.shared().write().joined(&dots, sender);
        self.shared().store();
        self.shared().syncs.fetch_add(1, Ordering::Relaxed);
        // With the writes of others meanwhile, as these are told nowhere else.
        let keys_updated_count = self.shared().read().state.keys_updated - before;
        let name = self.crdt.name();
        tracing::debug!(name, replica = ?self.crdt.pid(), keys = all, keys_updated_count, changed, "sync done");
    }

    /// The next tick; there is never more than one to come.
    fn sync_later(&mut self, process: &Process) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
        let (router, to) = (Arc::clone(process.router()), Target::Pid(process.pid()));
        let interval = self.interval;
        let timer = tokio::spawn(async move {
            tokio::time::sleep(interval).await;
            router.deliver(Signal::Message { from: None, to, body: crate::process::reason::of(&Term::atom("sync")) });
        });
        self.timer = Some(timer.abort_handle());
    }

    fn answer(&self, request: &Term) -> Result<Term, Exit> {
        let bad = || Exit::from(Term::tuple([Term::atom("function_clause"), request.clone()]));
        if request.is_atom("read") {
            return Ok(Term::Map(self.crdt.to_map()));
        }
        match request.as_tuple() {
            Some([tag, keys]) if tag.is_atom("read") => {
                let keys = keys.list_items().ok_or_else(bad)?;
                Ok(Term::Map(self.crdt.read_keys(&keys)))
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

/// `{add, [key, value]}` or `{remove, [key]}`.
fn operation(term: &Term) -> Option<Operation> {
    let [function, args] = term.as_tuple()? else { return None };
    let args = args.list_items()?;
    match (function.as_atom()?.as_str(), &args[..]) {
        ("add", [key, value]) => Some(Operation::Add(key.clone(), value.clone())),
        ("remove", [key]) => Some(Operation::Remove(key.clone())),
        _ => None,
    }
}

impl GenServer for Server {
    async fn init(&mut self, context: &mut Context) -> Result<(), Exit> {
        self.tick(&context.process).await;
        self.sync_later(&context.process);
        Ok(())
    }

    /// A request that no replica understands is refused to its caller alone: one caller's mistake takes nobody's data.
    async fn call(&mut self, request: Encoded, from: From, context: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().map_err(|_malformed| Exit::from(Term::atom("badarg")))?;
        match self.answer(&request) {
            Ok(reply) if reply.is_atom("ok") && self.shared().is_stored() => {
                // Many callers wait for one batch.
                let (crdt, process) = (self.crdt.clone(), context.process.share());
                context.node.spawn_task(async move {
                    let reply = match crdt.shared.stored().await {
                        Ok(()) => reply,
                        Err(error) => Term::tuple([Term::atom("error"), Term::binary(error.to_string())]),
                    };
                    let _gone = process.reply(&from, &reply);
                });
                Ok(Reply::Later)
            }
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
            Mail::Message(message) => {
                self.message(message.body(), message.sender(), &mut context.process).await;
            }
            Mail::Down(down) => {
                let address = self.watched.iter().find(|(_, watch)| watch.monitor == down.reference);
                if let Some(address) = address.map(|(address, _)| address.clone()) {
                    self.watched.remove(&address);
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
        self.push(&context.process).await;
        self.tick(&context.process).await;
        self.shared().end();
        #[cfg(feature = "storage")]
        if let Some(store) = self.shared().store.get() {
            // The next replica of the name can have the file.
            store.closed().await;
        }
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

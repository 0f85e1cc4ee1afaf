//! The process `global_name_server` and its locker: mail in, the state changed, acts done.
//!
//! Node events come through the same mailbox as everything else, so their place in the order of messages is kept.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::state::{Act, Verdict};
use super::table::Entry;
use super::{Shared, name_server, resolve, wire};
use crate::etf::Encoded;
use crate::node::{Node, NodeEvent, Observer};
use crate::process::call::{Request, classify};
use crate::process::router::Router;
use crate::process::{Dest, From, Mail, Process, reason};
use crate::signal::{Signal, Target};
use crate::term::{Atom, Pid, Ref, Term};

/// Turns node events into mail of the name server; nobody else knows the reference.
struct Watcher {
    router: Arc<Router>,
    gns: Pid,
    secret: Ref,
}

impl Watcher {
    fn tell(&self, kind: &str, node: Atom, more: Vec<Term>) {
        let message = [vec![self.secret.into(), Term::atom(kind), node.into()], more].concat();
        let body = reason::of(&Term::tuple(message));
        self.router.deliver(Signal::Message { from: None, to: Target::Pid(self.gns), body });
    }
}

impl Observer for Watcher {
    fn node_event(&self, event: &NodeEvent) {
        match event {
            NodeEvent::Up(peer) if !peer.hidden => self.tell("nodeup", peer.name.atom(), vec![]),
            NodeEvent::Down(peer, _) if !peer.hidden => self.tell("nodedown", peer.name.atom(), vec![]),
            NodeEvent::Up(_) | NodeEvent::Down(..) => {}
        }
    }
}

struct Server {
    node: Node,
    shared: Arc<Shared>,
    gns: Process,
    locker: Process,
    watcher: Arc<Watcher>,
    /// Monitors of processes that have names or locks.
    monitors: HashMap<Pid, Ref>,
    watched: HashMap<Ref, Pid>,
    /// Lock requests under way: serial of the job and the node.
    asked: HashMap<Ref, (u64, Atom)>,
    /// Conflicts that are being decided.
    conflicts: HashMap<u64, Conflict>,
    next_conflict: u64,
    syncing: Vec<From>,
}

struct Conflict {
    peer: Atom,
    tag: i64,
    name: Term,
    ours: Entry,
    theirs: Entry,
}

pub(super) fn start(node: &Node, shared: Arc<Shared>, gns: Process, locker: Process) {
    let watcher =
        Arc::new(Watcher { router: Arc::clone(node.router()), gns: gns.pid(), secret: node.router().make_ref() });
    node.observe(Arc::clone(&watcher) as Arc<dyn Observer>);
    let serving = node.clone();
    node.run(gns, move |gns| async move {
        let server = Server {
            node: serving,
            shared,
            gns,
            locker,
            watcher,
            monitors: HashMap::new(),
            watched: HashMap::new(),
            asked: HashMap::new(),
            conflicts: HashMap::new(),
            next_conflict: 0,
            syncing: Vec::new(),
        };
        server.serve().await;
    });
}

impl Server {
    async fn serve(mut self) {
        let mut stopping = self.node.stopping();
        loop {
            let wake = self.shared.state().wake();
            let wait = wake.map(|at| Duration::from_millis(at.saturating_sub(self.shared.now())));
            let sleep = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                mail = self.gns.receive() => match mail {
                    Ok(mail) => self.handle(&mail),
                    Err(_ended) => return,
                },
                mail = self.locker.receive() => match mail {
                    Ok(mail) => self.handle_locker(&mail),
                    Err(_ended) => return,
                },
                () = sleep => {
                    let now = self.shared.now();
                    self.shared.state().fire(now);
                }
                // Peers see all connections close at once; none of it is a loss to be told of.
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            self.act();
            self.shared.changed.send_modify(|version| *version = version.wrapping_add(1));
        }
    }

    fn handle(&mut self, mail: &Mail) {
        let now = self.shared.now();
        match mail {
            Mail::Message(message) => match classify(message) {
                Request::Call(from, request) => self.call(from, &request),
                Request::Cast(request) => {
                    let read = request.term().ok().and_then(|term| wire::read_cast(&term));
                    match read {
                        Some(message) => self.shared.state().handle(message, now),
                        None => tracing::debug!("unknown cast to global_name_server"),
                    }
                }
                Request::System(from, _) => {
                    let _gone = self.gns.reply(&from, &Term::atom("ok"));
                }
                Request::Info => {
                    let Ok(term) = message.term() else { return };
                    if !self.event(&term) {
                        if let Some(message) = wire::read_bare(&term) {
                            self.shared.state().handle(message, now);
                        }
                    }
                }
            },
            Mail::Down(down) => {
                if let Some(pid) = self.watched.remove(&down.reference) {
                    self.monitors.remove(&pid);
                    self.shared.state().pid_down(pid);
                }
            }
            Mail::Exit(_) | Mail::SpawnReply(_) => {}
        }
    }

    /// What the watcher, or a task of ours, has posted. False if it is something else.
    fn event(&mut self, term: &Term) -> bool {
        let Some([secret, kind, node, rest @ ..]) = term.as_tuple() else { return false };
        if secret.as_ref() != Some(self.watcher.secret) {
            return false;
        }
        let (Some(kind), Some(node)) = (kind.as_atom(), node.as_atom()) else { return false };
        let now = self.shared.now();
        match (kind.as_str(), rest) {
            ("nodeup", []) => self.shared.state().node_up(node, now),
            ("nodedown", []) => self.shared.state().node_down(node, now),
            ("joined", [reached]) => {
                let reached = reached.as_bool().unwrap_or(false);
                if !reached {
                    tracing::warn!(peer = node.as_str(), "global cannot connect");
                }
                self.shared.state().joined(node, reached, now);
            }
            ("decided", [number, verdict]) => self.decided(number, verdict, now),
            _ => {}
        }
        true
    }

    fn decided(&mut self, number: &Term, verdict: &Term, now: u64) {
        let number = number.as_i64().and_then(|number| u64::try_from(number).ok());
        let Some(conflict) = number.and_then(|number| self.conflicts.remove(&number)) else { return };
        let verdict = match verdict.as_atom().map_or("", |verdict| verdict.as_str()) {
            "ours" => Verdict::Ours,
            "theirs" => Verdict::Theirs,
            _ => Verdict::Neither,
        };
        let Conflict { peer, tag, name, ours, theirs } = conflict;
        self.shared.state().decided((peer, tag), name, (ours, theirs), verdict, now);
    }

    fn call(&mut self, from: From, request: &Encoded) {
        let Ok(request) = request.term() else { return };
        if request.is_atom("sync") {
            return self.syncing.push(from);
        }
        let reply = self.shared.state().call(from.pid(), &request);
        // Monitors are placed before the answer goes out.
        self.act();
        match reply {
            Some(reply) => {
                let _caller_is_gone = self.gns.reply(&from, &reply);
            }
            None => tracing::debug!(%request, "unknown call to global_name_server"),
        }
    }

    fn handle_locker(&mut self, mail: &Mail) {
        let now = self.shared.now();
        match mail {
            Mail::Message(message) => {
                let Ok(term) = message.term() else { return };
                match term.as_tuple() {
                    Some([reference, granted]) => {
                        let Some(reference) = reference.as_ref() else { return };
                        self.locker.demonitor(reference);
                        self.answered(reference, !granted.is_atom("false"), now);
                    }
                    Some([kind, locker, set, _known]) if kind.is_atom("lock_set") => {
                        let (Some(locker), Some(set)) = (locker.as_pid(), set.as_bool()) else { return };
                        self.shared.state().lock_set(locker, set, None, now);
                    }
                    _ => {}
                }
            }
            // A node without `:global`, or one that is gone: its lock is not needed.
            Mail::Down(down) => self.answered(down.reference, true, now),
            Mail::Exit(_) | Mail::SpawnReply(_) => {}
        }
    }

    fn answered(&mut self, reference: Ref, granted: bool, now: u64) {
        if let Some((serial, node)) = self.asked.remove(&reference) {
            self.shared.state().lock_answer(serial, node, granted, now);
        }
    }

    fn act(&mut self) {
        let acts = self.shared.state().take_acts();
        // Nothing else here connects to anybody: what is for a new partner waits for its connection.
        for act in &acts {
            if let Act::Join(node) = act {
                self.gns.begin_to_connect(*node);
            }
        }
        for act in acts {
            self.perform(act);
        }
        if !self.syncing.is_empty() && self.shared.state().is_synced() {
            for from in std::mem::take(&mut self.syncing) {
                let _caller_is_gone = self.gns.reply(&from, &Term::atom("ok"));
            }
        }
    }

    fn perform(&mut self, act: Act) {
        tracing::trace!(?act, "global");
        match act {
            // Its nodedown may be in the mailbox already.
            Act::Send(node, message) => send_noconnect(&self.gns, node, &message),
            Act::LockerSend(node, message) => send_noconnect(&self.locker, node, &message),
            Act::Tell(pid, message) => {
                if self.gns.is_connected(pid.node) {
                    send(&self.gns, Dest::Pid(pid), &message);
                }
            }
            Act::Ask { node, serial, request } => {
                let Some(reference) = self.locker_call(node, "set_lock", request) else { return };
                self.asked.insert(reference, (serial, node));
            }
            // Where it is gone, it has dropped what our processes held when it lost us.
            Act::Release { node, request } => {
                let _answered_in_any_case = self.locker_call(node, "del_lock", request);
            }
            // What was of a node that is gone by now goes at once: to connect to it again only to ask would undo what
            // the whole cluster has just agreed on.
            Act::Watch(pid) => {
                if let Ok(reference) = self.gns.monitor_noconnect(Target::Pid(pid), pid.node) {
                    self.monitors.insert(pid, reference);
                    self.watched.insert(reference, pid);
                }
            }
            Act::Unwatch(pid) => {
                if let Some(reference) = self.monitors.remove(&pid) {
                    self.watched.remove(&reference);
                    self.gns.demonitor(reference);
                }
            }
            Act::Join(node) => {
                let (watcher, ours) = (Arc::clone(&self.watcher), self.node.clone());
                self.node.spawn_task(async move {
                    let reached = ours.connect(node).await.is_ok();
                    watcher.tell("joined", node, vec![reached.into()]);
                });
            }
            Act::Disconnect(node) => {
                let ours = self.node.clone();
                self.node.spawn_task(async move {
                    let _was_connected = ours.disconnect(node).await;
                });
            }
            Act::Resolve { peer, tag, name, ours, theirs } => self.resolve(Conflict { peer, tag, name, ours, theirs }),
        }
    }

    fn locker_call(&self, node: Atom, what: &str, lock_id: Term) -> Option<Ref> {
        let reference = self.locker.monitor_noconnect(Target::Name(name_server()), node).ok()?;
        let from = Term::tuple([self.locker.pid().into(), reference.into()]);
        let request = Term::tuple([Term::atom(what), lock_id]);
        send_noconnect(&self.locker, node, &Term::tuple([Term::atom("$gen_call"), from, request]));
        Some(reference)
    }

    fn resolve(&mut self, conflict: Conflict) {
        self.next_conflict += 1;
        let number = self.next_conflict;
        let (node, watcher) = (self.node.clone(), Arc::clone(&self.watcher));
        let (peer, name) = (conflict.peer, conflict.name.clone());
        let (ours, theirs) = (conflict.ours.clone(), conflict.theirs.pid);
        self.conflicts.insert(number, conflict);
        self.node.spawn_task(async move {
            let verdict = resolve::decide(&node, name, &ours, theirs).await;
            watcher.tell("decided", peer, vec![number.into(), Term::atom(verdict)]);
        });
    }
}

fn send(process: &Process, to: Dest, message: &Term) {
    let _whoever_ended_needs_it_no_more = process.send_now(to, reason::of(message));
}

fn send_noconnect(process: &Process, node: Atom, message: &Term) {
    let _sent_or_gone = process.send_noconnect(name_server(), node, reason::of(message));
}

//! One process as others see it: mailbox, links, monitors, and what signals do to them.
//!
//! A signal acts at the moment it is delivered. What follows from it (an answer, exit signals to
//! links, DOWN to monitors) is returned as [`Effects`], to be sent when no lock is held.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hashbrown::HashMap;
use tokio::sync::Notify;

use super::mail::{Down, ExitSignal, Mail, Message};
use crate::etf::Encoded;
use crate::signal::{Signal, Target};
use crate::term::{Atom, Pid, Ref, Term, atom::known};

/// A process.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) pid: Pid,
    /// `{Module, Function, Arity}` that it began with, as `process_info` tells.
    pub(crate) initial_call: (Atom, Atom, u8),
    pub(crate) started: SystemTime,
    state: Mutex<State>,
    /// Wakes the owner: mail has come.
    mail: Notify,
    /// Wakes the owner: it has ended.
    ended: Notify,
}

/// What a process is made of, behind its lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) mailbox: VecDeque<Mail>,
    /// How many mails ever came.
    pub(crate) received: u64,
    pub(crate) trap_exit: bool,
    pub(crate) links: HashMap<Pid, Link>,
    /// What we monitor, by reference.
    pub(crate) monitors: HashMap<Ref, Monitor>,
    /// Who monitors us, by reference: whom to tell, and under which name.
    pub(crate) watchers: HashMap<Ref, Watcher>,
    pub(crate) aliases: HashMap<Ref, AliasMode>,
    /// How often each node is monitored: `erlang:monitor_node/2`.
    pub(crate) node_monitors: HashMap<Atom, u32>,
    /// What nodes were asked to spawn for us, and have not answered.
    pub(crate) spawns: HashMap<Ref, Spawning>,
    pub(crate) name: Option<Atom>,
    pub(crate) group_leader: Pid,
    /// Why it ended, once it has.
    pub(crate) exit_reason: Option<Encoded>,
    next_unlink_id: u64,
}

/// One end of a link (wire protocol: OTP's "Link Protocol").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// False between our UNLINK_ID and its ACK.
    pub(crate) active: bool,
    pub(crate) unlink_id: u64,
}

/// A monitor that we hold.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    /// The node of the target.
    pub(crate) node: Atom,
    pub(crate) target: Target,
}

/// A request to spawn that has not been answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spawning {
    pub(crate) node: Atom,
    pub(crate) replies: Replies,
}

/// Which answers to a request to spawn come as mail: `spawn_request`'s option `reply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Replies {
    /// `yes`.
    #[default]
    All,
    /// `error_only`.
    Errors,
}

/// How a process is to be spawned on another node.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpawnOptions {
    pub(crate) link: bool,
    pub(crate) monitor: bool,
    pub(crate) replies: Replies,
    /// Options that only the other node understands, such as `{priority, high}`.
    pub(crate) others: Vec<Term>,
}

impl SpawnOptions {
    /// The list that goes to the other node.
    pub(crate) fn term(&self) -> Term {
        let asked = [(self.link, known::link()), (self.monitor, known::monitor())];
        let asked = asked.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| Term::from(name));
        asked.chain(self.others.iter().cloned()).collect::<Vec<_>>().into()
    }
}

/// A monitor held on us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watcher {
    pub(crate) pid: Pid,
    /// How the DOWN names us: by our pid, or by the name that was monitored.
    pub(crate) known_as: Target,
}

/// When an alias ends of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AliasMode {
    /// Not before `unalias`.
    Explicit,
    /// With the first message through it.
    Reply,
    /// With the monitor of the same reference, or the first message through it, which ends the monitor too.
    ReplyDemonitor,
}

/// Signals to send once no lock is held, each with its sender and the node it goes to.
pub(crate) type Effects = Vec<(Pid, Atom, Signal)>;

/// The process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

impl Cell {
    pub(crate) fn new(pid: Pid, group_leader: Pid, initial_call: (Atom, Atom, u8)) -> Self {
        let state = State {
            mailbox: VecDeque::new(),
            received: 0,
            trap_exit: false,
            links: HashMap::new(),
            monitors: HashMap::new(),
            watchers: HashMap::new(),
            aliases: HashMap::new(),
            node_monitors: HashMap::new(),
            spawns: HashMap::new(),
            name: None,
            group_leader,
            exit_reason: None,
            next_unlink_id: 1,
        };
        Self {
            pid,
            initial_call,
            started: SystemTime::now(),
            state: Mutex::new(state),
            mail: Notify::new(),
            ended: Notify::new(),
        }
    }

    /// The state, if the process lives.
    pub(crate) fn live(&self) -> Result<MutexGuard<'_, State>, Ended> {
        let state = self.lock();
        if state.exit_reason.is_some() { Err(Ended) } else { Ok(state) }
    }

    /// The state, dead or alive.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts mail into the mailbox of a living process.
    pub(crate) fn post(&self, mail: Mail) -> Result<(), Ended> {
        let mut state = self.live()?;
        state.post(mail);
        drop(state);
        self.mail.notify_one();
        Ok(())
    }

    /// Waits for mail that has not been seen. For the one owner.
    pub(crate) async fn mail(&self) {
        self.mail.notified().await;
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.lock().exit_reason.is_some() {
                return;
            }
            ended.await;
        }
    }

    /// Ends the process: from here on it is dead to everybody. `None` if it was already.
    pub(crate) fn end(&self, reason: &Encoded) -> Option<(Effects, Remains)> {
        let mut state = self.live().ok()?;
        state.exit_reason = Some(reason.clone());
        let effects = farewell(self.pid, &mut state, reason);
        let remains =
            Remains { name: state.name.take(), aliases: state.aliases.drain().map(|(alias, _)| alias).collect() };
        state.mailbox.clear();
        drop(state);
        self.mail.notify_one();
        self.ended.notify_waiters();
        Some((effects, remains))
    }

    /// An exit signal has come: `Err` with the reason to end with, if it ends the process.
    ///
    /// The rules are those of OTP's "Process" reference: `kill` from `exit/2` cannot be trapped and becomes `killed`;
    /// `normal` ends nobody but the sender itself.
    pub(crate) fn handle_exit(&self, from: Pid, reason: &Encoded, kind: ExitKind) -> Result<(), Encoded> {
        let Ok(mut state) = self.live() else { return Ok(()) };
        if kind == ExitKind::Link {
            match state.links.remove(&from) {
                Some(link) if link.active => {}
                Some(_) | None => return Ok(()),
            }
        }
        if kind == ExitKind::Exit2 && reason.is_atom("kill") {
            return Err(super::reason::killed());
        }
        if state.trap_exit {
            state.post(Mail::Exit(ExitSignal { from, reason: reason.clone() }));
            drop(state);
            self.mail.notify_one();
            return Ok(());
        }
        if reason.is_atom("normal") && (kind == ExitKind::Link || from != self.pid) {
            return Ok(());
        }
        Err(reason.clone())
    }

    /// A monitored process ended, or its node is gone.
    pub(crate) fn handle_down(&self, from: Target, reference: Ref, reason: Encoded) {
        let Ok(mut state) = self.live() else { return };
        let Some(monitor) = state.monitors.remove(&reference) else { return };
        state.post(Mail::Down(Down { reference, node: monitor.node, target: from, reason }));
        drop(state);
        self.mail.notify_one();
    }

    /// A node is gone, or could not be connected to: `{nodedown, Node}` for each time that it is monitored, once.
    pub(crate) fn handle_nodedown(&self, node: Atom) {
        let Ok(mut state) = self.live() else { return };
        let Some(times) = state.node_monitors.remove(&node) else { return };
        let message = super::reason::of(&Term::tuple([known::nodedown().into(), node.into()]));
        for _ in 0..times {
            state.post(Mail::Message(Message::new(message.clone(), None, None)));
        }
        drop(state);
        self.mail.notify_one();
    }

    /// A message has come, by pid or name, or through an alias.
    pub(crate) fn handle_message(&self, body: Encoded, alias: Option<Ref>, sender: Option<Pid>) -> Effects {
        let Ok(mut state) = self.live() else { return Effects::new() };
        let mut effects = Effects::new();
        if let Some(alias) = alias {
            match state.aliases.get(&alias) {
                None => return effects,
                Some(AliasMode::Explicit) => {}
                Some(AliasMode::Reply) => drop(state.aliases.remove(&alias)),
                Some(AliasMode::ReplyDemonitor) => {
                    state.aliases.remove(&alias);
                    effects.extend(demonitor(self.pid, &mut state, alias));
                }
            }
        }
        state.post(Mail::Message(Message::new(body, alias, sender)));
        drop(state);
        self.mail.notify_one();
        effects
    }
}

/// By which kind of exit signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitKind {
    Link,
    Exit2,
}

/// What an ended process leaves in the node's tables.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) name: Option<Atom>,
    pub(crate) aliases: Vec<Ref>,
}

impl State {
    /// Makes a link active from this side, without a word to the other.
    pub(crate) fn link_to(&mut self, peer: Pid) {
        self.links.insert(peer, Link { active: true, unlink_id: 0 });
    }

    /// Lets `watcher` know under `reference` when this process, known to it as `pid`, ends.
    pub(crate) fn watched_by(&mut self, reference: Ref, watcher: Pid, pid: Pid) {
        self.watchers.insert(reference, Watcher { pid: watcher, known_as: Target::Pid(pid) });
    }

    fn post(&mut self, mail: Mail) {
        self.received += 1;
        self.mailbox.push_back(mail);
    }

    /// Marks a link as being undone and returns the id of the UNLINK_ID to send, if there was one.
    pub(crate) fn unlink(&mut self, to: Pid) -> Option<u64> {
        let link = self.links.get_mut(&to).filter(|link| link.active)?;
        let id = self.next_unlink_id;
        self.next_unlink_id += 1;
        *link = Link { active: false, unlink_id: id };
        Some(id)
    }
}

/// Ends a monitor of ours; the signal to send for it, if there was one.
pub(crate) fn demonitor(pid: Pid, state: &mut State, reference: Ref) -> Option<(Pid, Atom, Signal)> {
    let monitor = state.monitors.remove(&reference)?;
    // A process that is still being spawned cannot be named: its reply will find the request forgotten.
    if state.spawns.remove(&reference).is_some() {
        return None;
    }
    Some((pid, monitor.node, Signal::Demonitor { from: pid, to: monitor.target, reference }))
}

/// What the end of a process tells others: links first, then monitors.
fn farewell(pid: Pid, state: &mut State, reason: &Encoded) -> Effects {
    let mut effects = Effects::new();
    for (peer, link) in state.links.drain() {
        if link.active {
            effects.push((pid, peer.node, Signal::Exit { from: pid, to: peer, reason: reason.clone() }));
        }
    }
    for (reference, watcher) in state.watchers.drain() {
        let down = Signal::Down { from: watcher.known_as, to: watcher.pid, reference, reason: reason.clone() };
        effects.push((pid, watcher.pid.node, down));
    }
    let spawns = std::mem::take(&mut state.spawns);
    for (reference, monitor) in state.monitors.drain().filter(|(reference, _)| !spawns.contains_key(reference)) {
        effects.push((pid, monitor.node, Signal::Demonitor { from: pid, to: monitor.target, reference }));
    }
    effects
}

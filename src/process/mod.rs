//! Processes: a pid, a mailbox, links and monitors, run by a task of the user's.
//!
//! A [`Process`] is alive from the moment it is made until its reason to end comes: an exit signal, the
//! end of the future it was spawned with, or the drop of the handle. From then on it is dead to everybody at
//! once: its name is free, links and monitors have been told, and each of its own calls returns [`Exited`].

pub(crate) mod call;
mod cell;
mod dest;
mod mail;
pub(crate) mod outbox;
pub(crate) mod reason;
pub(crate) mod router;
mod run;
mod via;

use std::sync::Arc;

pub use self::call::{CallError, From};
pub(crate) use self::cell::{AliasMode, Cell, Replies, SpawnOptions, State};
pub use self::dest::Dest;
pub use self::mail::{Down, ExitSignal, Mail, Message, SpawnReply};
pub use self::router::RegisterError;
pub use self::run::{Exit, Outcome};
pub use self::via::{Answer, Registry};

pub(crate) use self::run::run;

use self::cell::{Link, Monitor, Spawning, demonitor};
use self::router::Router;
use self::via::Place;
use serde::Serialize;

use crate::etf::Encoded;
use crate::signal::{Signal, SpawnRequest, Target};
use crate::term::{Atom, Pid, Ref, Term};

/// A process of this node, in the hands of the task that runs it.
///
/// Dropping it is its exit, with reason `normal` unless it ended before.
#[derive(Debug)]
pub struct Process {
    cell: Arc<Cell>,
    router: Arc<Router>,
    /// False where the future that holds it decides why it ends.
    ends_on_drop: bool,
}

/// The process has ended: nothing more can be sent or received in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process has ended")]
pub struct Exited;

/// A message was not sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The sender itself has ended.
    #[error(transparent)]
    Exited(#[from] Exited),
    /// More than the busy limit waits to be written to that node (only from `try_send`).
    #[error("the connection is busy")]
    Busy,
    /// The message is no term.
    #[error(transparent)]
    Encode(#[from] crate::serde::Error),
    /// No process of this node has that name: Erlang's `badarg`.
    #[error("no process is registered as {}", .0.as_str())]
    NoName(Atom),
    /// No process has that name of a module's: `{global, Name}` or `{via, Module, Name}`.
    #[error("no process has the name {0}")]
    Nobody(Term),
}

impl Process {
    pub(crate) fn new(router: Arc<Router>, group_leader: Option<Pid>, initial_call: (Atom, Atom, u8)) -> Self {
        Self { cell: router.spawn_cell(group_leader, initial_call), router, ends_on_drop: true }
    }

    /// Another handle to the same process, which does not end it when dropped. Only one of them may receive at a time.
    pub(crate) fn share(&self) -> Self {
        Self { cell: Arc::clone(&self.cell), router: Arc::clone(&self.router), ends_on_drop: false }
    }

    /// The pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.cell.pid
    }

    /// Registers this process under a name.
    ///
    /// # Errors
    /// [`RegisterError`], if the name is taken or the process has one.
    pub fn register(&self, name: impl Into<Atom>) -> Result<(), RegisterError> {
        self.router.register(name.into(), self.pid())
    }

    /// Whether exit signals come as mail instead of ending the process.
    pub fn trap_exit(&self, trap: bool) {
        self.cell.lock().trap_exit = trap;
    }

    /// The process that gets the output of this one.
    #[must_use]
    pub fn group_leader(&self) -> Pid {
        self.cell.lock().group_leader
    }

    /// Sends a message, a [`Term`] or any value that serde knows; waits while the connection to that node is busy, as the emulator suspends senders.
    /// Connects by itself. Cancel-safe: a message is queued whole or not at all.
    ///
    /// # Errors
    /// [`SendError`]. A process that does not exist is no error, as in Erlang; a *local name* that nobody has is.
    pub async fn send(&self, to: impl Into<Dest>, message: impl Serialize) -> Result<(), SendError> {
        self.send_encoded(to.into(), Encoded::of(&message)?).await
    }

    /// Sends a message that is encoded already.
    ///
    /// # Errors
    /// As [`Process::send`].
    pub async fn send_encoded(&self, to: impl Into<Dest>, message: Encoded) -> Result<(), SendError> {
        let to = match to.into() {
            Dest::Global(name) => return via::send(self, Atom::new("global"), name, message).await,
            Dest::Via(module, name) => return via::send(self, module, name, message).await,
            to @ (Dest::Pid(_) | Dest::Name(_) | Dest::Remote(..) | Dest::Alias(_)) => to,
        };
        let (node, target) = self.address(to)?;
        if node != self.pid().node {
            self.router.outbox(node).writable().await;
        }
        self.push_message(node, target, message)
    }

    /// Sends a message unless that would mean waiting.
    ///
    /// # Errors
    /// [`SendError::Busy`] where [`Process::send`] would wait; else as there.
    pub fn try_send(&self, to: impl Into<Dest>, message: impl Serialize) -> Result<(), SendError> {
        let message = Encoded::of(&message)?;
        let to = self.located_now(to.into())?;
        let (node, target) = self.address(to)?;
        if node != self.pid().node && self.router.outbox(node).check_writable().is_err() {
            return Err(SendError::Busy);
        }
        self.push_message(node, target, message)
    }

    /// Sends however much is queued: for what the runtime itself has to answer.
    pub(crate) fn send_now(&self, to: impl Into<Dest>, message: Encoded) -> Result<(), SendError> {
        let to = self.located_now(to.into())?;
        let (node, target) = self.address(to)?;
        self.push_message(node, target, message)
    }

    /// Sends to a registered name of a node, if that is connected: erlang's `noconnect`.
    pub(crate) fn send_noconnect(&self, name: Atom, node: Atom, body: Encoded) -> bool {
        let message = Signal::Message { from: Some(self.pid()), to: Target::Name(name), body };
        self.router.send_noconnect(self.pid(), node, message)
    }

    /// Whether a node is connected.
    pub(crate) fn is_connected(&self, node: Atom) -> bool {
        self.router.is_connected(node)
    }

    /// The destination, with the pid in place of a name that a module keeps.
    pub(crate) async fn located(&self, to: Dest) -> Result<Dest, SendError> {
        match via::locate(Arc::clone(&self.router), to).await {
            Place::Found(to) => Ok(to),
            Place::Nobody(name) => Err(SendError::Nobody(name)),
        }
    }

    fn located_now(&self, to: Dest) -> Result<Dest, SendError> {
        match via::locate_now(&self.router, to) {
            Some(Place::Found(to)) => Ok(to),
            Some(Place::Nobody(name)) => Err(SendError::Nobody(name)),
            None => Err(SendError::Busy),
        }
    }

    fn push_message(&self, node: Atom, to: Target, body: Encoded) -> Result<(), SendError> {
        drop(self.live()?);
        self.router.send(self.pid(), node, Signal::Message { from: Some(self.pid()), to, body });
        Ok(())
    }

    fn address(&self, to: Dest) -> Result<(Atom, Target), SendError> {
        let ours = self.pid().node;
        Ok(match to {
            Dest::Pid(pid) => (pid.node, Target::Pid(pid)),
            Dest::Alias(alias) => (alias.node, Target::Alias(alias)),
            Dest::Remote(name, node) => (node, Target::Name(name)),
            Dest::Name(name) => match self.router.whereis(name) {
                Some(pid) => (ours, Target::Pid(pid)),
                None => return Err(SendError::NoName(name)),
            },
            Dest::Global(name) | Dest::Via(_, name) => return Err(SendError::Nobody(name)),
        })
    }

    /// The next mail, in the order it came. Cancel-safe.
    ///
    /// # Errors
    /// [`Exited`], once the process has ended.
    pub async fn receive(&mut self) -> Result<Mail, Exited> {
        self.receive_match(|mail| Some(mail.clone())).await
    }

    /// The first mail that `matches` wants, now or later; what it passes over stays. Cancel-safe.
    ///
    /// # Errors
    /// [`Exited`], once the process has ended.
    pub async fn receive_match<T>(&mut self, matches: impl FnMut(&Mail) -> Option<T>) -> Result<T, Exited> {
        self.receive_from(0, matches).await
    }

    /// The first mail that `matches` wants, if it is there already.
    ///
    /// # Errors
    /// [`Exited`], once the process has ended.
    pub fn try_receive_match<T>(&mut self, matches: impl FnMut(&Mail) -> Option<T>) -> Result<Option<T>, Exited> {
        self.take(&mut 0, matches)
    }

    /// As `receive_match`, leaving the first `seen` mails unlooked at: they came before what is asked for.
    pub(crate) async fn receive_from<T>(
        &mut self,
        seen: usize,
        mut matches: impl FnMut(&Mail) -> Option<T>,
    ) -> Result<T, Exited> {
        let mut seen = seen;
        loop {
            if let Some(found) = self.take(&mut seen, &mut matches)? {
                return Ok(found);
            }
            self.cell.mail().await;
        }
    }

    /// How many mails wait: a call that asks now need not look at them for its answer.
    pub(crate) fn mark(&self) -> usize {
        self.cell.lock().mailbox.len()
    }

    fn take<T>(&mut self, seen: &mut usize, mut matches: impl FnMut(&Mail) -> Option<T>) -> Result<Option<T>, Exited> {
        let mut state = self.live()?;
        while let Some(mail) = state.mailbox.get(*seen) {
            if let Some(found) = matches(mail) {
                state.mailbox.remove(*seen);
                return Ok(Some(found));
            }
            *seen += 1;
        }
        Ok(None)
    }

    /// Links this process with another: when one ends, the other gets an exit signal.
    ///
    /// # Errors
    /// [`Exited`], once the process has ended. A dead target is no error: the exit signal `noproc` comes.
    pub fn link(&self, to: Pid) -> Result<(), Exited> {
        let mut state = self.live()?;
        let link = state.links.entry(to).or_insert(Link { active: false, unlink_id: 0 });
        let was_active = std::mem::replace(link, Link { active: true, unlink_id: 0 }).active;
        drop(state);
        if !was_active && to != self.pid() {
            self.router.send(self.pid(), to.node, Signal::Link { from: self.pid(), to });
        }
        Ok(())
    }

    /// Undoes a link: no exit signal from that process comes any more.
    ///
    /// # Errors
    /// [`Exited`], once the process has ended.
    pub fn unlink(&self, from: Pid) -> Result<(), Exited> {
        let Some(id) = self.live()?.unlink(from) else { return Ok(()) };
        self.router.send(self.pid(), from.node, Signal::Unlink { id, from: self.pid(), to: from });
        Ok(())
    }

    /// Sends an exit signal: `exit(Pid, Reason)`.
    ///
    /// # Errors
    /// [`Exited`], once the process has ended.
    pub fn exit(&self, to: Pid, why: &Term) -> Result<(), Exited> {
        drop(self.live()?);
        let reason = reason::of(why);
        self.router.send(self.pid(), to.node, Signal::Exit2 { from: self.pid(), to: Target::Pid(to), reason });
        Ok(())
    }

    /// Watches a process, by pid or name: a [`Mail::Down`] comes when it ends, with `noproc` if there is none.
    ///
    /// # Errors
    /// [`Exited`], once this process has ended.
    pub fn monitor(&self, to: impl Into<Dest>) -> Result<Ref, Exited> {
        let reference = self.router.make_ref();
        self.monitor_as(reference, to.into())?;
        Ok(reference)
    }

    /// Waits for the end of a process that is watched under this reference; other mail stays. Cancel-safe.
    ///
    /// # Errors
    /// [`Exited`], once this process has ended.
    pub async fn down(&mut self, reference: Ref) -> Result<Down, Exited> {
        self.receive_match(|mail| match mail {
            Mail::Down(down) if down.reference == reference => Some(down.clone()),
            Mail::Message(_) | Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
        })
        .await
    }

    /// As [`Process::monitor`] for another node, but never connects: who is on a node that is not connected is told of at
    /// once, as when a connection is lost.
    pub(crate) fn monitor_noconnect(&self, to: Target, node: Atom) -> Result<Ref, Exited> {
        let reference = self.router.make_ref();
        self.monitor_connected(reference, to, node)?;
        Ok(reference)
    }

    /// The same under a reference that is an alias too.
    pub(crate) fn monitor_alias_noconnect(&self, to: Target, node: Atom, mode: AliasMode) -> Result<Ref, Exited> {
        let reference = self.router.make_ref();
        self.router.add_alias(&self.cell, reference, mode);
        self.monitor_connected(reference, to, node)?;
        Ok(reference)
    }

    fn monitor_connected(&self, reference: Ref, target: Target, node: Atom) -> Result<(), Exited> {
        // Noted before it is sent: the connection may be lost meanwhile.
        self.live()?.monitors.insert(reference, Monitor { node, target });
        let monitor = Signal::Monitor { from: self.pid(), to: target, reference };
        if !self.router.send_noconnect(self.pid(), node, monitor) {
            let reason = reason::noconnection();
            self.router.deliver(Signal::Down { from: target, to: self.pid(), reference, reason });
        }
        Ok(())
    }

    /// Begins to connect to a node, as sending to it does: what is sent from now on waits for that.
    pub(crate) fn begin_to_connect(&self, node: Atom) {
        if node != self.pid().node {
            let _connected_or_connecting = self.router.outbox(node);
        }
    }

    /// Watches a process under a reference that is an alias too, as `monitor(…, [{alias, Mode}])`.
    pub(crate) fn monitor_alias(&self, to: Dest, mode: AliasMode) -> Result<Ref, Exited> {
        let reference = self.router.make_ref();
        self.router.add_alias(&self.cell, reference, mode);
        self.monitor_as(reference, to)?;
        Ok(reference)
    }

    fn monitor_as(&self, reference: Ref, to: Dest) -> Result<(), Exited> {
        let (node, target) = match to {
            Dest::Pid(pid) => (pid.node, Target::Pid(pid)),
            Dest::Name(name) => (self.pid().node, Target::Name(name)),
            Dest::Remote(name, node) => (node, Target::Name(name)),
            Dest::Alias(alias) => (alias.node, Target::Alias(alias)),
            to @ (Dest::Global(_) | Dest::Via(..)) => {
                // Whom it names is known a little later, perhaps.
                let unknown = Monitor { node: self.pid().node, target: Target::Alias(reference) };
                self.live()?.monitors.insert(reference, unknown);
                via::monitor_later(&self.router, &self.cell, to, reference);
                return Ok(());
            }
        };
        self.live()?.monitors.insert(reference, Monitor { node, target });
        self.router.send(self.pid(), node, Signal::Monitor { from: self.pid(), to: target, reference });
        Ok(())
    }

    /// Asks a node to spawn a function; the answer comes as [`Mail::SpawnReply`] under the reference returned,
    /// which is the monitor's too if `options` ask for one. Waits while the connection is busy.
    pub(crate) async fn spawn_request(
        &self,
        node: Atom,
        (module, function, arity): (Atom, Atom, u8),
        args: Encoded,
        group_leader: Pid,
        options: &SpawnOptions,
    ) -> Result<Ref, Exited> {
        if node != self.pid().node {
            self.router.outbox(node).writable().await;
        }
        let id = self.router.make_ref();
        let mut state = self.live()?;
        state.spawns.insert(id, Spawning { node, replies: options.replies });
        if options.monitor {
            // Which pid it is for is known with the reply.
            state.monitors.insert(id, Monitor { node, target: Target::Alias(id) });
        }
        drop(state);
        let request =
            SpawnRequest { id, from: self.pid(), group_leader, module, function, arity, options: options.term(), args };
        self.router.send(self.pid(), node, Signal::SpawnRequest(Box::new(request)));
        Ok(id)
    }

    /// Stops watching; a [`Mail::Down`] that came already is taken out of the mailbox, as `demonitor(Ref, [flush])`.
    /// Whether the monitor was still there.
    pub fn demonitor(&mut self, reference: Ref) -> bool {
        let Ok(mut state) = self.live() else { return false };
        let signal = demonitor(self.pid(), &mut state, reference);
        let down =
            state.mailbox.iter().rposition(|mail| matches!(mail, Mail::Down(down) if down.reference == reference));
        if let Some(at) = down {
            state.mailbox.remove(at);
        }
        drop(state);
        self.router.remove_alias(&self.cell, reference);
        let was_there = signal.is_some();
        self.router.send_all(signal.into_iter().collect());
        was_there
    }

    /// Has the message `{nodedown, Node}` come when that node is lost, once for each time that this was said; takes one
    /// of them back where `on` is false: `erlang:monitor_node/2`. Connects where there is no connection, and where that
    /// fails the message comes too.
    ///
    /// # Errors
    /// [`Exited`], once this process has ended.
    pub fn monitor_node(&self, node: impl Into<Atom>, on: bool) -> Result<(), Exited> {
        let node = node.into();
        let mut state = self.live()?;
        if !on {
            if let Some(times) = state.node_monitors.get_mut(&node) {
                *times -= 1;
                if *times == 0 {
                    state.node_monitors.remove(&node);
                }
            }
            return Ok(());
        }
        if node == self.pid().node {
            return Ok(());
        }
        // Noted before the connection is looked at: it may be lost meanwhile.
        *state.node_monitors.entry(node).or_insert(0) += 1;
        drop(state);
        self.begin_to_connect(node);
        Ok(())
    }

    /// A reference that messages can be sent to until [`Process::unalias`] or the end of this process.
    #[must_use]
    pub fn alias(&self) -> Ref {
        let alias = self.router.make_ref();
        self.router.add_alias(&self.cell, alias, AliasMode::Explicit);
        alias
    }

    /// A reference that one message can be sent to: `alias([reply])`.
    #[must_use]
    pub fn alias_once(&self) -> Ref {
        let alias = self.router.make_ref();
        self.router.add_alias(&self.cell, alias, AliasMode::Reply);
        alias
    }

    /// Ends an alias: what is sent to it from now on is dropped. Whether it was one.
    pub fn unalias(&self, alias: Ref) -> bool {
        self.router.remove_alias(&self.cell, alias)
    }

    /// Waits for the reason to end. Cancel-safe.
    pub async fn exited(&self) -> Encoded {
        self.cell.ended().await;
        self.cell.lock().exit_reason.clone().unwrap_or_else(reason::normal)
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    pub(crate) fn router(&self) -> &Arc<Router> {
        &self.router
    }

    fn live(&self) -> Result<std::sync::MutexGuard<'_, State>, Exited> {
        self.cell.live().map_err(|_ended| Exited)
    }

    /// Ends this process with a reason.
    pub(crate) fn end(&self, why: &Encoded) {
        self.router.end(&self.cell, why);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ends_on_drop {
            self.end(&reason::normal());
        }
    }
}

#[cfg(test)]
mod tests;

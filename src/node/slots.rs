//! Which peers are connected, or about to be: one slot a peer, so that there is never more than one of either.
//!
//! When both sides dial at once, the attempt of the node with the greater name survives (OTP's "Distribution
//! Handshake"): the acceptor answers `nok` to the smaller, and gives up its own attempt for the greater. A
//! connection that is up is never replaced before its successor has shown the cookie.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::HashMap;
use tokio::sync::{Notify, watch};

use crate::handshake::{Existing, Verdict, verdict};
use crate::net::{Closed, Connection, DialError};
use crate::term::{Atom, NodeName};

/// The slots of a node.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<Atom, Slot>,
    last_id: u64,
    /// The node closes its connections, and keeps no new one.
    shut: bool,
}

#[derive(Debug)]
enum Slot {
    Pending(Pending),
    /// With the caller, if there is one, that says it is dead and is being checked.
    Up(Arc<Connection>, Weak<Contender>),
}

/// Held by the one caller that may be checked while a connection to its name is up.
#[derive(Debug)]
pub(crate) struct Contender;

/// An attempt in progress, in either direction.
#[derive(Debug, Clone)]
struct Pending {
    id: u64,
    cancel: Arc<Notify>,
    outcome: watch::Receiver<Outcome>,
}

/// How an attempt went, once it is known.
pub(crate) type Outcome = Option<Result<(), DialError>>;

/// The right to make a connection to a peer.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) peer: Atom,
    pub(crate) id: u64,
    /// Told when another attempt takes over.
    pub(crate) cancelled: Arc<Notify>,
    outcome: watch::Sender<Outcome>,
}

/// What to do about a wish to be connected.
pub(crate) enum Wish {
    Connected,
    /// A connection that is on its way out: when it is gone, ask again.
    Closing(Arc<Connection>),
    /// Somebody is at it.
    Wait(watch::Receiver<Outcome>),
    Dial(Attempt),
}

/// What to do about a peer that dials us.
pub(crate) struct Incoming {
    pub(crate) verdict: Verdict,
    /// The right to become the connection, with the verdicts that let the caller in.
    pub(crate) attempt: Option<Attempt>,
    /// The connection that there is, with the verdict `Alive`, and the place of its one contender.
    pub(crate) alive: Option<(Arc<Connection>, Arc<Contender>)>,
}

impl Slots {
    /// Somebody wants to be connected to `peer`.
    pub(crate) fn want(&self, peer: Atom) -> Wish {
        let mut table = self.lock();
        match table.slots.get(&peer) {
            Some(Slot::Up(connection, _)) if connection.is_closing() => Wish::Closing(Arc::clone(connection)),
            Some(Slot::Up(..)) => Wish::Connected,
            Some(Slot::Pending(pending)) => Wish::Wait(pending.outcome.clone()),
            None => Wish::Dial(table.begin(peer)),
        }
    }

    /// `peer` dials us, whose name is `ours`.
    pub(crate) fn incoming(&self, ours: &NodeName, peer: &NodeName) -> Incoming {
        let mut table = self.lock();
        let (existing, up) = match table.slots.get_mut(&peer.atom()) {
            None => (Existing::None, None),
            Some(Slot::Pending(_)) => (Existing::Pending, None),
            Some(Slot::Up(_, contender)) if contender.strong_count() > 0 => (Existing::UpPending, None),
            Some(Slot::Up(connection, contender)) => (Existing::Up, Some((Arc::clone(connection), contender))),
        };
        let verdict = verdict(ours, peer, existing);
        let alive = up.filter(|_| verdict == Verdict::Alive).map(|(connection, place)| {
            let contender = Arc::new(Contender);
            *place = Arc::downgrade(&contender);
            (connection, contender)
        });
        let attempt = match verdict {
            Verdict::Ok => Some(table.begin(peer.atom())),
            Verdict::OkSimultaneous => {
                if let Some(Slot::Pending(pending)) = table.slots.get(&peer.atom()) {
                    pending.cancel.notify_one();
                }
                Some(table.begin(peer.atom()))
            }
            Verdict::Nok | Verdict::NotAllowed | Verdict::Alive | Verdict::Close => None,
        };
        Incoming { verdict, attempt, alive }
    }

    /// A new attempt in place of a connection whose peer said that it is dead; the peer has not shown the cookie.
    pub(crate) fn successor(&self, peer: Atom) -> Attempt {
        let mut table = self.lock();
        table.attempt(peer).0
    }

    /// Whether the attempt is still the one that counts: what to answer to `alive`.
    pub(crate) fn is_current(&self, attempt: &Attempt) -> bool {
        matches!(self.lock().slots.get(&attempt.peer), Some(Slot::Pending(pending)) if pending.id == attempt.id)
    }

    /// The handshake of an attempt is done: the connection is up from here on, if only to be closed where the node shuts
    /// down. False if another took over.
    pub(crate) fn activate(&self, attempt: &Attempt, connection: Arc<Connection>) -> bool {
        let mut table = self.lock();
        match table.slots.get(&attempt.peer) {
            Some(Slot::Pending(pending)) if pending.id != attempt.id => return false,
            Some(Slot::Up(..)) => return false,
            Some(Slot::Pending(_)) | None => {}
        }
        if table.shut {
            connection.close(Closed::Shutdown);
        }
        table.slots.insert(attempt.peer, Slot::Up(connection, Weak::new()));
        drop(table);
        attempt.outcome.send_replace(Some(Ok(())));
        true
    }

    /// An attempt failed. If it was the one that counts, `give_up` tells whatever waits for the peer, before anybody can
    /// try again: told later, it would take what waits for the next attempt along.
    pub(crate) fn fail(&self, attempt: Attempt, why: DialError, give_up: impl FnOnce()) {
        let mut table = self.lock();
        let current = matches!(table.slots.get(&attempt.peer),
            Some(Slot::Pending(pending)) if pending.id == attempt.id);
        if current {
            give_up();
            table.slots.remove(&attempt.peer);
        }
        drop(table);
        attempt.outcome.send_replace(Some(Err(why)));
    }

    /// A connection is gone. True if it was the one that counts.
    pub(crate) fn remove(&self, connection: &Connection) -> bool {
        let mut table = self.lock();
        let peer = connection.peer().name.atom();
        let current = matches!(table.slots.get(&peer), Some(Slot::Up(up, _)) if up.peer() == connection.peer());
        if current {
            table.slots.remove(&peer);
        }
        current
    }

    /// The connection to a peer.
    pub(crate) fn up(&self, peer: Atom) -> Option<Arc<Connection>> {
        match self.lock().slots.get(&peer) {
            Some(Slot::Up(connection, _)) => Some(Arc::clone(connection)),
            Some(Slot::Pending(_)) | None => None,
        }
    }

    /// All connections.
    pub(crate) fn all_up(&self) -> Vec<Arc<Connection>> {
        self.lock().all_up()
    }

    /// Closes all connections, those too that come up later; the ones that there are.
    pub(crate) fn shut(&self) -> Vec<Arc<Connection>> {
        let mut table = self.lock();
        table.shut = true;
        let up = table.all_up();
        drop(table);
        up.iter().for_each(|connection| connection.close(Closed::Shutdown));
        up
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn all_up(&self) -> Vec<Arc<Connection>> {
        let up = self.slots.values().filter_map(|slot| match slot {
            Slot::Up(connection, _) => Some(Arc::clone(connection)),
            Slot::Pending(_) => None,
        });
        up.collect()
    }

    fn begin(&mut self, peer: Atom) -> Attempt {
        let (attempt, pending) = self.attempt(peer);
        self.slots.insert(peer, Slot::Pending(pending));
        attempt
    }

    fn attempt(&mut self, peer: Atom) -> (Attempt, Pending) {
        self.last_id += 1;
        let (sender, receiver) = watch::channel(None);
        let cancel = Arc::new(Notify::new());
        let pending = Pending { id: self.last_id, cancel: Arc::clone(&cancel), outcome: receiver };
        (Attempt { peer, id: self.last_id, cancelled: cancel, outcome: sender }, pending)
    }
}

//! What waits to be written to one peer: signals in order, counted in bytes.
//!
//! The queue is the only one on the way out. Whoever sends a message waits while more than the busy
//! limit is queued, as the emulator suspends senders at `+zdbbl`, and is let go at half of it, so that a sender and the
//! writer do not take turns message by message; control signals never wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::signal::Signal;
use crate::term::Pid;

/// Signals on their way to one node.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Wakes the writer.
    filled: Notify,
    /// Wakes senders.
    drained: Notify,
    busy_limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    signals: VecDeque<Queued>,
    /// Queued and taken but not yet written.
    bytes: usize,
    /// More than the busy limit was queued, and since then it was never down to half of that.
    busy: bool,
    tick: bool,
    closed: bool,
}

/// A signal with what the writer must know of it.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Who sends it: the signals of one sender keep their order.
    pub(crate) sender: Pid,
    pub(crate) signal: Signal,
    /// About as many bytes as it takes on the wire.
    pub(crate) cost: usize,
}

/// What the writer takes in one go.
#[derive(Debug)]
pub(crate) enum Taken {
    /// `signals` may be empty, if only a tick is due.
    Batch {
        signals: VecDeque<Queued>,
        tick: bool,
    },
    Closed,
}

/// More than the busy limit was queued, and not enough of it has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection is busy")]
pub(crate) struct Busy;

impl Outbox {
    pub(crate) fn new(busy_limit: usize) -> Self {
        Self { queue: Mutex::default(), filled: Notify::new(), drained: Notify::new(), busy_limit }
    }

    /// Queues a signal, however full the queue is. Into a closed outbox it is dropped: what it asked for
    /// is answered by the loss of the connection.
    pub(crate) fn push(&self, sender: Pid, signal: Signal) {
        let cost = signal.cost();
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        let was_empty = queue.signals.is_empty();
        queue.bytes += cost;
        queue.busy |= queue.bytes > self.busy_limit;
        queue.signals.push_back(Queued { sender, signal, cost });
        drop(queue);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits while the connection is busy: until half the busy limit is left, or the queue is closed. Cancel-safe.
    pub(crate) async fn writable(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.check_writable().is_ok() {
                return;
            }
            drained.await;
        }
    }

    /// Whether a sender would have to wait.
    pub(crate) fn check_writable(&self) -> Result<(), Busy> {
        let queue = self.lock();
        if queue.closed || !queue.busy { Ok(()) } else { Err(Busy) }
    }

    /// Takes all that is queued; waits while nothing is. For the one writer.
    pub(crate) async fn take(&self) -> Taken {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    /// Takes all that is queued, if anything is.
    pub(crate) fn try_take(&self) -> Option<Taken> {
        let mut queue = self.lock();
        if queue.closed {
            return Some(Taken::Closed);
        }
        let tick = std::mem::take(&mut queue.tick);
        if queue.signals.is_empty() && !tick {
            return None;
        }
        Some(Taken::Batch { signals: std::mem::take(&mut queue.signals), tick })
    }

    /// Says that so much of what was taken has been written.
    pub(crate) fn written(&self, cost: usize) {
        let mut queue = self.lock();
        queue.bytes = queue.bytes.saturating_sub(cost);
        let drained = queue.busy && queue.bytes <= self.busy_limit / 2;
        queue.busy &= !drained;
        drop(queue);
        if drained {
            self.drained.notify_waiters();
        }
    }

    /// Asks the writer for a tick.
    pub(crate) fn request_tick(&self) {
        self.lock().tick = true;
        self.filled.notify_one();
    }

    /// Bytes queued or being written.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Drops all that is queued and lets everybody who waits go on.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.signals.clear();
        queue.bytes = 0;
        drop(queue);
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Atom, Creation};

    fn pid() -> Pid {
        Pid { node: Atom::new("a@h"), id: 1, serial: 0, creation: Creation(1) }
    }

    fn link() -> Signal {
        Signal::Link { from: pid(), to: pid() }
    }

    #[tokio::test]
    async fn a_full_queue_holds_senders_until_it_is_written() {
        let outbox = Outbox::new(0);
        assert_eq!(outbox.check_writable(), Ok(()));
        outbox.push(pid(), link());
        assert_eq!(outbox.check_writable(), Err(Busy));
        let Taken::Batch { signals, tick: false } = outbox.take().await else { panic!("one signal was queued") };
        assert_eq!(outbox.check_writable(), Err(Busy), "taken is not written");
        let cost = signals.iter().map(|queued| queued.cost).sum();
        let (_, ()) = tokio::join!(outbox.writable(), async { outbox.written(cost) });
        assert_eq!(outbox.queued_bytes(), 0);
    }

    #[test]
    fn who_waits_is_let_go_at_half_the_limit() {
        let cost = link().cost();
        let outbox = Outbox::new(4 * cost);
        for _ in 0..5 {
            outbox.push(pid(), link());
        }
        let mut waiting = std::pin::pin!(outbox.writable());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for left in [4, 3] {
            assert!(waiting.as_mut().poll(&mut context).is_pending(), "{left} more");
            outbox.written(cost);
        }
        assert!(waiting.as_mut().poll(&mut context).is_pending(), "three are left, and it waits for two");
        assert_eq!(outbox.check_writable(), Err(Busy), "whoever comes now would keep it waiting");
        outbox.written(cost);
        assert_eq!(outbox.check_writable(), Ok(()));
        assert!(waiting.as_mut().poll(&mut context).is_ready());
    }

    #[tokio::test]
    async fn closing_lets_everybody_go_on() {
        let outbox = Outbox::new(0);
        outbox.push(pid(), link());
        let (_, ()) = tokio::join!(outbox.writable(), async { outbox.close() });
        assert!(matches!(outbox.take().await, Taken::Closed));
    }

    #[tokio::test]
    async fn a_tick_is_taken_once() {
        let outbox = Outbox::new(0);
        outbox.request_tick();
        assert!(matches!(outbox.take().await, Taken::Batch { tick: true, .. }));
        assert!(outbox.try_take().is_none());
    }
}

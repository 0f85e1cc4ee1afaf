//! A subscription as a stream, with a queue that is bounded.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::server::Shared;
use super::topics::Subscriber;
use crate::etf::Encoded;
use crate::term::Binary;

/// What is broadcast on a topic, from the moment it was subscribed to; dropping it unsubscribes.
///
/// A stream that is not read keeps the newest messages, up to its capacity, and says first how many it has lost. It ends
/// with the pubsub.
#[derive(Debug)]
pub struct Subscription {
    pub(super) shared: Arc<Shared>,
    pub(super) topic: Binary,
    pub(super) id: u64,
    pub(super) queue: Arc<Queue>,
}

/// So many messages, the oldest, were dropped because the stream was not read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} messages were lost: the subscription was not read in time")]
pub struct Lagged(pub u64);

impl Subscription {
    /// The next message; `None` once the pubsub has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Encoded, Lagged>> {
        std::future::poll_fn(|cx| self.queue.poll(cx)).await
    }

    /// Who subscribed: for [`PubSub::broadcast_from`](super::PubSub::broadcast_from).
    #[must_use]
    pub fn subscriber(&self) -> Subscriber {
        Subscriber::Stream(self.id)
    }
}

impl futures_core::Stream for Subscription {
    type Item = Result<Encoded, Lagged>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().queue.poll(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.unsubscribe(&self.topic, Subscriber::Stream(self.id));
    }
}

/// Messages that wait to be read.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// How many messages it keeps, and how many bytes; the newest is kept however large it is.
    capacity: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    messages: VecDeque<Encoded>,
    bytes: usize,
    lost: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    pub(super) fn new(capacity: usize, max_bytes: usize) -> Self {
        Self { inner: Mutex::default(), capacity: capacity.max(1), max_bytes }
    }

    pub(super) fn push(&self, message: Encoded) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        inner.bytes = inner.bytes.saturating_add(message.len());
        inner.messages.push_back(message);
        while inner.messages.len() > self.capacity || (inner.bytes > self.max_bytes && inner.messages.len() > 1) {
            let Some(oldest) = inner.messages.pop_front() else { break };
            inner.bytes = inner.bytes.saturating_sub(oldest.len());
            inner.lost += 1;
        }
        wake(inner);
    }

    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        wake(inner);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Encoded, Lagged>>> {
        let mut inner = self.lock();
        if inner.lost > 0 {
            return Poll::Ready(Some(Err(Lagged(std::mem::take(&mut inner.lost)))));
        }
        if let Some(message) = inner.messages.pop_front() {
            inner.bytes = inner.bytes.saturating_sub(message.len());
            return Poll::Ready(Some(Ok(message)));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut inner: MutexGuard<'_, Inner>) {
    let waker = inner.waker.take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

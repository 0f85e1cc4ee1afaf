//! `nodeup` and `nodedown`: who wants to know of them, and in what order they learn.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::task::{Context, Poll, Waker};

use crate::net::{Closed, Peer};

/// A node has come or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// Connected; comes before every message of that connection.
    Up(Peer),
    /// No longer connected; comes after every message of that connection.
    Down(Peer, Closed),
}

/// Told of every node event, in order, before the traffic that follows it. Must not block.
pub(crate) trait Observer: Send + Sync {
    fn node_event(&self, event: &NodeEvent);
}

/// All who want to know.
#[derive(Default)]
pub(crate) struct Events {
    observers: RwLock<Vec<Arc<dyn Observer>>>,
    streams: Mutex<Vec<Weak<Queue>>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(observer);
    }

    pub(crate) fn publish(&self, event: &NodeEvent) {
        for observer in self.observers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            observer.node_event(event);
        }
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).retain(|stream| match stream.upgrade() {
            Some(queue) => {
                queue.push(event.clone());
                true
            }
            None => false,
        });
    }

    pub(crate) fn stream(&self) -> NodeEvents {
        let queue = Arc::new(Queue::default());
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&queue));
        NodeEvents(queue)
    }
}

/// A stream of node events, from the moment it was made.
#[derive(Debug)]
pub struct NodeEvents(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue(Mutex<(VecDeque<NodeEvent>, Option<Waker>)>);

impl Queue {
    fn push(&self, event: NodeEvent) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.push_back(event);
        if let Some(waker) = inner.1.take() {
            waker.wake();
        }
    }
}

impl NodeEvents {
    /// The next event. Cancel-safe.
    pub async fn next(&mut self) -> NodeEvent {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<NodeEvent> {
        let mut inner = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.0.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                inner.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl futures_core::Stream for NodeEvents {
    type Item = NodeEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NodeEvent>> {
        self.get_mut().poll(cx).map(Some)
    }
}

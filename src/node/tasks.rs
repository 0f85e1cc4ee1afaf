//! The tasks of a node: all of them have ended when it has shut down.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Counts what is running.
#[derive(Debug)]
pub(crate) struct Tasks {
    /// The runtime that the node was started on, whoever spawns.
    runtime: Handle,
    running: AtomicUsize,
    idle: Notify,
}

impl Tasks {
    /// Counts what will run on the current runtime.
    pub(crate) fn new() -> Self {
        Self { runtime: Handle::current(), running: AtomicUsize::new(0), idle: Notify::new() }
    }

    /// Runs a future on the node's runtime.
    pub(crate) fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        self.running.fetch_add(1, Ordering::AcqRel);
        let done = Done(Arc::clone(self));
        self.runtime.spawn(async move {
            future.await;
            drop(done);
        });
    }

    /// Waits until nothing runs any more.
    pub(crate) async fn joined(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Counts down also where the task is aborted or panics.
struct Done(Arc<Tasks>);

impl Drop for Done {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

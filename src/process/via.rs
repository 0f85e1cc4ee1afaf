//! Names that other modules keep: `{global, Name}` and `{via, Module, Name}`.
//!
//! As in Erlang, the caller looks the name up, and what follows is traffic to a pid: no node knows that a name was used.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::router::Router;
use super::{Cell, Dest, Process, SendError};
use crate::etf::Encoded;
use crate::signal::{Signal, Target};
use crate::term::{Atom, Pid, Ref, Term};

/// An answer that may have to be fetched from other nodes.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A module that keeps names: what Erlang's `via` asks of it. It is made known by `Node::add_registry`.
pub trait Registry: Send + Sync + std::fmt::Debug {
    /// Gives a process a name; false where another has it.
    fn register_name(&self, name: Term, pid: Pid) -> Answer<'_, bool>;

    /// Frees a name.
    fn unregister_name(&self, name: Term) -> Answer<'_, ()>;

    /// The process that has the name.
    fn whereis_name(&self, name: Term) -> Answer<'_, Option<Pid>>;

    /// Sends a message to the process that has the name, in the name of `from`; the pid that it went to. What sends use
    /// whose destination is `{via, Module, Name}`; unless a module has its own way, it looks the name up.
    fn send<'a>(&'a self, from: &'a Process, name: Term, message: Encoded) -> Answer<'a, Result<Pid, SendError>> {
        Box::pin(async move {
            let pid = self.whereis_name(name.clone()).await.ok_or(SendError::Nobody(name))?;
            from.send_encoded(pid, message).await?;
            Ok(pid)
        })
    }
}

/// Sends to a name that a module keeps, the way the module sends.
pub(super) async fn send(from: &Process, module: Atom, name: Term, message: Encoded) -> Result<(), SendError> {
    match from.router().registry(module) {
        Some(registry) => registry.send(from, name, message).await.map(|_pid| ()),
        None => Err(SendError::Nobody(name)),
    }
}

/// A destination as signals can be sent to it.
pub(super) enum Place {
    Found(Dest),
    /// Nobody has that name.
    Nobody(Term),
}

/// Looks a destination up, if it is a name that a module keeps.
pub(super) async fn locate(router: Arc<Router>, dest: Dest) -> Place {
    let (module, name) = match dest {
        Dest::Global(name) => (Atom::new("global"), name),
        Dest::Via(module, name) => (module, name),
        Dest::Pid(_) | Dest::Name(_) | Dest::Remote(..) | Dest::Alias(_) => return Place::Found(dest),
    };
    let Some(registry) = router.registry(module) else { return Place::Nobody(name) };
    match registry.whereis_name(name.clone()).await {
        Some(pid) => Place::Found(Dest::Pid(pid)),
        None => Place::Nobody(name),
    }
}

/// As [`locate`], where that needs no waiting.
pub(super) fn locate_now(router: &Arc<Router>, dest: Dest) -> Option<Place> {
    now(pin!(locate(Arc::clone(router), dest)).as_mut())
}

fn now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Sends the signal of a monitor, which `cell` holds already, once it is known whose it is.
pub(super) fn monitor_later(router: &Arc<Router>, cell: &Arc<Cell>, dest: Dest, reference: Ref) {
    let (router, cell) = (Arc::clone(router), Arc::clone(cell));
    let mut monitoring = Box::pin(async move {
        let pid = match locate(Arc::clone(&router), dest).await {
            Place::Found(Dest::Pid(pid)) => pid,
            // The DOWN names a process that never was.
            Place::Found(_) | Place::Nobody(_) => router.root(),
        };
        if let Ok(mut state) = cell.live() {
            let Some(monitor) = state.monitors.get_mut(&reference) else { return };
            monitor.node = pid.node;
            monitor.target = Target::Pid(pid);
        }
        let monitor = Signal::Monitor { from: cell.pid, to: Target::Pid(pid), reference };
        router.send(cell.pid, pid.node, monitor);
    });
    if now(monitoring.as_mut()).is_none() {
        tokio::spawn(monitoring);
    }
}

//! Running a future as a process: its end is the process's exit, and the process's exit is its end.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::{Process, reason};
use crate::etf::Encoded;
use crate::term::Term;

/// A reason to end, chosen by the process itself.
#[derive(Debug, Clone)]
pub struct Exit(Encoded);

impl Exit {
    /// `normal`: links do not end with it.
    #[must_use]
    pub fn normal() -> Self {
        Self(reason::normal())
    }

    /// `shutdown`: ended by a supervisor, not an error.
    #[must_use]
    pub fn shutdown() -> Self {
        Self(reason::shutdown())
    }

    pub(crate) fn encoded(reason: Encoded) -> Self {
        Self(reason)
    }

    /// The reason as bytes.
    #[must_use]
    pub fn reason(&self) -> &Encoded {
        &self.0
    }
}

impl From<Term> for Exit {
    /// A term that cannot be encoded (a float that is not a number) becomes `badarg`.
    fn from(reason: Term) -> Self {
        Self(reason::of(&reason))
    }
}

/// What the future of a process may end with.
pub trait Outcome {
    /// The exit reason it means.
    fn exit(self) -> Exit;
}

impl Outcome for () {
    fn exit(self) -> Exit {
        Exit::normal()
    }
}

impl Outcome for Exit {
    fn exit(self) -> Exit {
        self
    }
}

impl<T: Outcome, E: Into<Exit>> Outcome for Result<T, E> {
    fn exit(self) -> Exit {
        match self {
            Ok(done) => done.exit(),
            Err(error) => error.into(),
        }
    }
}

impl From<super::Exited> for Exit {
    /// The process has its reason already; this one is not seen.
    fn from(_: super::Exited) -> Self {
        Self::normal()
    }
}

/// Runs `body` as `process`, until either ends.
pub(crate) async fn run<F, Fut>(mut process: Process, body: F)
where
    F: FnOnce(Process) -> Fut,
    Fut: Future<Output: Outcome>,
{
    process.ends_on_drop = false;
    let (cell, router) = (Arc::clone(process.cell()), Arc::clone(process.router()));
    // The guard ends the process even where this task is aborted with the node.
    let guard = EndGuard { cell: Arc::clone(&cell), router };
    let mut body = pin!(async move { body(process).await.exit() });
    let ended = cell.ended();
    let mut ended = pin!(ended);
    let why = poll_fn(|cx| {
        if ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(exit)) => Poll::Ready(Some(exit.0)),
            Err(panic) => Poll::Ready(Some(panic_reason(panic.as_ref()))),
        }
    });
    if let Some(why) = why.await {
        guard.router.end(&cell, &why);
    }
}

struct EndGuard {
    cell: Arc<super::Cell>,
    router: Arc<super::router::Router>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.router.end(&self.cell, &reason::shutdown());
    }
}

/// `{{panic, Message}, []}`: as an error with an empty stack.
fn panic_reason(panic: &(dyn std::any::Any + Send)) -> Encoded {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_string());
    tracing::error!(panic = %text, "a process panicked");
    reason::of(&Term::tuple([Term::tuple([Term::atom("panic"), Term::from(text)]), Term::nil()]))
}

//! The process of a supervisor, as `supervisor.erl`: children in an order, restarted by a strategy.

use std::ops::Range;
use std::time::Instant;

use tokio::sync::oneshot;

use super::child::{AutoShutdown, ChildSpec, Restart, StartResult, end_child, is_orderly};
use super::{Intensity, Restarts, Strategy};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::process::{Exit, From, Mail, Process, reason};
use crate::rpc::Raise;
use crate::term::{Pid, Term, atom::known};

pub(super) struct Server {
    strategy: Strategy,
    restarts: Restarts,
    auto_shutdown: AutoShutdown,
    /// In the order of their starts.
    children: Vec<Child>,
    ready: Option<oneshot::Sender<Result<(), Term>>>,
}

struct Child {
    spec: ChildSpec,
    pid: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running(Pid),
    /// It ended and is not started again, or its start function said `ignore`.
    Undefined,
    /// A restart failed, and will be tried again.
    Restarting,
}

impl State {
    fn term(self) -> Term {
        match self {
            Self::Running(pid) => pid.into(),
            Self::Undefined => known::undefined().into(),
            Self::Restarting => Term::atom("restarting"),
        }
    }
}

impl Server {
    pub(super) fn new(
        strategy: Strategy,
        intensity: Intensity,
        auto_shutdown: AutoShutdown,
        children: Vec<ChildSpec>,
        ready: oneshot::Sender<Result<(), Term>>,
    ) -> Self {
        let children = children.into_iter().map(|spec| Child { spec, pid: State::Undefined }).collect();
        Self { strategy, restarts: Restarts::new(intensity), auto_shutdown, children, ready: Some(ready) }
    }

    fn position(&self, id: &Term) -> Option<usize> {
        self.children.iter().position(|child| child.spec.id == *id)
    }

    async fn start_child(&mut self, spec: &Term, context: &Context) -> Term {
        let spec = match ChildSpec::parse(spec, self.auto_shutdown) {
            Ok(spec) => spec,
            Err(why) => return error(why),
        };
        if let Some(at) = self.position(&spec.id) {
            return error(match self.children[at].pid {
                State::Running(pid) => already_started(pid),
                State::Undefined | State::Restarting => Term::atom("already_present"),
            });
        }
        match start(&spec, context).await {
            Ok((State::Undefined, reply)) if spec.restart == Restart::Temporary => reply,
            Ok((pid, reply)) => {
                self.children.push(Child { spec: spec.kept(), pid });
                reply
            }
            Err(why) if matches!(why.as_tuple(), Some([tag, _]) if tag.is_atom("already_started")) => error(why),
            Err(why) => error(Term::tuple([why, spec.record()])),
        }
    }

    async fn restart_child(&mut self, id: &Term, context: &Context) -> Term {
        let Some(at) = self.position(id) else { return error(Term::atom("not_found")) };
        match self.children[at].pid {
            State::Running(_) => error(Term::atom("running")),
            State::Restarting => error(Term::atom("restarting")),
            State::Undefined => match start(&self.children[at].spec, context).await {
                Ok((pid, reply)) => {
                    self.children[at].pid = pid;
                    reply
                }
                Err(why) => error(why),
            },
        }
    }

    async fn terminate_child(&mut self, id: &Term, process: &mut Process) -> Result<Term, Exit> {
        let Some(at) = self.position(id) else { return Ok(error(Term::atom("not_found"))) };
        end(&self.children[at], process).await?;
        self.forget(at);
        Ok(known::ok().into())
    }

    fn delete_child(&mut self, id: &Term) -> Term {
        let Some(at) = self.position(id) else { return error(Term::atom("not_found")) };
        match self.children[at].pid {
            State::Running(_) => error(Term::atom("running")),
            State::Restarting => error(Term::atom("restarting")),
            State::Undefined => {
                self.children.remove(at);
                known::ok().into()
            }
        }
    }

    /// A child runs no more: a temporary one is not known any longer.
    fn forget(&mut self, at: usize) {
        if self.children[at].spec.restart == Restart::Temporary {
            self.children.remove(at);
        } else {
            self.children[at].pid = State::Undefined;
        }
    }

    fn which(&self) -> Term {
        let shown = |child: &Child| {
            let spec = &child.spec;
            Term::tuple([spec.id.clone(), child.pid.term(), spec.kind(), spec.modules.clone()])
        };
        // The latest first, as OTP keeps them.
        self.children.iter().rev().map(shown).collect::<Vec<_>>().into()
    }

    fn count(&self, process: &Process) -> Term {
        let alive = |child: &&Child| {
            matches!(child.pid, State::Running(pid)
                if process.router().cell(pid).is_some_and(|cell| cell.live().is_ok()))
        };
        let specs = self.children.len();
        let supervisors = self.children.iter().filter(|child| child.spec.supervisor).count();
        counts([specs, self.children.iter().filter(alive).count(), supervisors, specs - supervisors])
    }

    async fn ended(&mut self, pid: Pid, why: &Encoded, context: &mut Context) -> Result<(), Exit> {
        let Some(at) = self.children.iter().position(|child| child.pid == State::Running(pid)) else {
            return Ok(());
        };
        let why = why.term().unwrap_or_default();
        let spec = &self.children[at].spec;
        let again = spec.is_restarted_after(&why);
        if again || !is_orderly(&why) {
            tracing::warn!(id = %spec.id, reason = %why, again, "a child ended");
        }
        if again {
            return self.restart(at, context).await;
        }
        let was_significant = spec.significant;
        self.forget(at);
        let others = || self.children.iter().any(|child| child.spec.significant && child.pid != State::Undefined);
        match self.auto_shutdown {
            AutoShutdown::AnySignificant if was_significant => Err(Exit::shutdown()),
            AutoShutdown::AllSignificant if was_significant && !others() => Err(Exit::shutdown()),
            _ => Ok(()),
        }
    }

    async fn restart(&mut self, at: usize, context: &mut Context) -> Result<(), Exit> {
        if !self.restarts.add(Instant::now()) {
            self.forget(at);
            return Err(Exit::shutdown());
        }
        let first = match self.strategy {
            Strategy::OneForOne => return self.start_each(at..at + 1, context).await,
            Strategy::RestForOne => at,
            Strategy::OneForAll => 0,
        };
        // The one that ended is not ended again.
        self.children[at].pid = State::Undefined;
        for child in self.children[first..].iter().rev() {
            end(child, &mut context.process).await?;
        }
        let mut index = first;
        while let Some(child) = self.children.get_mut(index) {
            if child.spec.restart == Restart::Temporary {
                self.children.remove(index);
                continue;
            }
            child.pid = State::Undefined;
            index += 1;
        }
        self.start_each(first..self.children.len(), context).await
    }

    /// Starts these children, up to the first that does not start: that will be tried again.
    async fn start_each(&mut self, which: Range<usize>, context: &Context) -> Result<(), Exit> {
        for child in &mut self.children[which] {
            match start(&child.spec, context).await {
                Ok((pid, _)) => child.pid = pid,
                Err(why) => {
                    tracing::warn!(id = %child.spec.id, reason = %why, "a child does not start");
                    child.pid = State::Restarting;
                    return try_again(&child.spec.id, &context.process);
                }
            }
        }
        Ok(())
    }
}

/// Leaves the word to others that wait before the next attempt.
fn try_again(id: &Term, process: &Process) -> Result<(), Exit> {
    let request = Term::tuple([Term::atom("try_again_restart"), id.clone()]);
    let cast = Term::tuple([known::gen_cast().into(), request]);
    process.send_now(process.pid(), reason::of(&cast)).map_err(|_ended| Exit::shutdown())
}

/// Starts a child: its state, and what `start_child` answers.
async fn start(spec: &ChildSpec, context: &Context) -> Result<(State, Term), Term> {
    let exit = |why: Term| Term::tuple([known::exit_signal().into(), why]);
    let ok = |rest: Vec<Term>| Term::tuple(std::iter::once(Term::from(known::ok())).chain(rest).collect::<Vec<_>>());
    let started = match spec.start(&context.node, &context.process).await {
        // OTP's `catch` takes what is thrown for what is returned.
        Err(Raise::Throw(thrown)) => StartResult::of(thrown),
        Err(Raise::Exit(why)) => return Err(exit(why)),
        Err(Raise::Error(why, stack)) => return Err(exit(Term::tuple([why, stack.into()]))),
        Ok(started) => started,
    };
    match started {
        StartResult::Pid(pid, extra) => {
            // A start function that did not link cannot be relied on.
            let _ended = context.process.link(pid);
            let rest = std::iter::once(Term::from(pid)).chain(extra).collect();
            Ok((State::Running(pid), ok(rest)))
        }
        StartResult::Ignore => Ok((State::Undefined, ok(vec![known::undefined().into()]))),
        StartResult::Error(why) => Err(why),
    }
}

async fn end(child: &Child, process: &mut Process) -> Result<(), Exit> {
    let State::Running(pid) = child.pid else { return Ok(()) };
    let why = end_child(process, pid, child.spec.shutdown).await?;
    if !why.is_atom("shutdown") && !why.is_atom("killed") {
        tracing::debug!(id = %child.spec.id, reason = %why, "a child did not end as it was told");
    }
    Ok(())
}

pub(super) fn already_started(pid: Pid) -> Term {
    Term::tuple([Term::atom("already_started"), pid.into()])
}

pub(super) fn error(why: Term) -> Term {
    Term::tuple([known::error().into(), why])
}

pub(super) fn counts([specs, active, supervisors, workers]: [usize; 4]) -> Term {
    let counts = [("specs", specs), ("active", active), ("supervisors", supervisors), ("workers", workers)];
    counts.map(|(kind, n)| Term::tuple([Term::atom(kind), n.into()])).to_vec().into()
}

impl GenServer for Server {
    async fn init(&mut self, context: &mut Context) -> Result<(), Exit> {
        let mut failed = None;
        for child in &mut self.children {
            match start(&child.spec, context).await {
                Ok((pid, _)) => child.pid = pid,
                Err(why) => {
                    let id = child.spec.id.clone();
                    failed = Some(Term::tuple([Term::atom("failed_to_start_child"), id, why]));
                    break;
                }
            }
        }
        let outcome = failed.clone().map_or(Ok(()), Err);
        if let Some(ready) = self.ready.take() {
            let _nobody_waits = ready.send(outcome);
        }
        match failed {
            Some(why) => Err(Term::tuple([known::shutdown().into(), why]).into()),
            None => Ok(()),
        }
    }

    async fn call(&mut self, request: Encoded, _from: From, context: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().unwrap_or_default();
        let reply = match (request.as_atom().as_ref().map_or("", |name| name.as_str()), request.as_tuple()) {
            ("which_children", _) => self.which(),
            ("count_children", _) => self.count(&context.process),
            (_, Some([tag, what])) => match tag.as_atom().as_ref().map_or("", |name| name.as_str()) {
                "start_child" => self.start_child(what, context).await,
                "restart_child" => self.restart_child(what, context).await,
                "terminate_child" => self.terminate_child(what, &mut context.process).await?,
                "delete_child" => self.delete_child(what),
                "get_childspec" => match self.position(what) {
                    Some(at) => Term::tuple([known::ok().into(), self.children[at].spec.shown()]),
                    None => error(Term::atom("not_found")),
                },
                _ => unknown(request),
            },
            _ => unknown(request),
        };
        Ok(reply.into())
    }

    async fn cast(&mut self, request: Encoded, context: &mut Context) -> Result<(), Exit> {
        let request = request.term().unwrap_or_default();
        if let Some([tag, id]) = request.as_tuple() {
            let waits = self.position(id).filter(|at| self.children[*at].pid == State::Restarting);
            if let Some(at) = waits.filter(|_| tag.is_atom("try_again_restart")) {
                return self.restart(at, context).await;
            }
        }
        Ok(())
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        match mail {
            Mail::Exit(exit) => self.ended(exit.from, &exit.reason, context).await,
            other => {
                tracing::warn!(message = ?other, "a supervisor received an unexpected message");
                Ok(())
            }
        }
    }

    async fn terminate(&mut self, _reason: &Encoded, context: &mut Context) {
        for child in self.children.iter().rev() {
            if end(child, &mut context.process).await.is_err() {
                return;
            }
        }
    }

    fn module(&self) -> &str {
        "supervisor"
    }
}

/// OTP's supervisors crash of what they do not know, and all their children with them.
pub(super) fn unknown(request: Term) -> Term {
    tracing::warn!(%request, "a supervisor was asked what it does not know");
    error(Term::tuple([Term::atom("bad_call"), request]))
}

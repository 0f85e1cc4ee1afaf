//! The process of a `DynamicSupervisor`: children without an order, known by their pids.

use std::collections::BTreeMap;
use std::time::Instant;

use super::child::{self, ChildSpec, Restart, Shutdown, StartResult, end_child, is_orderly, shutdown};
use super::server::{counts, error, unknown};
use super::{Intensity, Restarts};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::process::{Exit, From, Mail, reason};
use crate::rpc::Raise;
use crate::term::{Atom, Pid, Term, atom::known};

pub(super) struct Dynamic {
    restarts: Restarts,
    max_children: Option<usize>,
    module: &'static str,
    /// In the order of pids, which is that of a BEAM's small maps. A child that could not be restarted keeps its place.
    children: BTreeMap<(u32, u32), Child>,
}

struct Child {
    pid: Pid,
    spec: ChildSpec,
    restarting: bool,
}

fn key(pid: Pid) -> (u32, u32) {
    (pid.serial, pid.id)
}

impl Dynamic {
    pub(super) fn new(intensity: Intensity, max_children: Option<usize>, module: &'static str) -> Self {
        Self { restarts: Restarts::new(intensity), max_children, module, children: BTreeMap::new() }
    }

    async fn start_child(&mut self, spec: ChildSpec, context: &Context) -> Term {
        if self.max_children.is_some_and(|most| self.children.len() >= most) {
            return error(Term::atom("max_children"));
        }
        match start(&spec, context).await {
            Ok((Some(pid), reply)) => {
                self.children.insert(key(pid), Child { pid, spec: spec.kept(), restarting: false });
                reply
            }
            Ok((None, reply)) => reply,
            Err(why) => error(why),
        }
    }

    /// `{start_task, Args, Restart, Shutdown}`, of `Task.Supervisor`, whose defaults are `temporary` and 5,000.
    async fn start_task(&mut self, args: &Term, restart: &Term, limit: &Term, context: &Context) -> Term {
        let restart = child::restart(restart).unwrap_or(Restart::Temporary);
        let module = Atom::new("Elixir.Task.Supervised");
        let Some(args) = args.list_items() else { return error(known::badarg().into()) };
        let spec = ChildSpec::mfa(known::undefined(), module, Atom::new("start_link"), args).restart(restart);
        let limit = if limit.is_atom("nil") { Ok(spec.shutdown) } else { shutdown(limit) };
        match limit {
            Ok(limit) => self.start_child(spec.shutdown(limit), context).await,
            Err(why) => error(why),
        }
    }

    async fn terminate_child(&mut self, pid: &Term, context: &mut Context) -> Result<Term, Exit> {
        let found = pid.as_pid().and_then(|pid| self.children.remove(&key(pid)));
        let Some(child) = found else { return Ok(error(Term::atom("not_found"))) };
        if !child.restarting {
            end_child(&mut context.process, child.pid, child.spec.shutdown).await?;
        }
        Ok(known::ok().into())
    }

    fn which(&self) -> Term {
        let shown = |child: &Child| {
            let pid = if child.restarting { Term::atom("restarting") } else { child.pid.into() };
            Term::tuple([known::undefined().into(), pid, child.spec.kind(), child.spec.modules.clone()])
        };
        self.children.values().map(shown).collect::<Vec<_>>().into()
    }

    fn count(&self) -> Term {
        let specs = self.children.len();
        let active = self.children.values().filter(|child| !child.restarting).count();
        let supervisors = self.children.values().filter(|child| child.spec.supervisor).count();
        counts([specs, active, supervisors, specs - supervisors])
    }

    async fn ended(&mut self, pid: Pid, why: &Encoded, context: &Context) -> Result<(), Exit> {
        let Some(child) = self.children.get(&key(pid)).filter(|child| !child.restarting) else { return Ok(()) };
        let why = why.term().unwrap_or_default();
        let again = child.spec.is_restarted_after(&why);
        if again || !is_orderly(&why) {
            tracing::warn!(?pid, reason = %why, again, "a child ended");
        }
        if again {
            return self.restart(pid, context).await;
        }
        self.children.remove(&key(pid));
        Ok(())
    }

    async fn restart(&mut self, pid: Pid, context: &Context) -> Result<(), Exit> {
        let Some(mut child) = self.children.remove(&key(pid)) else { return Ok(()) };
        if !self.restarts.add(Instant::now()) {
            return Err(Exit::shutdown());
        }
        match start(&child.spec, context).await {
            Ok((Some(pid), _)) => {
                self.children.insert(key(pid), Child { pid, spec: child.spec, restarting: false });
            }
            Ok((None, _)) => {}
            Err(why) => {
                tracing::warn!(?pid, reason = %why, "a child does not start");
                child.restarting = true;
                self.children.insert(key(pid), child);
                let again = Term::tuple([Term::atom("$gen_restart"), pid.into()]);
                let process = &context.process;
                process.send_now(process.pid(), reason::of(&again)).map_err(|_ended| Exit::shutdown())?;
            }
        }
        Ok(())
    }
}

/// Starts a child: its pid unless it said `ignore`, and what `start_child` answers.
async fn start(spec: &ChildSpec, context: &Context) -> Result<(Option<Pid>, Term), Term> {
    match spec.start(&context.node, &context.process).await {
        Ok(StartResult::Pid(pid, extra)) => {
            let _ended = context.process.link(pid);
            let reply = [Term::from(known::ok()), pid.into()].into_iter().chain(extra).collect::<Vec<_>>();
            Ok((Some(pid), Term::tuple(reply)))
        }
        Ok(StartResult::Ignore) => Ok((None, Term::atom("ignore"))),
        Ok(StartResult::Error(why)) => Err(why),
        Err(Raise::Exit(why)) => Err(why),
        Err(Raise::Error(why, stack)) => Err(Term::tuple([why, stack.into()])),
        Err(Raise::Throw(thrown)) => Err(Term::tuple([Term::tuple([known::nocatch().into(), thrown]), Term::nil()])),
    }
}

impl GenServer for Dynamic {
    async fn call(&mut self, request: Encoded, _from: From, context: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().unwrap_or_default();
        let reply = match (request.as_atom().as_ref().map_or("", Atom::as_str), request.as_tuple()) {
            ("which_children", _) => self.which(),
            ("count_children", _) => self.count(),
            (_, Some([tag, spec])) if tag.is_atom("start_child") => match ChildSpec::parse_dynamic(spec) {
                Ok(spec) => self.start_child(spec, context).await,
                Err(why) => error(why),
            },
            (_, Some([tag, args, restart, limit])) if tag.is_atom("start_task") => {
                self.start_task(args, restart, limit, context).await
            }
            (_, Some([tag, pid])) if tag.is_atom("terminate_child") => self.terminate_child(pid, context).await?,
            _ => unknown(request),
        };
        Ok(reply.into())
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        match mail {
            Mail::Exit(exit) => self.ended(exit.from, &exit.reason, context).await,
            Mail::Message(message) => {
                let message = message.term().unwrap_or_default();
                if let Some([tag, Term::Pid(pid)]) = message.as_tuple() {
                    let waits = self.children.get(&key(*pid)).is_some_and(|child| child.restarting);
                    if tag.is_atom("$gen_restart") && waits {
                        return self.restart(*pid, context).await;
                    }
                }
                tracing::warn!(%message, "a supervisor received an unexpected message");
                Ok(())
            }
            Mail::Down(_) | Mail::SpawnReply(_) => Ok(()),
        }
    }

    async fn terminate(&mut self, _reason: &Encoded, context: &mut Context) {
        // All are told at once: there is no order among them.
        for child in self.children.values().filter(|child| !child.restarting) {
            let why = if child.spec.shutdown == Shutdown::BrutalKill { known::kill() } else { known::shutdown() };
            let _we_have_ended = context.process.exit(child.pid, &why.into());
        }
        for child in std::mem::take(&mut self.children).into_values().filter(|child| !child.restarting) {
            if end_child(&mut context.process, child.pid, child.spec.shutdown).await.is_err() {
                return;
            }
        }
    }

    fn module(&self) -> &str {
        self.module
    }
}

//! The process that children are linked to, `NAME.ProcessesSupervisor`: starts, restarts and ends those that run here.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;

use super::Shared;
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::node::Node;
use crate::process::{Exit, From, Mail, Process};
use crate::rpc::Raise;
use crate::supervisor::child::{Start, StartResult, end_child};
use crate::supervisor::{AutoShutdown, ChildSpec, Intensity, Restarts};
use crate::term::{Atom, Map, Pid, Ref, Term, atom::known};

/// What it is told to do.
pub(super) enum Order {
    Start(Map, Option<From>),
    Terminate(Term, From),
    HandOver(Pid),
    /// End it without a word to the map.
    Discard(Pid),
    GiveUpAll,
    /// End, once all is done.
    Halt,
}

/// A child's specification, and the map that callers sent and members share.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    child: ChildSpec,
    map: Map,
}

impl Spec {
    /// Reads the map that callers send.
    pub(super) fn parse(map: &Map) -> Option<Self> {
        let child = ChildSpec::parse(&map.clone().into(), AutoShutdown::Never).ok()?;
        Some(Self { child, map: map.clone() })
    }

    /// Whether its `start` is exported by this node.
    pub(super) fn runs_on(&self, node: &Node) -> bool {
        self.function().is_none_or(|mfa| node.exports().contains(&mfa))
    }

    fn function(&self) -> Option<(Atom, Atom, u8)> {
        let Start::Mfa(module, function, args) = &self.child.start else { return None };
        let arity = u8::try_from(args.as_ref().map_or(0, Vec::len)).unwrap_or(u8::MAX);
        Some((*module, *function, arity))
    }
}

struct Running {
    spec: Spec,
    watch: Ref,
}

pub(super) struct Children {
    shared: Arc<Shared>,
    running: HashMap<Pid, Running>,
    by_id: HashMap<Term, Pid>,
    restarts: Restarts,
}

impl Children {
    pub(super) fn new(shared: Arc<Shared>, intensity: Intensity) -> Self {
        Self { shared, running: HashMap::new(), by_id: HashMap::new(), restarts: Restarts::new(intensity) }
    }

    async fn obey(&mut self, order: Order, context: &mut Context) -> Result<(), Exit> {
        match order {
            Order::Start(map, from) => self.start_child(&map, from, context).await,
            Order::Terminate(id, from) => {
                let found = self.by_id.get(&id).copied();
                if let Some(pid) = found {
                    self.end_child(pid, &mut context.process).await;
                }
                self.shared.change(|state| state.child_ended(&id));
                let reply = match found {
                    Some(_) => known::ok().into(),
                    None => Term::tuple([known::error().into(), Term::atom("not_found")]),
                };
                let _caller_is_gone = context.process.reply(&from, &reply);
            }
            Order::HandOver(pid) => {
                let _ended_already = context.process.exit(pid, &redistribution());
            }
            Order::Discard(pid) => {
                if self.end_child(pid, &mut context.process).await.is_some() {
                    tracing::info!(?pid, "a child that runs elsewhere has been ended");
                }
            }
            Order::GiveUpAll => {
                let all: Vec<_> = self.running.keys().copied().collect();
                for pid in all {
                    if let Some(spec) = self.end_child(pid, &mut context.process).await {
                        self.shared.change(|state| state.child_given_up(&spec.child.id, &spec.map));
                    }
                }
            }
            Order::Halt => return Err(Exit::shutdown()),
        }
        Ok(())
    }

    async fn start_child(&mut self, map: &Map, from: Option<From>, context: &mut Context) {
        let id = map.get_atom("id").cloned().unwrap_or_default();
        let reply = match Spec::parse(map) {
            None => error(Term::tuple([Term::atom("invalid_child_spec"), map.clone().into()])),
            Some(spec) if !spec.runs_on(&context.node) => {
                // A BEAM would say undef; this names the node as well, which is not the one that was asked.
                let mfa = spec.function().map_or_else(Term::nil, |(module, function, arity)| {
                    Term::tuple([module.into(), function.into(), arity.into()])
                });
                error(Term::tuple([Term::atom("not_exported"), mfa, context.node.name().into()]))
            }
            Some(spec) => match self.by_id.get(&spec.child.id) {
                Some(running) => error(Term::tuple([Term::atom("already_started"), (*running).into()])),
                None => self.start(spec, context).await,
            },
        };
        if !matches!(reply.as_tuple(), Some([ok, ..]) if ok.is_atom("ok")) {
            tracing::debug!(%reply, "child not started");
            self.shared.change(|state| state.child_failed(&id));
        }
        if let Some(from) = from {
            let _caller_is_gone = context.process.reply(&from, &reply);
        }
    }

    /// Starts it, and says what a supervisor says.
    async fn start(&mut self, spec: Spec, context: &mut Context) -> Term {
        let reply = run(&spec, context).await;
        let pid = match reply.as_tuple() {
            Some([ok, Term::Pid(pid), ..]) if ok.is_atom("ok") => *pid,
            _ => return reply,
        };
        let Ok(watch) = context.process.monitor(pid) else { return error(Term::atom("shutdown")) };
        self.shared.change(|state| state.child_started(&spec.map, pid));
        self.by_id.insert(spec.child.id.clone(), pid);
        self.running.insert(pid, Running { spec, watch });
        reply
    }

    /// Ends a child as its specification says.
    async fn end_child(&mut self, pid: Pid, process: &mut Process) -> Option<Spec> {
        let Running { spec, watch } = self.running.remove(&pid)?;
        self.by_id.remove(&spec.child.id);
        process.demonitor(watch);
        let _we_have_ended = end_child(process, pid, spec.child.shutdown).await;
        Some(spec)
    }

    async fn ended(&mut self, pid: Pid, why: &Encoded, context: &mut Context) {
        let Some(Running { spec, .. }) = self.running.remove(&pid) else { return };
        self.by_id.remove(&spec.child.id);
        let why = why.term().unwrap_or_default();
        if why == redistribution() {
            return self.shared.change(|state| state.child_given_up(&spec.child.id, &spec.map));
        }
        if !spec.child.is_restarted_after(&why) {
            return self.shared.change(|state| state.child_ended(&spec.child.id));
        }
        tracing::info!(id = %spec.child.id, reason = %why, "a child ended; starting it again");
        let id = spec.child.id.clone();
        while self.restarts.add(Instant::now()) {
            let reply = self.start(spec.clone(), context).await;
            match reply.as_tuple() {
                Some([ok, ..]) if ok.is_atom("ok") => return,
                _ if reply.is_atom("ignore") => break,
                _ => tracing::info!(%id, %reply, "it does not start"),
            }
        }
        // Horde would end the whole supervisor, and with it all children here.
        tracing::error!(%id, "the child is not started again");
        self.shared.change(|state| state.child_ended(&id));
    }

    fn which(&self) -> Term {
        let child = |(pid, running): (&Pid, &Running)| {
            Term::tuple([
                running.spec.child.id.clone(),
                (*pid).into(),
                running.spec.child.kind(),
                running.spec.child.modules.clone(),
            ])
        };
        self.running.iter().map(child).collect::<Vec<_>>().into()
    }

    fn count(&self) -> Term {
        let all = self.running.len();
        let supervisors = self.running.values().filter(|running| running.spec.child.supervisor).count();
        let counts = [("specs", all), ("active", all), ("supervisors", supervisors), ("workers", all - supervisors)];
        counts.map(|(kind, n)| Term::tuple([Term::atom(kind), n.into()])).to_vec().into()
    }
}

/// Calls the `start` of a specification in the name of the supervisor's process, and says what it said.
async fn run(spec: &Spec, context: &Context) -> Term {
    let exit = |why: Term| error(Term::tuple([known::exit_signal().into(), why]));
    match spec.child.start(&context.node, &context.process).await {
        Ok(StartResult::Pid(pid, extra)) => {
            let reply = [Term::from(known::ok()), pid.into()].into_iter().chain(extra);
            Term::tuple(reply.collect::<Vec<_>>())
        }
        Ok(StartResult::Ignore) => Term::atom("ignore"),
        Ok(StartResult::Error(why)) => error(why),
        Err(Raise::Throw(thrown)) => error(thrown),
        Err(Raise::Exit(why)) => exit(why),
        Err(Raise::Error(why, stack)) => exit(Term::tuple([why, stack.into()])),
    }
}

fn error(why: Term) -> Term {
    Term::tuple([known::error().into(), why])
}

/// `{shutdown, process_redistribution}`.
fn redistribution() -> Term {
    Term::tuple([known::shutdown().into(), Term::atom("process_redistribution")])
}

impl GenServer for Children {
    async fn call(&mut self, request: Encoded, _: From, _: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().unwrap_or_default();
        Ok(if request.is_atom("which_children") {
            self.which().into()
        } else if request.is_atom("count_children") {
            self.count().into()
        } else {
            error(Term::tuple([Term::atom("bad_call"), request])).into()
        })
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        // Links make children end with this process; that they have ended is told by monitors.
        if let Mail::Down(down) = &mail {
            if let Term::Pid(pid) = down.object() {
                self.ended(pid, &down.reason, context).await;
            }
        }
        while let Some(order) = self.shared.next_order() {
            self.obey(order, context).await?;
        }
        Ok(())
    }

    fn module(&self) -> &str {
        "Elixir.Horde.ProcessesSupervisor"
    }
}

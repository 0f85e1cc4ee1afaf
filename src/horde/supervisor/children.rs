//! The process that children are linked to, `NAME.ProcessesSupervisor`: starts, restarts and ends those that run here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::Shared;
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::node::Node;
use crate::process::{Exit, From, Mail, Process, reason};
use crate::rpc::{CallContext, Raise};
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

/// When a child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    Permanent,
    Transient,
    Temporary,
}

/// A child's specification, as far as it is understood here.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    id: Term,
    start: (Atom, Atom, Vec<Term>),
    restart: Restart,
    /// How long it may take to end; `None` for ever, zero at once.
    shutdown: Option<Duration>,
    supervisor: bool,
    modules: Term,
    map: Map,
}

impl Spec {
    /// Reads the map that callers send.
    pub(super) fn parse(map: &Map) -> Option<Self> {
        let start = map.get_atom("start")?.as_tuple()?;
        let [Term::Atom(module), Term::Atom(function), args] = start else { return None };
        let args = args.as_list().filter(|list| list.is_proper())?;
        let restart = match map.get_atom("restart").and_then(Term::as_atom).map_or("permanent", |a| a.as_str()) {
            "transient" => Restart::Transient,
            "temporary" => Restart::Temporary,
            _ => Restart::Permanent,
        };
        let supervisor = map.get_atom("type").is_some_and(|kind| kind.is_atom("supervisor"));
        let shutdown = match map.get_atom("shutdown") {
            Some(term) if term.is_atom("infinity") => None,
            Some(term) if term.is_atom("brutal_kill") => Some(Duration::ZERO),
            Some(term) => term.as_i64().and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            None if supervisor => None,
            None => Some(Duration::from_secs(5)),
        };
        Some(Self {
            id: map.get_atom("id").cloned().unwrap_or_default(),
            start: (*module, *function, args.iter().map(std::borrow::Cow::into_owned).collect()),
            restart,
            shutdown,
            supervisor,
            modules: map.get_atom("modules").cloned().unwrap_or_else(|| Term::list(vec![(*module).into()])),
            map: map.clone(),
        })
    }

    /// Whether its `start` is exported by this node.
    pub(super) fn runs_on(&self, node: &Node) -> bool {
        let arity = u8::try_from(self.start.2.len()).unwrap_or(u8::MAX);
        node.exports().contains(&(self.start.0, self.start.1, arity))
    }
}

struct Running {
    spec: Spec,
    watch: Ref,
}

/// How often children may be restarted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intensity {
    pub(super) restarts: usize,
    pub(super) within: Duration,
}

pub(super) struct Children {
    shared: Arc<Shared>,
    running: HashMap<Pid, Running>,
    by_id: HashMap<Term, Pid>,
    intensity: Intensity,
    restarts: VecDeque<Instant>,
}

impl Children {
    pub(super) fn new(shared: Arc<Shared>, intensity: Intensity) -> Self {
        Self { shared, running: HashMap::new(), by_id: HashMap::new(), intensity, restarts: VecDeque::new() }
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
                        self.shared.change(|state| state.child_given_up(&spec.id, &spec.map));
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
                let (module, function, args) = &spec.start;
                let arity = Term::from(args.len());
                let mfa = Term::tuple([(*module).into(), (*function).into(), arity]);
                error(Term::tuple([Term::atom("not_exported"), mfa, context.node.name().into()]))
            }
            Some(spec) => match self.by_id.get(&spec.id) {
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
            Some([tag, _]) if tag.is_atom("error") => return reply,
            _ if reply.is_atom("ignore") => return reply,
            _ => return error(reply),
        };
        let Ok(watch) = context.process.monitor(pid) else { return error(Term::atom("shutdown")) };
        self.shared.change(|state| state.child_started(&spec.map, pid));
        self.by_id.insert(spec.id.clone(), pid);
        self.running.insert(pid, Running { spec, watch });
        reply
    }

    /// Ends a child as its specification says.
    async fn end_child(&mut self, pid: Pid, process: &mut Process) -> Option<Spec> {
        let Running { spec, watch } = self.running.remove(&pid)?;
        self.by_id.remove(&spec.id);
        let why = if spec.shutdown == Some(Duration::ZERO) { known::kill() } else { known::shutdown() };
        let _ended_already = process.exit(pid, &why.into());
        let ended = match spec.shutdown {
            None => process.down(watch).await.is_ok(),
            Some(limit) => {
                let limit = limit.max(Duration::from_millis(100));
                tokio::time::timeout(limit, process.down(watch)).await.is_ok()
            }
        };
        if !ended {
            let _ended_meanwhile = process.exit(pid, &known::kill().into());
            let _down = process.down(watch).await;
        }
        Some(spec)
    }

    async fn ended(&mut self, pid: Pid, why: &Encoded, context: &mut Context) {
        let Some(Running { spec, .. }) = self.running.remove(&pid) else { return };
        self.by_id.remove(&spec.id);
        let why = why.term().unwrap_or_default();
        if why == redistribution() {
            return self.shared.change(|state| state.child_given_up(&spec.id, &spec.map));
        }
        let is_orderly = why.is_atom("normal")
            || why.is_atom("shutdown")
            || matches!(why.as_tuple(), Some([tag, _]) if tag.is_atom("shutdown"));
        let again = match spec.restart {
            Restart::Permanent => true,
            Restart::Transient => !is_orderly,
            Restart::Temporary => false,
        };
        if !again {
            return self.shared.change(|state| state.child_ended(&spec.id));
        }
        tracing::info!(id = %spec.id, reason = %why, "a child ended; starting it again");
        let id = spec.id.clone();
        while self.may_restart() {
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

    fn may_restart(&mut self) -> bool {
        let now = Instant::now();
        let within = self.intensity.within;
        self.restarts.retain(|at| now.duration_since(*at) < within);
        self.restarts.push_back(now);
        let may = self.restarts.len() <= self.intensity.restarts;
        if !may {
            tracing::error!(restarts = self.intensity.restarts, ?within, "too many restarts");
        }
        may
    }

    fn which(&self) -> Term {
        let child = |(pid, running): (&Pid, &Running)| {
            let kind = Term::atom(if running.spec.supervisor { "supervisor" } else { "worker" });
            Term::tuple([running.spec.id.clone(), (*pid).into(), kind, running.spec.modules.clone()])
        };
        self.running.iter().map(child).collect::<Vec<_>>().into()
    }

    fn count(&self) -> Term {
        let all = self.running.len();
        let supervisors = self.running.values().filter(|running| running.spec.supervisor).count();
        let counts = [("specs", all), ("active", all), ("supervisors", supervisors), ("workers", all - supervisors)];
        counts.map(|(kind, n)| Term::tuple([Term::atom(kind), n.into()])).to_vec().into()
    }
}

/// Calls the `start` of a specification in the name of the supervisor's process.
async fn run(spec: &Spec, context: &Context) -> Term {
    let (module, function, args) = spec.start.clone();
    let caller = context.process.pid();
    let call = CallContext { node: context.node.clone(), process: context.process.share(), caller };
    let result = context.node.apply(call, module, function, reason::of(&Term::list(args))).await;
    let exit = |why: Term| error(Term::tuple([known::exit_signal().into(), why]));
    match result {
        Ok(value) => value.term().unwrap_or_default(),
        Err(Raise::Throw(thrown)) => thrown,
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

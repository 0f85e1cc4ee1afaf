//! Child specifications, and how a child is started and ended: what all supervisors share.
//!
//! Specifications are read, checked and shown as `supervisor.erl` does, errors included.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::gen_server::GenServer;
use crate::node::Node;
use crate::process::{Exited, Mail, Process, reason};
use crate::rpc::{CallContext, Raise};
use crate::term::{Atom, Map, Pid, Term, atom::known};

/// When a child that has ended is started again: `restart` of `supervisor:child_spec()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Unless it ended with `normal`, `shutdown` or `{shutdown, _}`.
    Transient,
    /// Never.
    Temporary,
}

/// How a supervisor ends a child: `shutdown` of `supervisor:child_spec()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// With the exit signal `kill`.
    BrutalKill,
    /// With `shutdown`, and with `kill` where that takes longer than this.
    After(Duration),
    /// With `shutdown`, however long it takes.
    Infinity,
}

/// What a start function gives.
pub type Started = Pin<Box<dyn Future<Output = Result<Pid, Term>> + Send>>;

type StartFunction = Arc<dyn Fn(Node, Pid) -> Started + Send + Sync>;

/// How a child is started.
#[derive(Clone)]
pub(crate) enum Start {
    /// A function that the node exports. The arguments of temporary children are not kept, as nobody needs them again.
    Mfa(Atom, Atom, Option<Vec<Term>>),
    /// A Rust function, which gets the node and the supervisor to link to.
    Native(StartFunction),
}

/// One child: its name among the children, how it starts, and when and how it ends.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) id: Term,
    pub(crate) start: Start,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) supervisor: bool,
    pub(crate) significant: bool,
    pub(crate) modules: Term,
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildSpec").field("id", &self.id).field("restart", &self.restart).finish_non_exhaustive()
    }
}

impl ChildSpec {
    /// A child that `start` starts: it gets the node and the pid of the supervisor, which the new process has to be
    /// linked to. Its error is what `{error, Reason}` of an Erlang start function is.
    pub fn new<F>(id: impl Into<Term>, start: F) -> Self
    where
        F: Fn(Node, Pid) -> Started + Send + Sync + 'static,
    {
        Self {
            id: id.into(),
            start: Start::Native(Arc::new(start)),
            restart: Restart::Permanent,
            shutdown: Shutdown::After(Duration::from_secs(5)),
            supervisor: false,
            significant: false,
            modules: Term::list(vec![Term::atom("tiebeam")]),
        }
    }

    /// A server without a name, made anew for each start.
    pub fn server<S, F>(id: impl Into<Term>, make: F) -> Self
    where
        S: GenServer,
        F: Fn() -> S + Send + Sync + 'static,
    {
        Self::new(id, move |node, parent| {
            let pid = node.spawn_server_link(make(), parent).pid();
            Box::pin(async move { Ok(pid) })
        })
    }

    /// A server that is registered as `name`, which is its id too.
    pub fn registered<S, F>(name: impl Into<Atom>, make: F) -> Self
    where
        S: GenServer,
        F: Fn() -> S + Send + Sync + 'static,
    {
        let name = name.into();
        Self::new(Term::from(name), move |node, parent| {
            let started = match node.whereis(name) {
                Some(other) => Err(Term::tuple([Term::atom("already_started"), other.into()])),
                None => node.start_server_link(make(), parent, name),
            };
            Box::pin(async move { started })
        })
    }

    /// A child whose start function is one that the node exports, as a specification that comes from Elixir names it.
    #[must_use]
    pub fn mfa(id: impl Into<Term>, module: Atom, function: Atom, args: Vec<Term>) -> Self {
        let start = Start::Mfa(module, function, Some(args));
        let modules = Term::list(vec![module.into()]);
        Self { start, modules, ..Self::new(id, |_, _| Box::pin(async { Err(Term::nil()) })) }
    }

    /// When it is started again; always otherwise.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How it is ended; with `shutdown` and five seconds of time otherwise.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// It is a supervisor itself: it gets all the time it needs to end.
    #[must_use]
    pub fn supervisor(mut self) -> Self {
        self.supervisor = true;
        self.shutdown = Shutdown::Infinity;
        self
    }

    /// Its orderly end may end the supervisor; see [`AutoShutdown`].
    #[must_use]
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// Reads a map, or the tuple of before OTP 18, as `supervisor:check_childspecs/1` does.
    ///
    /// # Errors
    /// What is wrong, in `supervisor`'s words: `missing_id`, `{invalid_mfa, X}`….
    pub fn parse(spec: &Term, auto_shutdown: AutoShutdown) -> Result<Self, Term> {
        let map;
        let spec = match spec {
            Term::Map(map) => map,
            Term::Tuple(fields) if fields.len() == 6 => {
                let keys = ["id", "start", "restart", "shutdown", "type", "modules"].map(Term::atom);
                map = keys.into_iter().zip(fields.iter().cloned()).collect::<Map>();
                &map
            }
            _ => return Err(pair("invalid_child_spec", spec)),
        };
        let given = |key: &str| spec.get_atom(key);
        let id = given("id").ok_or_else(|| Term::atom("missing_id"))?.clone();
        let start = given("start").ok_or_else(|| Term::atom("missing_start"))?;
        let (module, function, args) = mfa(start)?;
        let restart = given("restart").map_or(Ok(Restart::Permanent), restart)?;
        let significant = given("significant").map_or(Ok(false), |given| significant(given, restart, auto_shutdown))?;
        let supervisor = given("type").map_or(Ok(false), is_supervisor)?;
        let shutdown = match given("shutdown") {
            Some(given) => shutdown(given)?,
            None if supervisor => Shutdown::Infinity,
            None => Shutdown::After(Duration::from_secs(5)),
        };
        let modules = match given("modules") {
            Some(given) => modules(given)?,
            None => Term::list(vec![module.into()]),
        };
        Ok(Self {
            id,
            start: Start::Mfa(module, function, Some(args)),
            restart,
            shutdown,
            supervisor,
            significant,
            modules,
        })
    }

    /// Reads what Elixir's `DynamicSupervisor` sends, which it has checked: `{Start, Restart, Shutdown, Type, Modules}`.
    pub(crate) fn parse_dynamic(spec: &Term) -> Result<Self, Term> {
        let Some([start, how, end, kind, mods]) = spec.as_tuple() else { return Err(pair("invalid_child_spec", spec)) };
        let (module, function, args) = mfa(start)?;
        Ok(Self {
            restart: restart(how)?,
            shutdown: shutdown(end)?,
            supervisor: is_supervisor(kind)?,
            modules: modules(mods)?,
            ..Self::mfa(known::undefined(), module, function, args)
        })
    }

    /// The map that `get_childspec` shows.
    pub(crate) fn shown(&self) -> Term {
        let pairs = [
            ("id", self.id.clone()),
            ("start", self.start_term()),
            ("restart", self.restart.term()),
            ("significant", self.significant.into()),
            ("shutdown", self.shutdown.term()),
            ("type", self.kind()),
            ("modules", self.modules.clone()),
        ];
        Term::Map(pairs.into_iter().map(|(key, value)| (Term::atom(key), value)).collect())
    }

    /// The record `#child{}` of `supervisor.erl`, which errors of `start_child` carry.
    pub(crate) fn record(&self) -> Term {
        Term::tuple([
            Term::atom("child"),
            known::undefined().into(),
            self.id.clone(),
            self.start_term(),
            self.restart.term(),
            self.significant.into(),
            self.shutdown.term(),
            self.kind(),
            self.modules.clone(),
        ])
    }

    /// `worker` or `supervisor`.
    pub(crate) fn kind(&self) -> Term {
        Term::atom(if self.supervisor { "supervisor" } else { "worker" })
    }

    fn start_term(&self) -> Term {
        let (module, function, args) = match &self.start {
            Start::Mfa(module, function, args) => (*module, *function, args.clone()),
            Start::Native(_) => (Atom::new("tiebeam"), Atom::new("start_child"), Some(vec![self.id.clone()])),
        };
        let args = args.map_or_else(|| known::undefined().into(), Term::list);
        Term::tuple([module.into(), function.into(), args])
    }

    /// What is kept of it once it runs.
    pub(crate) fn kept(mut self) -> Self {
        if let (Restart::Temporary, Start::Mfa(_, _, args)) = (self.restart, &mut self.start) {
            *args = None;
        }
        self
    }

    /// Whether a child that ended so is started again.
    pub(crate) fn is_restarted_after(&self, why: &Term) -> bool {
        match self.restart {
            Restart::Permanent => true,
            Restart::Transient => !is_orderly(why),
            Restart::Temporary => false,
        }
    }

    /// Calls the start function in the name of a supervisor's process.
    pub(crate) async fn start(&self, node: &Node, process: &Process) -> Result<StartResult, Raise> {
        let (module, function, args) = match &self.start {
            Start::Native(start) => {
                return Ok(match start(node.clone(), process.pid()).await {
                    Ok(pid) => StartResult::Pid(pid, None),
                    Err(why) => StartResult::Error(why),
                });
            }
            Start::Mfa(module, function, args) => (*module, *function, args.clone().unwrap_or_default()),
        };
        let context = CallContext { node: node.clone(), process: process.share(), caller: process.pid() };
        let value = node.apply(context, module, function, reason::of(&Term::list(args))).await?;
        Ok(StartResult::of(value.term().unwrap_or_default()))
    }
}

/// What a start function came to.
#[derive(Debug)]
pub(crate) enum StartResult {
    Pid(Pid, Option<Term>),
    Ignore,
    Error(Term),
}

impl StartResult {
    /// Reads what a start function returned.
    pub(crate) fn of(value: Term) -> Self {
        match value.as_tuple() {
            Some([ok, Term::Pid(pid)]) if ok.is_atom("ok") => Self::Pid(*pid, None),
            Some([ok, Term::Pid(pid), extra]) if ok.is_atom("ok") => Self::Pid(*pid, Some(extra.clone())),
            Some([error, why]) if error.is_atom("error") => Self::Error(why.clone()),
            _ if value.is_atom("ignore") => Self::Ignore,
            _ => Self::Error(value),
        }
    }
}

/// Whether significant children end their supervisor: `auto_shutdown` of `supervisor:sup_flags()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoShutdown {
    /// They do not; there may be none.
    #[default]
    Never,
    /// The first that ends of itself does.
    AnySignificant,
    /// The last that ends of itself does.
    AllSignificant,
}

/// `normal`, `shutdown` or `{shutdown, _}`.
pub(crate) fn is_orderly(why: &Term) -> bool {
    why.is_atom("normal")
        || why.is_atom("shutdown")
        || matches!(why.as_tuple(), Some([tag, _]) if tag.is_atom("shutdown"))
}

/// Ends a child as its specification says, and waits for that; its reason to end. Its exit signal does not come any more.
pub(crate) async fn end_child(process: &mut Process, pid: Pid, how: Shutdown) -> Result<Term, Exited> {
    let watch = process.monitor(pid)?;
    let first = if how == Shutdown::BrutalKill { known::kill() } else { known::shutdown() };
    process.exit(pid, &first.into())?;
    let down = match how {
        Shutdown::BrutalKill | Shutdown::Infinity => process.down(watch).await?,
        Shutdown::After(limit) => match tokio::time::timeout(limit, process.down(watch)).await {
            Ok(down) => down?,
            Err(_elapsed) => {
                process.exit(pid, &known::kill().into())?;
                process.down(watch).await?
            }
        },
    };
    process.unlink(pid)?;
    let exit = process.try_receive_match(|mail| match mail {
        Mail::Exit(exit) if exit.from == pid => Some(exit.reason.clone()),
        Mail::Message(_) | Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
    })?;
    // A child that had ended before has left its reason in the exit signal only.
    Ok(exit.unwrap_or(down.reason).term().unwrap_or_default())
}

fn pair(tag: &str, what: &Term) -> Term {
    Term::tuple([Term::atom(tag), what.clone()])
}

fn mfa(start: &Term) -> Result<(Atom, Atom, Vec<Term>), Term> {
    let invalid = || pair("invalid_mfa", start);
    let Some([Term::Atom(module), Term::Atom(function), args]) = start.as_tuple() else { return Err(invalid()) };
    Ok((*module, *function, args.list_items().ok_or_else(invalid)?))
}

pub(super) fn restart(given: &Term) -> Result<Restart, Term> {
    match given.as_atom().as_ref().map_or("", Atom::as_str) {
        "permanent" => Ok(Restart::Permanent),
        "transient" => Ok(Restart::Transient),
        "temporary" => Ok(Restart::Temporary),
        _ => Err(pair("invalid_restart_type", given)),
    }
}

fn significant(given: &Term, restart: Restart, auto_shutdown: AutoShutdown) -> Result<bool, Term> {
    let is_true = Term::tuple([Term::atom("significant"), known::true_().into()]);
    let clash = |key: &str, value: &str| {
        let other = Term::tuple([Term::atom(key), Term::atom(value)]);
        Term::tuple([Term::atom("bad_combination"), Term::list(vec![other, is_true.clone()])])
    };
    match given.as_atom().as_ref().map_or("", Atom::as_str) {
        "true" if auto_shutdown == AutoShutdown::Never => Err(clash("auto_shutdown", "never")),
        "true" if restart == Restart::Permanent => Err(clash("restart", "permanent")),
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(pair("invalid_significant", given)),
    }
}

fn is_supervisor(given: &Term) -> Result<bool, Term> {
    match given.as_atom().as_ref().map_or("", Atom::as_str) {
        "supervisor" => Ok(true),
        "worker" => Ok(false),
        _ => Err(pair("invalid_child_type", given)),
    }
}

pub(crate) fn shutdown(given: &Term) -> Result<Shutdown, Term> {
    match (given.as_atom().as_ref().map_or("", Atom::as_str), given.as_i64()) {
        ("infinity", _) => Ok(Shutdown::Infinity),
        ("brutal_kill", _) => Ok(Shutdown::BrutalKill),
        (_, Some(ms)) if ms > 0 => Ok(Shutdown::After(Duration::from_millis(ms.unsigned_abs()))),
        _ => Err(pair("invalid_shutdown", given)),
    }
}

fn modules(given: &Term) -> Result<Term, Term> {
    match given {
        Term::Atom(dynamic) if dynamic == "dynamic" => Ok(given.clone()),
        Term::List(list) if list.is_proper() => match list.iter().find(|module| module.as_atom().is_none()) {
            Some(other) => Err(pair("invalid_module", &other)),
            None => Ok(given.clone()),
        },
        _ => Err(pair("invalid_modules", given)),
    }
}

impl Restart {
    fn term(self) -> Term {
        Term::atom(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        })
    }
}

impl Shutdown {
    fn term(self) -> Term {
        match self {
            Self::BrutalKill => Term::atom("brutal_kill"),
            Self::Infinity => known::infinity().into(),
            Self::After(limit) => limit.as_millis().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    fn read(spec: &str) -> String {
        let (term, _) = text::parse(spec, text::Syntax::Erlang).expect("a term");
        match ChildSpec::parse(&term, AutoShutdown::Never) {
            Ok(spec) => spec.shown().to_string(),
            Err(why) => format!("error {why}"),
        }
    }

    #[test]
    fn what_is_not_said_has_otp_s_defaults() {
        let worker = read("#{id => a, start => {m, f, []}}");
        assert_eq!(worker, read("{a, {m, f, []}, permanent, 5000, worker, [m]}"));
        let supervisor = read("#{id => a, start => {m, f, []}, type => supervisor}");
        assert_eq!(supervisor, read("{a, {m, f, []}, permanent, infinity, supervisor, [m]}"));
    }

    #[test]
    fn what_is_wrong_is_said_in_otp_s_words() {
        assert_eq!(read("[]"), "error {invalid_child_spec,[]}");
        assert_eq!(read("#{start => {m, f, []}}"), "error missing_id");
        assert_eq!(read("#{id => a}"), "error missing_start");
        assert_eq!(read("#{id => a, start => m}"), "error {invalid_mfa,m}");
        assert_eq!(read("#{id => a, start => {m, f, []}, restart => x}"), "error {invalid_restart_type,x}");
        assert_eq!(read("#{id => a, start => {m, f, []}, shutdown => 0}"), "error {invalid_shutdown,0}");
        assert_eq!(read("#{id => a, start => {m, f, []}, modules => [1]}"), "error {invalid_module,1}");
    }
}

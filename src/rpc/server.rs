//! Spawns that peers ask for, `erpc` calls among them.
//!
//! Every SPAWN_REQUEST is answered by SPAWN_REPLY before any other signal of the new process: a BEAM that gets a
//! DOWN first drops the whole connection (OTP-17737). `erpc:execute_call(Ref, M, F, A)` carries its result home as the
//! exit reason `{Ref, return, Value}`.

use std::sync::Arc;

use super::context::CallContext;
use super::exports::{Exports, Raise, Returned};
use crate::etf::Encoded;
use crate::node::Node;
use crate::process::router::{Router, Spawner};
use crate::process::{Exit, Outcome, Process, reason};
use crate::signal::{Signal, SpawnRequest};
use crate::term::{Atom, Pid, Ref, Term, atom::known};

/// Runs what peers ask for, from the node's exports.
#[derive(Debug)]
pub(crate) struct SpawnServer {
    pub(crate) node: Node,
    pub(crate) exports: Arc<Exports>,
}

/// What a spawned process is to run.
enum Job {
    /// A function, whose failure is the exit reason as Erlang makes it.
    Apply(Atom, Atom, Encoded),
    /// A fun, which only a BEAM could run.
    Fun(Term),
    /// `erpc:execute_call`: the result is the exit reason.
    Call { reference: Ref, module: Atom, function: Atom, args: Encoded },
}

impl Spawner for SpawnServer {
    fn spawn(&self, request: SpawnRequest) {
        let router = self.node.router();
        let Some((link, monitor)) = options(&request.options) else {
            return refuse(router, &request, known::badopt());
        };
        let Some(job) = job(&request) else {
            return refuse(router, &request, known::badopt());
        };
        let initial_call = (request.module, request.function, request.arity);
        let process = Process::new(Arc::clone(router), Some(request.group_leader), initial_call);
        let pid = process.pid();
        process.adopt(request.from, link, monitor.then_some(request.id));
        let reply =
            Signal::SpawnReply { id: request.id, to: request.from, linked: link, monitored: monitor, result: Ok(pid) };
        router.send(pid, request.from.node, reply);
        let (node, exports, caller) = (self.node.clone(), Arc::clone(&self.exports), request.from);
        self.node.run(process, move |process| run(CallContext { node, process, caller }, exports, job));
    }
}

fn refuse(router: &Router, request: &SpawnRequest, why: Atom) {
    let reply =
        Signal::SpawnReply { id: request.id, to: request.from, linked: false, monitored: false, result: Err(why) };
    router.send(router.root(), request.from.node, reply);
}

/// Whether to link and to monitor. `None` for an option that no BEAM knows.
fn options(options: &Term) -> Option<(bool, bool)> {
    const IGNORED: [&str; 9] = [
        "priority",
        "fullsweep_after",
        "min_heap_size",
        "min_bin_vheap_size",
        "max_heap_size",
        "message_queue_data",
        "async_dist",
        "scheduler",
        "label",
    ];
    let list = options.as_list().filter(|list| list.is_proper())?;
    let (mut link, mut monitor) = (false, false);
    for option in list {
        match &*option {
            Term::Atom(name) if name == "link" => link = true,
            Term::Atom(name) if name == "monitor" => monitor = true,
            Term::Tuple(pair) => match &pair[..] {
                [Term::Atom(name), _] if name == "monitor" => monitor = true,
                [Term::Atom(name), _] if IGNORED.contains(&name.as_str()) => {}
                _ => return None,
            },
            _ => return None,
        }
    }
    Some((link, monitor))
}

/// Recognises the functions that other nodes' runtimes spawn. `None` if the arguments are no proper list.
fn job(request: &SpawnRequest) -> Option<Job> {
    let args = request.args.list_elements()?;
    let mfa = (request.module.as_str(), request.function.as_str(), &args[..]);
    Some(match mfa {
        ("erpc", "execute_call", [reference, module, function, args]) => {
            match (reference.as_ref(), module.as_atom(), function.as_atom()) {
                (Some(reference), Some(module), Some(function)) => {
                    Job::Call { reference, module, function, args: args.clone() }
                }
                _ => Job::Apply(request.module, request.function, request.args.clone()),
            }
        }
        ("erpc", "execute_cast", [module, function, args])
        | ("proc_lib", "init_p", [_, _, module, function, args])
        | ("erlang", "apply", [module, function, args]) => match (module.as_atom(), function.as_atom()) {
            (Some(module), Some(function)) => Job::Apply(module, function, args.clone()),
            _ => Job::Apply(request.module, request.function, request.args.clone()),
        },
        ("erlang", "apply", [fun, _]) | ("proc_lib", "init_p", [_, _, fun]) => Job::Fun(fun.term().ok()?),
        _ => Job::Apply(request.module, request.function, request.args.clone()),
    })
}

async fn run(context: CallContext, exports: Arc<Exports>, job: Job) -> Spawned {
    match job {
        Job::Call { reference, module, function, args } => {
            let returned = apply(context, &exports, module, function, args).await;
            Spawned::Encoded(call_outcome(reference, returned))
        }
        Job::Apply(module, function, args) => Spawned::of(apply(context, &exports, module, function, args).await),
        Job::Fun(fun) => Spawned::of(apply_fun(context, &exports, &fun).await),
    }
}

/// Calls an exported function; an unknown one raises `undef` as on a BEAM.
pub(crate) async fn apply(
    context: CallContext,
    exports: &Exports,
    module: Atom,
    function: Atom,
    args: Encoded,
) -> Returned {
    let Some(arity) = args.list_elements().and_then(|args| u8::try_from(args.len()).ok()) else {
        return Err(Raise::badarg());
    };
    // `apply(M, F, A)` called by name is one more call of the function itself.
    if (module.as_str(), function.as_str(), arity) == ("erlang", "apply", 3) {
        if let Some([m, f, a]) = args.list_elements().as_deref() {
            if let (Some(m), Some(f)) = (m.as_atom(), f.as_atom()) {
                return Box::pin(apply(context, exports, m, f, a.clone())).await;
            }
        }
    }
    if (module.as_str(), function.as_str(), arity) == ("erlang", "apply", 2) {
        if let Some([fun, a]) = args.list_elements().as_deref() {
            return Box::pin(apply_closure(context, exports, fun, a)).await;
        }
    }
    exports.called();
    match exports.find((module, function, arity)) {
        Some(handler) => handler(context, args).await,
        None => Err(Raise::undef(module, function, args.term().unwrap_or_default())),
    }
}

async fn apply_closure(context: CallContext, exports: &Exports, fun: &Encoded, args: &Encoded) -> Returned {
    let fun = fun.term().map_err(|_undecodable| Raise::badarg())?;
    match external(&fun) {
        Some((module, function)) => apply(context, exports, module, function, args.clone()).await,
        None => Err(badfun(&fun)),
    }
}

async fn apply_fun(context: CallContext, exports: &Exports, fun: &Term) -> Returned {
    match external(fun) {
        Some((module, function)) => {
            let none = Encoded::new(&Term::nil()).map_err(|_unencodable| Raise::badarg())?;
            apply(context, exports, module, function, none).await
        }
        None => Err(badfun(fun)),
    }
}

fn external(fun: &Term) -> Option<(Atom, Atom)> {
    match fun {
        Term::Fun(fun) => match **fun {
            crate::term::Fun::Export { module, function, .. } => Some((module, function)),
            crate::term::Fun::Local(_) => None,
        },
        _ => None,
    }
}

/// What a BEAM says that does not have the module of the closure.
fn badfun(fun: &Term) -> Raise {
    let reason = Term::tuple([known::badfun().into(), fun.clone()]);
    let frame = Term::tuple([known::erlang().into(), known::apply().into(), Term::from(2), Term::nil()]);
    Raise::Error(reason, vec![frame])
}

/// The exit reason in which `erpc:execute_call` takes a result home.
fn call_outcome(reference: Ref, returned: Returned) -> Encoded {
    let class = |name: Atom| reason::of(&name.into());
    let reference = reason::of(&reference.into());
    match returned {
        Ok(value) => Encoded::tuple(&[reference, class(known::return_()), value]),
        Err(Raise::Throw(thrown)) => Encoded::tuple(&[reference, class(known::throw()), reason::of(&thrown)]),
        Err(Raise::Exit(why)) => Encoded::tuple(&[reference, class(known::exit()), reason::of(&why)]),
        Err(Raise::Error(why, stack)) => {
            Encoded::tuple(&[reference, class(known::error()), reason::of(&why), reason::of(&Term::list(stack))])
        }
    }
}

/// What a process ends with that ran a function: `normal`, `{Error, Stack}`, `{{nocatch, Thrown}, Stack}`, or as it is.
pub(crate) fn exit_reason(returned: Returned) -> Term {
    match returned {
        Ok(_) => known::normal().into(),
        Err(Raise::Exit(why)) => why,
        Err(Raise::Error(why, stack)) => Term::tuple([why, Term::list(stack)]),
        Err(Raise::Throw(thrown)) => Term::tuple([Term::tuple([known::nocatch().into(), thrown]), Term::nil()]),
    }
}

/// What a spawned function ended with.
enum Spawned {
    Encoded(Encoded),
    Exit(Term),
}

impl Spawned {
    fn of(returned: Returned) -> Self {
        Self::Exit(exit_reason(returned))
    }
}

impl Outcome for Spawned {
    fn exit(self) -> Exit {
        match self {
            Self::Encoded(reason) => Exit::encoded(reason),
            Self::Exit(reason) => reason.into(),
        }
    }
}

impl Process {
    /// Sets up what a spawn request asked for, before anybody knows the pid.
    fn adopt(&self, parent: Pid, link: bool, monitor: Option<Ref>) {
        let Ok(mut state) = self.cell().live() else { return };
        if link {
            state.link_to(parent);
        }
        if let Some(reference) = monitor {
            state.watched_by(reference, parent, self.pid());
        }
    }
}

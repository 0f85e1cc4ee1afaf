//! The functions of `Tiebeam.Demo`.

use std::collections::BTreeMap;
use std::time::Duration;

use num_bigint::BigInt;

use super::{Counter, Echo};
use crate::etf::Encoded;
use crate::horde::RegistryError;
use crate::io;
use crate::node::{MonitorNodes, Node};
use crate::process::{Dest, Mail, RegisterError};
use crate::rpc::{CallContext, Raise};
use crate::standard;
use crate::supervisor::{AutoShutdown, ChildSpec, Intensity, Strategy, SupervisorError};
use crate::term::{Atom, Pid, Term, atom::known};

const MODULE: &str = "Elixir.Tiebeam.Demo";

/// Lets peers call them.
pub(super) fn export(node: &Node) {
    node.export_terms(MODULE, "add", 2, |_, args| async move { add(&args[0], &args[1]) });
    node.export_terms(MODULE, "sum", 1, |_, args| async move { sum(&args[0]) });
    node.export_terms(MODULE, "fib", 1, |_, args| async move { fib(&args[0]) });
    node.export_encoded(MODULE, "echo", 1, |_, args| async move {
        args.list_elements().and_then(|args| args.into_iter().next()).ok_or_else(Raise::badarg)
    });
    node.export_terms(MODULE, "word_count", 1, |_, args| async move { word_count(&args[0]) });
    node.export_terms(MODULE, "sleep", 1, |_, args| async move { sleep(&args[0]).await });
    node.export_terms(MODULE, "raise", 1, |_, args| async move { Err(Raise::error(runtime_error(&args[0])?)) });
    node.export_terms(MODULE, "throw", 1, |_, args| async move { Err(Raise::Throw(args[0].clone())) });
    node.export_terms(MODULE, "exit", 1, |_, args| async move { Err(Raise::Exit(args[0].clone())) });
    node.export_terms(MODULE, "puts", 1, |context, args| async move { puts(context, &args[0]).await });
    node.export_terms(MODULE, "start_echo", 0, |context, _| async move { start_echo(&context, None) });
    node.export_terms(MODULE, "start_echo", 1, |context, args| async move {
        let name = args[0].as_atom().ok_or_else(Raise::badarg)?;
        start_echo(&context, Some(name))
    });
    node.export_terms(MODULE, "start_counter", 1, |context, args| async move { start_counter(&context, &args[0]) });
    node.export_terms(MODULE, "start_supervisor", 2, |context, args| async move {
        start_supervisor(&context.node, &args[0], &args[1]).await
    });
    node.export_terms(MODULE, "start_dynamic_supervisor", 1, |context, args| async move {
        let most = args[0].as_i64().and_then(|most| usize::try_from(most).ok()).ok_or_else(Raise::badarg)?;
        let started = context.node.dynamic_supervisor().max_children(most).start();
        started.map(ok).map_err(|_no_name_to_be_taken| Raise::badarg())
    });
    node.export_terms(MODULE, "watch", 2, |context, args| async move { watch(&context, &args[0], &args[1]).await });
    node.export_terms(
        MODULE,
        "watch_nodes",
        1,
        |context, args| async move { standard::watch_nodes(&context, &args[0]) },
    );
    node.export_terms(MODULE, "start_kept_counter", 3, |context, args| async move {
        super::kept::start(&context, &args, parent(&context)).map(ok)
    });
    node.export_terms(MODULE, "watch_nodes", 2, |context, args| async move { watch_nodes_with(&context, &args) });
    node.export_terms(MODULE, "horde_register", 3, |context, args| async move { horde_register(context, &args).await });
    node.export_terms(MODULE, "ticker", 3, |context, args| async move { ticker(context, &args).await });
}

fn add(a: &Term, b: &Term) -> Result<Term, Raise> {
    match (a, b) {
        (Term::Integer(a), Term::Integer(b)) => Ok((a.to_big() + b.to_big()).into()),
        _ => Err(Raise::error(known::badarith())),
    }
}

/// Integers stay exact; from the first float on the sum is one.
fn sum(list: &Term) -> Result<Term, Raise> {
    let list = list.as_list().filter(|list| list.is_proper()).ok_or_else(Raise::badarg)?;
    let mut exact = BigInt::ZERO;
    let mut inexact: Option<f64> = None;
    for number in list {
        match (&*number, inexact) {
            (Term::Integer(n), None) => exact += n.to_big(),
            (Term::Integer(n), Some(so_far)) => inexact = Some(so_far + float_of(&n.to_big())?),
            (Term::Float(f), None) => inexact = Some(float_of(&exact)? + f),
            (Term::Float(f), Some(so_far)) => inexact = Some(so_far + f),
            _ => return Err(Raise::error(known::badarith())),
        }
    }
    match inexact {
        None => Ok(exact.into()),
        Some(sum) if sum.is_finite() => Ok(sum.into()),
        Some(_) => Err(Raise::error(known::badarith())),
    }
}

fn float_of(n: &BigInt) -> Result<f64, Raise> {
    use num_traits::ToPrimitive;
    n.to_f64().filter(|float| float.is_finite()).ok_or_else(|| Raise::error(known::badarith()))
}

fn fib(n: &Term) -> Result<Term, Raise> {
    /// Beyond it a result takes megabytes, and the node's other callers wait.
    const LARGEST: i64 = 1_000_000;
    let n = n.as_i64().filter(|n| (0..=LARGEST).contains(n)).ok_or_else(Raise::badarg)?;
    let (mut a, mut b) = (BigInt::ZERO, BigInt::from(1));
    // Fast doubling, from the highest bit of n down.
    for bit in (0..64 - n.leading_zeros()).rev() {
        let doubled = &a * (&b * 2 - &a);
        let next = &a * &a + &b * &b;
        (a, b) = if n >> bit & 1 == 0 { (doubled, next) } else { (next.clone(), doubled + next) };
    }
    Ok(a.into())
}

fn word_count(text: &Term) -> Result<Term, Raise> {
    let text = text.as_text().ok_or_else(Raise::badarg)?;
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_insert(0_u64) += 1;
    }
    let pairs = counts.into_iter().map(|(word, count)| (Term::from(word), Term::from(count)));
    Ok(Term::Map(pairs.collect()))
}

async fn sleep(milliseconds: &Term) -> Result<Term, Raise> {
    let milliseconds = milliseconds.as_i64().and_then(|n| u64::try_from(n).ok()).ok_or_else(Raise::badarg)?;
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    Ok(known::ok().into())
}

/// `%RuntimeError{message: message}`.
fn runtime_error(message: &Term) -> Result<Term, Raise> {
    if message.as_text().is_none() {
        return Err(Raise::badarg());
    }
    let field = |key: Atom, value: Term| (Term::Atom(key), value);
    let fields = [
        field(known::struct_(), Term::atom("Elixir.RuntimeError")),
        field(known::exception(), known::true_().into()),
        field(known::message(), message.clone()),
    ];
    Ok(Term::Map(fields.into_iter().collect()))
}

async fn puts(mut context: CallContext, text: &Term) -> Result<Term, Raise> {
    let text = text.as_text().ok_or_else(Raise::badarg)?;
    let leader = context.group_leader();
    io::put_chars(&mut context.process, leader, &format!("{text}\n")).await;
    Ok(known::ok().into())
}

fn ok(pid: Pid) -> Term {
    Term::tuple([known::ok().into(), pid.into()])
}

fn start_echo(context: &CallContext, name: Option<Atom>) -> Result<Term, Raise> {
    let started = context.node.spawn_server(Echo);
    let pid = started.pid();
    if let Some(name) = name {
        started.register(name).map_err(|error: RegisterError| {
            let _ended = context.process.exit(pid, &known::kill().into());
            tracing::debug!(%error, "echo not registered");
            Raise::badarg()
        })?;
    }
    Ok(ok(pid))
}

fn start_counter(context: &CallContext, initial: &Term) -> Result<Term, Raise> {
    let Term::Integer(initial) = initial else { return Err(Raise::badarg()) };
    let counter = Counter { value: initial.to_big() };
    Ok(ok(context.node.spawn_server_link(counter, parent(context)).pid()))
}

/// A supervisor with these flags and children, as `supervisor:init/1` returns them.
async fn start_supervisor(node: &Node, flags: &Term, specs: &Term) -> Result<Term, Raise> {
    let Term::Map(flags) = flags else { return Err(Raise::badarg()) };
    let number = |key: &str, default: u64| match flags.get_atom(key) {
        None => Ok(default),
        Some(given) => given.as_i64().and_then(|n| u64::try_from(n).ok()).ok_or_else(Raise::badarg),
    };
    let strategy = match flags.get_atom("strategy") {
        None => Strategy::OneForOne,
        Some(given) if given.is_atom("one_for_one") => Strategy::OneForOne,
        Some(given) if given.is_atom("one_for_all") => Strategy::OneForAll,
        Some(given) if given.is_atom("rest_for_one") => Strategy::RestForOne,
        Some(_) => return Err(Raise::badarg()),
    };
    let restarts = usize::try_from(number("intensity", 1)?).map_err(|_huge| Raise::badarg())?;
    let within = Duration::from_secs(number("period", 5)?);
    let mut supervisor = node.supervisor().strategy(strategy).intensity(Intensity { restarts, within });
    for spec in specs.as_list().filter(|specs| specs.is_proper()).ok_or_else(Raise::badarg)? {
        supervisor = supervisor.child(ChildSpec::parse(&spec, AutoShutdown::Never).map_err(Raise::error)?);
    }
    let error = |why: Term| Term::tuple([known::error().into(), why]);
    Ok(match supervisor.start().await {
        Ok(pid) => ok(pid),
        Err(SupervisorError::Child(why)) => error(Term::tuple([known::shutdown().into(), why])),
        Err(_ended) => error(known::shutdown().into()),
    })
}

/// The process that the call runs in ends with the call; whoever called stays.
fn parent(context: &CallContext) -> Pid {
    if context.is_erpc() { context.caller } else { context.process.pid() }
}

/// Monitors a target and tells `report_to` how it ended: `{down, Target, Reason}`.
async fn watch(context: &CallContext, target: &Term, report_to: &Term) -> Result<Term, Raise> {
    let dest = Dest::from_term(target).ok_or_else(Raise::badarg)?;
    let report_to = Dest::from_term(report_to).ok_or_else(Raise::badarg)?;
    let target = target.clone();
    let (ready, watching) = tokio::sync::oneshot::channel();
    let pid = context.node.spawn(move |mut watcher| async move {
        let Ok(reference) = watcher.monitor(dest) else { return };
        let _caller_gone = ready.send(());
        let reason = watcher.receive_match(|mail| match mail {
            Mail::Down(down) if down.reference == reference => Some(down.reason.clone()),
            Mail::Message(_) | Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
        });
        let Ok(reason) = reason.await else { return };
        let report = [crate::process::reason::of(&Term::atom("down")), crate::process::reason::of(&target), reason];
        let _gone = watcher.send_encoded(report_to, Encoded::tuple(&report)).await;
    });
    // Watching from the moment that the call returns.
    let _spawned = watching.await;
    Ok(ok(pid))
}

/// As `watch_nodes/1`, with a list of subscriptions' options.
fn watch_nodes_with(context: &CallContext, args: &[Term]) -> Result<Term, Raise> {
    let options = args[1].list_items().ok_or_else(Raise::badarg)?;
    let options = options.iter().map(MonitorNodes::from_term).collect::<Result<_, _>>().map_err(Raise::error)?;
    standard::watch_nodes_as(context, &args[0], options)
}

/// A new echo process gets a name in a registry that this node runs a member of.
async fn horde_register(context: CallContext, args: &[Term]) -> Result<Term, Raise> {
    let name = args[0].as_atom().ok_or_else(Raise::badarg)?;
    let registries = context.node.horde_registries();
    let registry = registries.iter().find(|registry| registry.name() == name).ok_or_else(Raise::badarg)?;
    let pid = context.node.spawn_server(Echo).pid();
    match registry.register(&args[1], pid, &args[2]).await {
        Ok(()) => Ok(ok(pid)),
        Err(error) => {
            let _ended = context.process.exit(pid, &known::kill().into());
            let RegistryError::AlreadyRegistered(owner) = error else { return Err(Raise::badarg()) };
            let why = Term::tuple([Term::atom("already_registered"), owner.into()]);
            Ok(Term::tuple([known::error().into(), why]))
        }
    }
}

/// Sends `{tick, 1}` to `{tick, N}`, one every so many milliseconds.
async fn ticker(context: CallContext, args: &[Term]) -> Result<Term, Raise> {
    let [Term::Pid(to), milliseconds, count] = args else { return Err(Raise::badarg()) };
    let positive = |term: &Term| term.as_i64().and_then(|n| u64::try_from(n).ok()).ok_or_else(Raise::badarg);
    let (pause, count) = (Duration::from_millis(positive(milliseconds)?), positive(count)?);
    for n in 1..=count {
        tokio::time::sleep(pause).await;
        let tick = Term::tuple([Term::atom("tick"), Term::from(n)]);
        let _gone = context.process.send(*to, &tick).await;
    }
    Ok(known::ok().into())
}

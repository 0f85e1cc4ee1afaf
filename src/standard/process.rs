//! What is asked about processes: `process_info`, and who is alive.

use super::answer;
use crate::node::Node;
use crate::process::{Cell, State};
use crate::rpc::Raise;
use crate::signal::Target;
use crate::term::{Atom, Pid, Term, atom::known};

/// What `process_info/1` tells, in a BEAM's order.
const USUAL: [&str; 17] = [
    "registered_name",
    "current_function",
    "initial_call",
    "status",
    "message_queue_len",
    "links",
    "dictionary",
    "trap_exit",
    "error_handler",
    "priority",
    "group_leader",
    "total_heap_size",
    "heap_size",
    "stack_size",
    "reductions",
    "garbage_collection",
    "suspending",
];

/// What else `process_info/2` is asked for.
const FURTHER: [&str; 15] = [
    "current_stacktrace",
    "binary",
    "messages",
    "monitors",
    "monitored_by",
    "memory",
    "catchlevel",
    "label",
    "parent",
    "async_dist",
    "backtrace",
    "last_calls",
    "trace",
    "sequential_trace_token",
    "message_queue_data",
];

fn is_item(item: &Term) -> bool {
    item.as_atom().is_some_and(|item| USUAL.contains(&item.as_str()) || FURTHER.contains(&item.as_str()))
}

/// A pid of this node, dead or alive: nobody else knows of a process.
fn own(node: &Node, pid: &Term) -> Result<Pid, Raise> {
    pid.as_pid().filter(|pid| node.router().is_ours(*pid)).ok_or_else(Raise::badarg)
}

pub(super) fn export(node: &Node) {
    // What it says suppresses a look into the state, which a BEAM would decode by its own module.
    answer(node, "proc_lib", "translate_initial_call", 1, |context, args| {
        let pid = args[0].as_pid().ok_or_else(Raise::badarg)?;
        let (module, function, arity) = match context.node.router().cell(pid) {
            Some(cell) => cell.initial_call,
            None => (Atom::new("proc_lib"), Atom::new("init_p"), 5),
        };
        Ok(Term::tuple([module.into(), function.into(), arity.into()]))
    });
    answer(node, "proc_lib", "get_label", 1, |_, _| Ok(known::undefined().into()));
    for (module, name) in [("erlang", "processes"), ("Elixir.Process", "list")] {
        answer(node, module, name, 0, |context, _| {
            let pids: Vec<Term> = context.node.router().cells().iter().map(|cell| cell.pid.into()).collect();
            Ok(pids.into())
        });
    }
    for (module, name) in [("erlang", "is_process_alive"), ("Elixir.Process", "alive?")] {
        answer(node, module, name, 1, |context, args| {
            let pid = own(&context.node, &args[0])?;
            Ok(context.node.router().cell(pid).is_some_and(|cell| cell.live().is_ok()).into())
        });
    }
    answer(node, "erlang", "process_info", 1, |context, args| usual(&context.node, &args[0], known::undefined()));
    answer(node, "Elixir.Process", "info", 1, |context, args| usual(&context.node, &args[0], known::nil()));
    answer(node, "erlang", "process_info", 2, |context, args| {
        chosen(&context.node, &args[0], &args[1], known::undefined())
    });
    answer(node, "Elixir.Process", "info", 2, |context, args| chosen(&context.node, &args[0], &args[1], known::nil()));
}

fn usual(node: &Node, pid: &Term, dead: Atom) -> Result<Term, Raise> {
    let pid = own(node, pid)?;
    let Some(cell) = node.router().cell(pid) else { return Ok(dead.into()) };
    let Ok(state) = cell.live() else { return Ok(dead.into()) };
    // A process without a name has no such item here, unlike in `process_info/2`.
    let named = USUAL.iter().filter(|item| **item != "registered_name" || state.name.is_some());
    let items: Option<Vec<Term>> = named.map(|item| pair(item, &cell, &state)).collect();
    Ok(items.unwrap_or_default().into())
}

fn chosen(node: &Node, pid: &Term, what: &Term, dead: Atom) -> Result<Term, Raise> {
    let pid = own(node, pid)?;
    // What is no item is refused whether or not the process lives.
    let items = match what {
        Term::List(list) => list.is_proper().then(|| list.iter().all(|item| is_item(&item))),
        item => Some(is_item(item)),
    };
    if items != Some(true) {
        return Err(Raise::badarg());
    }
    let Some(cell) = node.router().cell(pid) else { return Ok(dead.into()) };
    let Ok(state) = cell.live() else { return Ok(dead.into()) };
    let one = |item: &Term| {
        let name = item.as_atom().ok_or_else(Raise::badarg)?;
        pair(name.as_str(), &cell, &state).ok_or_else(Raise::badarg)
    };
    match what {
        Term::List(list) => {
            let items: Result<Vec<Term>, Raise> = list.iter().map(|item| one(&item)).collect();
            Ok(items?.into())
        }
        // An atom alone: a process without a name gives `[]`.
        Term::Atom(name) if name == "registered_name" && state.name.is_none() => Ok(Term::nil()),
        item => one(item),
    }
}

/// `{Item, Value}`; `None` for an item that no BEAM has.
fn pair(item: &str, cell: &Cell, state: &State) -> Option<Term> {
    let (module, function, arity) = cell.initial_call;
    let mfa = || Term::tuple([module.into(), function.into(), arity.into()]);
    let pids = |pids: Vec<Pid>| Term::from(pids.into_iter().map(Term::from).collect::<Vec<_>>());
    let value = match item {
        "registered_name" => state.name.map_or_else(Term::nil, Term::from),
        "initial_call" | "current_function" => mfa(),
        "current_stacktrace" | "dictionary" | "suspending" | "binary" => Term::nil(),
        "status" => Term::atom("waiting"),
        "message_queue_len" => state.mailbox.len().into(),
        "messages" => state.mailbox.iter().filter_map(|mail| mail.term().ok()).collect::<Vec<_>>().into(),
        "links" => pids(state.links.iter().filter(|(_, link)| link.active).map(|(pid, _)| *pid).collect()),
        "monitors" => {
            state.monitors.values().map(|monitor| monitored(monitor.target, monitor.node)).collect::<Vec<_>>().into()
        }
        "monitored_by" => pids(state.watchers.values().map(|watcher| watcher.pid).collect()),
        "trap_exit" => state.trap_exit.into(),
        "error_handler" => Term::atom("error_handler"),
        "priority" => known::normal().into(),
        "group_leader" => state.group_leader.into(),
        "total_heap_size" | "heap_size" => (memory(state) / 8).into(),
        "memory" => memory(state).into(),
        "stack_size" | "catchlevel" => 0.into(),
        // Mails that came are what we count where the emulator counts reductions.
        "reductions" => state.received.into(),
        "garbage_collection" => garbage_collection(),
        "label" => known::undefined().into(),
        "parent" => known::undefined().into(),
        "async_dist" => known::false_().into(),
        "backtrace" => Term::from(""),
        "last_calls" => known::false_().into(),
        "trace" => 0.into(),
        "sequential_trace_token" => Term::nil(),
        "message_queue_data" => Term::atom("on_heap"),
        _ => return None,
    };
    Some(Term::tuple([Term::atom(item), value]))
}

/// Nothing here is collected: what a BEAM's tools look for is there, with a BEAM's defaults.
fn garbage_collection() -> Term {
    let named = |name: &str, value: Term| Term::tuple([Term::atom(name), value]);
    let limit = [
        ("error_logger", known::true_().into()),
        ("include_shared_binaries", known::false_().into()),
        ("kill", known::true_().into()),
        ("size", 0.into()),
    ];
    let limit = limit.into_iter().map(|(key, value)| (Term::atom(key), value)).collect();
    vec![
        named("max_heap_size", Term::Map(limit)),
        named("min_bin_vheap_size", 46_422.into()),
        named("min_heap_size", 233.into()),
        named("fullsweep_after", 65_535.into()),
        named("minor_gcs", 0.into()),
    ]
    .into()
}

/// `{process, Pid}` or `{process, {Name, Node}}`.
fn monitored(target: Target, node: Atom) -> Term {
    let what = match target {
        Target::Pid(pid) => pid.into(),
        Target::Name(name) => Term::tuple([name.into(), node.into()]),
        Target::Alias(alias) => alias.into(),
    };
    Term::tuple([known::process().into(), what])
}

/// About the bytes that a process takes: itself, and the messages that wait for it.
pub(super) fn memory(state: &State) -> usize {
    const ITSELF: usize = 1024;
    ITSELF + state.mailbox.iter().map(crate::process::Mail::size).sum::<usize>()
}

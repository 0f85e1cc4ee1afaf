//! What is asked about the system: `memory`, `system_info`, `statistics`, applications.

use std::sync::atomic::Ordering;

use super::answer;
use crate::node::Node;
use crate::rpc::Raise;
use crate::term::{Atom, List, Term, atom::known};

/// The release whose protocol this node speaks, as `system_info(otp_release)` tells.
const SPOKEN_RELEASE: &str = "27";

pub(super) fn export(node: &Node) {
    answer(node, "erlang", "memory", 0, |context, _| Ok(memory(&context.node)));
    answer(node, "erlang", "memory", 1, |context, args| memory_of(&context.node, &args[0]));
    answer(node, "erlang", "system_info", 1, |context, args| system_info(&context.node, &args[0]));
    answer(node, "erlang", "statistics", 1, |context, args| statistics(&context.node, &args[0]));
    answer(node, "erlang", "garbage_collect", 0, |_, _| Ok(known::true_().into()));
    answer(node, "erlang", "garbage_collect", 1, |_, _| Ok(known::true_().into()));
    for arity in [0, 1] {
        answer(node, "application", "which_applications", arity, |_, _| Ok(applications()));
    }
    answer(node, "application", "loaded_applications", 0, |_, _| Ok(applications()));
    for arity in [1, 2] {
        answer(node, "application", "get_env", arity, |_, _| Ok(known::undefined().into()));
    }
    for arity in [0, 1] {
        answer(node, "application", "get_all_env", arity, |_, _| Ok(Term::nil()));
    }
    answer(node, "application", "get_key", 2, |_, args| Ok(application_key(&args[0], &args[1])));
    answer(node, "application", "info", 0, |_, _| Ok(vec![Term::tuple([Term::atom("loaded"), applications()])].into()));
    for (module, name) in [("erlang", "ports"), ("ets", "all"), ("code", "all_loaded")] {
        answer(node, module, name, 0, |_, _| Ok(Term::nil()));
    }
    answer(node, "erlang", "port_info", 1, |_, _| Ok(known::undefined().into()));
    answer(node, "ets", "info", 1, |_, _| Ok(known::undefined().into()));
    answer(node, "code", "which", 1, |context, args| {
        let module = args[0].as_atom().ok_or_else(Raise::badarg)?;
        Ok(Term::atom(if context.node.exports_module(module) { "preloaded" } else { "non_existing" }))
    });
    answer(node, "init", "get_status", 0, |_, _| Ok(Term::tuple([Term::atom("started"), Term::atom("started")])));
    answer(node, "net_kernel", "get_net_ticktime", 0, |context, _| {
        Ok(context.node.config().net_ticktime.as_secs().into())
    });
    answer(node, "net_adm", "localhost", 0, |context, _| Ok(List::from_text(context.node.name().host()).into()));
}

pub(super) fn applications() -> Term {
    let application = |name: &str, about: &str, version: &str| {
        Term::tuple([Term::atom(name), List::from_text(about).into(), List::from_text(version).into()])
    };
    let version = env!("CARGO_PKG_VERSION");
    vec![
        application("tiebeam", env!("CARGO_PKG_DESCRIPTION"), version),
        application("stdlib", "served by tiebeam", version),
        application("kernel", "served by tiebeam", version),
    ]
    .into()
}

/// `{ok, Value}` of a key that applications have here.
fn application_key(name: &Term, key: &Term) -> Term {
    let apps = applications();
    let apps = apps.as_list().into_iter().flatten().map(std::borrow::Cow::into_owned);
    let mut found = apps.filter(|app| app.as_tuple().is_some_and(|app| app[0] == *name));
    let app = found.next();
    let value = match (app.as_ref().and_then(Term::as_tuple), key.as_atom().as_ref().map_or("", Atom::as_str)) {
        (Some([_, about, _]), "description") => about.clone(),
        (Some([_, _, version]), "vsn") => version.clone(),
        (Some(_), "modules" | "registered") => Term::nil(),
        _ => return known::undefined().into(),
    };
    Term::tuple([known::ok().into(), value])
}

/// The kinds that `memory/0` lists. The operating system tells us the total; what processes and their mailboxes take is
/// reckoned, and the rest is the system's.
pub(super) fn memory(node: &Node) -> Term {
    let cells = node.router().cells();
    let processes: usize = cells.iter().map(|cell| super::process::memory(&cell.lock())).sum();
    let total = resident().max(processes);
    let kinds = [
        ("total", total),
        ("processes", processes),
        ("processes_used", processes),
        ("system", total - processes),
        ("atom", Atom::count() * 64),
        ("atom_used", Atom::count() * 64),
        ("binary", 0),
        ("code", 0),
        ("ets", 0),
    ];
    kinds.map(|(kind, bytes)| Term::tuple([Term::atom(kind), bytes.into()])).to_vec().into()
}

pub(super) fn memory_of(node: &Node, kind: &Term) -> Result<Term, Raise> {
    let all = memory(node);
    let find = |kind: &Term| {
        let pairs = all.as_list().into_iter().flatten().map(std::borrow::Cow::into_owned);
        let mut found = pairs.filter(|pair| pair.as_tuple().is_some_and(|pair| pair[0] == *kind));
        found.next().ok_or_else(Raise::badarg)
    };
    match kind {
        Term::List(kinds) => Ok(kinds.iter().map(|kind| find(&kind)).collect::<Result<Vec<_>, _>>()?.into()),
        kind => find(kind)?.as_tuple().map(|pair| pair[1].clone()).ok_or_else(Raise::badarg),
    }
}

/// Resident memory in bytes; 0 where the operating system does not tell.
pub(super) fn resident() -> usize {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).map_or(0, |pages| pages * PAGE)
}

pub(super) fn system_info(node: &Node, item: &Term) -> Result<Term, Raise> {
    let text = |text: &str| Term::from(List::from_text(text));
    // `{wordsize, internal | external}`, and `{allocator, _}` of which there is none.
    match item.as_tuple() {
        Some([tag, _]) if tag.is_atom("wordsize") => return Ok(8.into()),
        Some([tag, _]) if tag.is_atom("allocator") || tag.is_atom("allocator_sizes") => {
            return Ok(known::false_().into());
        }
        _ => {}
    }
    let item = item.as_atom().ok_or_else(Raise::badarg)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(match item.as_str() {
        "otp_release" => text(SPOKEN_RELEASE),
        "version" => text(env!("CARGO_PKG_VERSION")),
        "system_version" => text(concat!("tiebeam ", env!("CARGO_PKG_VERSION"), "\n")),
        "machine" => text("TIEBEAM"),
        "system_architecture" => text(std::env::consts::ARCH),
        "process_count" => node.router().cells().len().into(),
        "process_limit" => (1_u32 << 28).into(),
        "port_count" | "ets_count" | "dirty_io_schedulers" | "thread_pool_size" => 0.into(),
        "port_limit" | "ets_limit" => 65_536.into(),
        "atom_count" => Atom::count().into(),
        "atom_limit" => Atom::LIMIT.into(),
        "schedulers"
        | "schedulers_online"
        | "logical_processors"
        | "logical_processors_online"
        | "logical_processors_available"
        | "dirty_cpu_schedulers"
        | "dirty_cpu_schedulers_online" => threads.into(),
        "wordsize" => 8.into(),
        "smp_support" | "threads" | "kernel_poll" => known::true_().into(),
        "creation" => node.creation().0.into(),
        "dist_buf_busy_limit" => node.config().busy_limit.into(),
        "dist" | "allocated_areas" | "info" | "loaded" => Term::nil(),
        "start_time" => 0.into(),
        "alloc_util_allocators" | "taints" => Term::nil(),
        "allocator" => Term::tuple([known::undefined().into(), Term::nil(), Term::nil(), Term::nil()]),
        "multi_scheduling" => Term::atom("enabled"),
        "port_parallelism" | "debug_compiled" => known::false_().into(),
        "build_type" => Term::atom("opt"),
        "emu_type" => Term::atom("opt"),
        "emu_flavor" => Term::atom("native"),
        "fullsweep_after" => Term::tuple([Term::atom("fullsweep_after"), 65_535.into()]),
        _ => return Err(Raise::badarg()),
    })
}

fn statistics(node: &Node, item: &Term) -> Result<Term, Raise> {
    let item = item.as_atom().ok_or_else(Raise::badarg)?;
    let milliseconds = node.uptime().as_millis();
    let pair = |total: Term| Term::tuple([total, 0.into()]);
    Ok(match item.as_str() {
        "wall_clock" | "runtime" => pair(milliseconds.into()),
        "reductions" | "exact_reductions" => pair(node.router().reductions().into()),
        "run_queue"
        | "total_run_queue_lengths"
        | "total_run_queue_lengths_all"
        | "total_active_tasks"
        | "total_active_tasks_all"
        | "context_switches" => match item.as_str() {
            "context_switches" => pair(0.into()),
            _ => 0.into(),
        },
        "garbage_collection" => Term::tuple([0.into(), 0.into(), 0.into()]),
        "scheduler_wall_time" => known::undefined().into(),
        "io" => {
            let connections = node.connections();
            let sum = |of: fn(&crate::net::Traffic) -> u64| {
                Term::from(connections.iter().map(|connection| of(&connection.traffic)).sum::<u64>())
            };
            let input = sum(|traffic| traffic.bytes_in.load(Ordering::Relaxed));
            let output = sum(|traffic| traffic.bytes_out.load(Ordering::Relaxed));
            let named = |name: &str, value: Term| Term::tuple([Term::atom(name), value]);
            Term::tuple([named("input", input), named("output", output)])
        }
        _ => return Err(Raise::badarg()),
    })
}

//! What observer, etop and LiveDashboard ask of a node: modules `observer_backend`, `appmon_info` and
//! `'Elixir.Phoenix.LiveDashboard.SystemInfo'`, with `runtime_tools`' names and shapes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::process::memory as process_memory;
use super::{answer, system};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply};
use crate::net::Traffic;
use crate::node::Node;
use crate::process::{Cell, Exit, From, Mail, State};
use crate::rpc::{CallContext, Raise};
use crate::term::{Atom, List, Map, Pid, Term, atom::known};

const BACKEND: &str = "observer_backend";
const DASHBOARD: &str = "Elixir.Phoenix.LiveDashboard.SystemInfo";

pub(super) fn export(node: &Node) {
    answer(node, BACKEND, "vsn", 0, |_, _| Ok(ok(List::from_text("2.1").into())));
    answer(node, BACKEND, "sys_info", 0, |context, _| sys_info(&context.node));
    answer(node, BACKEND, "socket_info", 0, |_, _| Ok(socket_info()));
    for (name, arity) in [("get_port_list", 0), ("get_socket_list", 0), ("get_table_list", 2)] {
        answer(node, BACKEND, name, arity, |_, _| Ok(Term::nil()));
    }
    node.export_terms(BACKEND, "get_table", 3, |context, args| async move {
        let parent = args[0].as_pid().ok_or_else(Raise::badarg)?;
        Ok(empty_table(&context.node, parent).into())
    });
    node.export_terms(BACKEND, "procs_info", 1, |context, args| async move {
        let collector = args[0].as_pid().ok_or_else(Raise::badarg)?;
        procs_info(&context, collector).await
    });
    node.export_terms(BACKEND, "etop_collect", 1, |context, args| async move {
        let collector = args[0].as_pid().ok_or_else(Raise::badarg)?;
        let message = Term::tuple([context.process.pid().into(), etop_info(&context.node)?]);
        let _gone = context.process.send(collector, &message).await;
        Ok(known::ok().into())
    });
    node.export_terms(BACKEND, "fetch_stats", 2, |context, args| async move { fetch_stats(context, &args).await });
    for name in ["start_link", "start_link2"] {
        node.export_terms("appmon_info", name, 3, |context, args| async move {
            let client = args[1].as_pid().ok_or_else(Raise::badarg)?;
            Ok(ok(context.node.spawn_server(AppMonitor { client }).pid().into()))
        });
    }
    export_dashboard(node);
}

fn ok(value: Term) -> Term {
    Term::tuple([known::ok().into(), value])
}

fn named(name: &str, value: impl Into<Term>) -> Term {
    Term::tuple([Term::atom(name), value.into()])
}

fn map<const N: usize>(pairs: [(&str, Term); N]) -> Term {
    Term::Map(pairs.into_iter().map(|(key, value)| (Term::atom(key), value)).collect::<Map>())
}

/// The keys that the system tab shows, in `runtime_tools`' order, and then `erlang:memory()`.
fn sys_info(node: &Node) -> Result<Term, Raise> {
    const ASKED: [&str; 24] = [
        "logical_processors",
        "logical_processors_online",
        "logical_processors_available",
        "schedulers",
        "schedulers_online",
        "otp_release",
        "version",
        "system_architecture",
        "kernel_poll",
        "smp_support",
        "threads",
        "thread_pool_size",
        "wordsize_internal",
        "wordsize_external",
        "process_count",
        "atom_limit",
        "atom_count",
        "process_limit",
        "port_limit",
        "port_count",
        "ets_limit",
        "ets_count",
        "dist_buf_busy_limit",
        "schedulers_available",
    ];
    let (input, output) = io(node);
    let mut items = vec![
        named("uptime", node.uptime().as_millis()),
        named("run_queue", 0),
        named("io_input", input),
        named("io_output", output),
        named("alloc_info", Term::nil()),
    ];
    for key in ASKED {
        let item = match key {
            "wordsize_internal" | "wordsize_external" => "wordsize",
            "schedulers_available" => "schedulers_online",
            key => key,
        };
        items.push(named(key, system::system_info(node, &Term::atom(item))?));
    }
    items.extend(system::memory(node).as_list().into_iter().flatten().map(std::borrow::Cow::into_owned));
    Ok(items.into())
}

fn io(node: &Node) -> (u64, u64) {
    let connections = node.connections();
    let sum = |of: fn(&Traffic) -> u64| connections.iter().map(|connection| of(&connection.traffic)).sum();
    (sum(|traffic| traffic.bytes_in.load(Ordering::Relaxed)), sum(|traffic| traffic.bytes_out.load(Ordering::Relaxed)))
}

/// There is no module `socket` here, hence nothing of it.
fn socket_info() -> Term {
    const COUNTED: [&str; 12] = [
        "num_monitors",
        "num_dinet",
        "num_dinet6",
        "num_dlocal",
        "num_pip",
        "num_psctp",
        "num_ptcp",
        "num_pudp",
        "num_sockets",
        "num_tdgrams",
        "num_tseqpkgs",
        "num_tstreams",
    ];
    let rest = [named("iov_max", 1024), named("num_cnt_bits", 64)];
    rest.into_iter().chain(COUNTED.map(|kind| named(kind, 0))).collect::<Vec<_>>().into()
}

/// `{etop_proc_info, Pid, Memory, Reductions, NameOrMFA, Runtime, CurrentFunction, MessageQueueLength}`.
fn etop_proc_info(cell: &Cell, state: &State) -> Term {
    let (module, function, arity) = cell.initial_call;
    let mfa = Term::tuple([module.into(), function.into(), arity.into()]);
    Term::tuple([
        Term::atom("etop_proc_info"),
        cell.pid.into(),
        process_memory(state).into(),
        state.received.into(),
        state.name.map_or_else(|| mfa.clone(), Term::from),
        0.into(),
        mfa,
        state.mailbox.len().into(),
    ])
}

/// All processes but the one that asks for the caller.
fn processes(node: &Node) -> Vec<Term> {
    let cells = node.router().cells();
    cells.iter().filter_map(|cell| cell.live().ok().map(|state| etop_proc_info(cell, &state))).collect()
}

async fn procs_info(context: &CallContext, collector: Pid) -> Result<Term, Raise> {
    // Observer takes them in parts.
    const AT_ONCE: usize = 10_000;
    let me = Term::from(context.process.pid());
    for part in processes(&context.node).chunks(AT_ONCE) {
        let message = Term::tuple([Term::atom("procs_info"), me.clone(), part.to_vec().into()]);
        let _gone = context.process.send(collector, &message).await;
    }
    Ok(known::ok().into())
}

fn etop_info(node: &Node) -> Result<Term, Raise> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (mega, seconds) = (now.as_secs() / 1_000_000, now.as_secs() % 1_000_000);
    let memory: Result<Vec<Term>, Raise> = ["total", "processes", "ets", "atom", "code", "binary"]
        .into_iter()
        .map(|kind| Ok(named(kind, system::memory_of(node, &Term::atom(kind))?)))
        .collect();
    let processes = processes(node);
    Ok(Term::tuple([
        Term::atom("etop_info"),
        Term::tuple([mega.into(), seconds.into(), now.subsec_micros().into()]),
        processes.len().into(),
        known::undefined().into(),
        known::undefined().into(),
        0.into(),
        Term::nil(),
        memory?.into(),
        processes.into(),
    ]))
}

/// Tells its figures again and again, until a message comes.
async fn fetch_stats(mut context: CallContext, args: &[Term]) -> Result<Term, Raise> {
    let parent = args[0].as_pid().ok_or_else(Raise::badarg)?;
    let pause = args[1].as_i64().and_then(|ms| u64::try_from(ms).ok()).ok_or_else(Raise::badarg)?;
    let schedulers = std::thread::available_parallelism().map_or(1, usize::from);
    loop {
        let total = Term::from(context.node.uptime().as_nanos());
        // Nobody tells how busy the runtime's threads are.
        let idle = (1..=schedulers).map(|n| Term::tuple([n.into(), 0.into(), total.clone()])).collect::<Vec<_>>();
        let (input, output) = io(&context.node);
        let io = Term::tuple([named("input", input), named("output", output)]);
        let stats = [Term::atom("stats"), 1.into(), idle.into(), io, system::memory(&context.node)];
        let _gone = context.process.send(parent, &Term::tuple(stats)).await;
        let told = context.process.receive();
        if tokio::time::timeout(Duration::from_millis(pause.max(10)), told).await.is_ok() {
            return Ok(known::ok().into());
        }
    }
}

/// No table of this node is an ETS table; whoever opens one finds it empty.
fn empty_table(node: &Node, parent: Pid) -> Pid {
    node.spawn(move |worker| async move {
        let end = Term::tuple([worker.pid().into(), Term::atom("$end_of_table")]);
        let _gone = worker.send(parent, &end).await;
    })
}

/// `appmon_info`: tells its client which applications and which of their processes there are, whenever it asks.
struct AppMonitor {
    client: Pid,
}

impl GenServer for AppMonitor {
    async fn init(&mut self, context: &mut Context) -> Result<(), Exit> {
        context.process.monitor(self.client)?;
        Ok(())
    }

    async fn call(&mut self, _: Encoded, _: From, _: &mut Context) -> Result<Reply, Exit> {
        Ok(Term::from(known::ok()).into())
    }

    async fn cast(&mut self, request: Encoded, context: &mut Context) -> Result<(), Exit> {
        let request = request.term().unwrap_or_default();
        let Some([Term::Pid(client), what, about, on, _options]) = request.as_tuple() else { return Ok(()) };
        if !on.is_atom("true") {
            return Ok(());
        }
        let result = match what.as_atom().as_ref().map_or("", Atom::as_str) {
            "app_ctrl" => applications(&context.node),
            "app" => tree(&context.node, about),
            "load" => Term::tuple([0.into(), 0.into()]),
            _ => Term::nil(),
        };
        let delivery = [Term::atom("delivery"), context.process.pid().into(), what.clone(), about.clone(), result];
        let _gone = context.process.send(*client, &Term::tuple(delivery)).await;
        Ok(())
    }

    async fn info(&mut self, mail: Mail, _: &mut Context) -> Result<(), Exit> {
        match mail {
            Mail::Down(_) => Err(Exit::normal()),
            _ => Ok(()),
        }
    }

    fn module(&self) -> &str {
        "appmon_info"
    }
}

/// Only `tiebeam` has processes: its master is the one that nodes ask first.
fn applications(node: &Node) -> Term {
    let Some(master) = node.whereis("net_kernel") else { return Term::nil() };
    let ours = |app: &Term| app.as_tuple().is_some_and(|app| app[0].is_atom("tiebeam"));
    let apps = system::applications();
    let apps = apps.as_list().into_iter().flatten().map(std::borrow::Cow::into_owned).filter(|app| ours(app));
    apps.map(|app| Term::tuple([master.into(), Term::atom("tiebeam"), app])).collect::<Vec<_>>().into()
}

/// `{Root, Processes, Links, Others}`: the named processes below the one that stands for the node.
fn tree(node: &Node, app: &Term) -> Term {
    let empty = || Term::tuple([Term::nil(), Term::nil(), Term::nil(), Term::nil()]);
    let Some(root) = node.whereis("net_kernel").filter(|_| app.is_atom("tiebeam")) else { return empty() };
    let mut shown: Vec<(Pid, Atom)> =
        node.registered().into_iter().filter_map(|name| Some((node.whereis(name)?, name))).collect();
    shown.sort_by_key(|(pid, _)| (pid.serial, pid.id));
    let text = |name: Atom| Term::from(List::from_text(name.as_str()));
    let processes = shown.iter().map(|(pid, name)| Term::tuple([(*pid).into(), text(*name)])).collect::<Vec<_>>();
    let below = shown.iter().filter(|(pid, _)| *pid != root);
    // Links are told by names, and a root by its own.
    let links = below.map(|(_, name)| Term::tuple([text(known::net_kernel()), text(*name)])).collect::<Vec<_>>();
    Term::tuple([text(known::net_kernel()), processes.into(), links.into(), Term::nil()])
}

/// What `Phoenix.LiveDashboard.SystemInfo` is asked for, so that the dashboard does not try to load its own code here.
fn export_dashboard(node: &Node) {
    answer(node, DASHBOARD, "capabilities_callback", 1, |_, _| {
        Ok(map([
            ("system_info", Term::from("tiebeam")),
            ("dashboard_running?", known::true_().into()),
            ("dashboard", Term::nil()),
            ("applications", Term::nil()),
            ("modules", Term::nil()),
            ("processes", Term::nil()),
        ]))
    });
    for arity in [1, 2] {
        answer(node, DASHBOARD, "info_callback", arity, |context, args| {
            let text = |key: &str| Term::from(key);
            let keys = args[0].as_list().into_iter().flatten().map(std::borrow::Cow::into_owned);
            let nil = Term::from(known::nil());
            let environment = keys.map(|key| Term::tuple([key, nil.clone()])).collect::<Vec<_>>();
            let asked = |key: &str| system::system_info(&context.node, &Term::atom(key));
            let system_info = map([
                ("banner", asked("system_version")?),
                ("elixir_version", text("")),
                ("phoenix_version", text("")),
                ("app_version", text(env!("CARGO_PKG_VERSION"))),
                ("dashboard_version", text("")),
                ("system_architecture", asked("system_architecture")?),
            ]);
            let limits = map([
                ("atoms", asked("atom_limit")?),
                ("ports", asked("port_limit")?),
                ("processes", asked("process_limit")?),
            ]);
            Ok(map([
                ("system_info", system_info),
                ("system_limits", limits),
                ("system_usage", usage(&context.node)?),
                ("environment", environment.into()),
            ]))
        });
    }
    answer(node, DASHBOARD, "usage_callback", 0, |context, _| usage(&context.node));
    for arity in [4, 5] {
        answer(node, DASHBOARD, "processes_callback", arity, |context, args| {
            Ok(dashboard_processes(&context.node, &args[0], args[3].as_i64().unwrap_or(50)))
        });
    }
    for name in ["ports_callback", "sockets_callback", "ets_callback", "applications_info_callback"] {
        answer(node, DASHBOARD, name, 4, |_, _| Ok(Term::tuple([Term::nil(), 0.into()])));
    }
    for name in ["app_tree_callback", "process_info_callback", "ets_info_callback", "port_info_callback"] {
        answer(node, DASHBOARD, name, 1, |_, _| Ok(known::error().into()));
    }
}

fn usage(node: &Node) -> Result<Term, Raise> {
    let memory = |kind: &str| system::memory_of(node, &Term::atom(kind));
    let (input, output) = io(node);
    let asked = |key: &str| system::system_info(node, &Term::atom(key));
    Ok(map([
        ("atoms", asked("atom_count")?),
        ("ports", 0.into()),
        ("processes", asked("process_count")?),
        ("io", Term::tuple([input.into(), output.into()])),
        ("uptime", node.uptime().as_millis().into()),
        (
            "memory",
            map([
                ("total", memory("total")?),
                ("process", memory("processes")?),
                ("atom", memory("atom")?),
                ("binary", memory("binary")?),
                ("code", memory("code")?),
                ("ets", memory("ets")?),
                ("other", memory("system")?),
            ]),
        ),
        ("total_run_queue", 0.into()),
        ("cpu_run_queue", 0.into()),
    ]))
}

/// `{Rows, Count, Reductions}`.
fn dashboard_processes(node: &Node, search: &Term, limit: i64) -> Term {
    let search = search.as_text().unwrap_or_default().to_owned();
    let limit = usize::try_from(limit).unwrap_or_default();
    let (mut rows, mut reductions) = (Vec::new(), Map::default());
    for cell in node.router().cells() {
        let Ok(state) = cell.live() else { continue };
        let (module, function, arity) = cell.initial_call;
        let call = format!("{}:{}/{arity}", module.as_str(), function.as_str());
        let name = state.name.map_or(call, |name| name.as_str().to_owned());
        if !name.contains(&search) {
            continue;
        }
        let mfa = Term::tuple([module.into(), function.into(), arity.into()]);
        rows.push(Term::from(vec![
            named("pid", cell.pid),
            named("name_or_initial_call", Term::from(name.as_str())),
            named("reductions_diff", state.received),
            named("memory", process_memory(&state)),
            named("reductions", state.received),
            named("message_queue_len", state.mailbox.len()),
            named("current_function", mfa),
        ]));
        reductions.insert(cell.pid.into(), state.received.into());
    }
    let count = rows.len();
    rows.truncate(limit);
    Term::tuple([rows.into(), count.into(), reductions.into()])
}

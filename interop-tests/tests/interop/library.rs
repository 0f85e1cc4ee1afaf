//! The library: this very process is a node, beside BEAMs.

mod order;
mod promises;
mod torture;
mod transactions;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use interop_tests::{Beam, COOKIE, Release, free_port, on_every_release, unique};
use tiebeam::node::{EpmdMode, NodeEvent};
use tiebeam::process::{CallError, Exit, Mail};
use tiebeam::rpc::{Class, Raise, RpcError};
use tiebeam::{Atom, Cookie, Node, Pid, Process, Term, epmd, term};
use tokio::time::timeout;

use self::order::node_events_frame_the_messages_of_their_connection;
use self::promises::requests_and_promises_give_what_a_beam_gets;
use self::torture::the_torture_set_comes_back_from_a_beam;
use self::transactions::a_thousand_contended_transactions_exclude_each_other;

on_every_release!(
    calls_out_give_values_and_typed_errors,
    calls_of_many_nodes_at_once,
    output_of_a_called_function_arrives_at_the_caller,
    servers_of_a_beam_are_called,
    links_and_monitors_from_rust,
    links_and_monitors_from_a_beam,
    a_killed_beam_is_noconnection_to_all_that_wait,
    spawned_functions_are_linked_and_monitored,
    monitored_nodes_are_told_of,
    init_stop_is_for_programs_that_allow_it,
    two_library_nodes_and_a_beam,
    the_torture_set_comes_back_from_a_beam,
    node_events_frame_the_messages_of_their_connection,
    requests_and_promises_give_what_a_beam_gets,
    a_thousand_contended_transactions_exclude_each_other,
);

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node of this process, with an embedded EPMD, and a BEAM that is registered there.
struct Duo {
    port: u16,
    node: Node,
    beam: Beam,
}

impl Duo {
    async fn new(release: Release) -> Self {
        let port = free_port();
        let node = library_node("lib", port, EpmdMode::Embedded).await;
        let mut beam = Beam::start(release, &unique("beam"), port);
        assert_eq!(beam.eval("'Elixir.Tiebeam.Demo':serve()."), "ok");
        Self { port, node, beam }
    }

    fn peer(&self) -> Atom {
        Atom::new(self.beam.name())
    }

    /// Evaluates on the BEAM, with `N` for this node. It calls back perhaps, so this thread must not be in its way.
    fn eval(&mut self, code: &str) -> String {
        let code = format!("N = '{}', _ = N, {code}", self.node.name());
        tokio::task::block_in_place(|| self.beam.eval(&code))
    }

    /// Evaluates in a process that `erpc` makes for it: what this node is told is what it does.
    async fn evaluated(&self, code: &str) -> Result<Term, RpcError> {
        let rpc = self.node.rpc(self.peer());
        let text = vec![Term::from(code)];
        let chars = rpc.call_term(Atom::new("unicode"), Atom::new("characters_to_list"), text).await?;
        let scanned = rpc.call_term(Atom::new("erl_scan"), Atom::new("string"), vec![chars]).await?;
        let tokens = scanned.as_tuple().expect("{ok, Tokens, End}")[1].clone();
        let parsed = rpc.call_term(Atom::new("erl_parse"), Atom::new("parse_exprs"), vec![tokens]).await?;
        let expressions = parsed.as_tuple().expect("{ok, Expressions}")[1].clone();
        let value = rpc.call_term(Atom::new("erl_eval"), Atom::new("exprs"), vec![expressions, Term::nil()]).await?;
        Ok(value.as_tuple().expect("{value, Value, Bindings}")[1].clone())
    }

    async fn spawned(&self, code: &str) -> Pid {
        let spawned = self.evaluated(code).await.expect("it evaluates");
        spawned.as_pid().unwrap_or_else(|| panic!("{code} gave {spawned}"))
    }
}

async fn library_node(name: &str, port: u16, mode: EpmdMode) -> Node {
    let config = epmd::Config::from_vars(|var| (var == "ERL_EPMD_PORT").then(|| port.to_string()));
    let builder = Node::builder(unique(name)).cookie(Cookie::new(COOKIE).expect("a cookie")).epmd(mode);
    builder.epmd_config(config.expect("a port")).start().await.expect("the node starts")
}

/// Runs a scenario on threads of its own, for at most as long as a busy machine may take.
fn in_runtime(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    runtime.block_on(async { timeout(PATIENCE * 2, scenario).await.expect("the scenario comes to its end") });
}

async fn mail(process: &mut Process) -> Mail {
    timeout(PATIENCE, process.receive()).await.expect("mail comes").expect("the process lives")
}

async fn message(process: &mut Process) -> Term {
    let mail = mail(process).await;
    assert!(matches!(mail, Mail::Message(_)), "{mail:?} is no message");
    mail.term().expect("a term")
}

/// Why the process that a monitor watches ended.
async fn down(process: &mut Process, reference: tiebeam::Ref) -> Term {
    let down = timeout(PATIENCE, process.down(reference)).await.expect("it ends").expect("the process lives");
    down.reason.term().expect("a term")
}

/// Why the next exit signal came, and from whom.
async fn exit_signal(process: &mut Process) -> (Pid, Term) {
    match mail(process).await {
        Mail::Exit(signal) => (signal.from, signal.reason.term().expect("a term")),
        other => panic!("{other:?} is no exit signal"),
    }
}

fn calls_out_give_values_and_typed_errors(release: Release) {
    in_runtime(async {
        let duo = Duo::new(release).await;
        let rpc = duo.node.rpc(duo.peer());

        let sum: i64 = rpc.call("lists", "sum", (vec![-1, 2, 3],)).await.expect("a sum");
        assert_eq!(sum, 4);
        let counts: BTreeMap<String, u32> =
            rpc.call("Elixir.Tiebeam.Demo", "word_count", ("a b a",)).await.expect("a map of counts");
        assert_eq!(counts, BTreeMap::from([("a".into(), 2), ("b".into(), 1)]));
        let node: Atom = rpc.call("erlang", "node", ()).await.expect("its name");
        assert_eq!(node, duo.peer());
        let wrong = rpc.call::<i64>("erlang", "node", ()).await;
        assert!(matches!(wrong, Err(RpcError::Decode(_))), "{wrong:?}");

        let failed = async |module: &str, function: &str, args: Vec<Term>| {
            rpc.call_term(Atom::new(module), Atom::new(function), args).await.expect_err("it fails")
        };
        let remote = |class, reason: Term, stack| RpcError::Remote { class, reason, stack };
        assert_eq!(failed("erlang", "throw", vec![term!(:ball)]).await, remote(Class::Throw, term!(:ball), None));
        assert_eq!(failed("erlang", "exit", vec![term!(:bye)]).await, remote(Class::Exit, term!(:bye), None));
        let RpcError::Remote { class: Class::Error, reason, stack: Some(_) } =
            failed("erlang", "error", vec![term!({:bad, 1})]).await
        else {
            panic!("an error is none")
        };
        assert_eq!(reason, term!({:bad, 1}));
        let RpcError::Remote { class: Class::Error, reason, stack: Some(stack) } =
            failed("nomod", "nofun", vec![term!(1)]).await
        else {
            panic!("undef is no error")
        };
        assert!(reason.is_atom("undef"), "{reason}");
        let frame = stack.as_list().and_then(|stack| stack.iter().next().map(|frame| frame.into_owned()));
        assert_eq!(frame.expect("a frame"), term!({:nomod, :nofun, [1], []}));
        let killed = duo.evaluated("exit(self(), kill), timer:sleep(60000).").await;
        assert_eq!(killed, Err(RpcError::Signal(term!(:killed))));

        let slow = rpc.clone().timeout(Duration::from_millis(200));
        assert_eq!(slow.call::<Term>("timer", "sleep", (120_000,)).await, Err(RpcError::Timeout));
        let nobody = Atom::new("nobody@127.0.0.1");
        let lost = duo.node.rpc(nobody).call::<Term>("erlang", "node", ()).await;
        assert_eq!(lost, Err(RpcError::NoConnection(nobody)));

        let mut me = duo.node.process();
        rpc.cast("erlang", "send", (Term::from(me.pid()), term!(:cast))).await.expect("it is sent");
        assert_eq!(message(&mut me).await, term!(:cast));
        duo.beam.assert_quiet();
        duo.node.shutdown().await;
    });
}

fn calls_of_many_nodes_at_once(release: Release) {
    in_runtime(async {
        let duo = Duo::new(release).await;
        duo.node.export("lists", "sum", |(numbers,): (Vec<i64>,)| async move { Ok(numbers.iter().sum::<i64>()) });
        let nobody = Atom::new("nobody@127.0.0.1");
        let nodes = [duo.peer(), nobody, duo.node.name().atom()];
        let sum = (Atom::new("lists"), Atom::new("sum"));
        let results = duo.node.multicall::<i64>(nodes, sum, (vec![1, 2],), Some(PATIENCE)).await;
        assert_eq!(results, [Ok(3), Err(RpcError::NoConnection(nobody)), Ok(3)]);
        let sleep = (Atom::new("timer"), Atom::new("sleep"));
        let results = duo.node.multicall::<Term>(nodes, sleep, (120_000,), Some(Duration::from_millis(500))).await;
        assert_eq!(results[0], Err(RpcError::Timeout));
        assert!(matches!(&results[2], Err(RpcError::Remote { reason, .. }) if reason.is_atom("undef")), "{results:?}");
        duo.node.shutdown().await;
    });
}

fn output_of_a_called_function_arrives_at_the_caller(release: Release) {
    in_runtime(async {
        let duo = Duo::new(release).await;
        let mut me = duo.node.process();
        let rpc = duo.node.rpc(duo.peer()).group_leader(me.pid());
        let call = tokio::spawn(async move { rpc.call::<Term>("Elixir.Tiebeam.Demo", "puts", ("hello",)).await });
        let request = message(&mut me).await;
        let Some([label, Term::Pid(from), reply_as, put_chars]) = request.as_tuple() else {
            panic!("{request} is no I/O request")
        };
        assert!(label.is_atom("io_request"), "{request}");
        assert_eq!(*put_chars, term!({:put_chars, :unicode, "hello\n"}));
        assert!(!call.is_finished(), "the result comes after the output");
        me.send(*from, Term::tuple([term!(:io_reply), reply_as.clone(), term!(:ok)])).await.expect("it is sent");
        let result = timeout(PATIENCE, call).await.expect("the call returns").expect("no panic");
        assert_eq!(result, Ok(term!(:ok)));
        duo.beam.assert_quiet();
        duo.node.shutdown().await;
    });
}

fn servers_of_a_beam_are_called(release: Release) {
    in_runtime(async {
        let mut duo = Duo::new(release).await;
        let (node, counter) = (duo.node.clone(), (Atom::new("counter"), duo.peer()));

        assert_eq!(node.gen_call::<i64>(counter, term!({:add, 2})).await, Ok(2));
        node.gen_cast(counter, term!({:add, 3})).await.expect("it is sent");
        assert_eq!(node.gen_call::<i64>(counter, term!(:get)).await, Ok(5));

        let missing = node.gen_call::<Term>((Atom::new("nobody"), duo.peer()), term!(:get)).await;
        assert_eq!(missing, Err(CallError::Exit(term!(:noproc))));
        let nowhere = Atom::new("nobody@127.0.0.1");
        let lost = node.gen_call::<Term>((Atom::new("counter"), nowhere), term!(:get)).await;
        assert_eq!(lost, Err(CallError::NoConnection(nowhere)));

        let nodes = [duo.peer(), nowhere, node.name().atom()];
        let replies = node.multi_call::<i64>(nodes, Atom::new("counter"), term!(:get), Some(PATIENCE)).await;
        let expected = [
            (nodes[0], Ok(5)),
            (nowhere, Err(CallError::NoConnection(nowhere))),
            (nodes[2], Err(CallError::Exit(term!(:noproc)))),
        ];
        assert_eq!(replies, expected);

        let mut me = node.process();
        assert_eq!(duo.eval("sys:suspend(counter)."), "ok");
        let short = Some(Duration::from_millis(200));
        assert_eq!(me.call(counter, &term!(:get), short).await, Err(CallError::Timeout));
        assert_eq!(duo.eval("sys:resume(counter)."), "ok");
        // The reply that came too late was dropped at the alias.
        assert_eq!(me.call(counter, &term!(:get), Some(PATIENCE)).await, Ok(term!(5)));
        assert_eq!(me.try_receive_match(|mail| Some(mail.clone())).expect("it lives").map(|mail| mail.term()), None);

        let ended = me.call(counter, &term!({:stop, :done}), Some(PATIENCE)).await;
        assert_eq!(ended, Ok(term!(:ok)));
        duo.beam.wait_for("whereis(counter).", "undefined");
        assert_eq!(me.call(counter, &term!(:get), None).await, Err(CallError::Exit(term!(:noproc))));
        // One that ends in the middle of a call.
        let dying = duo.spawned("spawn(fun() -> receive {'$gen_call', _, _} -> exit(in_the_middle) end end).").await;
        assert_eq!(me.call(dying, &term!(:get), None).await, Err(CallError::Exit(term!(:in_the_middle))));
        duo.node.shutdown().await;
    });
}

fn links_and_monitors_from_rust(release: Release) {
    const WAITING: &str = "spawn(fun() -> receive {stop, Why} -> exit(Why) end end).";
    in_runtime(async {
        let mut duo = Duo::new(release).await;
        let mut me = duo.node.process();

        // Monitors, by pid and by name, of one that ends and of none.
        let target = duo.spawned(WAITING).await;
        let by_pid = me.monitor(target).expect("it lives");
        let name = (Term::atom("target"), Term::from(target));
        let registered: bool = duo.node.rpc(duo.peer()).call("erlang", "register", name).await.expect("a free name");
        assert!(registered);
        let by_name = me.monitor((Atom::new("target"), duo.peer())).expect("it lives");
        let none = me.monitor((Atom::new("nobody"), duo.peer())).expect("it lives");
        assert_eq!(down(&mut me, none).await, term!(:noproc));
        me.send(target, term!({:stop, {:because, 1}})).await.expect("it is sent");
        assert_eq!(down(&mut me, by_pid).await, term!({:because, 1}));
        assert_eq!(down(&mut me, by_name).await, term!({:because, 1}));
        let dead = me.monitor(target).expect("it lives");
        assert_eq!(down(&mut me, dead).await, term!(:noproc));

        // A demonitored one is silent.
        let target = duo.spawned(WAITING).await;
        let reference = me.monitor(target).expect("it lives");
        assert!(me.demonitor(reference));
        me.send(target, term!({:stop, :quietly})).await.expect("it is sent");
        let again = me.monitor(target).expect("it lives");
        let _why = down(&mut me, again).await;
        assert!(me.try_receive_match(|mail| Some(mail.clone())).expect("it lives").is_none());

        // Links: a trapped exit signal, one that kills, an unlinked one, a dead target.
        me.trap_exit(true);
        let target = duo.spawned(WAITING).await;
        me.link(target).expect("it lives");
        me.send(target, term!({:stop, :boom})).await.expect("it is sent");
        assert_eq!(exit_signal(&mut me).await, (target, term!(:boom)));
        me.link(target).expect("it lives");
        assert_eq!(exit_signal(&mut me).await, (target, term!(:noproc)));
        let target = duo.spawned(WAITING).await;
        me.link(target).expect("it lives");
        me.unlink(target).expect("it lives");
        me.send(target, term!({:stop, :unseen})).await.expect("it is sent");
        let watched = me.monitor(target).expect("it lives");
        let _why = down(&mut me, watched).await;
        assert!(me.try_receive_match(|mail| Some(mail.clone())).expect("it lives").is_none());
        let mortal = duo.node.process();
        let target = duo.spawned(WAITING).await;
        mortal.link(target).expect("it lives");
        // Only what the same process sends is sure to come after its link.
        mortal.send(target, term!({:stop, :together})).await.expect("it is sent");
        let why = timeout(PATIENCE, mortal.exited()).await.expect("it is ended");
        assert_eq!(why.term(), Ok(term!(:together)));

        // An exit signal that Rust sends, and the end of a Rust process that is linked.
        let target = duo.spawned("spawn(fun() -> receive after infinity -> ok end end).").await;
        let watched = me.monitor(target).expect("it lives");
        me.exit(target, &term!(:kill)).expect("it lives");
        assert_eq!(down(&mut me, watched).await, term!(:killed));
        let target = duo.spawned("spawn(fun() -> receive after infinity -> ok end end).").await;
        let watched = me.monitor(target).expect("it lives");
        duo.node.spawn(move |process| async move {
            let _lives = process.link(target);
            Exit::from(term!({:taken, :along}))
        });
        assert_eq!(down(&mut me, watched).await, term!({:taken, :along}));
        assert_eq!(duo.eval("tiebeam_peer:flush()."), "ok");
        duo.beam.assert_quiet();
        duo.node.shutdown().await;
    });
}

fn links_and_monitors_from_a_beam(release: Release) {
    in_runtime(async {
        let mut duo = Duo::new(release).await;
        let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
        // Each of these ends for the reason that it is sent.
        for name in ["watched", "linked", "victim"] {
            let told = told.clone();
            let pid = duo.node.spawn(move |mut process| async move {
                process.register(name).expect("a free name");
                told.send(name).expect("the scenario waits");
                let why = message(&mut process).await;
                Exit::from(why)
            });
            assert_eq!(tell.recv().await, Some(name));
            assert_eq!(duo.node.whereis(name), Some(pid));
        }
        let monitors = "R = monitor(process, {watched, N}), P = rpc:call(N, erlang, whereis, [watched]), \
                        Q = monitor(process, P), {watched, N} ! {because, 1}, \
                        receive {'DOWN', R, process, O, W} -> {O =:= {watched, N}, W, \
                        receive {'DOWN', Q, process, P, V} -> V after 60000 -> none end} after 60000 -> none end.";
        assert_eq!(duo.eval(monitors), "{true,{because,1},{because,1}}");
        let gone = "R = monitor(process, {watched, N}), receive {'DOWN', R, _, _, W} -> W after 60000 -> none end.";
        assert_eq!(duo.eval(gone), "noproc");
        let link = "process_flag(trap_exit, true), P = rpc:call(N, erlang, whereis, [linked]), link(P), P ! boom, \
                    receive {'EXIT', P, W} -> W after 60000 -> none end.";
        assert_eq!(duo.eval(link), "boom");
        let victim = "P = rpc:call(N, erlang, whereis, [victim]), R = monitor(process, P), \
                      spawn(fun() -> link(P), exit(taken_along) end), \
                      receive {'DOWN', R, _, _, W} -> W after 60000 -> none end.";
        assert_eq!(duo.eval(victim), "taken_along");
        duo.beam.assert_quiet();
        duo.node.shutdown().await;
    });
}

fn a_killed_beam_is_noconnection_to_all_that_wait(release: Release) {
    in_runtime(async {
        let duo = Duo::new(release).await;
        let mut events = duo.node.monitor_nodes();
        let mut me = duo.node.process();
        me.trap_exit(true);
        let target = duo.spawned("spawn(fun() -> receive after infinity -> ok end end).").await;
        let by_pid = me.monitor(target).expect("it lives");
        let by_name = me.monitor((Atom::new("counter"), duo.peer())).expect("it lives");
        me.link(target).expect("it lives");
        let (node, peer) = (duo.node.clone(), duo.peer());
        let call = tokio::spawn(async move { node.rpc(peer).call::<Term>("timer", "sleep", (600_000,)).await });
        let mut caller = duo.node.process();
        let pending = tokio::spawn(async move { caller.call(target, &term!(:get), None).await });
        // What was sent before has arrived once this has been answered.
        let asked: Atom = duo.node.rpc(peer).call("erlang", "node", ()).await.expect("it answers");
        assert_eq!(asked, peer);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!call.is_finished() && !pending.is_finished());

        duo.beam.signal("KILL");
        assert_eq!(exit_signal_from(&mut me, target).await, term!(:noconnection));
        assert_eq!(down(&mut me, by_pid).await, term!(:noconnection));
        assert_eq!(down(&mut me, by_name).await, term!(:noconnection));
        let call = timeout(PATIENCE, call).await.expect("the call ends").expect("no panic");
        assert_eq!(call, Err(RpcError::NoConnection(peer)));
        let pending = timeout(PATIENCE, pending).await.expect("the call ends").expect("no panic");
        assert_eq!(pending, Err(CallError::NoConnection(peer)));
        loop {
            let event = timeout(PATIENCE, events.next()).await.expect("the event comes");
            if matches!(&event, NodeEvent::Down(down, _) if down.name == peer) {
                break;
            }
        }
        duo.node.shutdown().await;
    });
}

fn spawned_functions_are_linked_and_monitored(release: Release) {
    in_runtime(async {
        let duo = Duo::new(release).await;
        let rpc = duo.node.rpc(duo.peer());
        let infinity = (Term::atom("infinity"),);
        let mut me = duo.node.process();

        let bye = (Term::atom("bye"),);
        let (pid, monitor) = rpc.spawn_monitor(&mut me, "erlang", "exit", bye).await.expect("it is spawned");
        assert_eq!(pid.node, duo.peer());
        assert_eq!(down(&mut me, monitor).await, term!(:bye));
        let (_, monitor) = rpc.spawn_monitor(&mut me, "nomod", "nofun", (1,)).await.expect("it is spawned");
        let why = down(&mut me, monitor).await;
        assert!(why.as_tuple().is_some_and(|why| why[0].is_atom("undef")), "{why}");
        let unseen = (Term::atom("unseen"),);
        let _silent = rpc.spawn(&mut me, "erlang", "exit", unseen).await.expect("it is spawned");

        me.trap_exit(true);
        let boom = (Term::atom("boom"),);
        let pid = rpc.spawn_link(&mut me, "erlang", "exit", boom).await.expect("it is spawned");
        assert_eq!(exit_signal(&mut me).await, (pid, term!(:boom)));
        let pid = rpc.spawn_link(&mut me, "timer", "sleep", &infinity).await.expect("it is spawned");
        me.exit(pid, &term!(:kill)).expect("it lives");
        assert_eq!(exit_signal_from(&mut me, pid).await, term!(:killed));

        // The link holds the other way too, until it is undone.
        for (unlinks, expected) in [(false, term!(:going)), (true, term!(:killed))] {
            let (told, tell) = tokio::sync::oneshot::channel();
            let (go, gone) = tokio::sync::oneshot::channel::<()>();
            let (rpc, infinity) = (rpc.clone(), infinity.clone());
            let parent = duo.node.spawn(move |mut parent| async move {
                let child = rpc.spawn_link(&mut parent, "timer", "sleep", &infinity).await.expect("it is spawned");
                if unlinks {
                    parent.unlink(child).expect("it lives");
                }
                told.send(child).expect("the scenario waits");
                gone.await.expect("the scenario goes on");
                Exit::from(term!(:going))
            });
            let child = tell.await.expect("it is spawned");
            let child_gone = me.monitor(child).expect("it lives");
            let parent_gone = me.monitor(parent).expect("it lives");
            go.send(()).expect("it waits");
            assert_eq!(down(&mut me, parent_gone).await, term!(:going));
            if unlinks {
                me.exit(child, &term!(:kill)).expect("it lives");
            }
            assert_eq!(down(&mut me, child_gone).await, expected);
        }

        let nobody = Atom::new("nobody@127.0.0.1");
        let lost = duo.node.rpc(nobody).spawn_link(&mut me, "timer", "sleep", &infinity).await;
        assert_eq!(lost, Err(RpcError::NoConnection(nobody)));
        // On this node only what is exported can be spawned.
        duo.node.export("own", "fail", |(): ()| async move { Err::<(), _>(Raise::Exit(term!(:failed))) });
        let own = duo.node.rpc(duo.node.name());
        let pid = own.spawn_link(&mut me, "own", "fail", ()).await.expect("it is spawned");
        assert_eq!(exit_signal_from(&mut me, pid).await, term!(:failed));

        // A killed node ends what was spawned there.
        let linked = rpc.spawn_link(&mut me, "timer", "sleep", &infinity).await.expect("it is spawned");
        let (_, monitor) = rpc.spawn_monitor(&mut me, "timer", "sleep", &infinity).await.expect("it is spawned");
        duo.beam.signal("KILL");
        assert_eq!(exit_signal_from(&mut me, linked).await, term!(:noconnection));
        assert_eq!(down(&mut me, monitor).await, term!(:noconnection));
        duo.node.shutdown().await;
    });
}

fn monitored_nodes_are_told_of(release: Release) {
    in_runtime(async {
        let duo = Duo::new(release).await;
        let mut me = duo.node.process();
        let nodedown = |node: Atom| Term::tuple([term!(:nodedown), node.into()]);
        let nobody = Atom::new("nobody@127.0.0.1");
        me.monitor_node(nobody, true).expect("it lives");
        assert_eq!(message(&mut me).await, nodedown(nobody));
        // A monitor connects; there are as many messages as monitors, and each comes once.
        me.monitor_node(duo.peer(), true).expect("it lives");
        me.monitor_node(duo.peer(), true).expect("it lives");
        me.monitor_node(duo.peer(), true).expect("it lives");
        me.monitor_node(duo.peer(), false).expect("it lives");
        duo.node.connect(duo.peer()).await.expect("the BEAM is there");
        assert!(duo.node.disconnect(duo.peer()).await);
        assert_eq!(message(&mut me).await, nodedown(duo.peer()));
        assert_eq!(message(&mut me).await, nodedown(duo.peer()));
        me.monitor_node(duo.peer(), true).expect("it lives");
        duo.node.connect(duo.peer()).await.expect("the BEAM is there");
        duo.beam.signal("KILL");
        assert_eq!(message(&mut me).await, nodedown(duo.peer()));
        assert!(me.try_receive_match(|mail| Some(mail.clone())).expect("it lives").is_none());
        duo.node.shutdown().await;
    });
}

fn init_stop_is_for_programs_that_allow_it(release: Release) {
    in_runtime(async {
        let mut duo = Duo::new(release).await;
        let refused =
            "{badrpc, {'EXIT', {undef, _}}} = rpc:call(N, init, stop, []), rpc:call(N, erlang, node, []) =:= N.";
        assert_eq!(duo.eval(refused), "true");
        let config = epmd::Config::from_vars(|var| (var == "ERL_EPMD_PORT").then(|| duo.port.to_string()));
        let builder = Node::builder(unique("stops")).cookie(Cookie::new(COOKIE).expect("a cookie"));
        let stops = builder.epmd_config(config.expect("a port")).allow_init_stop().start().await.expect("it starts");
        let stop = format!("rpc:call('{}', init, stop, []).", stops.name());
        let stopped = tokio::spawn({
            let stops = stops.clone();
            async move { stops.stopped().await }
        });
        assert_eq!(duo.eval(&stop), "ok");
        timeout(PATIENCE, stopped).await.expect("it is told").expect("no panic");
        stops.shutdown().await;
        duo.beam.wait_for("length(nodes()).", "1");
        duo.node.shutdown().await;
    });
}

/// The reason of the exit signal from that process; DOWN messages stay.
async fn exit_signal_from(process: &mut Process, from: Pid) -> Term {
    let signal = process.receive_match(|mail| match mail {
        Mail::Exit(signal) if signal.from == from => Some(signal.reason.clone()),
        _ => None,
    });
    timeout(PATIENCE, signal).await.expect("the signal comes").expect("it lives").term().expect("a term")
}

fn two_library_nodes_and_a_beam(release: Release) {
    in_runtime(async {
        let mut duo = Duo::new(release).await;
        let other = library_node("other", duo.port, EpmdMode::Require).await;
        duo.node.export("two", "name", |(): ()| async move { Ok(1) });
        other.export("two", "name", |(): ()| async move { Ok(2) });
        duo.node.connect(duo.peer()).await.expect("the BEAM is there");
        let asked: i64 = other.rpc(duo.node.name()).call("two", "name", ()).await.expect("an answer");
        assert_eq!(asked, 1);
        // All three see each other: the mesh is made by itself.
        duo.beam.wait_for("length(nodes()).", "2");
        let code = format!(
            "[rpc:call(N, two, name, []), rpc:call('{0}', two, name, []), \
             rpc:call(N, erlang, nodes, []) -- [node(), '{0}']].",
            other.name()
        );
        assert_eq!(duo.eval(&code), "[1,2,[]]");

        // A message from Rust to Rust by way of a BEAM, a link between the Rust nodes, and the end of one of them.
        let mut me = duo.node.process();
        let echo = (Atom::new("echo"), duo.peer());
        me.trap_exit(true);
        let far = other.spawn(move |mut process| async move {
            let to = message(&mut process).await.as_pid().expect("a pid");
            process.send(echo, term!({to, 7, :by_way_of_a_beam})).await.expect("it is sent");
            let _ended = process.receive().await;
        });
        me.link(far).expect("it lives");
        me.send(far, Term::from(me.pid())).await.expect("it is sent");
        assert_eq!(message(&mut me).await, term!({7, :by_way_of_a_beam}));
        let watched = me.monitor((Atom::new("nobody"), other.name().atom())).expect("it lives");
        assert_eq!(down(&mut me, watched).await, term!(:noproc));
        other.shutdown().await;
        // A node that says goodbye ends its processes after its connections: nothing but noconnection is known.
        assert_eq!(exit_signal(&mut me).await, (far, term!(:noconnection)));
        duo.beam.wait_for("length(nodes()).", "1");
        duo.node.shutdown().await;
    });
}

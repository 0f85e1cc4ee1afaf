//! Links, monitors and exit signals across nodes, and the loss of nodes.

use interop_tests::{Release, on_every_release};

use crate::world::World;

on_every_release!(
    links_and_exit_signals,
    a_killed_tiebeam_node_is_noticed_at_once,
    a_killed_beam_is_noticed_at_once,
    a_shutdown_is_a_nodedown_and_exit_zero,
);

fn links_and_exit_signals(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let cases = [
        // Ours ends, theirs is told.
        "process_flag(trap_exit, true), {ok, P} = rpc:call(N, D, start_echo, []), link(P), exit(P, boom), \
         receive {'EXIT', P, W} -> W after 60000 -> none end.",
        // After unlink nothing comes.
        "{ok, P} = rpc:call(N, D, start_echo, []), link(P), unlink(P), exit(P, boom), \
         tiebeam_peer:collect(1, 200).",
        // `normal` ends nobody.
        "{ok, P} = rpc:call(N, D, start_echo, []), exit(P, normal), P ! {self(), r, still_there}, \
         tiebeam_peer:collect(1, 60000).",
        // `kill` is seen as `killed`.
        "{ok, P} = rpc:call(N, D, start_echo, []), R = monitor(process, P), exit(P, kill), \
         receive {'DOWN', R, _, _, W} -> W after 60000 -> none end.",
        // A link to the dead.
        "process_flag(trap_exit, true), {ok, P} = rpc:call(N, D, start_echo, []), exit(P, kill), \
         R = monitor(process, P), receive {'DOWN', R, _, _, _} -> ok end, link(P), \
         receive {'EXIT', P, W} -> W after 60000 -> none end.",
        // Theirs ends, ours goes with it.
        "{ok, P} = rpc:call(N, D, start_echo, []), {Q, QR} = spawn_monitor(fun() -> link(P), exit(bang) end), \
         receive {'DOWN', QR, _, Q, _} -> ok end, R = monitor(process, P), \
         receive {'DOWN', R, _, _, W} -> lists:member(W, [bang, noproc]) after 60000 -> none end.",
        // Demonitored is silent.
        "{ok, P} = rpc:call(N, D, start_echo, []), R = monitor(process, P), true = demonitor(R), exit(P, kill), \
         tiebeam_peer:collect(1, 200).",
        // A monitor by name tells the name.
        "R = monitor(process, {echo, N}), exit(rpc:call(N, erlang, whereis, [echo]), kill), \
         receive {'DOWN', R, process, O, W} -> {O, W} after 60000 -> none end.",
    ];
    for case in &cases[..7] {
        world.same_as_twin(&twin, &format!("tiebeam_peer:flush(), {case}"));
    }
    // A tiebeam node watches a BEAM's process for a BEAM.
    let watch = "P = spawn(fun() -> receive stop -> exit(stopped) end end), \
                 {ok, _} = rpc:call(N, D, watch, [P, self()]), P ! stop, \
                 [{down, Q, W}] = tiebeam_peer:collect(1, 60000), {Q =:= P, W}.";
    assert_eq!(world.eval(watch), "{true,stopped}");
    let missing = "{ok, _} = rpc:call(N, D, watch, [{nobody, node()}, self()]), \
                   [{down, {nobody, _}, W}] = tiebeam_peer:collect(1, 60000), W.";
    assert_eq!(world.eval(missing), "noproc");
    world.beam.assert_quiet();
}

fn a_killed_tiebeam_node_is_noticed_at_once(release: Release) {
    let mut world = World::new(release);
    let before = "process_flag(trap_exit, true), {ok, P} = rpc:call(N, D, start_echo, []), link(P), \
                  monitor(process, P), monitor_node(N, true), put(pid, P), ok.";
    assert_eq!(world.eval(before), "ok");
    world.rust.signal("KILL");
    // Long before a tick of a minute would find it out.
    let seen = "lists:sort([case M of {'EXIT', _, W} -> W; {'DOWN', _, _, _, W} -> W; {nodedown, N} -> down end \
                || M <- tiebeam_peer:collect(3, 20000)]).";
    assert_eq!(world.eval(seen), "[down,noconnection,noconnection]");
    world.beam.assert_quiet();
}

fn a_killed_beam_is_noticed_at_once(release: Release) {
    let mut world = World::new(release);
    let mut twin = world.twin(release);
    let far = format!("rpc:call({}, erlang, whereis, [echo])", twin.atom());
    let watch = format!(
        "{{ok, _}} = rpc:call(N, D, watch, [{far}, self()]), \
         {{ok, _}} = rpc:call(N, D, watch, [{{counter, {}}}, self()]), ok.",
        twin.atom()
    );
    assert_eq!(world.eval(&watch), "ok");
    assert_eq!(twin.eval("1."), "1");
    twin.signal("KILL");
    let seen = "[W || {down, _, W} <- tiebeam_peer:collect(2, 20000)].";
    assert_eq!(world.eval(seen), "[noconnection,noconnection]");
}

fn a_shutdown_is_a_nodedown_and_exit_zero(release: Release) {
    let mut world = World::new(release);
    assert_eq!(world.eval("pong = net_adm:ping(N), monitor_node(N, true)."), "true");
    world.rust.signal("TERM");
    assert_eq!(world.rust.exit_code(), Some(0));
    assert_eq!(world.eval("receive {nodedown, N} -> ok after 60000 -> none end."), "ok");
    assert_eq!(world.eval("net_adm:ping(N)."), "pang");
    world.beam.assert_quiet();
}

//! GenServers: Rust's called from a BEAM as a BEAM's own would be.

use interop_tests::{Release, on_every_release};

use crate::world::World;

on_every_release!(calls_and_casts, a_server_that_ends, system_messages, missing_names_are_told_at_once);

fn calls_and_casts(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let calls = [
        "gen_server:call({counter, N}, get).",
        "gen_server:call({counter, N}, {add, 5}).",
        "gen_server:call({counter, N}, {add, 1 bsl 80}).",
        "gen_server:cast({counter, N}, {add, 1}), gen_server:call({counter, N}, get).",
        "gen_server:call({counter, N}, reset).",
        "gen_server:abcast([N], counter, {add, 2}), gen_server:call({counter, N}, get).",
        "gen_server:multi_call([N, node()], counter, get).",
        "gen_server:multi_call([N], counter, get, 60000).",
        "gen_server:multi_call([N], nobody, get).",
        "R = gen_server:send_request({counter, N}, get), gen_server:receive_response(R, 60000).",
        "gen_server:call({echo, N}, {any, [request], #{}}).",
    ];
    for call in calls {
        world.same_as_twin(&twin, call);
    }
    assert_eq!(world.beam.elixir(&format!("GenServer.call({{:counter, :{:?}}}, :get)", world.rust.name())), "2");
    world.beam.assert_quiet();
}

fn a_server_that_ends(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let ends = [
        "{ok, P} = rpc:call(N, D, start_echo, []), exit(P, kill), R = monitor(process, P), \
         receive {'DOWN', R, _, _, W} -> lists:member(W, [killed, noproc]) after 60000 -> none end.",
        "{ok, C} = gen_server:call({echo, N}, {ok, 1}), C.",
    ];
    for end in ends {
        world.same_as_twin(&twin, end);
    }
    // Ours is restarted by its supervisor; each caller sees what a BEAM's callers see.
    let stop = "tiebeam_peer:tried(fun() -> gen_server:call({counter, N}, {stop, done}) end).";
    assert_eq!(world.eval(stop), "{returned,ok}");
    // Between its end and its restart there is none, as with any supervised server.
    let back = format!(
        "element(1, tiebeam_peer:tried(fun() -> gen_server:call({{counter, {}}}, get) end)).",
        world.rust.atom()
    );
    world.beam.wait_for(&back, "returned");
    let bad = "tiebeam_peer:tried(fun() -> gen_server:call({counter, N}, nonsense) end).";
    let expected = format!(
        "{{raised,exit,{{{{bad_call,nonsense}},{{gen_server,call,[{{counter,{}}},nonsense]}}}}}}",
        world.rust.atom()
    );
    assert_eq!(world.eval(bad), expected);
    world.beam.wait_for(&back, "returned");
    let stopped = "gen_server:stop({counter, N}, normal, 60000).";
    assert_eq!(world.eval(stopped), "ok");
    world.beam.assert_quiet();
}

fn system_messages(release: Release) {
    let mut world = World::new(release);
    assert_eq!(world.eval("sys:get_state({counter, N})."), "0");
    let status = "{status, P, {module, _}, [_, running, _, _, _]} = sys:get_status({counter, N}), is_pid(P).";
    assert_eq!(world.eval(status), "true");
    let suspended = "sys:suspend({counter, N}), \
                     R = tiebeam_peer:tried(fun() -> gen_server:call({counter, N}, get, 100) end), \
                     sys:resume({counter, N}), {element(1, R), gen_server:call({counter, N}, get)}.";
    assert_eq!(world.eval(suspended), "{raised,0}");
    world.beam.assert_quiet();
}

fn missing_names_are_told_at_once(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let calls = [
        "tiebeam_peer:tried(fun() -> gen_server:call({nobody, N}, get) end).",
        "tiebeam_peer:tried(fun() -> gen_server:call({nobody, N}, get, infinity) end).",
        "R = monitor(process, {nobody, N}), \
         receive {'DOWN', R, process, O, W} -> {O, W} after 60000 -> none end.",
        // At once, and not when the call's own time is over.
        "{Time, _} = timer:tc(fun() -> catch gen_server:call({nobody, N}, get, 100000) end), Time < 60000000.",
    ];
    for call in calls {
        world.same_as_twin(&twin, call);
    }
    world.beam.assert_quiet();
}

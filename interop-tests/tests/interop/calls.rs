//! Functions called across: rpc, erpc and remote spawns, in both directions.

use interop_tests::{Release, on_every_release};

use crate::world::World;

on_every_release!(
    a_beam_gets_what_a_beam_would_give,
    standard_functions_answer_as_a_beam_s,
    calls_that_only_rex_serves,
    spawned_functions_end_as_on_a_beam,
    output_arrives_before_the_result,
    a_stray_message_disturbs_nothing,
);

/// Every expression is evaluated against the tiebeam node and against a BEAM with the same functions.
fn a_beam_gets_what_a_beam_would_give(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let calls = [
        "rpc:call(N, D, add, [1, 2])",
        "rpc:call(N, D, add, [1 bsl 70, -1])",
        "rpc:call(N, D, add, [1, a])",
        "rpc:call(N, D, fib, [200])",
        "rpc:call(N, D, sum, [[-1, 2]])",
        "rpc:call(N, D, sum, [[1, 2.5]])",
        "rpc:call(N, D, word_count, [<<\"a b a\">>])",
        "rpc:call(N, D, throw, [thrown])",
        "rpc:call(N, D, exit, [bye])",
        "rpc:call(N, D, raise, [<<\"oops\">>])",
        "rpc:call(N, D, sleep, [10])",
        "rpc:call(N, D, sleep, [60000], 50)",
        "erpc:call(N, D, add, [1, 2])",
        "erpc:call(N, D, add, [1, a])",
        "erpc:call(N, D, throw, [thrown])",
        "erpc:call(N, D, exit, [bye])",
        "erpc:call(N, D, raise, [<<\"oops\">>])",
        "erpc:call(N, D, sleep, [60000], 50)",
        "erpc:call(N, nomod, nofun, [1])",
        "erpc:cast(N, D, add, [1, 2])",
        "erpc:multicall([N, N], D, add, [1, 2])",
        "rpc:multicall([N], D, add, [1, 2])",
        "rpc:yield(rpc:async_call(N, D, add, [1, 2]))",
        "rpc:cast(N, D, add, [1, 2])",
        "rpc:abcast([N], echo, hello)",
        "rpc:call(N, D, echo, [{a, [b | c], #{1 => x, 1.0 => y}, <<5:3>>, self()}])",
        "rpc:call(N, D, echo, [lists:seq(1, 70000)]) =:= lists:seq(1, 70000)",
    ];
    for call in calls {
        world.same_as_twin(&twin, &format!("tiebeam_peer:tried(fun() -> {call} end)."));
    }
    assert_eq!(
        world.eval("tiebeam_peer:tried(fun() -> rpc:call(N, nomod, nofun, [1]) end)."),
        "{badrpc,{'EXIT',{undef,stack}}}"
    );
    let badfun = "F = fun() -> 1 end, try erpc:call(N, F) catch error:{exception, {badfun, F}, \
                  [{erlang, apply, 2, []}]} -> as_expected end.";
    assert_eq!(world.eval(badfun), "as_expected");
    assert_eq!(world.eval("net_adm:ping(N)."), "pong");
    world.beam.assert_quiet();
}

/// What an operator asks a member by rpc; results that differ by nature are compared by their shape.
fn standard_functions_answer_as_a_beam_s(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let calls = [
        "rpc:call(N, erlang, node, [])",
        "lists:member(node(), rpc:call(N, erlang, nodes, []))",
        "rpc:call(N, erlang, nodes, [this])",
        "rpc:call(N, erlang, nodes, [nonsense])",
        "rpc:call(N, erlang, is_alive, [])",
        "node(rpc:call(N, erlang, self, []))",
        "[lists:member(X, rpc:call(N, erlang, registered, [])) || X <- [rex, net_kernel, user, echo, counter, nobody]]",
        "is_pid(rpc:call(N, erlang, whereis, [rex]))",
        "rpc:call(N, erlang, whereis, [nobody])",
        "rpc:call(N, erlang, whereis, [1])",
        "rpc:call(N, erlang, is_process_alive, [rpc:call(N, erlang, whereis, [rex])])",
        "rpc:call(N, erlang, phash2, [{a, \"b\", 3.5}])",
        "rpc:call(N, erlang, phash2, [{a, \"b\", 3.5}, 1000])",
        "rpc:call(N, erlang, phash2, [a, 0])",
        "rpc:call(N, erlang, process_info, [rpc:call(N, erlang, whereis, [counter]), registered_name])",
        "rpc:call(N, erlang, process_info, [rpc:call(N, erlang, whereis, [counter]), [message_queue_len, trap_exit]])",
        "rpc:call(N, erlang, process_info, [rpc:call(N, erlang, whereis, [counter]), nonsense])",
        "is_integer(rpc:call(N, erlang, memory, [total]))",
        "lists:sort([K || {K, _} <- rpc:call(N, erlang, memory, [])]) =:= lists:sort([K || {K, _} <- erlang:memory()])",
        "rpc:call(N, erlang, memory, [nonsense])",
        "rpc:call(N, erlang, system_info, [wordsize])",
        "rpc:call(N, erlang, system_info, [nonsense])",
        "is_list(rpc:call(N, erlang, system_info, [otp_release]))",
        "tuple_size(rpc:call(N, erlang, statistics, [wall_clock]))",
        "abs(rpc:call(N, erlang, system_time, [second]) - erlang:system_time(second)) < 60",
        "rpc:call(N, erlang, function_exported, [D, add, 2])",
        "rpc:call(N, erlang, function_exported, [D, add, 9])",
        "rpc:call(N, code, ensure_loaded, [nonsense])",
        "rpc:call(N, net_kernel, get_net_ticktime, [])",
        "rpc:call(N, net_adm, ping, [node()])",
        "rpc:call(N, net_adm, ping, ['nobody@127.0.0.1'])",
        "rpc:call(N, net_kernel, connect_node, [node()])",
        "rpc:call(N, net_kernel, connect_node, ['nobody@127.0.0.1'])",
        "rpc:call(N, erlang, send, [self(), hello]), tiebeam_peer:collect(1, 60000)",
        "rpc:call(N, erlang, send, [{nobody, node()}, hello])",
        "rpc:call(N, erlang, send, [nobody, hello])",
        "rpc:call(N, erlang, apply, [D, add, [1, 2]])",
        "rpc:call(N, rpc, call, [node(), lists, sum, [[1, 2]]])",
        "rpc:call(N, rpc, call, [node(), erlang, throw, [x]])",
        "rpc:call(N, rpc, call, ['nobody@127.0.0.1', lists, sum, [[1, 2]]])",
        "rpc:call(N, rpc, call, [node(), timer, sleep, [60000], 50])",
        "rpc:call(N, rpc, multicall, [[node()], lists, sum, [[1, 2]]])",
        "rpc:call(N, erpc, call, [node(), lists, sum, [[1, 2]]])",
        "rpc:call(N, erpc, multicall, [[node(), 'nobody@127.0.0.1'], lists, sum, [[1, 2]]])",
        "rpc:call(N, gen_server, call, [{counter, N}, get])",
        "rpc:call(N, gen_server, call, [{nobody, node()}, get])",
        "rpc:call(N, gen_server, multi_call, [[N], counter, get])",
        "rpc:call(N, gen_server, cast, [{counter, N}, {add, 1}])",
    ];
    for call in calls {
        world.same_as_twin(&twin, &format!("tiebeam_peer:flush(), tiebeam_peer:tried(fun() -> {call} end)."));
    }
    assert_eq!(world.eval("is_map(rpc:call(N, tiebeam, info, []))."), "true");
    world.beam.assert_quiet();
}

fn calls_that_only_rex_serves(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let calls = [
        "rpc:block_call(N, D, fib, [20])",
        "rpc:block_call(N, D, throw, [x])",
        "rpc:sbcast([N], echo, hello)",
        "rpc:sbcast([N], nobody, hello)",
        "rpc:server_call(N, nobody, x, y)",
    ];
    for call in calls {
        world.same_as_twin(&twin, &format!("tiebeam_peer:tried(fun() -> {call} end)."));
    }
    // As C nodes call.
    let raw = "{rex, N} ! {self(), {call, D, add, [1, 2], user}}, receive {rex, R} -> R after 60000 -> none end.";
    assert_eq!(world.eval(raw), "3");
    let stdout = "{rex, N} ! {self(), {call, D, puts, [<<\"hi\">>], send_stdout_to_caller}}, \
                  tiebeam_peer:collect(2, 60000).";
    assert_eq!(world.eval(stdout), "[{rex_stdout,<<\"hi\\n\">>},{rex,ok}]");
    // net_kernel's spawn of before SPAWN_REQUEST. It sleeps for longer than a monitor is under way on a busy machine.
    let legacy = "P = gen_server:call({net_kernel, N}, {spawn, D, sleep, [3000], group_leader()}), \
                  R = monitor(process, P), receive {'DOWN', R, _, _, Why} -> Why after 60000 -> none end.";
    assert_eq!(world.eval(legacy), "normal");
    world.beam.assert_quiet();
}

fn spawned_functions_end_as_on_a_beam(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let down = "receive {'DOWN', R, process, P, Why} -> Why after 60000 -> none end";
    let spawns = [
        format!("{{P, R}} = spawn_monitor(N, D, exit, [bye]), {down}."),
        format!("{{P, R}} = spawn_monitor(N, D, sleep, [1]), {down}."),
        format!("{{P, R}} = spawn_monitor(N, nomod, nofun, [1]), {down}."),
        format!("{{P, R}} = spawn_monitor(N, D, throw, [x]), element(1, {down})."),
        "process_flag(trap_exit, true), P = spawn_link(N, D, exit, [bye]), \
         receive {'EXIT', P, Why} -> Why after 60000 -> none end."
            .to_owned(),
        "P = spawn(N, D, ticker, [self(), 1, 3]), node(P) =:= N andalso tiebeam_peer:collect(3, 60000).".to_owned(),
        // The end of what is linked is taken as well: after the flush it would be the next expression's first message.
        "process_flag(trap_exit, true), P = proc_lib:spawn_link(N, D, ticker, [self(), 1, 2]), \
         [case M of {'EXIT', P, W} -> {node(P) =:= N, W}; T -> T end || M <- tiebeam_peer:collect(3, 60000)]."
            .to_owned(),
        "R = spawn_request(N, D, sleep, [1], [monitor, {priority, high}]), \
         receive {spawn_reply, R, ok, P} -> node(P) =:= N after 60000 -> none end."
            .to_owned(),
        "tiebeam_peer:tried(fun() -> spawn_opt(N, D, sleep, [1], [{no_such_option, 1}]) end).".to_owned(),
    ];
    for spawn in spawns {
        world.same_as_twin(&twin, &format!("tiebeam_peer:flush(), {spawn}"));
    }
}

fn output_arrives_before_the_result(release: Release) {
    let mut world = World::new(release);
    // A group leader that notes what it is asked to print.
    let code = "Self = self(), GL = spawn(fun F() -> receive {io_request, From, As, {put_chars, unicode, Text}} -> \
                Self ! {printed, Text}, From ! {io_reply, As, ok}, F() end end), \
                Old = group_leader(), group_leader(GL, self()), Result = rpc:call(N, D, puts, [<<\"hello\">>]), \
                group_leader(Old, self()), self() ! {result, Result}, tiebeam_peer:collect(2, 60000).";
    assert_eq!(world.eval(code), "[{printed,<<\"hello\\n\">>},{result,ok}]");
    world.beam.assert_quiet();
}

fn a_stray_message_disturbs_nothing(release: Release) {
    let mut world = World::new(release);
    let code = "[{Name, N} ! stray || Name <- [rex, net_kernel, counter, echo, user, nobody, logger_proxy]], \
                {global_name_server, N} ! stray, erpc:call(N, D, add, [1, 2]).";
    assert_eq!(world.eval(code), "3");
    assert_eq!(world.eval("gen_server:call({counter, N}, get)."), "0");
    world.beam.assert_quiet();
}

//! What observer, etop and their like ask of a node, call by call, shaped as a BEAM's answers.

use interop_tests::{Release, on_every_release};

use crate::world::World;

on_every_release!(backends_answer_as_a_beam_s, processes_are_shown_as_they_are, the_dashboard_is_told_what_it_asks);

/// The type of a term, with the keys of lists of pairs and of maps, but one that OTP 25 does not have.
const SHAPE: &str = "Shape = fun Shape([{K, _} | _] = L) when is_atom(K) -> \
                         lists:sort([{Key, Shape(V)} || {Key, V} <- L]); \
                     Shape([]) -> list; Shape(L) when is_list(L) -> list; Shape(X) when is_integer(X) -> integer; \
                     Shape(X) when is_boolean(X) -> boolean; Shape(X) when is_atom(X) -> atom; \
                     Shape(X) when is_pid(X) -> pid; Shape(X) when is_map(X) -> \
                     maps:map(fun(_, V) -> Shape(V) end, maps:remove(include_shared_binaries, X)); \
                     Shape(X) when is_tuple(X) -> list_to_tuple([Shape(E) || E <- tuple_to_list(X)]); \
                     Shape(X) when is_binary(X) -> binary end, Rpc = fun(M, F, A) -> rpc:call(N, M, F, A) end, \
                     Start = fun(F, A) -> spawn_link(N, observer_backend, F, A) end, \
                     Next = fun Next() -> receive {'EXIT', _, normal} -> Next(); {P, I} when is_pid(P) -> I; \
                     X -> X after 60000 -> none end end, \
                     _ = {Shape, Rpc, Start, Next},";

fn backends_answer_as_a_beam_s(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let calls = [
        // Values that tell of allocators are a list, empty here; one of several numbers may be `unknown` on a BEAM.
        "lists:usort([K || {K, _} <- Rpc(observer_backend, sys_info, [])])",
        "[{K, Shape(V)} || {K, V} <- lists:ukeysort(1, Rpc(observer_backend, sys_info, [])), not lists:member(K, [alloc_info])]",
        "element(1, Rpc(observer_backend, vsn, []))",
        "is_list(Rpc(observer_backend, socket_info, []))",
        "is_list(Rpc(observer_backend, get_port_list, []))",
        "is_list(Rpc(observer_backend, get_socket_list, []))",
        "is_list(Rpc(observer_backend, get_table_list, [ets, [{unread_hidden, true}, {sys_hidden, true}]]))",
        "Rpc(erlang, function_exported, [observer_backend, procs_info, 1])",
        "element(1, Rpc(code, ensure_loaded, [observer_backend]))",
        "Start(procs_info, [self()]), {procs_info, P, [I | _]} = Next(), \
         {node(P) =:= N, element(1, I), tuple_size(I), Shape(element(2, I)), Shape(element(3, I)), \
          Shape(element(4, I)), Shape(element(6, I)), Shape(element(7, I)), Shape(element(8, I))}",
        "Start(etop_collect, [self()]), I = Next(), {element(1, I), tuple_size(I), Shape(element(2, I)), \
         Shape(element(3, I)), Shape(element(6, I)), Shape(element(8, I)), tuple_size(hd(element(9, I)))}",
        // It tells again every 20 ms, until it has ended: nothing of it may come after the flush.
        "P = Start(fetch_stats, [self(), 20]), {stats, 1, W, IO, M} = Next(), P ! stop, \
         Gone = monitor(process, P), receive {'DOWN', Gone, _, _, _} -> ok end, \
         {Shape(hd(W)), Shape(IO), lists:sort([K || {K, _} <- M])}",
        "{ok, P} = Rpc(appmon_info, start_link2, [self(), self(), []]), \
         gen_server:cast(P, {self(), app_ctrl, N, true, []}), {delivery, P, app_ctrl, N, [A | _]} = Next(), \
         gen_server:cast(P, {self(), app, nobody, true, []}), {delivery, P, app, nobody, B} = Next(), \
         gen_server:cast(P, {self(), app, element(2, A), true, []}), {delivery, P, app, _, {R, [Q | _], [L | _], X}} = Next(), \
         {Shape(A), B, Shape(R), Shape(Q), Shape(L), Shape(X)}",
        "Shape(hd(Rpc(application, which_applications, [])))",
        "[Shape(Rpc(application, F, [kernel])) =/= none || F <- [get_all_env]]",
        "Shape(Rpc(application, get_key, [kernel, vsn]))",
        "Rpc(application, get_key, [nobody, vsn])",
        "Rpc(application, get_env, [nobody, x])",
        "Rpc(erlang, system_info, [{wordsize, internal}])",
        "Rpc(code, which, [nonsense])",
        "is_list(Rpc(erlang, ports, []))",
        "is_list(Rpc(ets, all, []))",
        "[{I, Shape(V)} || {I, V} <- Rpc(erlang, process_info, [whereis_at(rex), [current_function, error_handler, \
          garbage_collection, group_leader, heap_size, initial_call, links, memory, message_queue_len, monitored_by, \
          priority, reductions, registered_name, sequential_trace_token, stack_size, status, suspending, \
          total_heap_size, trace, trap_exit, last_calls, catchlevel, binary]])]",
        "Shape(Rpc(proc_lib, translate_initial_call, [whereis_at(counter)]))",
        // Of a process that has ended, and of one elsewhere: what is no item is refused all the same.
        "P = spawn(N, D, sleep, [0]), R = monitor(process, P), receive {'DOWN', R, _, _, _} -> ok end, \
         [tiebeam_peer:tried(fun() -> Rpc(erlang, process_info, [Q, I]) end) || Q <- [P, self(), whereis_at(counter)], \
          I <- [trap_exit, nonsense, [], [trap_exit, priority], [nonsense], [trap_exit | x], 1, <<>>]]",
        "P = spawn(N, D, sleep, [0]), R = monitor(process, P), receive {'DOWN', R, _, _, _} -> ok end, \
         [tiebeam_peer:tried(fun() -> Rpc(erlang, F, [Q]) end) || F <- [process_info, is_process_alive], Q <- [P, self(), 1]]",
    ];
    for call in calls {
        let call = call.replace("whereis_at(", "(fun(Name) -> Rpc(erlang, whereis, [Name]) end)(");
        world.same_as_twin(&twin, &format!("tiebeam_peer:flush(), {SHAPE} tiebeam_peer:tried(fun() -> {call} end)."));
    }
    // As observer's process window: what it cannot have, it is told at once.
    let state = format!(
        "{SHAPE} {{status, _, {{module, _}}, [_, running, _, _, _]}} = \
                 sys:get_status(Rpc(erlang, whereis, [counter]), 60000), ok."
    );
    assert_eq!(world.eval(&state), "ok");
    world.beam.assert_quiet();
}

fn processes_are_shown_as_they_are(release: Release) {
    let mut world = World::new(release);
    // A process that is suspended has what it was sent in its mailbox.
    let code = format!(
        "{SHAPE} Long = binary:copy(<<1>>, 100000), ok = sys:suspend({{counter, N}}), \
         [{{counter, N}} ! {{I, Long}} || I <- lists:seq(1, 7)], C = Rpc(erlang, whereis, [counter]), \
         Start(procs_info, [self()]), {{procs_info, _, All}} = Next(), \
         {{etop_proc_info, C, Memory, _, Name, 0, _, Waiting}} = lists:keyfind(C, 2, All), \
         ok = sys:resume({{counter, N}}), {{Name, Waiting, Memory > 700000 andalso Memory < 800000, \
         [lists:keymember(X, 5, All) || X <- [net_kernel, rex, echo, 'Elixir.Tiebeam.Demo.Supervisor']]}}."
    );
    assert_eq!(world.eval(&code), "{counter,7,true,[true,true,true,true]}");
    let etop = format!(
        "{SHAPE} [Start(etop_collect, [self()]) || _ <- lists:seq(1, 20)], \
                        lists:usort([element(1, Next()) || _ <- lists:seq(1, 20)])."
    );
    assert_eq!(world.eval(&etop), "[etop_info]");
    world.beam.assert_quiet();
}

fn the_dashboard_is_told_what_it_asks(release: Release) {
    let mut world = World::new(release);
    let code = format!(
        "{SHAPE} S = 'Elixir.Phoenix.LiveDashboard.SystemInfo', Call = fun(F, A) -> erpc:call(N, S, F, A) end, \
         {{file, _}} = erpc:call(N, code, is_loaded, [S]), #{{'dashboard_running?' := true}} = \
         Call(capabilities_callback, [[]]), #{{system_usage := #{{memory := #{{total := T}}}}, \
         environment := [{{<<\"A\">>, nil}}]}} = Call(info_callback, [[<<\"A\">>], nil]), \
         #{{uptime := U}} = Call(usage_callback, []), \
         {{[[{{pid, P}} | _]], 1, Reds}} = Call(processes_callback, [<<\"counter\">>, memory, asc, 10, #{{}}]), \
         {{T > 0, U > 0, Shape(P), map_size(Reds), Call(app_tree_callback, [tiebeam])}}."
    );
    assert_eq!(world.eval(&code), "{true,true,pid,1,error}");
    world.beam.assert_quiet();
}

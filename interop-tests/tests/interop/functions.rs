//! Every function of `Node`, `rpc` and `erpc`: from Elixir and Erlang against the Rust node, and carried out by it.
//!
//! One row a function. `from_beam` is evaluated on a BEAM with `N` as the other node: once the Rust node, once a BEAM
//! with the same functions. `from_rust` is what the node `N` itself is asked to do towards `B`, the asking BEAM: the Rust
//! node does it by the library's functions, the twin by its own. Both must give the same term, errors included.

use interop_tests::{Beam, Release, on_every_release};

use crate::world::World;

on_every_release!(each_gives_what_a_beam_gives);

struct Row {
    /// As users know it.
    name: &'static str,
    /// From a BEAM, towards the node.
    from_beam: &'static [&'static str],
    /// On the node, towards the BEAM.
    from_rust: &'static [&'static str],
    /// `library::promises` has what the node does.
    lasts: bool,
}

/// A row whose second half needs a process that lasts from one function to the next: `library::promises` compares it, where
/// this very program is the node and takes the results.
const fn lasting(name: &'static str, from_beam: &'static [&'static str]) -> Row {
    Row { name, from_beam, from_rust: &[], lasts: true }
}

const fn row(name: &'static str, from_beam: &'static [&'static str], from_rust: &'static [&'static str]) -> Row {
    Row { name, from_beam, from_rust, lasts: false }
}

/// `X` is a node that does not exist. Pids and references differ by nature and are never part of a row's result; the names
/// of the node and its twin are both read as NODE; stacks are left out by `tiebeam_peer:tried`, since they name files.
const ROWS: &[Row] = &[
    row(
        "Node.alive?/0",
        &["erpc:call(N, erlang, is_alive, [])", "erpc:call(N, E, 'alive?', [])"],
        &["rpc:call(N, E, 'alive?', [])"],
    ),
    row(
        "Node.connect/1",
        &["net_kernel:connect_node(N)", "net_kernel:connect_node(X)"],
        &["rpc:call(N, E, connect, [B])", "rpc:call(N, E, connect, [X])", "rpc:call(N, E, connect, [1])"],
    ),
    row(
        "Node.disconnect/1",
        &["{net_adm:ping(N), erlang:disconnect_node(N), net_adm:ping(N)}"],
        &["rpc:call(N, E, disconnect, [X])", "rpc:call(N, erlang, disconnect_node, [1])"],
    ),
    row(
        "Node.get_cookie/0",
        &["erlang:get_cookie(N)", "erpc:call(N, erlang, get_cookie, [])", "erpc:call(N, E, get_cookie, [])"],
        &["rpc:call(N, E, get_cookie, [])", "rpc:call(N, erlang, get_cookie, [X])"],
    ),
    row(
        "Node.set_cookie/2",
        &["{erlang:set_cookie(X, odd), erlang:get_cookie(X)}"],
        &[
            "{rpc:call(N, E, set_cookie, [X, odd]), rpc:call(N, erlang, get_cookie, [X])}",
            "rpc:call(N, erlang, set_cookie, [1, odd])",
            "rpc:call(N, erlang, set_cookie, [X, 1])",
        ],
    ),
    row(
        "Node.list/0,1",
        &["lists:member(N, nodes())", "lists:member(N, nodes(connected))", "lists:member(N, nodes(hidden))"],
        &[
            "lists:member(B, rpc:call(N, E, list, []))",
            "lists:member(B, rpc:call(N, E, list, [visible]))",
            "lists:member(B, rpc:call(N, E, list, [connected]))",
            "lists:member(B, rpc:call(N, E, list, [known]))",
            "rpc:call(N, E, list, [hidden])",
            "rpc:call(N, E, list, [this])",
            "rpc:call(N, E, list, [[this, hidden]])",
            "rpc:call(N, E, list, [odd])",
        ],
    ),
    row(
        "Node.ping/1",
        &["net_adm:ping(N)", "net_adm:ping(X)"],
        &["rpc:call(N, E, ping, [B])", "rpc:call(N, E, ping, [X])", "rpc:call(N, net_adm, ping, [N])"],
    ),
    row(
        "Node.monitor/2,3",
        &[
            "{monitor_node(N, true), monitor_node(N, false)}",
            "{erlang:monitor_node(N, true, [allow_passive_connect]), erlang:monitor_node(N, false, [])}",
            "{erlang:monitor_node(X, true, [allow_passive_connect]), tiebeam_peer:collect(1, 60000)}",
            "erlang:monitor_node(N, true, [odd])",
        ],
        &[
            "rpc:call(N, E, monitor, [B, true])",
            "rpc:call(N, E, monitor, [X, true])",
            "rpc:call(N, E, monitor, [B, true, [allow_passive_connect]])",
            "rpc:call(N, E, monitor, [X, true, [allow_passive_connect]])",
            "rpc:call(N, E, monitor, [B, true, [odd]])",
            "rpc:call(N, E, monitor, [1, true, [allow_passive_connect]])",
        ],
    ),
    row(
        "Node.self/0",
        &["erpc:call(N, E, self, [])", "node(erpc:call(N, erlang, self, []))"],
        &["rpc:call(N, E, self, [])"],
    ),
    row(
        "Node.spawn/4",
        &["node(spawn(N, D, sleep, [1]))", "spawn(N, D, ticker, [self(), 1, 2]), tiebeam_peer:collect(2, 60000)"],
        &[
            "node(rpc:call(N, E, spawn, [B, timer, sleep, [1]]))",
            "rpc:call(N, E, spawn, [B, erlang, send, [self(), hello]]), tiebeam_peer:collect(1, 60000)",
            "node(rpc:call(N, E, spawn, [X, timer, sleep, [1]]))",
            "rpc:call(N, erlang, spawn, [1, timer, sleep, [1]])",
        ],
    ),
    row(
        "Node.spawn/2,3,5",
        &["R = spawn_request(N, D, sleep, [1], [{priority, high}]), receive {spawn_reply, R, K, _} -> K end"],
        &[
            "S = self(), rpc:call(N, E, spawn, [B, fun() -> S ! hello end]), tiebeam_peer:collect(1, 60000)",
            "S = self(), rpc:call(N, E, spawn, [B, fun() -> S ! hello end, [{priority, high}]]), \
             tiebeam_peer:collect(1, 60000)",
            "rpc:call(N, E, spawn, [B, erlang, send, [self(), hello], []]), tiebeam_peer:collect(1, 60000)",
            "rpc:call(N, erlang, spawn_opt, [B, timer, sleep, [1], [odd]])",
        ],
    ),
    row(
        "Node.spawn_link/2,4",
        &[
            "process_flag(trap_exit, true), P = spawn_link(N, D, exit, [bye]), receive {'EXIT', P, W} -> W end",
            "process_flag(trap_exit, true), P = spawn_link(N, nomod, nofun, []), receive {'EXIT', P, {W, _}} -> W end",
        ],
        &[
            // The process that a call runs in ends with the call, and takes what is linked to it along, or not.
            "node(rpc:call(N, E, spawn_link, [B, timer, sleep, [1]]))",
            "rpc:call(N, erlang, spawn_link, [B, erlang, self, x])",
        ],
    ),
    row(
        "Node.spawn_monitor/2,4",
        &["{P, R} = spawn_monitor(N, D, exit, [bye]), receive {'DOWN', R, process, P, W} -> W end"],
        &["{P, R} = rpc:call(N, E, spawn_monitor, [B, timer, sleep, [1]]), {node(P), is_reference(R)}"],
    ),
    row(
        "rpc:abcast/2,3",
        &["rpc:abcast([N, X], echo, {self(), r, hi}), tiebeam_peer:collect(1, 60000)"],
        &[
            "register(row, self()), A = rpc:call(N, rpc, abcast, [[B, X], row, hi]), unregister(row), \
             [A | tiebeam_peer:collect(1, 60000)]",
            "rpc:call(N, rpc, abcast, [odd, row, hi])",
        ],
    ),
    lasting(
        "rpc:async_call/4, yield/1, nb_yield/1,2",
        &[
            "rpc:yield(rpc:async_call(N, D, add, [1, 2]))",
            "rpc:yield(rpc:async_call(N, D, add, [1, a]))",
            "rpc:nb_yield(rpc:async_call(N, D, sleep, [60000]))",
            "rpc:nb_yield(rpc:async_call(N, D, add, [1, 2]), 60000)",
        ],
    ),
    row(
        "rpc:block_call/4,5",
        &[
            "rpc:block_call(N, D, add, [1, 2])",
            "rpc:block_call(N, D, throw, [x])",
            "rpc:block_call(N, D, exit, [x])",
            "rpc:block_call(N, D, raise, [<<\"x\">>])",
            "rpc:block_call(N, nomod, nofun, [])",
            "rpc:block_call(N, D, sleep, [1000], 20)",
        ],
        &[
            "rpc:call(N, rpc, block_call, [B, lists, sum, [[1, 2]]])",
            "rpc:call(N, rpc, block_call, [B, erlang, throw, [x]])",
            "rpc:call(N, rpc, block_call, [B, erlang, exit, [x]])",
            "rpc:call(N, rpc, block_call, [B, timer, sleep, [500], 20])",
            "rpc:call(N, rpc, block_call, [X, lists, sum, [[1, 2]]])",
            "rpc:call(N, rpc, block_call, [N, D, add, [1, 2]])",
            "rpc:call(N, rpc, block_call, [B, lists, sum, odd])",
        ],
    ),
    row(
        "rpc:call/4,5",
        &[
            "rpc:call(N, D, add, [1, 2])",
            "rpc:call(N, D, echo, [{'EXIT', x}])",
            "rpc:call(N, D, throw, [{'EXIT', x}])",
            "rpc:call(N, D, exit, [x])",
            "rpc:call(N, D, raise, [<<\"x\">>])",
            "rpc:call(N, D, sleep, [60000], 20)",
            "rpc:call(N, nomod, nofun, [])",
        ],
        &[
            "rpc:call(N, rpc, call, [B, lists, sum, [[1, 2]]])",
            "rpc:call(N, rpc, call, [B, erlang, throw, [x]])",
            "rpc:call(N, rpc, call, [B, erlang, exit, [x]])",
            "element(2, rpc:call(N, rpc, call, [B, erlang, error, [x]])) =/= x",
            "rpc:call(N, rpc, call, [B, timer, sleep, [60000], 20])",
            "rpc:call(N, rpc, call, [X, lists, sum, [[1, 2]]])",
            "rpc:call(N, rpc, call, [1, lists, sum, [[1, 2]]])",
            "rpc:call(N, rpc, call, [B, lists, sum, [[1, 2]], odd])",
        ],
    ),
    row(
        "rpc:cast/4",
        &["rpc:cast(N, D, ticker, [self(), 1, 1]), tiebeam_peer:collect(1, 60000)"],
        &[
            "rpc:call(N, rpc, cast, [B, erlang, send, [self(), hi]]), tiebeam_peer:collect(1, 60000)",
            "rpc:call(N, rpc, cast, [X, erlang, send, [self(), hi]])",
            "rpc:call(N, rpc, cast, [1, erlang, send, [self(), hi]])",
        ],
    ),
    row(
        "rpc:eval_everywhere/3,4",
        &["rpc:eval_everywhere([N], D, ticker, [self(), 1, 1]), tiebeam_peer:collect(1, 60000)"],
        &[
            "rpc:call(N, rpc, eval_everywhere, [[B], erlang, send, [self(), hi]]), tiebeam_peer:collect(1, 60000)",
            "rpc:call(N, rpc, eval_everywhere, [[1], erlang, send, [self(), hi]])",
        ],
    ),
    row(
        "rpc:multi_server_call/2,3",
        &["rpc:multi_server_call([N, X], nobody, hi)"],
        &[
            "tiebeam_peer:answering(row, fun(M) -> {row, node(), M} end, \
             fun() -> rpc:call(N, rpc, multi_server_call, [[B, X], row, hi]) end)",
            "rpc:call(N, rpc, multi_server_call, [[B], nobody, hi])",
        ],
    ),
    row(
        "rpc:multicall/3..5",
        &[
            "rpc:multicall([N, X], D, add, [1, 2])",
            "rpc:multicall([N], D, exit, [x])",
            "rpc:multicall([N], D, sleep, [60000], 20)",
        ],
        &[
            "rpc:call(N, rpc, multicall, [[B, X], lists, sum, [[1, 2]]])",
            "rpc:call(N, rpc, multicall, [[B], erlang, exit, [x]])",
            "rpc:call(N, rpc, multicall, [[B], timer, sleep, [60000], 20])",
            "rpc:call(N, rpc, multicall, [[B, 1], lists, sum, [[1, 2]]])",
        ],
    ),
    row(
        "rpc:parallel_eval/1",
        &[
            "lists:member(N, rpc:parallel_eval([{erlang, node, []} || _ <- lists:seq(1, 30)]))",
            "rpc:parallel_eval([{D, add, [I, 1]} || I <- lists:seq(1, 30)])",
            "lists:usort([W || {badrpc, {'EXIT', {W, _}}} <- rpc:parallel_eval([{D, add, [a, 1]} || _ <- lists:seq(1, 30)])])",
        ],
        &[
            "rpc:call(N, rpc, parallel_eval, [[{rpc, call, [B, lists, sum, [[I]]]} || I <- [1, 2, 3]]])",
            "rpc:call(N, rpc, parallel_eval, [[odd]])",
        ],
    ),
    row(
        "rpc:pmap/3",
        &["rpc:pmap({D, add}, [10], lists:seq(1, 30))", "rpc:pmap({D, add}, [a], lists:seq(1, 30))"],
        &[
            "rpc:call(N, rpc, pmap, [{rpc, call}, [erlang, abs, [-1]], [B, B]])",
            "rpc:call(N, rpc, pmap, [{nomod, nofun}, [], [1, 2]])",
        ],
    ),
    row(
        "rpc:pinfo/1,2",
        &[
            "rpc:pinfo(rpc:call(N, erlang, whereis, [counter]), registered_name)",
            "rpc:pinfo(rpc:call(N, erlang, whereis, [counter]), [registered_name, message_queue_len])",
            "is_list(rpc:pinfo(rpc:call(N, erlang, whereis, [counter])))",
        ],
        &[
            "rpc:call(N, rpc, pinfo, [whereis(rex), registered_name])",
            "is_list(rpc:call(N, rpc, pinfo, [whereis(rex)]))",
            "rpc:call(N, rpc, pinfo, [odd])",
        ],
    ),
    row(
        "rpc:sbcast/2,3",
        &["rpc:sbcast([N, X], echo, hi)", "rpc:sbcast([N], nobody, hi)"],
        &["rpc:call(N, rpc, sbcast, [[B, X], rex, hi])", "rpc:call(N, rpc, sbcast, [[B], nobody, hi])"],
    ),
    row(
        "rpc:server_call/4",
        &["rpc:server_call(N, nobody, w, hi)", "rpc:server_call(X, nobody, w, hi)"],
        &[
            "tiebeam_peer:answering(row, fun(M) -> {w, node(), M} end, \
             fun() -> rpc:call(N, rpc, server_call, [B, row, w, hi]) end)",
            "rpc:call(N, rpc, server_call, [B, nobody, w, hi])",
            "rpc:call(N, rpc, server_call, [X, nobody, w, hi])",
            "rpc:call(N, rpc, server_call, [1, nobody, w, hi])",
        ],
    ),
    row(
        "erpc:call/2..5",
        &[
            "erpc:call(N, D, add, [1, 2])",
            "erpc:call(N, D, throw, [x])",
            "erpc:call(N, D, exit, [x])",
            "erpc:call(N, D, raise, [<<\"x\">>])",
            "erpc:call(N, D, sleep, [60000], 20)",
            "erpc:call(N, fun erlang:node/0)",
            "erpc:call(X, D, add, [1, 2])",
        ],
        &[
            "erpc:call(N, erpc, call, [B, lists, sum, [[1, 2]]])",
            "erpc:call(N, erpc, call, [B, fun erlang:node/0])",
            "erpc:call(N, erpc, call, [B, fun() -> node() end, 60000])",
            "erpc:call(N, erpc, call, [B, erlang, throw, [x]])",
            "erpc:call(N, erpc, call, [B, erlang, exit, [x]])",
            "erpc:call(N, erpc, call, [B, timer, sleep, [60000], 20])",
            "erpc:call(N, erpc, call, [X, lists, sum, [[1, 2]]])",
            "erpc:call(N, erpc, call, [1, lists, sum, [[1, 2]]])",
            "erpc:call(N, erpc, call, [B, lists, sum, odd])",
        ],
    ),
    row(
        "erpc:cast/2,4",
        &["erpc:cast(N, D, ticker, [self(), 1, 1]), tiebeam_peer:collect(1, 60000)"],
        &[
            "erpc:call(N, erpc, cast, [B, erlang, send, [self(), hi]]), tiebeam_peer:collect(1, 60000)",
            "S = self(), erpc:call(N, erpc, cast, [B, fun() -> S ! hi end]), tiebeam_peer:collect(1, 60000)",
            "erpc:call(N, erpc, cast, [1, erlang, send, [self(), hi]])",
        ],
    ),
    row(
        "erpc:multicall/2..5",
        &[
            "erpc:multicall([N, X], D, add, [1, 2])",
            "erpc:multicall([N], D, throw, [x])",
            "erpc:multicall([N], D, exit, [x])",
            "erpc:multicall([N], D, sleep, [60000], 20)",
            "erpc:multicall([N], fun erlang:node/0)",
        ],
        &[
            "erpc:call(N, erpc, multicall, [[B, X], lists, sum, [[1, 2]]])",
            "erpc:call(N, erpc, multicall, [[B], fun erlang:node/0])",
            "erpc:call(N, erpc, multicall, [[B], erlang, throw, [x]])",
            "erpc:call(N, erpc, multicall, [[B], erlang, exit, [x]])",
            "erpc:call(N, erpc, multicall, [[B], timer, sleep, [60000], 20])",
            "erpc:call(N, erpc, multicall, [[B, 1], lists, sum, [[1, 2]]])",
        ],
    ),
    row(
        "erpc:multicast/2,4",
        &["erpc:multicast([N, X], D, ticker, [self(), 1, 1]), tiebeam_peer:collect(1, 60000)"],
        &[
            "erpc:call(N, erpc, multicast, [[B, X], erlang, send, [self(), hi]]), tiebeam_peer:collect(1, 60000)",
            "erpc:call(N, erpc, multicast, [[1], erlang, send, [self(), hi]])",
        ],
    ),
    lasting(
        "erpc:send_request/4, receive_response/1,2, wait_response/1,2, check_response/2",
        &[
            "erpc:receive_response(erpc:send_request(N, D, add, [1, 2]))",
            "erpc:receive_response(erpc:send_request(N, D, exit, [x]), 60000)",
            "erpc:receive_response(erpc:send_request(N, D, sleep, [60000]), 20)",
            "erpc:wait_response(erpc:send_request(N, D, sleep, [60000]))",
            "erpc:wait_response(erpc:send_request(N, D, add, [1, 2]), 60000)",
            "R = erpc:send_request(N, D, add, [1, 2]), receive M -> erpc:check_response(M, R) end",
            "erpc:check_response(odd, erpc:send_request(N, D, add, [1, 2]))",
        ],
    ),
    lasting(
        "erpc:reqids_new/0, reqids_add/3, reqids_size/1, reqids_to_list/1",
        &["C = erpc:send_request(N, D, add, [1, 2], one, erpc:reqids_new()), \
             {{response, V, L, C2}, S} = {erpc:receive_response(C, 60000, true), erpc:reqids_size(C)}, \
             {V, L, S, erpc:reqids_size(C2), erpc:receive_response(C2, 60000, true)}"],
    ),
];

fn each_gives_what_a_beam_gives(release: Release) {
    // One that is disconnected is not to be disconnected from the third as well, in the middle of another row.
    let alone = ["-kernel", "prevent_overlapping_partitions", "false"];
    let mut world = World::with(release, &["--demo"], &alone);
    let mut twin = world.twin_with(release, &alone);
    // Elixir's functions are looked for in a BEAM that has not loaded them yet.
    assert_eq!(twin.elixir("1"), "1");
    let mut wrong = Vec::new();
    for row in ROWS {
        for (side, expressions) in [("from a BEAM", row.from_beam), ("from the node", row.from_rust)] {
            for expression in expressions {
                let (rust, beam) = both(&mut world, &twin, expression);
                if rust != beam {
                    wrong.push(format!("{} {side}: {expression}\n  tiebeam: {rust}\n  a BEAM:  {beam}", row.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The same against the Rust node and against the twin.
fn both(world: &mut World, twin: &Beam, expression: &str) -> (String, String) {
    let (rust, twin) = (world.rust.name().to_owned(), twin.name().to_owned());
    let mut ask = |node: &str| {
        let code = format!(
            "tiebeam_peer:flush(), process_flag(trap_exit, false), \
             {{P, R}} = spawn_monitor(fun() -> N = '{node}', B = node(), X = 'nobody@127.0.0.1', \
             E = 'Elixir.Node', D = 'Elixir.Tiebeam.Demo', _ = {{N, B, X, D, E}}, \
             exit({{result, tiebeam_peer:tried(fun() -> {expression} end)}}) end), \
             receive {{'DOWN', R, process, P, {{result, V}}}} -> V; {{'DOWN', R, process, P, W}} -> {{ended, W}} end."
        );
        world.beam.eval(&code).replace(node, "NODE")
    };
    (ask(&rust), ask(&twin))
}

/// What the README's table says of a side.
fn seen(is_compared: bool) -> &'static str {
    if is_compared { "✔" } else { "–" }
}

/// The README's table has every row: whoever adds a function is told to add its line there.
#[test]
fn the_readme_has_each_row() {
    let line = |row: &Row| {
        let by_node = row.lasts || !row.from_rust.is_empty();
        format!("| `{}` | {} | {} |", row.name, seen(!row.from_beam.is_empty()), seen(by_node))
    };
    let readme = include_str!("../../../README.md");
    let table: Vec<String> = ROWS.iter().map(line).collect();
    println!(
        "| function | of the Rust node, by a BEAM | by the Rust node, of a BEAM |\n|---|:-:|:-:|\n{}",
        table.join("\n")
    );
    // Where there is no table yet there is nothing to compare.
    if readme.contains("by the Rust node, of a BEAM") {
        let missing: Vec<_> = table.iter().filter(|line| !readme.contains(line.as_str())).collect();
        assert!(missing.is_empty(), "the README lacks {missing:?}");
    }
}

//! A gigabyte each way in messages of ten megabytes, beside another process that calls.

use interop_tests::{Release, is_long_run, on_every_release};

use crate::world::World;

on_every_release!(a_gigabyte_leaves_room_for_others);

/// What the node may hold, whatever goes through it.
const MEMORY: u64 = 150 << 20;

/// The gate has 300 MB of it, in `messages`.
fn a_gigabyte_leaves_room_for_others(release: Release) {
    if !is_long_run("a_gigabyte_leaves_room_for_others") {
        return;
    }
    let mut world = World::new(release);
    let twin = world.twin(release);
    // There and back by calls; there only, as fast as the connection takes it.
    let calls = "[Ten = rpc:call(N, D, echo, [Ten]) || _ <- lists:seq(1, 100)]";
    let casts = "[{echo, N} ! Ten || _ <- lists:seq(1, 100)], get = rpc:call(N, D, echo, [get])";
    for (what, bulk) in [("there and back", calls), ("there", casts)] {
        // How long the same takes between two BEAMs says what of it is this machine.
        let beside_beam = world.beam.eval(&measured(bulk, &twin.atom()));
        let beside_rust = world.beam.eval(&measured(bulk, &world.rust.atom()));
        let peak = world.rust.peak();
        println!(
            "OTP {}: 1 GB {what}: [milliseconds, pings, p50, p99, highest in microseconds] = {beside_rust}, \
             between BEAMs {beside_beam}; at most {} MB held",
            release.number(),
            peak >> 20
        );
        assert!(peak < MEMORY, "the node held {} MB", peak >> 20);
    }
    world.beam.assert_quiet();
}

/// Pings the counter of a node for as long as another process sends it a gigabyte.
fn measured(bulk: &str, node: &str) -> String {
    format!(
        "N = {node}, D = 'Elixir.Tiebeam.Demo', _ = D, pong = net_adm:ping(N), \
         Self = self(), Ten = binary:copy(<<1, 2, 3, 4, 5, 6, 7, 8, 9, 10>>, 1000000), \
         spawn_link(fun() -> {bulk}, Self ! done end), \
         Ping = fun F(Times) -> receive done -> Times after 0 -> \
         {{T, _}} = timer:tc(fun() -> gen_server:call({{counter, N}}, get, 60000) end), F([T | Times]) end end, \
         {{Whole, Times}} = timer:tc(fun() -> lists:sort(Ping([])) end), Count = length(Times), \
         [Whole div 1000, Count | [lists:nth(max(1, Count * P div 100), Times) || P <- [50, 99, 100]]]."
    )
}

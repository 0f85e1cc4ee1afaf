//! Watching nodes and stopping them: `tiebeam watch`, `monitor_node`, `init:stop`.

use interop_tests::{Beam, Follow, Release, follow, on_every_release, unique};

use crate::world::World;

on_every_release!(
    changes_between_two_looks_are_shown,
    monitor_node_answers_as_a_beam_s,
    init_stop_ends_a_node_as_it_ends_a_beam
);

/// The interval is ten minutes: what is shown has been told.
fn changes_between_two_looks_are_shown(release: Release) {
    let mut world = World::with(release, &[], &[]);
    assert_eq!(world.eval("net_adm:ping(N)."), "pong");
    let port = world.port;
    let watch = |node: &str| follow(port, &["--json", "watch", node, "--interval", "600000"]);
    let (at_beam, at_rust) = (watch(world.beam.name()), watch(world.rust.name()));
    let (rust, beam) = (world.rust.name().to_owned(), world.beam.name().to_owned());
    expect(&at_beam, "nodeup", &rust);
    expect(&at_rust, "nodeup", &beam);
    let again = "true = erlang:disconnect_node(N), pong = net_adm:ping(N), ok.";
    assert_eq!(world.eval(again), "ok");
    for (watch, node) in [(&at_beam, &rust), (&at_rust, &beam)] {
        let down = expect(watch, "nodedown", node);
        assert!(down.contains(r#""reason":""#), "{down}");
        expect(watch, "nodeup", node);
    }
    // It leaves nothing behind: the process that forwards ends with the command.
    let forwarders = "length([P || P <- processes(), {initial_call, {erl_eval, exprs, 2}} <- \
                      [process_info(P, initial_call)]]).";
    assert_eq!(world.eval(forwarders), "1");
    let second = watch(world.beam.name());
    expect(&second, "nodeup", &rust);
    assert_eq!(world.eval(forwarders), "2");
    drop(second);
    world.beam.wait_for(forwarders, "1");
    world.beam.assert_quiet();
    // The watched node itself.
    world.beam.signal("KILL");
    expect(&at_beam, "nodedown", &beam);
    expect(&at_rust, "nodedown", &beam);
}

fn expect(watch: &Follow, event: &str, node: &str) -> String {
    let line = watch.line();
    let wanted = [format!(r#""event":"{event}""#), format!(r#""node":"{node}""#)];
    assert!(wanted.iter().all(|wanted| line.contains(wanted)), "{line} is not the {event} of {node}");
    line
}

fn monitor_node_answers_as_a_beam_s(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    let third = Beam::start(release, &unique("third"), world.port);
    // A BEAM does not wait for the connection that it begins for this.
    let connected = format!(
        "Connected = fun Again() -> lists:member({0}, rpc:call(N, erlang, nodes, [])) \
         orelse begin timer:sleep(20), Again() end end, \
         rpc:call(N, erlang, monitor_node, [{0}, true]) andalso Connected()",
        third.atom()
    );
    let calls = [
        "rpc:call(N, erlang, monitor_node, [node(), true])",
        "rpc:call(N, erlang, monitor_node, [node(), false])",
        "rpc:call(N, erlang, monitor_node, ['nobody@127.0.0.1', true])",
        "rpc:call(N, erlang, monitor_node, ['nobody@127.0.0.1', false])",
        "rpc:call(N, erlang, monitor_node, [N, true])",
        "rpc:call(N, erlang, monitor_node, [1, true])",
        "rpc:call(N, erlang, monitor_node, [node(), perhaps])",
        "rpc:call(N, erlang, monitor_node, [node(), true, []])",
        "rpc:call(N, erlang, monitor_node, [node(), true, [allow_passive_connect]])",
        "rpc:call(N, erlang, monitor_node, [node(), true, [nonsense]])",
        "rpc:block_call(N, erlang, monitor_node, [node(), true])",
        &connected,
    ];
    for call in calls {
        world.same_as_twin(&twin, &format!("tiebeam_peer:tried(fun() -> {call} end)."));
    }
    assert_eq!(world.eval("erpc:call(N, 'Elixir.Node', monitor, [node(), true])."), "true");
    world.beam.assert_quiet();
}

fn init_stop_ends_a_node_as_it_ends_a_beam(release: Release) {
    let mut world = World::new(release);
    let twin = world.twin(release);
    // A BEAM that stops at once may take its own answer with it; ours sends it first.
    let stop = "true = monitor_node(N, true), R = rpc:call(N, init, stop, []), \
                {lists:member(R, [ok, {badrpc, nodedown}]), receive {nodedown, N} -> down after 60000 -> none end, \
                net_adm:ping(N)}.";
    world.same_as_twin(&twin, stop);
    assert_eq!(world.rust.exit_code(), Some(0));
    world.beam.assert_quiet();
}

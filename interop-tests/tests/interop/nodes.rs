//! Finding each other, connecting, and what each side sees of the other.

use std::time::{Duration, Instant};

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, run, unique};

use crate::world::World;

on_every_release!(
    each_side_lists_the_other,
    a_hidden_node_is_not_listed,
    an_epmd_of_the_beams_own_is_used_and_outlived,
    both_dial_at_once,
    a_wrong_cookie_is_refused_by_both,
    node_events_are_forwarded,
    one_shots_answer_with_their_exit_codes,
    one_shots_call_and_send,
    a_nameless_node_gets_a_name,
);

fn each_side_lists_the_other(release: Release) {
    let mut world = World::new(release);
    assert_eq!(world.eval("{net_adm:ping(N), lists:member(N, nodes())}."), "{pong,true}");
    let known = "{ok, Names} = net_adm:names({127, 0, 0, 1}), lists:sort([Name || {Name, _} <- Names]) =:= \
                 lists:sort([hd(string:split(atom_to_list(X), \"@\")) || X <- [N, node()]]).";
    assert_eq!(world.eval(known), "true");
    // A restart under the same name is another node: old pids are dead.
    assert_eq!(world.eval("{ok, P} = rpc:call(N, D, start_echo, []), put(old, P), ok."), "ok");
    let name = world.rust.name().to_owned();
    drop(std::mem::replace(&mut world.rust, Tiebeam::demo(&unique("other"), free_port())));
    world.rust = Tiebeam::demo(&name, world.port);
    let old = "R = monitor(process, get(old)), receive {'DOWN', R, _, _, W} -> W after 60000 -> none end.";
    assert_eq!(world.eval(&format!("net_adm:ping(N), {old}")), "noproc");
}

fn a_hidden_node_is_not_listed(release: Release) {
    let mut world = World::with(release, &["--demo", "--hidden"], &[]);
    let seen = "{net_adm:ping(N), lists:member(N, nodes()), lists:member(N, nodes(hidden))}.";
    assert_eq!(world.eval(seen), "{pong,false,true}");
    assert_eq!(world.eval("rpc:call(N, D, add, [1, 2])."), "3");
    world.beam.assert_quiet();
}

fn an_epmd_of_the_beams_own_is_used_and_outlived(release: Release) {
    let port = free_port();
    let mut beam = Beam::start_with_epmd(release, &unique("beam"), port);
    let rust = Tiebeam::demo(&unique("rust"), port);
    assert!(rust.ready.contains("(existing)"), "{}", rust.ready);
    assert_eq!(beam.eval(&format!("net_adm:ping({}).", rust.atom())), "pong");
    drop(beam);
    // The BEAM's container took its EPMD with it: the node serves one of its own, and the next BEAM finds it there.
    // Where the BEAM runs on this machine itself, its EPMD outlives it, as epmd does, and goes on knowing the node.
    let (name, last) = (rust.name().split('@').next().expect("a name"), Instant::now() + Duration::from_secs(60));
    while !run(port, &["names"]).stdout.contains(name) {
        assert!(Instant::now() < last, "nobody serves the names:\n{}", rust.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut next = Beam::start(release, &unique("next"), port);
    assert_eq!(next.eval(&format!("net_adm:ping({}).", rust.atom())), "pong");
    next.assert_quiet();
}

fn both_dial_at_once(release: Release) {
    // No mesh: in one, `global` rightly cuts further connections whenever this scenario cuts its own.
    let alone = ["-start_epmd", "false", "-connect_all", "false"];
    let mut world = World::with(release, &["--demo", "--no-connect-all"], &["-connect_all", "false"]);
    // Again and again: the BEAM dials while the tiebeam node is told, through another BEAM, to dial it.
    let mut twin = Beam::start_with(release, &unique("aaa"), world.port, &alone);
    for _ in 0..10 {
        let beam = world.beam.atom();
        let connect = format!(
            "N = {}, [spawn(fun() -> rpc:call(N, 'Elixir.Tiebeam.Demo', watch, [{{x, {beam}}}, self()]) end), \
             spawn(fun() -> rpc:call({beam}, net_adm, ping, [N]) end)], ok.",
            world.rust.atom()
        );
        assert_eq!(twin.eval(&connect), "ok");
        world.beam.wait_for(&format!("lists:member({}, nodes()).", world.rust.atom()), "true");
        assert_eq!(world.eval("rpc:call(N, D, add, [1, 2])."), "3");
        assert_eq!(world.eval("erlang:disconnect_node(N)."), "true");
    }
}

fn a_wrong_cookie_is_refused_by_both(release: Release) {
    let mut world = World::new(release);
    let other = Tiebeam::start(&unique("other"), world.port, &["--cookie", "another", "--demo"]);
    assert_eq!(world.beam.eval(&format!("net_adm:ping({}).", other.atom())), "pang");
    let ping = run(world.port, &["--cookie", "another", "ping", world.beam.name()]);
    assert_eq!((ping.code, ping.stdout.trim()), (1, "pang"));
    assert!(ping.stderr.contains("cookie rejected"), "{}", ping.stderr);
    // Nobody else is disturbed.
    assert_eq!(world.eval("net_adm:ping(N)."), "pong");
}

fn node_events_are_forwarded(release: Release) {
    let mut world = World::new(release);
    assert_eq!(world.eval("{ok, P} = rpc:call(N, D, watch_nodes, [self()]), is_pid(P)."), "true");
    let mut twin = Beam::start(release, &unique("twin"), world.port);
    assert_eq!(twin.eval(&format!("net_adm:ping({}).", world.rust.atom())), "pong");
    drop(twin);
    let seen = "[{K, [Key || {Key, _} <- Info]} || {K, _, Info} <- tiebeam_peer:collect(2, 60000)].";
    assert_eq!(world.eval(seen), "[{nodeup,[]},{nodedown,[nodedown_reason]}]");
}

fn one_shots_answer_with_their_exit_codes(release: Release) {
    let world = World::new(release);
    let beam = world.beam.name();
    let ping = run(world.port, &["ping", beam]);
    assert_eq!((ping.code, ping.stdout.as_str()), (0, "pong\n"), "{}", ping.stderr);
    let ping = run(world.port, &["ping", world.rust.name()]);
    assert_eq!((ping.code, ping.stdout.as_str()), (0, "pong\n"), "{}", ping.stderr);
    let nobody = run(world.port, &["nodes", "nobody@127.0.0.1"]);
    assert_eq!(nobody.code, 3);
    assert!(nobody.stderr.contains("not registered"), "{}", nobody.stderr);
    let no_epmd = run(free_port(), &["nodes", beam]);
    assert_eq!(no_epmd.code, 3);
    assert!(no_epmd.stderr.contains("no EPMD"), "{}", no_epmd.stderr);
    assert_eq!(run(world.port, &["nodes", "no-node-name"]).code, 2);
    let doctor = run(world.port, &["doctor", beam]);
    assert_eq!(doctor.code, 0, "{}{}", doctor.stdout, doctor.stderr);
    let names = run(world.port, &["names"]);
    assert!(names.stdout.starts_with("epmd: up and running on port"), "{}", names.stdout);
    world.beam.assert_quiet();
}

fn one_shots_call_and_send(release: Release) {
    let mut world = World::new(release);
    let (beam, rust) = (world.beam.name().to_owned(), world.rust.name().to_owned());
    let prints = |args: &[&str]| {
        let done = run(world.port, args);
        assert_eq!(done.code, 0, "{args:?}: {}{}", done.stdout, done.stderr);
        done.stdout.trim_end().to_owned()
    };
    assert_eq!(prints(&["rpc", &beam, "lists:sum([-1,2])"]), "1");
    assert_eq!(prints(&["rpc", &beam, "'lists':seq(1, 3)"]), "[1,2,3]");
    assert_eq!(prints(&["rpc", &beam, ":maps.from_list([a: 1, b: \"x\"])"]), "%{a: 1, b: \"x\"}");
    assert_eq!(prints(&["rpc", &rust, "Tiebeam.Demo.fib(100)"]), "354224848179261915075");
    // What the remote function prints comes before its result.
    assert_eq!(prints(&["rpc", &beam, "io:format(\"hello ~p~n\", [world])"]), "hello world\nok");
    assert_eq!(prints(&["--json", "call", &rust, "counter", "{:add, 2}"]), "{\"reply\":\"2\"}");

    let fails = |args: &[&str]| {
        let done = run(world.port, args);
        (done.code, done.stderr)
    };
    let (code, error) = fails(&["rpc", &beam, "lists:nope(1)"]);
    assert!(code == 1 && error.contains("undef"), "{code} {error}");
    let (code, error) = fails(&["rpc", &beam, "erlang:node("]);
    assert!(code == 2 && error.contains("column 13"), "{code} {error}");
    let (code, error) = fails(&["call", &rust, "nobody", "x"]);
    assert!(code == 1 && error.contains("noproc"), "{code} {error}");
    let (code, error) = fails(&["rpc", &beam, "timer:sleep(5000)", "--timeout", "100"]);
    assert!(code == 1 && error.contains("timed out"), "{code} {error}");

    assert_eq!(world.eval("register(scenario, self())."), "true");
    let sent = run(world.port, &["send", &beam, "scenario", "{hello, [1, 2.5, \"text\"]}"]);
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    assert_eq!(world.eval("tiebeam_peer:collect(1, 60000)."), "[{hello,[1,2.5,\"text\"]}]");
    world.beam.assert_quiet();
}

fn a_nameless_node_gets_a_name(release: Release) {
    // A BEAM asks a tiebeam node for its name.
    let port = free_port();
    let rust = Tiebeam::demo(&unique("rust"), port);
    let mut beam = Beam::start(release, "undefined@127.0.0.1", port);
    assert_eq!(beam.eval(&format!("net_kernel:connect_node({}).", rust.atom())), "true");
    assert_eq!(
        beam.eval("lists:suffix(\"@127.0.0.1\", atom_to_list(node())) andalso node() =/= nonode@nohost."),
        "true"
    );
    let call = format!("rpc:call({}, 'Elixir.Tiebeam.Demo', add, [1, 2]).", rust.atom());
    assert_eq!(beam.eval(&call), "3");
    beam.assert_quiet();
}

#[test]
fn two_tiebeam_nodes_need_no_epmd_of_the_machine() {
    let port = free_port();
    let first = Tiebeam::demo(&unique("first"), port);
    assert!(first.ready.contains("(embedded)"), "{}", first.ready);
    let second = Tiebeam::start(&unique("second"), port, &["--demo", "--connect", first.name()]);
    assert!(second.ready.contains("(existing)"), "{}", second.ready);
    let last = Instant::now() + Duration::from_secs(60);
    while Instant::now() < last {
        if first.log().contains(&format!("nodeup peer.name={}", second.name())) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the second node did not connect:\n{}\n{}", first.log(), second.log());
}

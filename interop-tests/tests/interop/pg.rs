//! Process groups: both sides see the same members, each as often as it joined.

use std::time::Instant;

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, run, unique};

use crate::world::World;

on_every_release!(
    members_are_seen_by_both,
    the_functions_of_pg_answer_as_on_a_beam,
    members_go_with_their_node_and_come_back,
    ten_thousand_join_on_either_side,
);

const RUST_JOINS: &str = "Echo = fun() -> {ok, P} = rpc:call(N, D, start_echo, []), P end, \
     Join = fun(G, P) -> rpc:call(N, pg, join, [s, G, P]) end, ";

fn start(world: &mut World) {
    assert_eq!(world.eval("{ok, P} = rpc:call(N, pg, start, [s]), node(P) =:= N."), "true");
    assert_eq!(world.eval("{ok, P} = pg:start(s), put(scope, P), is_pid(P)."), "true");
}

/// Both nodes' members of a group, as the BEAM knows them and as the Rust node does: the same, so many.
fn both_see(world: &mut World, group: &str, members: usize) {
    let code = format!(
        "B = lists:sort(pg:get_members(s, {group})), R = lists:sort(rpc:call(N, pg, get_members, [s, {group}])), \
         {{B =:= R, length(B)}}."
    )
    .replace("N,", &format!("{},", world.rust.atom()));
    world.beam.wait_for(&code, &format!("{{true,{members}}}"));
}

fn members_are_seen_by_both(release: Release) {
    let mut world = World::new(release);
    start(&mut world);
    let joins =
        format!("{RUST_JOINS} P = Echo(), put(echo, P), [Join(g, P), Join(g, P), Join({{any, [term]}}, [P, Echo()])].");
    assert_eq!(world.eval(&joins), "[ok,ok,ok]");
    assert_eq!(world.eval("[pg:join(s, g, self()), pg:join(s, <<\"b\">>, [self(), self()])]."), "[ok,ok]");
    both_see(&mut world, "g", 3);
    both_see(&mut world, "{any, [term]}", 2);
    both_see(&mut world, "<<\"b\">>", 2);
    let groups = "lists:sort(rpc:call(N, pg, which_groups, [s])) =:= lists:sort(pg:which_groups(s)).";
    assert_eq!(world.eval(groups), "true");
    assert_eq!(world.eval("length(rpc:call(N, pg, get_local_members, [s, g]))."), "2");
    // One membership of two.
    assert_eq!(world.eval("rpc:call(N, pg, leave, [s, g, get(echo)])."), "ok");
    both_see(&mut world, "g", 2);
    assert_eq!(world.eval("pg:leave(s, <<\"b\">>, self())."), "ok");
    both_see(&mut world, "<<\"b\">>", 1);
    // The shell shows what both see.
    let shown = run(world.port, &["pg", world.rust.name(), "s", "g"]);
    assert_eq!((shown.code, shown.stdout.lines().count()), (0, 2), "{}{}", shown.stdout, shown.stderr);
    let shown = run(world.port, &["pg", world.beam.name(), "s"]);
    assert_eq!((shown.code, shown.stdout.lines().count()), (0, 5), "{}{}", shown.stdout, shown.stderr);
    // Whoever dies is a member no more.
    assert_eq!(world.eval("exit(get(echo), kill), ok."), "ok");
    both_see(&mut world, "g", 1);
    both_see(&mut world, "{any, [term]}", 1);
    assert_eq!(world.eval("is_process_alive(get(scope))."), "true");
    world.beam.assert_quiet();
}

fn the_functions_of_pg_answer_as_on_a_beam(release: Release) {
    // In a mesh the two that are compared would meet, and each would have the other's members as well.
    let mut world = World::with(release, &["--demo", "--no-connect-all"], &["-connect_all", "false"]);
    let twin = world.twin_with(release, &["-connect_all", "false"]);
    for code in [
        "rpc:call(N, pg, get_members, [s, g]).",
        "case rpc:call(N, pg, join, [s, g, rpc:call(N, erlang, whereis, [echo])]) of {badrpc, {'EXIT', {Why, _}}} -> Why end.",
        "case rpc:call(N, pg, leave, [s, g, rpc:call(N, erlang, whereis, [echo])]) of {badrpc, {'EXIT', {Why, _}}} -> Why end.",
        "element(1, rpc:call(N, pg, start, [s])).",
        "{error, {already_started, P}} = rpc:call(N, pg, start, [s]), node(P) =:= N.",
        "rpc:call(N, pg, which_groups, [s]).",
        "rpc:call(N, pg, leave, [s, g, rpc:call(N, erlang, whereis, [echo])]).",
        "rpc:call(N, pg, join, [s, g, rpc:call(N, erlang, whereis, [echo])]).",
        "rpc:call(N, pg, join, [s, h, lists:duplicate(3, rpc:call(N, erlang, whereis, [echo]))]).",
        "[length(rpc:call(N, pg, get_members, [s, G])) || G <- [g, h, i]].",
        "lists:sort(rpc:call(N, pg, which_local_groups, [s])).",
        "rpc:call(N, pg, leave, [s, h, rpc:call(N, erlang, whereis, [echo])]).",
        "length(rpc:call(N, pg, get_local_members, [s, h])).",
        "case rpc:call(N, pg, join, [s, g, self()]) of {badrpc, {'EXIT', {{nolocal, P}, _}}} -> P =:= self() end.",
    ] {
        // Without a scope, 29 says badarg where those before say noproc, as we do.
        if !(release == Release::Otp29 && code.contains("{Why, _}")) {
            world.same_as_twin(&twin, code);
        }
    }
}

fn members_go_with_their_node_and_come_back(release: Release) {
    let mut world = World::with(release, &["--demo", "--no-connect-all"], &["-connect_all", "false"]);
    start(&mut world);
    let joins =
        format!("{RUST_JOINS} P = Echo(), put(echo, P), [Join(g, [P, P]), pg:join(s, g, [self(), self(), self()])].");
    assert_eq!(world.eval(&joins), "[ok,ok]");
    both_see(&mut world, "g", 5);
    for round in 0..5 {
        // Each side sees only its own, until they meet again.
        assert_eq!(world.eval("erlang:disconnect_node(N)."), "true");
        world.beam.wait_for("length(pg:get_members(s, g)).", &(3 + round).to_string());
        assert_eq!(world.eval("pg:join(s, g, self())."), "ok");
        assert_eq!(world.eval("net_adm:ping(N)."), "pong");
        both_see(&mut world, "g", 6 + round);
    }
    // A Rust node of the same name that knows nothing of before.
    let name = world.rust.name().to_owned();
    drop(std::mem::replace(&mut world.rust, Tiebeam::demo(&unique("other"), free_port())));
    world.beam.wait_for("length(pg:get_members(s, g)).", "8");
    world.rust = Tiebeam::demo(&name, world.port);
    assert_eq!(world.eval("{ok, _} = rpc:call(N, pg, start, [s]), ok."), "ok");
    both_see(&mut world, "g", 8);
    world.beam.assert_quiet();
}

fn ten_thousand_join_on_either_side(release: Release) {
    let mut world = World::new(release);
    let mut twin = world.twin(release);
    start(&mut world);
    assert_eq!(twin.eval("{ok, P} = pg:start(s), is_pid(P)."), "true");
    world.beam.wait_for(&format!("net_kernel:connect_node({}).", twin.atom()), "true");
    assert_eq!(twin.eval(&format!("net_kernel:connect_node({}).", world.rust.atom())), "true");
    both_see(&mut world, "none", 0);
    // One by one from the BEAM.
    let join = "[pg:join(s, beam, self()) || _ <- lists:seq(1, 10000)], length(pg:get_local_members(s, beam)).";
    assert_eq!(world.eval(join), "10000");
    let since = Instant::now();
    both_see(&mut world, "beam", 10_000);
    let (seen_by_rust, since) = (since.elapsed(), Instant::now());
    twin.wait_for("length(pg:get_members(s, beam)).", "10000");
    println!(
        "{release:?}: 10,000 joins of a BEAM seen by Rust after {seen_by_rust:?}, by a BEAM after {:?} more",
        since.elapsed()
    );
    // And from Rust, by one call each, from as many calls.
    let join = "P = rpc:call(N, erlang, whereis, [echo]), {T, _} = timer:tc(fun() -> \
                Ids = [erpc:send_request(N, pg, join, [s, rust, P]) || _ <- lists:seq(1, 2000)], \
                [erpc:receive_response(Id) || Id <- Ids] end), T.";
    let micros = world.eval(join);
    both_see(&mut world, "rust", 2_000);
    twin.wait_for("length(pg:get_members(s, rust)).", "2000");
    println!("{release:?}: 2,000 joins called on Rust took {micros} us");
    let list = "P = rpc:call(N, erlang, whereis, [echo]), rpc:call(N, pg, join, [s, list, lists:duplicate(10000, P)]).";
    assert_eq!(world.eval(list), "ok");
    both_see(&mut world, "list", 10_000);
    world.beam.assert_quiet();
}

/// OTP 25 with 27, and 27 with 29: 29 greets 25 in a way that ends its scope, with or without us.
#[test]
fn mixed_meshes_agree() {
    for releases in [[Release::Otp25, Release::Otp27], [Release::Otp27, Release::Otp29]] {
        if !releases.iter().all(|release| release.is_here("pg::mixed_meshes_agree")) {
            continue;
        }
        let port = free_port();
        let rust = [(); 2].map(|()| Tiebeam::demo(&unique("rust"), port));
        let mut beams = releases.map(|release| Beam::start(release, &unique("pg"), port));
        let atoms: Vec<_> = rust.iter().map(Tiebeam::atom).chain(beams.iter().map(Beam::atom)).collect();
        let all = atoms.join(", ");
        let first = &mut beams[0];
        let start = format!(
            "[{{ok, _}} = rpc:call(N, pg, start, [s]) || N <- [{all}]], [pong = net_adm:ping(N) || N <- [{all}]], \
             [rpc:call(A, net_adm, ping, [B]) || A <- [{all}], B <- [{all}]], ok."
        );
        assert_eq!(first.eval(&start), "ok");
        let join = format!(
            "[begin P = rpc:call(N, erlang, whereis, [user]), ok = rpc:call(N, pg, join, [s, g, [P, P]]) end || N <- [{all}]], ok."
        );
        assert_eq!(first.eval(&join), "ok");
        let agree = format!("lists:usort([lists:sort(rpc:call(N, pg, get_members, [s, g])) || N <- [{all}]]).");
        first.wait_for(&agree.replace("lists:usort(", "length(lists:usort(").replace("]).", "]))."), "1");
        first.wait_for("length(pg:get_members(s, g)).", "8");
        for beam in &mut beams {
            beam.assert_quiet();
        }
    }
}

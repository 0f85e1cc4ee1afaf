//! `:global` among tiebeam nodes and BEAMs: names, locks, joining, conflicts, leaving.

use std::time::Instant;

use interop_tests::{Beam, Release, Tiebeam, free_port, is_long_run, on_every_release, run, unique};

use crate::world::World;

on_every_release!(
    names_are_seen_called_and_freed_on_both_sides,
    locks_exclude,
    conflicts_end_with_one_table,
    a_killed_node_leaves_nothing_behind,
);

/// What a tiebeam node is asked to do through `rex`, so that what it does lasts.
const G: &str = "G = fun(F, A) -> rpc:block_call(N, global, F, A) end, _ = G, ";

fn synced(world: &mut World) {
    let start = Instant::now();
    assert_eq!(world.eval("net_adm:ping(N), global:sync()."), "ok");
    println!("in sync after {:?}", start.elapsed());
    assert_eq!(world.eval("rpc:call(N, global, sync, [])."), "ok");
}

fn names_are_seen_called_and_freed_on_both_sides(release: Release) {
    let mut world = World::new(release);
    // One name on each side before they know each other.
    assert_eq!(
        world.eval("E = spawn(fun() -> receive stop -> ok end end), put(early, E), global:register_name(early, E)."),
        "yes"
    );
    synced(&mut world);
    let eval = |world: &mut World, code: &str| world.eval(&format!("{G}{code}"));
    assert_eq!(eval(&mut world, "get(early) =:= rpc:call(N, global, whereis_name, [early])."), "true");
    // From here, seen there.
    assert_eq!(eval(&mut world, "global:register_name(here, self())."), "yes");
    assert_eq!(eval(&mut world, "self() =:= G(whereis_name, [here])."), "true");
    assert_eq!(eval(&mut world, "G(send, [here, hello]), tiebeam_peer:collect(1, 60000)."), "[hello]");
    assert_eq!(eval(&mut world, "G(register_name, [here, self()])."), "no");
    // From there, seen here, called through.
    let register = "C = rpc:call(N, erlang, whereis, [counter]), G(register_name, [counter, C]).";
    assert_eq!(eval(&mut world, register), "yes");
    assert_eq!(eval(&mut world, "gen_server:call({global, counter}, {add, 3})."), "3");
    assert_eq!(eval(&mut world, "rpc:call(N, gen_server, call, [{global, counter}, get])."), "3");
    assert_eq!(eval(&mut world, "global:register_name(counter, self())."), "no");
    // Replaced and freed from either side.
    assert_eq!(
        eval(
            &mut world,
            "P = spawn(fun() -> receive stop -> ok end end), put(p, P), global:re_register_name(counter, P)."
        ),
        "yes"
    );
    assert_eq!(eval(&mut world, "get(p) =:= G(whereis_name, [counter])."), "true");
    assert_eq!(eval(&mut world, "G(re_register_name, [here, rpc:call(N, erlang, whereis, [echo])])."), "yes");
    assert_eq!(eval(&mut world, "node(global:whereis_name(here)) =:= N."), "true");
    assert_eq!(eval(&mut world, "G(unregister_name, [counter]), global:unregister_name(here), ok."), "ok");
    assert_eq!(eval(&mut world, "{global:registered_names(), G(registered_names, [])}."), "{[early],[early]}");
    // A name goes with its process.
    let ends = "{ok, P} = rpc:call(N, D, start_echo, []), yes = global:register_name(p, P), exit(P, kill), ok.";
    assert_eq!(eval(&mut world, ends), "ok");
    world.beam.wait_for("global:whereis_name(p).", "undefined");
    let ends = "P = spawn(fun() -> receive stop -> ok end end), yes = G(register_name, [q, P]), P ! stop, ok.";
    assert_eq!(eval(&mut world, ends), "ok");
    let asked = format!("rpc:call({}, global, whereis_name, [q]).", world.rust.atom());
    world.beam.wait_for(&asked, "undefined");
    let shown = run(world.port, &["global", world.rust.name(), "early"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains(world.beam.name()), "{}", shown.stdout);
    assert_eq!(run(world.port, &["global", world.beam.name(), "nobody"]).code, 1);
    world.beam.assert_quiet();
}

fn locks_exclude(release: Release) {
    let mut world = World::new(release);
    synced(&mut world);
    let locks = "{G(set_lock, [{r, there}, [node(), N], 0]), global:set_lock({r, here}, [node(), N], 0), \
                 G(del_lock, [{r, there}]), global:set_lock({r, here}, [node(), N], 0), \
                 G(set_lock, [{r, there}, [node(), N], 0]), global:del_lock({r, here})}.";
    assert_eq!(world.eval(&format!("{G}{locks}")), "{true,false,true,true,false,true}");
    // A lock goes with the process that has it: erpc's ends with the call.
    let gone = "erpc:call(N, global, set_lock, [{s, x}, [node(), N], 0]).";
    assert_eq!(world.eval(gone), "true");
    world.beam.wait_for("global:set_lock({s, here}, [node()], 0).", "true");
    world.beam.assert_quiet();
}

/// Both have a name when they meet: one table afterwards, whoever's name is smaller, for each standard resolver.
fn conflicts_end_with_one_table(release: Release) {
    let port = free_port();
    let _epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden"]);
    // One who is no part of the cluster tells the tiebeam node what to do.
    let mut outside = Beam::start_with(release, &unique("out"), port, &["-start_epmd", "false", "-hidden"]);
    for prefix in ["aaa", "zzz"] {
        for resolver in ["random_exit_name", "random_notify_name", "notify_all_name"] {
            let rust = Tiebeam::demo(&unique(prefix), port);
            let mut beam = Beam::start(release, &unique("mmm"), port);
            let register = format!(
                "yes = global:register_name(clash, spawn(fun() -> receive stop -> ok end end), \
                 fun global:{resolver}/3)."
            );
            assert_eq!(beam.eval(&register), "yes");
            let there = format!(
                "P = rpc:call({0}, erlang, whereis, [echo]), \
                 rpc:call({0}, global, register_name, [clash, P, fun global:{resolver}/3]).",
                rust.atom()
            );
            assert_eq!(outside.eval(&there), "yes");
            assert_eq!(beam.eval(&format!("net_adm:ping({}), global:sync().", rust.atom())), "ok");
            let expected = match (resolver, prefix) {
                ("notify_all_name", _) => "{undefined,undefined}".to_owned(),
                (_, "aaa") => format!("{{{0},{0}}}", rust.atom()),
                _ => format!("{{{0},{0}}}", beam.atom()),
            };
            let tables = format!(
                "W = fun(undefined) -> undefined; (P) -> node(P) end, \
                 {{W(global:whereis_name(clash)), W(rpc:call({}, global, whereis_name, [clash]))}}.",
                rust.atom()
            );
            beam.wait_for(&tables, &expected);
        }
    }
}

fn a_killed_node_leaves_nothing_behind(release: Release) {
    let mut world = World::new(release);
    let mut third = Beam::start(release, &unique("third"), world.port);
    synced(&mut world);
    let join = format!("net_adm:ping({}), global:sync().", world.beam.atom());
    assert_eq!(third.eval(&join), "ok");
    third.wait_for("length(nodes()).", "2");
    assert_eq!(world.eval(&format!("{G}G(register_name, [n, rpc:call(N, erlang, whereis, [echo])]).")), "yes");
    assert_eq!(world.eval("global:register_name(kept, self())."), "yes");
    world.rust.signal("KILL");
    for beam in [&mut world.beam, &mut third] {
        beam.wait_for("{lists:sort(global:registered_names()), length(nodes())}.", "{[kept],1}");
        assert_eq!(beam.eval("global:set_lock({x, self()}), global:del_lock({x, self()}), global:sync()."), "ok");
    }
    // It comes back under its name.
    let name = world.rust.name().to_owned();
    world.rust = Tiebeam::start(&name, world.port, &["--demo", "--connect", world.beam.name()]);
    for beam in [&mut world.beam, &mut third] {
        beam.wait_for("length(nodes()).", "2");
    }
    let seen = format!("is_pid(rpc:call({}, global, whereis_name, [kept])).", world.rust.atom());
    third.wait_for(&seen, "true");
}

/// One BEAM of each release and a tiebeam node, joined in every rotation of the order.
#[test]
fn a_mesh_of_all_releases_and_tiebeam() {
    let releases = [Release::Otp25, Release::Otp27, Release::Otp29];
    if !releases.iter().all(|release| release.is_here("global::a_mesh_of_all_releases_and_tiebeam")) {
        return;
    }
    for last in [true, false] {
        let port = free_port();
        let rust = Tiebeam::demo(&unique("rust"), port);
        let mut beams: Vec<Beam> = releases.iter().map(|r| Beam::start(*r, &unique("beam"), port)).collect();
        let mut order: Vec<String> = beams.iter().map(Beam::atom).collect();
        order.insert(if last { 3 } else { 0 }, rust.atom());
        let first = order[0].clone();
        for node in &order[1..] {
            let start = Instant::now();
            let join =
                format!("rpc:call({node}, net_kernel, connect_node, [{first}]), rpc:call({node}, global, sync, []).");
            assert_eq!(beams[0].eval(&join), "ok");
            println!("{node} was in sync after {:?}", start.elapsed());
        }
        for beam in &mut beams {
            beam.wait_for("length(nodes()).", "3");
            assert_eq!(beam.eval("global:sync()."), "ok");
        }
        for (at, beam) in beams.iter_mut().enumerate() {
            assert_eq!(beam.eval(&format!("global:register_name({{name, {at}}}, self()).")), "yes");
        }
        let there = format!(
            "rpc:block_call({0}, global, register_name, [rust, rpc:call({0}, erlang, whereis, [echo])]).",
            rust.atom()
        );
        assert_eq!(beams[0].eval(&there), "yes");
        let names = "[rust,{name,0},{name,1},{name,2}]";
        for beam in &mut beams {
            beam.wait_for("lists:sort(global:registered_names()).", names);
        }
        let asked = format!("lists:sort(rpc:call({}, global, registered_names, [])).", rust.atom());
        beams[0].wait_for(&asked, names);
        for beam in &beams {
            beam.assert_quiet();
        }
    }
}

/// A node of a mesh; each knows a name before it meets the others.
enum Member {
    Beam(Beam),
    Tiebeam(Tiebeam),
}

impl Member {
    fn start(release: Option<Release>, port: u16) -> Self {
        match release {
            Some(release) => Self::Beam(Beam::start(release, &unique("beam"), port)),
            None => Self::Tiebeam(Tiebeam::demo(&unique("rust"), port)),
        }
    }

    fn atom(&self) -> String {
        match self {
            Self::Beam(beam) => beam.atom(),
            Self::Tiebeam(tiebeam) => tiebeam.atom(),
        }
    }
}

/// Every order in which four can come one after the other.
fn orders() -> Vec<[usize; 4]> {
    let all = (0..256).map(|code| [code >> 6, code >> 4 & 3, code >> 2 & 3, code & 3]);
    all.filter(|order| (0..4).all(|member| order.contains(&member))).collect()
}

/// One of each release and a tiebeam node; two BEAMs and two tiebeam nodes.
#[test]
fn four_meet_in_every_order() {
    let scenario = "global::four_meet_in_every_order";
    let releases = [Release::Otp25, Release::Otp27, Release::Otp29];
    if !is_long_run(scenario) || !releases.iter().all(|release| release.is_here(scenario)) {
        return;
    }
    let port = free_port();
    let _epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden"]);
    let mut outside = Beam::start_with(Release::Otp27, &unique("out"), port, &["-start_epmd", "false", "-hidden"]);
    let all = [Some(Release::Otp25), Some(Release::Otp27), Some(Release::Otp29), None];
    let halves = [Some(Release::Otp25), Some(Release::Otp29), None, None];
    for kinds in [all, halves] {
        let mut slowest = std::time::Duration::ZERO;
        for order in orders() {
            slowest = slowest.max(meet(&mut outside, port, &kinds, order));
        }
        println!("in any order, the slowest was in sync after {slowest:?}");
    }
}

/// They come together in this order. How long the slowest took from the dial until it was in sync.
fn meet(outside: &mut Beam, port: u16, kinds: &[Option<Release>; 4], order: [usize; 4]) -> std::time::Duration {
    let members = kinds.map(|release| Member::start(release, port));
    let atoms = members.each_ref().map(Member::atom);
    for (at, (member, atom)) in members.iter().zip(&atoms).enumerate() {
        let process = if matches!(member, Member::Beam(_)) { "init" } else { "echo" };
        let register =
            format!("rpc:call({atom}, global, register_name, [{at}, rpc:call({atom}, erlang, whereis, [{process}])]).");
        assert_eq!(outside.eval(&register), "yes");
    }
    let mut slowest = std::time::Duration::ZERO;
    for member in &order[1..] {
        let (it, first) = (&atoms[*member], &atoms[order[0]]);
        let start = Instant::now();
        let join =
            format!("{{rpc:call({it}, net_kernel, connect_node, [{first}]), rpc:call({it}, global, sync, [])}}.");
        assert_eq!(outside.eval(&join), "{true,ok}", "{order:?}");
        slowest = slowest.max(start.elapsed());
    }
    for atom in &atoms {
        outside.wait_for(&format!("length(rpc:call({atom}, erlang, nodes, []))."), "3");
        assert_eq!(outside.eval(&format!("rpc:call({atom}, global, sync, []).")), "ok", "{order:?}");
        let owners = format!("[node(rpc:call({atom}, global, whereis_name, [At])) || At <- [0, 1, 2, 3]].");
        assert_eq!(outside.eval(&owners), format!("[{}]", atoms.join(",")), "{atom} in {order:?}");
    }
    for member in &members {
        if let Member::Beam(beam) = member {
            beam.assert_quiet();
        }
    }
    slowest
}

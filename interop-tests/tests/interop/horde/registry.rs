//! A Rust member of a Horde.Registry among BEAM members, and Rust members among themselves.

use std::time::{Duration, Instant};

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, run, unique};

on_every_release!(
    names_are_known_to_all_members,
    names_are_freed_when_their_owner_ends,
    of_two_owners_one_is_told,
    visible_nodes_are_members_by_themselves,
    a_rust_member_that_was_removed_keeps_its_names,
);

const REGISTRY: &str = "LabReg";

/// Two BEAM members and a Rust one, all connected.
struct Horde {
    port: u16,
    /// Serves the EPMD, so that members can end and come back.
    epmd: Tiebeam,
    rust: Tiebeam,
    beams: [Beam; 2],
}

impl Horde {
    /// `None`, and said so, where real Horde is not given.
    fn new(release: Release, scenario: &str, auto: bool) -> Option<Self> {
        if !release.has_horde(&format!("{}::{scenario}", module_path!())) {
            return None;
        }
        let port = free_port();
        let mut flags = vec!["--demo", "--horde-registry", REGISTRY];
        if auto {
            flags.extend(["--horde-members", "auto"]);
        }
        let epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden"]);
        let rust = Tiebeam::start(&unique("rust"), port, &flags);
        let mut beams = [(); 2].map(|()| Beam::with_horde(release, &unique("horde"), port));
        let [first, second] = &mut beams;
        assert_eq!(first.eval(&format!("net_kernel:connect_node({}).", second.atom())), "true");
        for beam in [first, second] {
            assert_eq!(beam.eval(&format!("net_kernel:connect_node({}).", rust.atom())), "true");
            beam.wait_for("length(nodes()).", "2");
        }
        let members = if auto { ":auto".to_owned() } else { list(&beams) };
        for beam in &mut beams {
            let start =
                format!("{{:ok, _}} = Horde.Registry.start_link(name: LabReg, keys: :unique, members: {members}); :ok");
            assert_eq!(beam.elixir(&start), ":ok");
        }
        let mut horde = Self { port, epmd, rust, beams };
        if !auto {
            // One member is told of the new one; the others learn of it.
            let all = format!("{members} ++ [{{LabReg, {}}}]", horde.rust_atom());
            assert_eq!(horde.beams[0].elixir(&format!("Horde.Cluster.set_members(LabReg, {all})")), ":ok");
        }
        horde.all("length(gen_server:call('Elixir.LabReg', members))", "3");
        Some(horde)
    }

    fn rust_atom(&self) -> String {
        format!(":{:?}", self.rust.name())
    }

    /// Waits until all three members say the same: an Erlang expression on each BEAM, and the Rust member's answer to it
    /// through rpc where it is a call `M:F(A)` of Horde's.
    fn all(&mut self, on_beam: &str, expected: &str) {
        for beam in &mut self.beams {
            beam.wait_for(&format!("{on_beam}."), expected);
        }
        let on_rust = on_beam.replace("gen_server:call('Elixir.LabReg', members)", "RUST_MEMBERS");
        let on_rust = on_rust
            .replace("RUST_MEMBERS", &format!("gen_server:call({{'Elixir.LabReg', {}}}, members)", self.rust.atom()));
        let on_rust = rpc(&on_rust, &self.rust.atom());
        self.beams[0].wait_for(&format!("{on_rust}."), expected);
    }

    /// `Horde.Registry.lookup/2` as the Rust member answers it, as Elixir prints the values found.
    fn rust_sees(&mut self, key: &str, expected: &str) {
        let rust = self.rust.atom();
        let code =
            format!("[V || {{_, V}} <- rpc:call({rust}, 'Elixir.Horde.Registry', lookup, ['Elixir.LabReg', {key}])].");
        self.beams[0].wait_for(&code, expected);
    }
}

/// The members on these BEAMs, as an Elixir list.
fn list(beams: &[Beam; 2]) -> String {
    let [first, second] = beams.each_ref().map(|beam| format!("{{LabReg, :{:?}}}", beam.name()));
    format!("[{first}, {second}]")
}

/// `'Elixir.Horde.Registry':f(…)` as an rpc to a node; anything else as it stands.
fn rpc(code: &str, node: &str) -> String {
    let module = "'Elixir.Horde.Registry':";
    let Some(at) = code.find(module) else { return code.to_owned() };
    let (before, call) = (&code[..at], &code[at + module.len()..]);
    let open = call.find('(').expect("a call");
    let close = call.rfind(')').expect("a call");
    format!(
        "{before}rpc:call({node}, 'Elixir.Horde.Registry', {}, [{}]{}",
        &call[..open],
        &call[open + 1..close],
        &call[close..]
    )
}

fn names_are_known_to_all_members(release: Release) {
    let Some(mut horde) = Horde::new(release, "names_are_known_to_all_members", false) else { return };
    let (rust, atom) = (horde.rust_atom(), horde.rust.atom());
    // From Rust.
    let register = format!(
        "{{:ok, pid}} = :rpc.call({rust}, Tiebeam.Demo, :horde_register, [LabReg, \"r\", :from_rust]); node(pid)"
    );
    assert_eq!(horde.beams[0].elixir(&register), rust);
    let taken = format!(
        "{{:error, {{:already_registered, pid}}}} = :rpc.call({rust}, Tiebeam.Demo, :horde_register, [LabReg, \"r\", 2]); node(pid)"
    );
    assert_eq!(horde.beams[0].elixir(&taken), rust);
    // From a BEAM; the echo process lives there.
    let agent = "{:ok, _} = Agent.start(fn -> 7 end, name: {:via, Horde.Registry, {LabReg, \"b\", :from_beam}}); :ok";
    assert_eq!(horde.beams[1].elixir(agent), ":ok");
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "2");
    for beam in &mut horde.beams {
        beam.wait_for("[V || {_, V} <- 'Elixir.Horde.Registry':lookup('Elixir.LabReg', <<\"r\">>)].", "[from_rust]");
        beam.wait_for("[V || {_, V} <- 'Elixir.Horde.Registry':lookup('Elixir.LabReg', <<\"b\">>)].", "[from_beam]");
        let call = "GenServer.call({:via, Horde.Registry, {LabReg, \"r\"}}, {:hello, 1})";
        assert_eq!(beam.elixir(call), "{:hello, 1}");
        let again = "match?({:error, {:already_registered, _}}, Horde.Registry.register(LabReg, \"r\", 1))";
        assert_eq!(beam.elixir(again), "true");
        assert_eq!(beam.elixir("Horde.Registry.keys(LabReg, Horde.Registry.whereis_name({LabReg, \"r\"}))"), "[\"r\"]");
    }
    horde.rust_sees("<<\"b\">>", "[from_beam]");
    // Through the Rust member's own via, to a process of a BEAM.
    let through = format!(
        ":rpc.call({rust}, GenServer, :call, [{{:via, Horde.Registry, {{LabReg, \"b\"}}}}, {{:get, {{:erlang, :max, [3]}}}}])"
    );
    assert_eq!(horde.beams[0].elixir(&through), "7");
    // The same match specifications give the same rows.
    let spec = "[{{:\"$1\", :_, :\"$2\"}, [{:is_atom, :\"$2\"}], [{{:\"$2\", :\"$1\"}}]}]";
    let here = horde.beams[0].elixir(&format!("Horde.Registry.select(LabReg, {spec}) |> Enum.sort()"));
    let there =
        horde.beams[0].elixir(&format!(":rpc.call({rust}, Horde.Registry, :select, [LabReg, {spec}]) |> Enum.sort()"));
    assert_eq!((here.as_str(), &there), ("[from_beam: \"b\", from_rust: \"r\"]", &here));
    meta(&mut horde);
    // The program asks a Rust member as it asks a BEAM's.
    let list = run(horde.port, &["horde", horde.rust.name(), REGISTRY, "list"]);
    let beams_list = run(horde.port, &["horde", horde.beams[0].name(), REGISTRY, "list"]);
    assert_eq!((list.code, list.stdout.lines().count()), (0, 2), "{list:?}");
    assert_eq!(list.stdout, beams_list.stdout);
    let members = run(horde.port, &["horde", horde.rust.name(), REGISTRY, "members"]);
    assert_eq!(members.stdout.lines().count(), 3, "{members:?}");
    // Names given back on each side.
    let unregister = format!(":rpc.call({rust}, Horde.Registry, :unregister_name, [{{LabReg, \"r\"}}])");
    assert_eq!(horde.beams[0].elixir(&unregister), ":ok");
    assert_eq!(horde.beams[1].elixir("Horde.Registry.unregister(LabReg, \"b\")"), ":ok");
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "0");
    assert_eq!(horde.beams[0].eval(&format!("rpc:call({atom}, erlang, is_alive, []).")), "true");
    horde.beams.iter().for_each(Beam::assert_quiet);
}

/// Pairs beside the names, from both sides.
fn meta(horde: &mut Horde) {
    let rust = horde.rust_atom();
    assert_eq!(horde.beams[0].elixir("Horde.Registry.put_meta(LabReg, :colour, :blue)"), ":ok");
    let put = format!(":rpc.call({rust}, Horde.Registry, :put_meta, [LabReg, \"size\", 3])");
    assert_eq!(horde.beams[0].elixir(&put), ":ok");
    horde.all("'Elixir.Horde.Registry':meta('Elixir.LabReg', colour)", "{ok,blue}");
    horde.all("'Elixir.Horde.Registry':meta('Elixir.LabReg', <<\"size\">>)", "{ok,3}");
    horde.all("'Elixir.Horde.Registry':meta('Elixir.LabReg', nothing)", "error");
}

fn names_are_freed_when_their_owner_ends(release: Release) {
    let Some(mut horde) = Horde::new(release, "names_are_freed_when_their_owner_ends", false) else { return };
    let rust = horde.rust_atom();
    let register =
        |n: u32| format!("{{:ok, pid}} = :rpc.call({rust}, Tiebeam.Demo, :horde_register, [LabReg, {n}, nil]); pid");
    for n in 1..=3 {
        horde.beams[0].elixir(&register(n));
    }
    // A process of Rust's, registered by a call to a BEAM member, and one of a BEAM's by a call to the Rust member.
    let thin = format!(
        "{{:ok, pid}} = :rpc.call({rust}, Tiebeam.Demo, :start_echo, []); \
         {{:ok, _}} = GenServer.call(LabReg, {{:register, :thin, 1, pid}}); \
         {{:ok, agent}} = Agent.start(fn -> 0 end); \
         {{:ok, _}} = GenServer.call({{LabReg, {rust}}}, {{:register, :agent, 2, agent}}); :ok"
    );
    assert_eq!(horde.beams[0].elixir(&thin), ":ok");
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "5");
    for key in ["1", "thin", "agent"] {
        let end = format!("exit('Elixir.Horde.Registry':whereis_name({{'Elixir.LabReg', {key}}}), kill).");
        assert_eq!(horde.beams[1].eval(&end), "true");
    }
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "2");
    // A polite end of the Rust node takes its names along, before its connections close.
    let Horde { port, epmd, mut rust, mut beams } = horde;
    let name = rust.name().to_owned();
    rust.signal("TERM");
    assert_eq!(rust.exit_code(), Some(0));
    for beam in &mut beams {
        beam.wait_for("'Elixir.Horde.Registry':count('Elixir.LabReg').", "0");
    }
    // Again with the same name: it is a member still, as the BEAMs know it, and learns what there is.
    assert_eq!(beams[1].elixir("Horde.Registry.register(LabReg, \"b\", 1) |> elem(0)"), ":ok");
    let again = Tiebeam::start(&name, port, &["--demo", "--horde-registry", REGISTRY, "--connect", beams[0].name()]);
    let mut horde = Horde { port, epmd, rust: again, beams };
    horde.rust_sees("<<\"b\">>", "[1]");
    horde.all("length(gen_server:call('Elixir.LabReg', members))", "3");
    killed(&mut horde);
    horde.beams.iter().for_each(assert_quiet_but_for_the_loss);
}

/// Of two nodes that lose a third, one may hear of it from the other first, and say so: in a cluster of BEAMs too.
fn assert_quiet_but_for_the_loss(beam: &Beam) {
    let log = beam.log();
    let mut complaints = log.lines().filter(|line| line.contains("[error]") || line.contains("[warning]"));
    assert!(complaints.all(|line| line.contains("overlapping partitions")), "{log}");
}

/// A Rust node that is killed leaves names that nobody finds; once it is back, they are gone.
fn killed(horde: &mut Horde) {
    let rust = horde.rust_atom();
    let register = format!("{{:ok, _}} = :rpc.call({rust}, Tiebeam.Demo, :horde_register, [LabReg, :old, 1]); :ok");
    assert_eq!(horde.beams[0].elixir(&register), ":ok");
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "2");
    horde.rust.signal("KILL");
    assert_eq!(horde.rust.exit_code(), None);
    for beam in &mut horde.beams {
        beam.wait_for("length(nodes()).", "1");
        beam.wait_for("'Elixir.Horde.Registry':lookup('Elixir.LabReg', old).", "[]");
    }
    let name = horde.rust.name().to_owned();
    let flags = ["--demo", "--horde-registry", REGISTRY, "--connect", horde.beams[0].name()];
    horde.rust = Tiebeam::start(&name, horde.port, &flags);
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "1");
}

fn of_two_owners_one_is_told(release: Release) {
    let Some(mut horde) = Horde::new(release, "of_two_owners_one_is_told", false) else { return };
    let (rust, atom) = (horde.rust_atom(), horde.rust.atom());
    // A call to a registry takes the name whoever has it, as members do that do not see each other. The second owner's
    // member has heard of the first: so it is the second that keeps the name.
    let rust_first = format!(
        "{{:ok, pid}} = :rpc.call({rust}, Tiebeam.Demo, :horde_register, [LabReg, :a, 1]); \
         {{:ok, _}} = :rpc.call({rust}, Tiebeam.Demo, :watch, [pid, :erlang.whereis(:first)]); :ok"
    );
    let keep = "Process.register(spawn(fn -> Process.sleep(:infinity) end), :first)";
    assert_eq!(horde.beams[0].elixir(keep), "true");
    assert_eq!(horde.beams[0].elixir(&rust_first), ":ok");
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "1");
    let then_beam = "{:ok, agent} = Agent.start(fn -> 0 end); \
                     {:ok, _} = GenServer.call(LabReg, {:register, :a, 2, agent}); Process.register(agent, :second); :ok";
    assert_eq!(horde.beams[0].elixir(then_beam), ":ok");
    let told = "case process_info(whereis(first), messages) of {messages, [{down, _, {name_conflict, {a, 1}, \
                'Elixir.LabReg', Winner}}]} -> Winner =:= whereis(second); Other -> Other end.";
    horde.beams[0].wait_for(told, "true");
    let beam_first = "{:ok, agent} = Agent.start(fn -> 0 end); Process.register(agent, :third); \
                      {:ok, _} = GenServer.call(LabReg, {:register, :b, 1, agent}); :ok";
    assert_eq!(horde.beams[0].elixir(beam_first), ":ok");
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "2");
    let then_rust = format!(
        "ref = Process.monitor(:third); \
         {{:ok, echo}} = :rpc.call({rust}, Tiebeam.Demo, :start_echo, []); \
         {{:ok, _}} = GenServer.call({{LabReg, {rust}}}, {{:register, :b, 2, echo}}); \
         receive do {{:DOWN, ^ref, _, _, why}} -> {{elem(why, 0), elem(why, 1), elem(why, 2), elem(why, 3) == echo}} \
         after 10000 -> :none end"
    );
    assert_eq!(horde.beams[0].elixir(&then_rust), "{:name_conflict, {:b, 1}, LabReg, true}");
    let owner = "[node(P) || {P, _} <- 'Elixir.Horde.Registry':lookup('Elixir.LabReg', b)].";
    for beam in &mut horde.beams {
        beam.wait_for(owner, &format!("[{atom}]"));
    }
}

fn visible_nodes_are_members_by_themselves(release: Release) {
    let Some(mut horde) = Horde::new(release, "visible_nodes_are_members_by_themselves", true) else { return };
    let rust = horde.rust_atom();
    let register = format!("{{:ok, _}} = :rpc.call({rust}, Tiebeam.Demo, :horde_register, [LabReg, :r, 1]); :ok");
    assert_eq!(horde.beams[0].elixir(&register), ":ok");
    assert_eq!(horde.beams[1].elixir("Horde.Registry.register(LabReg, :b, 1) |> elem(0)"), ":ok");
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "2");
    // A node that goes is no member, and its names go with it.
    let Horde { port, epmd: _epmd, rust, beams: [mut first, second] } = horde;
    drop(second);
    let on_rust = |what: &str| format!("rpc:call({}, 'Elixir.Horde.Registry', {what}).", rust.atom());
    first.wait_for("length(gen_server:call('Elixir.LabReg', members)).", "2");
    first.wait_for(&on_rust("count, ['Elixir.LabReg']"), "1");
    first.wait_for("'Elixir.Horde.Registry':count('Elixir.LabReg').", "1");
    let members = run(port, &["horde", rust.name(), REGISTRY, "members"]);
    assert_eq!(members.stdout.lines().count(), 2, "{members:?}");
    assert_quiet_but_for_the_loss(&first);
}

fn a_rust_member_that_was_removed_keeps_its_names(release: Release) {
    let Some(mut horde) = Horde::new(release, "a_rust_member_that_was_removed_keeps_its_names", true) else { return };
    let rust = horde.rust_atom();
    for key in [":x", ":y"] {
        let register =
            format!("{{:ok, _}} = :rpc.call({rust}, Tiebeam.Demo, :horde_register, [LabReg, {key}, 1]); :ok");
        assert_eq!(horde.beams[0].elixir(&register), ":ok");
    }
    horde.all("'Elixir.Horde.Registry':count('Elixir.LabReg')", "2");
    let others = list(&horde.beams);
    assert_eq!(horde.beams[0].elixir(&format!("Horde.Cluster.set_members(LabReg, {others})")), ":ok");
    let kept = "length([1 || K <- [x, y], {_, 1} <- 'Elixir.Horde.Registry':lookup('Elixir.LabReg', K)])";
    // It takes a moment until the removal comes around; then all is as before.
    std::thread::sleep(Duration::from_secs(1));
    horde.all("length(gen_server:call('Elixir.LabReg', members))", "3");
    for beam in &mut horde.beams {
        beam.wait_for(&format!("{kept}."), "2");
    }
    horde.beams.iter().for_each(Beam::assert_quiet);
}

/// Needs no Horde: three Rust nodes, asked by the program.
#[test]
fn rust_members_among_themselves() {
    let port = free_port();
    let names = [(); 3].map(|()| unique("rust"));
    let [a, b, c] = &names;
    let members = names.join(",");
    let flags = ["--demo", "--horde-registry", REGISTRY, "--horde-members", &members];
    let first = Tiebeam::start(a, port, &flags);
    let second = Tiebeam::start(b, port, &[&flags[..], &["--connect", a]].concat());
    let third = Tiebeam::start(c, port, &[&flags[..], &["--connect", a]].concat());
    let register = |node: &str, key: &str| {
        run(port, &["rpc", node, &format!("Tiebeam.Demo.horde_register(LabReg, {key}, :value)")])
    };
    for (node, key) in [(a, ":a"), (b, ":b"), (c, ":c")] {
        let done = register(node, key);
        assert!(done.code == 0 && done.stdout.starts_with("{:ok, "), "{done:?}");
    }
    let show = |node: &str, what: &[&str]| run(port, &[&["horde", node, REGISTRY], what].concat());
    for node in &names {
        until(|| show(node, &["list"]).stdout.lines().count() == 3);
        until(|| show(node, &["members"]).stdout.lines().count() == 3);
    }
    assert_eq!(show(a, &["list"]).stdout, show(c, &["list"]).stdout);
    let taken = register(c, ":a");
    assert!(taken.stdout.starts_with("{:error, {:already_registered, "), "{taken:?}");
    let through = "GenServer.call({:via, Horde.Registry, {LabReg, :b}}, :ping)";
    assert_eq!(run(port, &["rpc", a, through]).stdout, ":ping\n");
    // A node that ends politely frees its names; one that is killed is not found any more.
    second.signal("TERM");
    for node in [a, c] {
        until(|| show(node, &["list"]).stdout.lines().count() == 2);
    }
    third.signal("KILL");
    until(|| show(a, &["lookup", ":c"]).code == 1);
    assert_eq!(show(a, &["lookup", ":a"]).code, 0);
    drop(first);
}

fn until(is_so: impl Fn() -> bool) {
    let last = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < last, "it does not become so");
        std::thread::sleep(Duration::from_millis(50));
    }
}

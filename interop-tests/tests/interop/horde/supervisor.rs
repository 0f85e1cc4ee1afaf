//! A Rust member of a Horde.DynamicSupervisor among BEAM members, and Rust members among themselves.

use std::time::{Duration, Instant};

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, run, unique};

on_every_release!(
    an_observer_runs_nothing_and_disturbs_nothing,
    children_run_on_rust_and_beam_members,
    what_rust_cannot_run_is_refused_by_name,
);

/// Two BEAM members and a Rust one, all connected.
struct Horde {
    port: u16,
    rust: Tiebeam,
    beams: [Beam; 2],
}

impl Horde {
    /// `None`, and said so, where real Horde is not given.
    fn new(release: Release, scenario: &str, options: &str, flags: &[&str]) -> Option<Self> {
        if !release.has_horde(&format!("{}::{scenario}", module_path!())) {
            return None;
        }
        let port = free_port();
        let rust =
            Tiebeam::start(&unique("rust"), port, &[&["--demo", "--horde-supervisor", "LabSup"], flags].concat());
        let mut beams = [(); 2].map(|()| Beam::with_horde(release, &unique("horde"), port));
        let [first, second] = &mut beams;
        assert_eq!(first.eval(&format!("net_kernel:connect_node({}).", second.atom())), "true");
        for beam in [first, second] {
            assert_eq!(beam.eval(&format!("net_kernel:connect_node({}).", rust.atom())), "true");
            beam.wait_for("length(nodes()).", "2");
        }
        let list = beams.each_ref().map(|beam| format!("{{LabSup, :{:?}}}", beam.name())).join(", ");
        for beam in &mut beams {
            let start = format!(
                "{{:ok, _}} = Horde.DynamicSupervisor.start_link(name: LabSup, strategy: :one_for_one, \
                 members: [{list}]{options}); :ok"
            );
            assert_eq!(beam.elixir(&start), ":ok");
        }
        let mut horde = Self { port, rust, beams };
        let all = format!("[{list}, {{LabSup, :{:?}}}]", horde.rust.name());
        assert_eq!(horde.beams[0].elixir(&format!("Horde.Cluster.set_members(LabSup, {all})")), ":ok");
        for beam in &mut horde.beams {
            beam.wait_for("length(gen_server:call('Elixir.LabSup', members)).", "3");
        }
        horde.on_rust("length", "members", "3");
        Some(horde)
    }

    fn rust_atom(&self) -> String {
        format!(":{:?}", self.rust.name())
    }

    /// Waits until the Rust member's answer to a call, given to an Erlang function, is this.
    fn on_rust(&mut self, function: &str, request: &str, expected: &str) {
        let code = format!("{function}(gen_server:call({{'Elixir.LabSup', {}}}, {request})).", self.rust.atom());
        self.beams[0].wait_for(&code, expected);
    }

    /// Waits until all three members count so many children.
    fn all_count(&mut self, children: usize) {
        let count = format!("#{{active => {children}}}");
        let active = |call: &str| format!("maps:with([active], {call}).");
        for beam in &mut self.beams {
            beam.wait_for(&active("'Elixir.Horde.DynamicSupervisor':count_children('Elixir.LabSup')"), &count);
            let listed = "length('Elixir.Horde.DynamicSupervisor':which_children('Elixir.LabSup')).";
            beam.wait_for(listed, &children.to_string());
        }
        let rust = self.rust.atom();
        let on_rust = format!("rpc:call({rust}, 'Elixir.Horde.DynamicSupervisor', count_children, ['Elixir.LabSup'])");
        self.beams[0].wait_for(&active(&on_rust), &count);
        self.on_rust("length", "which_children", &children.to_string());
        // Each knows of all, which is a moment later than that they run.
        let known = "maps:get(global_supervised_process_count, ";
        for beam in &mut self.beams {
            beam.wait_for(&format!("{known}gen_server:call('Elixir.LabSup', get_telemetry))."), &children.to_string());
        }
        let rust = self.rust.atom();
        let code = format!("{known}gen_server:call({{'Elixir.LabSup', {rust}}}, get_telemetry)).");
        self.beams[0].wait_for(&code, &children.to_string());
    }

    /// Waits until each BEAM member knows that so many are alive: the ring of all is then the same.
    fn all_know_alive(&mut self, members: usize) {
        let alive = "length([1 || {_, #{status := alive}} <- maps:to_list(maps:get(members_info, sys:get_state('Elixir.LabSup')))]).";
        for beam in &mut self.beams {
            beam.wait_for(alive, &members.to_string());
        }
    }

    /// Where the children run, in order.
    fn places(&mut self) -> Vec<String> {
        let nodes = "lists:usort([node(P) || {_, P, _, _} <- \
                     'Elixir.Horde.DynamicSupervisor':which_children('Elixir.LabSup')]).";
        let shown = self.beams[0].eval(nodes);
        shown.trim_matches(['[', ']']).split(',').map(str::to_owned).collect()
    }
}

/// A module of the name that Rust's demo functions have, so that both can run such children.
const MODULE: &str = "defmodule Tiebeam.Demo do def start_counter(n), do: Agent.start_link(fn -> n end) end; :ok";

fn start(n: usize) -> String {
    format!("%{{id: {n}, start: {{Tiebeam.Demo, :start_counter, [{n}]}}}}")
}

fn an_observer_runs_nothing_and_disturbs_nothing(release: Release) {
    let scenario = "an_observer_runs_nothing_and_disturbs_nothing";
    let quorum = ", distribution_strategy: Horde.UniformQuorumDistribution";
    let flags = ["--horde-observer", "--horde-strategy", "uniform-quorum"];
    let Some(mut horde) = Horde::new(release, scenario, quorum, &flags) else { return };
    let rust = horde.rust_atom();
    for beam in &mut horde.beams {
        assert_eq!(beam.elixir("Horde.DynamicSupervisor.wait_for_quorum(LabSup, 10000)"), ":ok");
    }
    horde.all_know_alive(2);
    let children = "for i <- 1..20, do: {:ok, _} = Horde.DynamicSupervisor.start_child(LabSup, \
                    %{id: i, start: {Agent, :start_link, [Kernel, :max, [i, i]]}}); :ok";
    assert_eq!(horde.beams[0].elixir(children), ":ok");
    // Asked to start one, it hands the request on.
    let through = format!(
        "{{:ok, pid}} = Horde.DynamicSupervisor.start_child({{LabSup, {rust}}}, \
         %{{id: 0, start: {{Agent, :start_link, [Kernel, :self, []]}}}}); node(pid) == {rust}"
    );
    assert_eq!(horde.beams[1].elixir(&through), "false");
    horde.all_count(21);
    let mut beams = horde.beams.each_ref().map(Beam::atom).to_vec();
    beams.sort();
    assert_eq!(horde.places(), beams);
    // And so with their end.
    let end = format!(
        "[{{_, pid, _, _}} | _] = Horde.DynamicSupervisor.which_children(LabSup); \
         Horde.DynamicSupervisor.terminate_child({{LabSup, {rust}}}, pid)"
    );
    assert_eq!(horde.beams[1].elixir(&end), ":ok");
    horde.all_count(20);
    // It goes without a trace.
    horde.rust.signal("KILL");
    let [first, second] = &mut horde.beams;
    for beam in [&mut *first, &mut *second] {
        beam.wait_for("length(nodes()).", "1");
        beam.wait_for("maps:get(active, 'Elixir.Horde.DynamicSupervisor':count_children('Elixir.LabSup')).", "20");
    }
}

fn children_run_on_rust_and_beam_members(release: Release) {
    let Some(mut horde) = Horde::new(release, "children_run_on_rust_and_beam_members", "", &[]) else { return };
    let rust = horde.rust_atom();
    for beam in &mut horde.beams {
        assert_eq!(beam.elixir(MODULE), ":ok");
    }
    horde.all_know_alive(3);
    for (n, to) in (1..=30).zip(["LabSup".to_owned(), format!("{{LabSup, {rust}}}")].iter().cycle()) {
        let started =
            horde.beams[0].elixir(&format!("Horde.DynamicSupervisor.start_child({to}, {}) |> elem(0)", start(n)));
        assert_eq!(started, ":ok");
    }
    horde.all_count(30);
    assert_eq!(horde.places().len(), 3, "the ring gives some to each");
    // Each is what the specification says, wherever it runs.
    let values = format!(
        "Horde.DynamicSupervisor.which_children(LabSup) |> Enum.map(fn {{_, pid, :worker, _}} -> \
         if node(pid) == {rust}, do: GenServer.call(pid, :get), else: Agent.get(pid, & &1) end) |> Enum.sort() == Enum.to_list(1..30)"
    );
    assert_eq!(horde.beams[1].elixir(&values), "true");
    let on_rust = format!(
        "pids = for {{_, pid, _, _}} <- Horde.DynamicSupervisor.which_children(LabSup), node(pid) == {rust}, do: pid"
    );
    // One that crashes is started again where it ran; one that is ended stays ended.
    assert_eq!(horde.beams[0].elixir(&format!("{on_rust}; Process.exit(hd(pids), :kill)")), "true");
    horde.all_count(30);
    let end = format!("{on_rust}; Horde.DynamicSupervisor.terminate_child(LabSup, List.last(pids))");
    assert_eq!(horde.beams[1].elixir(&end), ":ok");
    horde.all_count(29);
    // A BEAM member that ends: Rust takes over what falls to it.
    let Horde { port, rust: node, beams: [mut first, second] } = horde;
    drop(second);
    first.wait_for("maps:get(active, 'Elixir.Horde.DynamicSupervisor':count_children('Elixir.LabSup')).", "29");
    // And a Rust member that is asked to end gives its children to those that stay.
    let mut node = node;
    node.signal("TERM");
    assert_eq!(node.exit_code(), Some(0));
    first.wait_for("maps:get(active, 'Elixir.Horde.DynamicSupervisor':count_children('Elixir.LabSup')).", "29");
    let local = "length([1 || {_, P, _, _} <- 'Elixir.Horde.DynamicSupervisor':which_children('Elixir.LabSup'), node(P) =:= node()]).";
    first.wait_for(local, "29");
    assert_ne!(port, 0);
}

fn what_rust_cannot_run_is_refused_by_name(release: Release) {
    let Some(mut horde) = Horde::new(release, "what_rust_cannot_run_is_refused_by_name", "", &[]) else { return };
    let rust = horde.rust_atom();
    // Until the ring gives one to Rust.
    let refused = format!(
        "Enum.find_value(Stream.iterate(1, & &1 + 1), fn n -> \
         case Horde.DynamicSupervisor.start_child(LabSup, %{{id: n, start: {{Agent, :start_link, [Kernel, :max, [n, n]]}}}}) do \
         {{:ok, _}} -> nil; other -> other end end) == {{:error, {{:not_exported, {{Agent, :start_link, 3}}, {rust}}}}}"
    );
    assert_eq!(horde.beams[0].elixir(&refused), "true");
    horde.beams.iter().for_each(Beam::assert_quiet);
}

/// Needs no Horde: three Rust nodes, asked by the program.
#[test]
fn rust_members_among_themselves() {
    let port = free_port();
    let names = [(); 3].map(|()| unique("rust"));
    let [a, b, c] = &names;
    let members = names.join(",");
    let flags =
        ["--demo", "--horde-supervisor", "LabSup", "--horde-members", &members, "--horde-redistribution", "active"];
    let first = Tiebeam::start(a, port, &flags);
    let second = Tiebeam::start(b, port, &[&flags[..], &["--connect", a]].concat());
    let ask = |node: &str, function: &str, args: &str| {
        run(port, &["rpc", node, &format!("Horde.DynamicSupervisor.{function}(LabSup{args})")])
    };
    let count = |node: &str| ask(node, "count_children", "").stdout;
    until("two members", || {
        run(port, &["call", a, "LabSup", ":get_telemetry"]).code == 0
            && run(port, &["rpc", b, "Horde.Cluster.members(LabSup)"]).stdout.matches("LabSup").count() == 3
    });
    for n in 1..=20 {
        let started = ask(if n % 2 == 0 { a } else { b }, "start_child", &format!(", {}", start(n)));
        assert!(started.stdout.starts_with("{:ok, "), "{started:?}");
    }
    let all = "%{active: 20, specs: 20, supervisors: 0, workers: 20}\n";
    for node in [a, b] {
        until("twenty children", || count(node) == all);
    }
    // A third member gets its share, and gives it back when it goes.
    let mut third = Tiebeam::start(c, port, &[&flags[..], &["--connect", a]].concat());
    let on_third = || ask(a, "which_children", "").stdout.matches(c.as_str()).count();
    until("a share for the third", || on_third() > 0 && count(c) == all);
    third.signal("TERM");
    assert_eq!(third.exit_code(), Some(0));
    until("all back", || count(a) == all && on_third() == 0);
    // One that is killed is not asked: the others see that it is gone.
    second.signal("KILL");
    until("all taken over", || count(a) == all);
    let listed = ask(a, "which_children", "").stdout;
    assert_eq!(listed.matches(a.as_str()).count(), 20, "{listed}");
    drop(first);
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let last = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < last, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! Children that only Rust can run beside those that only BEAMs can, in one supervisor; and their state, which moves along.

use interop_tests::{Release, on_every_release};

use super::mesh::{Kind, Member, Mesh, Setup};

on_every_release!(each_child_runs_where_it_can_and_keeps_its_state);

const STRATEGY: &str = include_str!("../../../beam/hybrid_distribution.ex");

/// The numbers of the Rust counters, and how many children of BEAMs there are, as a member counts them.
const CHILDREN: &str = "lists:sort([gen_server:call(P, get) || {_, P, _, ['Elixir.Tiebeam.Demo']} <- \
                        'Elixir.Horde.DynamicSupervisor':which_children('Elixir.LabSup')]).";

fn each_child_runs_where_it_can_and_keeps_its_state(release: Release) {
    let scenario = format!("{}::each_child_runs_where_it_can_and_keeps_its_state", module_path!());
    let setup = Setup {
        kinds: &[Kind::Beam(release), Kind::Rust, Kind::Rust],
        flags: &["--horde-strategy", "hybrid", "--horde-rust-module", "Tiebeam.Demo"],
        kept: true,
        options: ", distribution_strategy: Tiebeam.HybridDistribution",
        prelude: &format!("{STRATEGY}\nApplication.put_env(:tiebeam, :rust_modules, [Tiebeam.Demo]); :ok"),
        ..Setup::default()
    };
    let Some(mut mesh) = Mesh::new(&scenario, &setup) else { return };
    // Each member in turn is asked for both kinds.
    let names: Vec<_> = mesh.members.iter().map(Member::atom).collect();
    for n in 0..20 {
        let start = |spec: &str| {
            format!("element(1, gen_server:call({{'Elixir.LabSup', {}}}, {{start_child, {spec}}})).", names[n % 3])
        };
        let rust = format!(
            "#{{id => {n}, start => {{'Elixir.Tiebeam.Demo', start_kept_counter, ['Elixir.LabKept', {{kept, {n}}}, {n}]}}}}"
        );
        let beam =
            format!("#{{id => {n}, start => {{'Elixir.Agent', start_link, ['Elixir.Kernel', max, [{n}, {n}]]}}}}");
        assert_eq!(mesh.driver.eval(&start(&rust)), "ok");
        assert_eq!(mesh.driver.eval(&start(&beam)), "ok");
    }
    let places = "lists:usort([{hd(M), node(P)} || {_, P, _, M} <- 'Elixir.Horde.DynamicSupervisor':which_children('Elixir.LabSup')]).";
    let mut rusts = names[1..].to_vec();
    rusts.sort();
    let expected = format!(
        "[{{'Elixir.Agent',{}}},{{'Elixir.Tiebeam.Demo',{}}},{{'Elixir.Tiebeam.Demo',{}}}]",
        names[0], rusts[0], rusts[1]
    );
    let numbers = |from: i32| format!("lists:seq({from}, {from} + 19) =:= {CHILDREN}");
    let beam = mesh.members[0].beam();
    beam.wait_for(places, &expected);
    beam.wait_for(&numbers(0), "true");
    let add = "lists:usort([gen_server:call(P, {add, 100}) >= 100 || {_, P, _, ['Elixir.Tiebeam.Demo']} <- \
               'Elixir.Horde.DynamicSupervisor':which_children('Elixir.LabSup')]).";
    assert_eq!(beam.eval(add), "[true]");
    // Two that got the same name: the loser's number goes to the winner.
    let conflict = format!("horde_load:conflict({}, {}).", names[1], names[2]);
    assert_eq!(mesh.driver.eval(&conflict), "42");
    // One Rust member goes: the other has all counters, each with its number.
    leave(&mut mesh, 1);
    let beam = mesh.members[0].beam();
    beam.wait_for(&numbers(100), "true");
    let expected = format!("[{{'Elixir.Agent',{}}},{{'Elixir.Tiebeam.Demo',{}}}]", names[0], names[2]);
    beam.wait_for(places, &expected);
    // The other goes too: nobody can run them, and says so; what BEAMs run goes on.
    leave(&mut mesh, 2);
    let refused = "gen_server:call('Elixir.LabSup', {start_child, #{id => 1, start => {'Elixir.Tiebeam.Demo', start_counter, [1]}}}).";
    let beam = mesh.members[0].beam();
    beam.wait_for(refused, "{error,{no_member_runs,'Elixir.Tiebeam.Demo'}}");
    beam.wait_for(places, &format!("[{{'Elixir.Agent',{}}}]", names[0]));
    // They were not lost: a Rust member that comes back runs them again.
    mesh.restart(1);
    let beam = mesh.members[0].beam();
    beam.wait_for(&format!("length({}).", CHILDREN.trim_end_matches('.')), "20");
    mesh.assert_quiet();
}

/// Ends a Rust member politely.
fn leave(mesh: &mut Mesh, at: usize) {
    let Member::Rust(rust) = &mut mesh.members[at] else { panic!("no Rust member") };
    rust.signal("TERM");
    assert_eq!(rust.exit_code(), Some(0));
}

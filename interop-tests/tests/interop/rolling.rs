//! A rolling restart of a mixed cluster of five under load: only callers of the restarting node notice it.

use std::time::{Duration, Instant};

use interop_tests::{Beam, Release, Tiebeam, free_port, unique};

const RELEASES: [Release; 3] = [Release::Otp25, Release::Otp27, Release::Otp29];

/// Each has a counter, whose name in the whole cluster is the node's own.
enum Member {
    Beam(Beam),
    Rust(#[expect(dead_code, reason = "runs until it is dropped")] Tiebeam),
}

struct Cluster {
    port: u16,
    names: Vec<String>,
    members: Vec<Option<Member>>,
    /// Serves as everybody's EPMD, and is no member.
    _epmd: Tiebeam,
}

/// Calls a counter by its node and by its name until it is told to stop; then says how often that went well, and what
/// went wrong.
const LOAD: &str = "Load = fun Load(Z, Good, Bad) ->
        receive {stop, From} -> From ! {self(), Good, Bad} after 0 ->
            Asked = [catch gen_server:call(To, get, 10000) || To <- [{counter, Z}, {global, Z}]],
            Load(Z, Good + length([N || N <- Asked, is_integer(N)]), [{Z, E} || E <- Asked, not is_integer(E)] ++ Bad)
        end
    end, ";

impl Cluster {
    fn new() -> Self {
        let port = free_port();
        let epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden"]);
        let names = ["b25", "b27", "b29", "r1", "r2"].map(unique).to_vec();
        let mut cluster = Self { port, members: names.iter().map(|_| None).collect(), names, _epmd: epmd };
        for at in 0..cluster.names.len() {
            cluster.start(at);
        }
        cluster
    }

    /// Starts a member, connects it to those that run, and registers its counter.
    fn start(&mut self, at: usize) {
        let name = self.names[at].clone();
        let others: Vec<String> = (0..self.names.len())
            .filter(|other| *other != at && self.members[*other].is_some())
            .map(|other| self.names[other].clone())
            .collect();
        self.members[at] = Some(match RELEASES.get(at) {
            Some(release) => {
                let mut beam = Beam::start(*release, &name, self.port);
                assert_eq!(beam.eval("'Elixir.Tiebeam.Demo':serve()."), "ok");
                let others: Vec<String> = others.iter().map(|other| format!("'{other}'")).collect();
                beam.eval(&format!("[net_kernel:connect_node(N) || N <- [{}]].", others.join(",")));
                Member::Beam(beam)
            }
            None => {
                let connect: Vec<&str> = others.iter().flat_map(|other| ["--connect", other]).collect();
                Member::Rust(Tiebeam::start(&name, self.port, &[&["--demo"], &connect[..]].concat()))
            }
        });
        let everybody = self.members.iter().filter(|member| member.is_some()).count();
        let seen = format!("length(rpc:call('{name}', erlang, nodes, [])).");
        let driver = self.beam(at);
        if everybody > 1 {
            driver.wait_for(&seen, &(everybody - 1).to_string());
        }
        let register = format!(
            "global:sync(), rpc:block_call('{name}', global, register_name, \
             ['{name}', rpc:call('{name}', erlang, whereis, [counter])])."
        );
        assert_eq!(driver.eval(&register), "yes");
    }

    /// A BEAM that is not the one at `but`, where there is another.
    fn beam(&mut self, but: usize) -> &mut Beam {
        let running = |at: &usize| matches!(self.members[*at], Some(Member::Beam(_)));
        let at = (0..RELEASES.len()).filter(running).min_by_key(|at| *at == but).expect("a BEAM runs");
        let Some(Member::Beam(beam)) = &mut self.members[at] else { unreachable!("it is a BEAM") };
        beam
    }

    /// Waits until each member sees all others and all names.
    fn agreed(&mut self) {
        let mut names: Vec<String> = self.names.iter().map(|name| format!("'{name}'")).collect();
        names.sort_unstable();
        let all = format!("[{}]", names.join(","));
        for name in self.names.clone() {
            let nodes = format!("lists:sort(['{name}' | rpc:call('{name}', erlang, nodes, [])]).");
            let registered = format!("lists:sort(rpc:call('{name}', global, registered_names, [])).");
            for look in [nodes, registered] {
                self.beam(usize::MAX).wait_for(&look, &all);
            }
        }
    }

    /// On each BEAM but `but`: a process for every member but `but`, which calls it without a pause.
    fn load(&mut self, but: usize) {
        let targets: Vec<String> =
            self.names.iter().enumerate().filter(|(at, _)| *at != but).map(|(_, name)| format!("'{name}'")).collect();
        let start =
            format!("{LOAD} put(load, [spawn(fun() -> Load(Z, 0, []) end) || Z <- [{}]]), ok.", targets.join(","));
        self.each_beam(but, |beam| assert_eq!(beam.eval(&start), "ok"));
    }

    fn stop_load(&mut self, but: usize) -> u64 {
        let stop = "Told = [begin P ! {stop, self()}, receive {P, Good, Bad} -> {Good, Bad} end end || P <- get(load)], \
                    [] = lists:append([Bad || {_, Bad} <- Told]), lists:sum([Good || {Good, _} <- Told]).";
        let mut calls = 0;
        self.each_beam(but, |beam| calls += beam.eval(stop).parse::<u64>().expect("a number of calls"));
        calls
    }

    fn each_beam(&mut self, but: usize, mut what: impl FnMut(&mut Beam)) {
        for (at, member) in self.members.iter_mut().enumerate() {
            if let (true, Some(Member::Beam(beam))) = (at != but, member) {
                what(beam);
            }
        }
    }
}

#[test]
fn each_of_five_restarts_and_only_its_own_callers_notice() {
    let scenario = "rolling::each_of_five_restarts_and_only_its_own_callers_notice";
    if !interop_tests::is_long_run(scenario) || !RELEASES.iter().all(|release| release.is_here(scenario)) {
        return;
    }
    let mut cluster = Cluster::new();
    cluster.agreed();
    for at in 0..cluster.names.len() {
        let (started, victim) = (Instant::now(), cluster.names[at].clone());
        cluster.load(at);
        // Load before, during and after.
        std::thread::sleep(Duration::from_millis(500));
        cluster.members[at] = None;
        let gone = format!("lists:member('{victim}', nodes()).");
        cluster.beam(at).wait_for(&gone, "false");
        cluster.start(at);
        cluster.agreed();
        let calls = cluster.stop_load(at);
        assert!(calls > 100, "{calls} calls are no load");
        println!("{victim} restarted in {:?} under {calls} calls of the others, none failed", started.elapsed());
    }
}

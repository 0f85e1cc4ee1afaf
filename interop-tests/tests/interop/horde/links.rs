//! Links of a live Horde that are closed all at once, again and again: nothing that a living Rust process has is lost.

use std::time::{Duration, Instant};

use interop_tests::Release::{Otp25, Otp27, Otp29};

use super::mesh::{Kind, Member, Mesh, Setup};

#[test]
fn members_that_are_listed_find_each_other() {
    cut("members_that_are_listed_find_each_other", &[Kind::Rust, Kind::Beam(Otp27), Kind::Beam(Otp29)], false);
}

#[test]
fn two_rust_members_that_are_listed_find_each_other() {
    cut("two_rust_members_that_are_listed_find_each_other", &[Kind::Rust, Kind::Rust, Kind::Beam(Otp25)], false);
}

#[test]
fn visible_nodes_find_each_other() {
    cut("visible_nodes_find_each_other", &[Kind::Rust, Kind::Beam(Otp27), Kind::Beam(Otp29)], true);
}

#[test]
fn two_rust_and_visible_nodes_find_each_other() {
    cut("two_rust_and_visible_nodes_find_each_other", &[Kind::Rust, Kind::Rust, Kind::Beam(Otp27)], true);
}

/// How often all links of a member are closed; more often where the environment says so.
fn rounds() -> usize {
    std::env::var("TIEBEAM_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4)
}

fn cut(scenario: &str, kinds: &[Kind], auto: bool) {
    let scenario = format!("{}::{scenario}", module_path!());
    let Some(mut mesh) = Mesh::new(&scenario, &Setup { kinds, auto, ..Setup::default() }) else { return };
    let list = mesh.list();
    let register = format!(
        "lists:usort([element(1, horde_load:register_here(M, {{N, K}})) || {{N, _}} = M <- {list}, K <- [1, 2]])."
    );
    assert_eq!(mesh.driver.eval(&register), "[ok]");
    mesh.until_equal();
    let rusts: Vec<_> = mesh.members.iter().filter(|member| member.is_rust()).map(Member::atom).collect();
    let connect = format!(
        "[catch erpc:call(N, net_kernel, connect_node, [P], 10000) || {{N, _}} <- {list}, {{P, _}} <- {list}, N =/= P], ok."
    );
    // How many of the Rust members' names a member finds.
    let found = format!(
        "lists:usort([length([1 || N <- [{}], K <- [1, 2], [{{P, _}}] <- [erpc:call(M, 'Elixir.Horde.Registry', lookup, \
         ['Elixir.LabReg', {{N, K}}])], node(P) =:= N]) || {{M, _}} <- {list}]).",
        rusts.join(",")
    );
    for round in 0..rounds() {
        let victim = mesh.members[round % mesh.members.len()].atom();
        let others = format!("[N || {{N, _}} <- {list}, N =/= {victim}]");
        let close = format!("[erpc:call({victim}, erlang, disconnect_node, [N]) || N <- {others}], ok.");
        // Every other time they cannot find each other at once, and get further names meanwhile.
        let apart = round % 4 >= 2;
        if apart {
            mesh.isolate(round % mesh.members.len());
        }
        assert_eq!(mesh.driver.eval(&close), "ok");
        if apart {
            std::thread::sleep(Duration::from_millis(u64::try_from(round * 173 % 1500).expect("less than 1500")));
            let more = format!("[horde_load:register_here(M, {{new, {round}, N}}) || {{N, _}} = M <- {list}], ok.");
            assert_eq!(mesh.driver.eval(&more), "ok");
            mesh.network.heal();
        }
        // And a Rust member finds the others by itself; BEAMs that only see each other do not.
        if round % 2 == 0 || !mesh.members[round % mesh.members.len()].is_rust() {
            assert_eq!(mesh.driver.eval(&connect), "ok");
        }
        let closed = Instant::now();
        mesh.until_whole();
        mesh.until_equal();
        mesh.until(&format!("Rust's names, round {round}"), &found, &format!("[{}]", 2 * rusts.len()));
        if apart {
            let new = format!(
                "lists:usort([length(erpc:call(M, 'Elixir.Horde.Registry', lookup, ['Elixir.LabReg', {{new, {round}, N}}])) || N <- [{}], {{M, _}} <- {list}]).",
                rusts.join(",")
            );
            mesh.until(&format!("Rust's new names, round {round}"), &new, "[1]");
        }
        println!("WHOLE round {round}, {victim} cut off: after {} ms", closed.elapsed().as_millis());
    }
    mesh.assert_quiet_but_for_the_loss();
}

//! How long ten thousand names take from member to member, and a lookup of a Rust process beside that of a BEAM's.

use interop_tests::{Release, on_every_release};

use super::mesh::{Kind, Mesh, Setup};

on_every_release!(ten_thousand_names_arrive, lookups_of_rust_processes_beside_those_of_beams);

fn ten_thousand_names_arrive(release: Release) {
    let scenario = format!("{}::ten_thousand_names_arrive", module_path!());
    let beam = Kind::Beam(release);
    for (from, to) in [(beam, beam), (Kind::Rust, beam), (beam, Kind::Rust)] {
        // A BEAM is there in any case.
        let kinds = [from, to];
        let Some(mut mesh) = Mesh::new(&scenario, &Setup { kinds: &kinds, ..Setup::default() }) else { return };
        let list = mesh.list();
        let took = mesh.driver.eval(&format!("[From, To] = {list}, horde_load:transfer(From, To, 10000)."));
        mesh.until_equal();
        let name = |kind| if kind == Kind::Rust { "Rust" } else { "BEAM" };
        println!(
            "TIMES OTP {}, 10,000 names from {} to {}: {{registered in ms, seen after further ms}} = {took}",
            release.number(),
            name(from),
            name(to)
        );
        mesh.assert_quiet();
    }
}

fn lookups_of_rust_processes_beside_those_of_beams(release: Release) {
    let scenario = format!("{}::lookups_of_rust_processes_beside_those_of_beams", module_path!());
    let kinds = [Kind::Beam(release), Kind::Beam(release), Kind::Rust];
    let Some(mut mesh) = Mesh::new(&scenario, &Setup { kinds: &kinds, ..Setup::default() }) else { return };
    let list = mesh.list();
    let register =
        format!("[{{ok, _}}, {{ok, _}}] = [horde_load:register_here(M, element(2, M)) || M <- tl({list})], ok.");
    assert_eq!(mesh.driver.eval(&register), "ok");
    mesh.until_equal();
    let first = mesh.members[0].beam();
    first.wait_for("'Elixir.Horde.Registry':count('Elixir.LabReg').", "2");
    let took = first.eval("{B, R} = horde_load:lookups(beam, rust, 3000), {B, R, round(100 * R / B)}.");
    println!("TIMES OTP {}, lookup from a BEAM of {{a BEAM's, Rust's, percent}} in ns = {took}", release.number());
    mesh.assert_quiet();
}

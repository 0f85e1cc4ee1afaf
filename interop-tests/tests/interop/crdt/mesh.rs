//! A mesh of replicas of all releases and of Rust: all become equal, and Rust is quiet towards both layouts of sets.

use std::time::Duration;

use interop_tests::{Beam, Release, Tiebeam, free_port, unique};

use super::pair;

#[test]
fn a_mesh_of_all_releases_and_rust_converges() {
    let all = [Release::Otp25, Release::Otp27, Release::Otp29];
    if !all.iter().all(|release| release.has_horde("crdt::a_mesh_of_all_releases_and_rust_converges")) {
        return;
    }
    let port = free_port();
    let _epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden", "--no-connect-all"]);
    let mut beams = all.map(|release| Beam::with_horde(release, &unique("mesh"), port));
    let neighbours: Vec<_> = beams.iter().map(|beam| format!("store@{}", beam.name())).collect();
    let mut args = vec!["--demo", "--crdt", "store", "--sync-interval", "100"];
    args.extend(neighbours.iter().flat_map(|neighbour| ["--crdt-neighbour", neighbour]));
    let rust = Tiebeam::start(&unique("rust"), port, &args);
    let names: Vec<_> =
        beams.iter().map(Beam::name).chain([rust.name()]).map(|name| format!("{{:store, :{name:?}}}")).collect();
    for (at, beam) in beams.iter_mut().enumerate() {
        let others: Vec<_> =
            names.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, name)| name.as_str()).collect();
        let start = format!(
            "{{:ok, _}} = DeltaCrdt.start_link(DeltaCrdt.AWLWWMap, name: :store, sync_interval: 100, max_sync_size: :infinite); \
             DeltaCrdt.set_neighbours(:store, [{}])",
            others.join(", ")
        );
        assert_eq!(beam.elixir(&start), ":ok");
    }
    let rust_name = format!(":{:?}", rust.name());
    let bulk = format!(
        ":rpc.call({rust_name}, DeltaCrdt, :merge, [:store, (for i <- 1..500, into: %{{}}, do: {{{{:rust, i}}, i}})])"
    );
    assert_eq!(beams[0].elixir(&bulk), ":store");
    for (at, beam) in beams.iter_mut().enumerate() {
        let bulk =
            format!("DeltaCrdt.merge(:store, (for i <- 1..500, into: %{{}}, do: {{{{{at}, i}}, i}}), :infinity)");
        assert_eq!(beam.elixir(&bulk), ":store");
    }
    let hash = format!("erlang:phash2(rpc:call({}, 'Elixir.DeltaCrdt', to_map, [store])).", rust.atom());
    for beam in &mut beams {
        beam.wait_for("map_size('Elixir.DeltaCrdt':to_map(store)).", "2000");
    }
    let [first, second, third] = &mut beams;
    let expected = first.eval("erlang:phash2('Elixir.DeltaCrdt':to_map(store)).");
    first.wait_for(&hash, &expected);
    for beam in [second, third] {
        beam.wait_for("erlang:phash2('Elixir.DeltaCrdt':to_map(store)).", &expected);
    }
    // Each has the root that Rust has in its layout; among themselves those of 25 and the others never agree.
    let root = format!("crdt_probe:root(store) =:= crdt_probe:root({{store, {}}}).", rust.atom());
    for beam in &mut beams {
        beam.wait_for(&root, "true");
    }
    std::thread::sleep(Duration::from_millis(500));
    for (beam, release) in beams.iter_mut().zip(all) {
        let bytes = pair::idle(beam, &rust.atom());
        println!("mesh of 25, 27, 29 and Rust, 2000 keys: {bytes} bytes a tick from Rust to {release:?}");
        beam.assert_quiet();
    }
}

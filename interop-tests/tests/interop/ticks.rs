//! Silence: ticks keep an idle connection, and find a frozen peer.

use std::time::{Duration, Instant};

use interop_tests::{Release, on_every_release};

use crate::world::World;

on_every_release!(an_idle_connection_stays_up, a_frozen_beam_is_given_up, a_frozen_tiebeam_node_is_given_up);

/// Five seconds are due with a tick time of 4, and as many again and more on a busy machine; with one of 60, the default,
/// it takes 45 at the least. What is due to the millisecond, `dist::tick` has tests for.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(30);

/// Ten tick times of idleness, as 80 seconds with a tick time of 8.
fn an_idle_connection_stays_up(release: Release) {
    let mut world = World::with(release, &["--demo", "--net-ticktime", "8"], &["-kernel", "net_ticktime", "8"]);
    assert_eq!(world.eval("pong = net_adm:ping(N), put(w, tiebeam_peer:watch_nodes()), ok."), "ok");
    std::thread::sleep(Duration::from_secs(80));
    assert_eq!(world.eval("tiebeam_peer:seen_nodes(get(w))."), "[]");
    assert_eq!(world.eval("rpc:call(N, D, add, [1, 2])."), "3");
    world.beam.assert_quiet();
}

fn a_frozen_beam_is_given_up(release: Release) {
    let mut world = World::with(release, &["--demo", "--net-ticktime", "4"], &[]);
    assert_eq!(world.eval("net_adm:ping(N)."), "pong");
    world.beam.signal("STOP");
    let frozen = Instant::now();
    while !world.rust.log().contains("nodedown") {
        assert!(frozen.elapsed() < GIVEN_UP_WITHIN, "the frozen peer was not given up");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{release:?} was given up after {:?}", frozen.elapsed());
    world.beam.signal("CONT");
    assert!(world.rust.log().contains("whole tick time"), "{}", world.rust.log());
    // Thawed, it finds its way back.
    let node = world.rust.atom();
    world.beam.wait_for(&format!("net_adm:ping({node})."), "pong");
    assert_eq!(world.eval("rpc:call(N, D, add, [1, 2])."), "3");
}

fn a_frozen_tiebeam_node_is_given_up(release: Release) {
    let mut world = World::with(release, &["--demo"], &["-kernel", "net_ticktime", "4"]);
    assert_eq!(world.eval("pong = net_adm:ping(N), monitor_node(N, true)."), "true");
    world.rust.signal("STOP");
    let seen = format!("receive {{nodedown, N}} -> down after {} -> none end.", GIVEN_UP_WITHIN.as_millis());
    let seen = world.eval(&seen);
    world.rust.signal("CONT");
    assert_eq!(seen, "down");
    // Thawed, it is let in again: the connection that it may still believe in is dead.
    let node = world.rust.atom();
    world.beam.wait_for(&format!("net_adm:ping({node})."), "pong");
    assert_eq!(world.eval("rpc:call(N, D, add, [1, 2])."), "3");
}

//! Nodes whose names mean IPv6 addresses, and ports without EPMD.

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, run, unique};

on_every_release!(each_reaches_the_other_over_ipv6, a_port_for_all_needs_no_epmd);

/// `::1` in the spelling that has the dot which BEAMs want in a long name.
fn on_ipv6(prefix: &str) -> String {
    unique(prefix).replace("127.0.0.1", "::0.0.0.1")
}

fn each_reaches_the_other_over_ipv6(release: Release) {
    let port = free_port();
    let rust = Tiebeam::start(&on_ipv6("rust"), port, &["--demo", "--ipv6"]);
    assert!(rust.ready.contains("listening on [::1]:"), "{}", rust.ready);
    let args = ["-start_epmd", "false", "-proto_dist", "inet6_tcp"];
    let mut beam = Beam::start_with(release, &on_ipv6("beam"), port, &args);
    assert_eq!(beam.eval(&format!("rpc:call({}, 'Elixir.Tiebeam.Demo', add, [1, 2]).", rust.atom())), "3");
    let called = run(port, &["--ipv6", "rpc", beam.name(), "lists:sum([1,2,3])"]);
    assert_eq!((called.code, called.stdout.trim()), (0, "6"), "{called:?}");
    // Without the flag the name has no address of the right family.
    let pinged = run(port, &["ping", beam.name()]);
    assert_eq!(pinged.code, 1, "{pinged:?}");
    assert!(pinged.stderr.contains("none of IPv4"), "{pinged:?}");
    beam.assert_quiet();
}

fn a_port_for_all_needs_no_epmd(release: Release) {
    // A cluster's one port can be held once per address.
    let (epmd_nobody_runs, dist) = (free_port(), free_port().to_string());
    let args = ["-start_epmd", "false", "-erl_epmd_port", &dist];
    let name = unique("beam").replace("127.0.0.1", "127.0.0.2");
    let listen = ["-kernel", "inet_dist_use_interface", "{127,0,0,2}"];
    let mut beam = Beam::start_with(release, &name, epmd_nobody_runs, &[&args[..], &listen[..]].concat());
    let off = ["--demo", "--epmd", "off", "--dist-port", &dist];
    let rust = Tiebeam::start(&unique("rust"), epmd_nobody_runs, &off);
    assert!(rust.ready.contains(&format!("127.0.0.1:{dist}")), "{}", rust.ready);
    assert_eq!(beam.eval(&format!("rpc:call({}, 'Elixir.Tiebeam.Demo', add, [1, 2]).", rust.atom())), "3");
    // No EPMD is made where none is needed, and the doctor asks none.
    assert!(rust.ready.contains("(off)"), "{}", rust.ready);
    let alone = ["--dist-port", &free_port().to_string(), "--demo"];
    let alone = Tiebeam::start(&unique("alone"), epmd_nobody_runs, &alone);
    assert!(alone.ready.contains("(off)"), "{}", alone.ready);
    let examined = run(epmd_nobody_runs, &["--dist-port", &dist, "doctor", &name]);
    assert!(examined.code == 0 && examined.stdout.contains("not asked"), "{examined:?}");
    let called = run(epmd_nobody_runs, &["--dist-port", &dist, "rpc", &name, "lists:sum([1,2,3])"]);
    assert_eq!((called.code, called.stdout.trim()), (0, "6"), "{called:?}");
}

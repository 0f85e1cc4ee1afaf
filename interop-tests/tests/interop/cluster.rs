//! Nodes that find each other: tiebeam's strategies and libcluster's, each as the one that finds.

use std::net::UdpSocket;

use interop_tests::{Beam, Release, Tiebeam, files, free_port, on_every_release, unique};

on_every_release!(
    a_list_of_nodes,
    the_nodes_of_the_local_epmd,
    the_nodes_of_hosts_in_a_file,
    rust_hears_libclusters_gossip,
    libcluster_hears_rusts_gossip,
    gossip_under_a_secret,
    gossip_by_broadcast,
);

/// A hook that connects to nobody: only the other side can.
const NOBODY: &str = "connect: {:erlang, :\"=:=\", [:nobody]},";

fn start(release: Release, args: &[&str]) -> (u16, Tiebeam, Beam) {
    let port = free_port();
    let rust = Tiebeam::start(&unique("rust"), port, args);
    let beam = Beam::start(release, &unique("beam"), port);
    (port, rust, beam)
}

/// A BEAM on which libcluster can be started.
fn libcluster(release: Release, scenario: &str, port: u16) -> Option<Beam> {
    release.has_horde(&format!("{}::{scenario}", module_path!())).then(|| {
        let mut beam = Beam::with_horde(release, &unique("libcluster"), port);
        assert_eq!(beam.elixir("{:ok, _} = Application.ensure_all_started(:libcluster); :started"), ":started");
        beam
    })
}

fn topology(beam: &mut Beam, strategy: &str, hook: &str, config: &str) {
    let code = format!(
        "{{:ok, pid}} = Cluster.Supervisor.start_link([[lab: [strategy: Cluster.Strategy.{strategy}, {hook} \
         config: [{config}]]], []]); Process.unlink(pid); :ok"
    );
    assert_eq!(beam.elixir(&code), ":ok");
}

fn found(beam: &mut Beam, rust: &Tiebeam) {
    beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
}

/// A UDP port that nobody else uses.
fn free_udp_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").expect("a free port").local_addr().expect("it is bound").port()
}

fn a_list_of_nodes(release: Release) {
    let (port, name) = (free_port(), unique("beam"));
    // The node is listed before it is there, and found when it comes, and again after it was left.
    let strategy = format!("static:{name},{}", unique("absent"));
    let rust = Tiebeam::start(&unique("rust"), port, &["--cluster", &strategy]);
    let mut beam = Beam::start(release, &name, port);
    found(&mut beam, &rust);
    assert_eq!(beam.eval(&format!("erlang:disconnect_node({}).", rust.atom())), "true");
    found(&mut beam, &rust);
    drop((beam, rust));
    let rust = Tiebeam::start(&unique("rust"), port, &[]);
    let Some(mut beam) = libcluster(release, "a_list_of_nodes", port) else { return };
    topology(&mut beam, "Epmd", "", &format!("timeout: 200, hosts: [:{:?}]", rust.name()));
    found(&mut beam, &rust);
}

fn the_nodes_of_the_local_epmd(release: Release) {
    let (port, rust, mut beam) = start(release, &["--cluster", "local_epmd:timeout=200"]);
    found(&mut beam, &rust);
    drop((beam, rust));
    let rust = Tiebeam::start(&unique("rust"), port, &[]);
    let Some(mut beam) = libcluster(release, "the_nodes_of_the_local_epmd", port) else { return };
    topology(&mut beam, "LocalEpmd", "", "");
    found(&mut beam, &rust);
}

fn the_nodes_of_hosts_in_a_file(release: Release) {
    let folder = files().join(unique("hosts"));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(".hosts.erlang");
    std::fs::write(&file, "'127.0.0.1'.\n").expect("a file");
    let strategy = format!("hosts:timeout=200,file={}", file.display());
    let (port, rust, mut beam) = start(release, &["--cluster", &strategy]);
    found(&mut beam, &rust);
    drop((beam, rust));
    let rust = Tiebeam::start(&unique("rust"), port, &[]);
    if let Some(mut beam) = libcluster(release, "the_nodes_of_hosts_in_a_file", port) {
        assert_eq!(beam.eval(&format!("file:set_cwd({:?}).", folder.display().to_string())), "ok");
        topology(&mut beam, "ErlangHosts", "", "");
        found(&mut beam, &rust);
    }
    std::fs::remove_dir_all(&folder).expect("it was there");
}

/// Both sides' settings for multicast over loopback.
fn over_loopback(port: u16) -> (String, String) {
    let rust = format!("gossip:port={port},multicast_if=127.0.0.1");
    (rust, format!("port: {port}, multicast_if: \"127.0.0.1\""))
}

fn rust_hears_libclusters_gossip(release: Release) {
    let port = free_port();
    let (strategy, config) = over_loopback(free_udp_port());
    let rust = Tiebeam::start(&unique("rust"), port, &["--cluster", &strategy]);
    let Some(mut beam) = libcluster(release, "rust_hears_libclusters_gossip", port) else { return };
    topology(&mut beam, "Gossip", NOBODY, &config);
    found(&mut beam, &rust);
}

fn libcluster_hears_rusts_gossip(release: Release) {
    let port = free_port();
    let (strategy, config) = over_loopback(free_udp_port());
    // It looks for its peers where none is, so it cannot be the one that connects.
    let (nowhere, own) = (free_port().to_string(), free_port().to_string());
    let args = ["--cluster", &strategy, "--dist-port", &nowhere, "--port", &own];
    let rust = Tiebeam::start(&unique("rust"), port, &args);
    let Some(mut beam) = libcluster(release, "libcluster_hears_rusts_gossip", port) else { return };
    topology(&mut beam, "Gossip", "", &config);
    found(&mut beam, &rust);
}

fn gossip_under_a_secret(release: Release) {
    let port = free_port();
    let (strategy, config) = over_loopback(free_udp_port());
    let secret = format!("{strategy},secret=lab secret");
    let other = Tiebeam::start(&unique("other"), port, &["--cluster", &format!("{strategy},secret=another")]);
    let open = Tiebeam::start(&unique("open"), port, &["--cluster", &strategy]);
    let rust = Tiebeam::start(&unique("rust"), port, &["--cluster", &secret]);
    let Some(mut first) = libcluster(release, "gossip_under_a_secret", port) else { return };
    let config = format!("{config}, secret: \"lab secret\"");
    topology(&mut first, "Gossip", NOBODY, &config);
    found(&mut first, &rust);
    drop(rust);
    first.wait_for("nodes().", "[]");
    let (nowhere, own) = (free_port().to_string(), free_port().to_string());
    let args = ["--cluster", &secret, "--dist-port", &nowhere, "--port", &own];
    let rust = Tiebeam::start(&unique("rust"), port, &args);
    let mut second = libcluster(release, "gossip_under_a_secret", port).expect("it was given a moment ago");
    topology(&mut second, "Gossip", "", &config);
    second.wait_for(&format!("lists:member({}, nodes()).", rust.atom()), "true");
    for stranger in [&other, &open] {
        assert!(!stranger.log().contains("found"), "{}", stranger.log());
        assert_eq!(second.eval(&format!("lists:member({}, nodes(connected)).", stranger.atom())), "false");
    }
}

fn gossip_by_broadcast(release: Release) {
    let (port, udp) = (free_port(), free_udp_port());
    let strategy = format!("gossip:port={udp},broadcast_only=true,multicast_addr=127.255.255.255");
    let rust = Tiebeam::start(&unique("rust"), port, &["--cluster", &strategy]);
    let Some(mut beam) = libcluster(release, "gossip_by_broadcast", port) else { return };
    let config = format!("port: {udp}, broadcast_only: true, multicast_addr: \"127.255.255.255\"");
    topology(&mut beam, "Gossip", NOBODY, &config);
    found(&mut beam, &rust);
}

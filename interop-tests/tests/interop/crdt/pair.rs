//! A BEAM with a replica and a Rust node with another: neighbours that can be parted, compared down to the root, and listened to.

use std::time::{Duration, Instant};

use interop_tests::{Beam, Release, Tiebeam, free_port, unique};

/// A BEAM with a replica `store`, and a Rust node with another.
pub(super) struct Pair {
    /// Whose EPMD the others use.
    _epmd: Tiebeam,
    pub(super) rust: Tiebeam,
    pub(super) beam: Beam,
    pub(super) port: u16,
}

/// Longer than any sync takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

impl Pair {
    /// Neighbours of each other, with further options of the BEAM's replica.
    pub(super) fn new(release: Release, options: &str) -> Self {
        let (epmd, beam, port) = Self::beam(release, options);
        let rust = Self::rust(&unique("rust"), port, &beam);
        let mut pair = Self { _epmd: epmd, rust, beam, port };
        pair.meet();
        pair
    }

    /// Neighbours of nobody, with further arguments of the Rust node too.
    pub(super) fn apart(release: Release, options: &str, args: &[&str]) -> Self {
        let (epmd, beam, port) = Self::beam(release, options);
        let rust = Tiebeam::start(&unique("rust"), port, &[&["--demo", "--crdt", "store"], args].concat());
        Self { _epmd: epmd, rust, beam, port }
    }

    fn beam(release: Release, options: &str) -> (Tiebeam, Beam, u16) {
        let port = free_port();
        let epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden", "--no-connect-all"]);
        let mut beam = Beam::with_horde(release, &unique("crdt"), port);
        start_replica(&mut beam, options);
        (epmd, beam, port)
    }

    pub(super) fn rust(name: &str, port: u16, beam: &Beam) -> Tiebeam {
        let neighbour = format!("store@{}", beam.name());
        let args = ["--demo", "--crdt", "store", "--crdt-neighbour", &neighbour, "--sync-interval", "100"];
        Tiebeam::start(name, port, &args)
    }

    fn meet(&mut self) {
        let set = format!("DeltaCrdt.set_neighbours(:store, [{{:store, :{:?}}}])", self.rust.name());
        assert_eq!(self.beam.elixir(&set), ":ok");
    }

    /// Makes them neighbours of each other.
    pub(super) fn join(&mut self) {
        let set = format!(", [{{:store, :{:?}}}]", self.beam.name());
        assert_eq!(self.on_rust("set_neighbours", &set), ":ok");
        self.meet();
    }

    /// Neither has a neighbour any longer.
    pub(super) fn part(&mut self) {
        assert_eq!(self.on_rust("set_neighbours", ", []"), ":ok");
        assert_eq!(self.beam.elixir("DeltaCrdt.set_neighbours(:store, [])"), ":ok");
    }

    /// Kills the Rust node, and starts it again.
    pub(super) fn restart(&mut self, name: &str, args: &[&str]) {
        drop(std::mem::replace(&mut self.rust, Tiebeam::demo(&unique("other"), free_port())));
        self.rust = Tiebeam::start(name, self.port, args);
    }

    /// What the BEAM's replica is told.
    pub(super) fn on_beam(&mut self, function: &str, args: &str) -> String {
        self.beam.elixir(&format!("DeltaCrdt.{function}(:store{args})"))
    }

    /// What the Rust replica is told through its own standard functions.
    pub(super) fn on_rust(&mut self, function: &str, args: &str) -> String {
        let call = format!(":rpc.call(:{:?}, DeltaCrdt, :{function}, [:store{args}], :infinity)", self.rust.name());
        self.beam.elixir(&call)
    }

    /// Waits until both have the same root, and read the same so many keys; how long that took.
    pub(super) fn equal(&mut self, keys: usize) -> Duration {
        let since = Instant::now();
        let rust = self.rust.atom();
        let read = format!(
            "B = 'Elixir.DeltaCrdt':to_map(store, infinity), \
             R = rpc:call({rust}, 'Elixir.DeltaCrdt', to_map, [store, infinity]), \
             {{B =:= R, map_size(B), map_size(R)}}."
        );
        let roots = format!("crdt_probe:root(store) =:= crdt_probe:root({{store, {rust}}}).");
        let mut took = since.elapsed();
        loop {
            let same = self.beam.eval(&roots) == "true";
            if same {
                took = since.elapsed();
            }
            // Equal roots, and what is read is not what it should be: more is to come, or something is gone.
            let got = if same { self.beam.eval(&read) } else { "other roots".to_owned() };
            if got == format!("{{true,{keys},{keys}}}") {
                return took;
            }
            let waited = since.elapsed();
            assert!(waited < PATIENCE, "{got}, not {keys} keys, after {waited:?}\n{}", self.beam.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// From now on, all that the BEAM's replica is sent is looked at.
    pub(super) fn listen(&mut self) {
        assert_eq!(self.beam.eval("crdt_probe:trace(store)."), "ok");
    }

    /// Nothing was sent but what replicas send each other; how many of each kind.
    pub(super) fn assert_all_in_the_catalogue(&mut self) -> String {
        let bad = self.beam.eval("{Kinds, Bad} = crdt_probe:traced(), {maps:get(diff, Kinds, 0) > 0, Bad}.");
        assert_eq!(bad, "{true,[]}");
        self.beam.eval("element(1, crdt_probe:traced()).")
    }
}

/// Starts the replica `store` on a BEAM, linked to the process that evaluates, which stays.
pub(super) fn start_replica(beam: &mut Beam, options: &str) {
    let start = format!(
        "{{:ok, _}} = DeltaCrdt.start_link(DeltaCrdt.AWLWWMap, \
         Keyword.merge([sync_interval: 100], [name: :store{options}])); :ok"
    );
    assert_eq!(beam.elixir(&start), ":ok");
}

/// Bytes that a BEAM received from a node.
fn received(beam: &mut Beam, node: &str) -> u64 {
    let code = format!(
        "{{_, Port}} = lists:keyfind({node}, 1, erlang:system_info(dist_ctrl)), \
         {{ok, [{{_, N}}]}} = inet:getstat(Port, [recv_oct]), N."
    );
    beam.eval(&code).parse().expect("a number of bytes")
}

/// Bytes a tick of 100 ms that a BEAM receives from a node while nobody writes: under 1 KB.
pub(super) fn idle(beam: &mut Beam, node: &str) -> u64 {
    let (before, since) = (received(beam, node), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let bytes = received(beam, node) - before;
    let ticks = u64::try_from(since.elapsed().as_millis() / 100).expect("a few");
    assert!(bytes < ticks * 1024, "{bytes} bytes in {ticks} ticks");
    bytes / ticks
}

//! Replicas: Elixir's DeltaCrdt and ours become equal, whoever writes.

use std::time::{Duration, Instant};

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, run, unique};

use crate::world::World;

on_every_release!(
    calls_of_delta_crdt_are_answered,
    junk_harms_nobody,
    both_write_and_both_read,
    a_default_replica_loses_nothing_that_rust_writes,
    a_restarted_replica_gets_everything_again,
    what_is_stored_survives_a_kill,
);

/// What `DeltaCrdt`'s functions send, from a BEAM that has none of its code.
fn calls_of_delta_crdt_are_answered(release: Release) {
    let mut world = World::with(release, &["--demo", "--crdt", "store"], &[]);
    let name = format!("{{store, :{:?}}}", world.rust.name()).replace("{store", "{:store");
    let calls = [
        ("{:operation, {:add, [\"k\", 1]}}", ":ok"),
        ("{:operation, {:add, [1, :one]}}", ":ok"),
        ("{:operation, {:add, [1.0, :float]}}", ":ok"),
        (":read", "%{1 => :one, 1.0 => :float, \"k\" => 1}"),
        ("{:read, [\"k\", :missing]}", "%{\"k\" => 1}"),
        ("{:bulk_operation, [{:remove, [1.0]}, {:remove, [:missing]}, {:add, [\"k\", [2, 3]]}]}", ":ok"),
        (":read", "%{1 => :one, \"k\" => [2, 3]}"),
    ];
    for (request, reply) in calls {
        let call = format!("GenServer.call({name}, {request}) === {}", if reply == ":ok" { ":ok" } else { reply });
        assert_eq!(world.beam.elixir(&call), "true", "{request}");
    }
    let cast = format!(
        "GenServer.cast({name}, {{:operation, {{:add, [:by_cast, true]}}}}); GenServer.call({name}, {{:read, [:by_cast]}})"
    );
    assert_eq!(world.beam.elixir(&cast), "%{by_cast: true}");
    // The standard functions, and the command line.
    let rust = format!(":{:?}", world.rust.name());
    let put = format!(":rpc.call({rust}, DeltaCrdt, :put, [:store, :by_rpc, %{{}}])");
    assert_eq!(world.beam.elixir(&put), ":store");
    let get = format!("for k <- [:by_rpc, :none], do: :rpc.call({rust}, DeltaCrdt, :get, [:store, k])");
    assert_eq!(world.beam.elixir(&get), "[%{}, nil]");
    let put = run(world.port, &["crdt", world.rust.name(), "store", "put", "\"from the shell\"", "{1, 2}"]);
    assert_eq!(put.code, 0, "{}", put.stderr);
    let dump = run(world.port, &["crdt", world.rust.name(), "store", "dump"]);
    let lines: Vec<_> = dump.stdout.lines().collect();
    let expected =
        ["1 => :one", ":by_cast => true", ":by_rpc => %{}", "\"from the shell\" => {1, 2}", "\"k\" => [2, 3]"];
    assert_eq!(lines, expected);
    let missing = run(world.port, &["crdt", world.rust.name(), "store", "get", ":missing"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (1, ""));
    world.beam.assert_quiet();
}

/// Whatever a neighbour sends, the replica answers the next call.
fn junk_harms_nobody(release: Release) {
    let mut world = World::with(release, &["--demo", "--crdt", "store"], &[]);
    let name = format!("{{:store, :{:?}}}", world.rust.name());
    let junk = format!(
        "diff = %{{__struct__: DeltaCrdt.CausalCrdt.Diff, continuation: nil, dots: %{{}}, originator: self(), from: self(), to: {name}}}; \
         tree = fn t -> %{{diff | continuation: %{{__struct__: MerkleMap.MerkleTree.Diff, keys: [], trees: [{{<<>>, %{{__struct__: MerkleMap.MerkleTree, tree: t}}}}]}}}} end; \
         state = %{{__struct__: DeltaCrdt.AWLWWMap, dots: %{{}}, value: %{{}}}}; \
         deep = Enum.reduce(1..5000, [], fn _, t -> {{<<0::32>>, t, []}} end); \
         for m <- [:junk, {{:diff}}, {{:diff, 1}}, {{:diff, diff}}, {{:diff, tree.(deep)}}, {{:diff, tree.({{:partial, <<1::70>>}})}}, \
                   {{:diff, tree.({{<<1>>, {{2, 3}}}})}}, {{:diff, state, :not_a_list}}, {{:diff, state, [1 | 2]}}, \
                   {{:diff, %{{state | dots: nil}}, []}}, {{:diff, %{{state | dots: %{{self() => -1}}}}, []}}, \
                   {{:diff, %{{state | dots: %{{1 => 1 <<< 200}}}}, []}}, {{:diff, %{{state | value: %{{1 => 2}}}}, [1]}}, \
                   {{:get_diff, diff, :nope}}, {{:get_diff, %{{diff | originator: 1}}, []}}, {{:ack_diff, self()}}, \
                   {{:set_neighbours, 7}}, {{:\"$gen_cast\", {{:operation, :what}}}}, {{:EXIT, self(), :normal}}], \
             do: send({name}, m); \
         bad = GenServer.call({name}, {{:operation, {{:clear, []}}}}); \
         {{elem(bad, 0), GenServer.call({name}, {{:operation, {{:add, [:alive, 1]}}}}), GenServer.call({name}, :read)}}"
    )
    .replace("1 <<< 200", "Bitwise.bsl(1, 200)");
    assert_eq!(world.beam.elixir(&junk), "{:error, :ok, %{alive: 1}}");
}

/// A BEAM with a replica `store`, and a Rust node with another, neighbours of each other.
struct Pair {
    /// Whose EPMD the others use.
    _epmd: Tiebeam,
    rust: Tiebeam,
    beam: Beam,
    port: u16,
}

impl Pair {
    fn new(release: Release, options: &str) -> Self {
        let port = free_port();
        let epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden", "--no-connect-all"]);
        let mut beam = Beam::with_horde(release, &unique("crdt"), port);
        let start = format!(
            "{{:ok, _}} = DeltaCrdt.start_link(DeltaCrdt.AWLWWMap, name: :store, sync_interval: 100{options}); :ok"
        );
        // Linked to the process that evaluates, which stays.
        assert_eq!(beam.elixir(&start), ":ok");
        let rust = Self::rust(&unique("rust"), port, &beam);
        let mut pair = Self { _epmd: epmd, rust, beam, port };
        pair.meet();
        pair
    }

    fn rust(name: &str, port: u16, beam: &Beam) -> Tiebeam {
        let neighbour = format!("store@{}", beam.name());
        let args = ["--demo", "--crdt", "store", "--crdt-neighbour", &neighbour, "--sync-interval", "100"];
        Tiebeam::start(name, port, &args)
    }

    fn meet(&mut self) {
        let set = format!("DeltaCrdt.set_neighbours(:store, [{{:store, :{:?}}}])", self.rust.name());
        assert_eq!(self.beam.elixir(&set), ":ok");
    }

    /// Kills the Rust node, and starts it again.
    fn restart(&mut self, name: &str, args: &[&str]) {
        drop(std::mem::replace(&mut self.rust, Tiebeam::demo(&unique("other"), free_port())));
        self.rust = Tiebeam::start(name, self.port, args);
    }

    /// What the Rust replica is told through its own standard functions.
    fn on_rust(&mut self, function: &str, args: &str) -> String {
        let call = format!(":rpc.call(:{:?}, DeltaCrdt, :{function}, [:store{args}])", self.rust.name());
        self.beam.elixir(&call)
    }

    fn equal(&mut self, keys: usize) {
        let rust = self.rust.atom();
        let same = format!(
            "B = 'Elixir.DeltaCrdt':to_map(store), R = rpc:call({rust}, 'Elixir.DeltaCrdt', to_map, [store]), \
             {{B =:= R, map_size(B), map_size(R)}}."
        );
        self.beam.wait_for(&same, &format!("{{true,{keys},{keys}}}"));
    }

    /// Bytes that the BEAM received from the Rust node.
    fn received(&mut self) -> u64 {
        let code = format!(
            "{{_, Port}} = lists:keyfind({}, 1, erlang:system_info(dist_ctrl)), \
             {{ok, [{{_, N}}]}} = inet:getstat(Port, [recv_oct]), N.",
            self.rust.atom()
        );
        self.beam.eval(&code).parse().expect("a number of bytes")
    }
}

fn both_write_and_both_read(release: Release) {
    if !release.has_horde(concat!(module_path!(), "::both_write_and_both_read")) {
        return;
    }
    let mut pair = Pair::new(release, ", max_sync_size: :infinite");
    let bulk = "(for i <- 1..1000, into: %{}, do: {\"beam-#{i}\", i})";
    assert_eq!(pair.beam.elixir(&format!("DeltaCrdt.merge(:store, {bulk}, :infinity)")), ":store");
    let bulk = ", (for i <- 1..1000, into: %{}, do: {\"rust-#{i}\", {i, self()}}), :infinity";
    assert_eq!(pair.on_rust("merge", bulk), ":store");
    pair.equal(2000);
    // Overwritten and removed on either side, what the other wrote.
    let change = "Enum.each(1..50, &DeltaCrdt.put(:store, \"rust-#{&1}\", :changed)); \
                  DeltaCrdt.drop(:store, Enum.map(51..100, &\"rust-#{&1}\")); :ok";
    assert_eq!(pair.beam.elixir(change), ":ok");
    assert_eq!(pair.on_rust("merge", ", (for i <- 1..50, into: %{}, do: {\"beam-#{i}\", :changed})"), ":store");
    assert_eq!(pair.on_rust("drop", ", Enum.map(51..100, &\"beam-#{&1}\")"), ":store");
    pair.equal(1900);
    let changed = "length([K || {K, changed} <- maps:to_list('Elixir.DeltaCrdt':to_map(store))]).";
    assert_eq!(pair.beam.eval(changed), "100");
    // A value of the type that a peer could take for nothing, and keys that are equal as numbers.
    assert_eq!(pair.on_rust("merge", ", %{1 => nil, 1.0 => [], {:a} => %{}}"), ":store");
    pair.equal(1903);
    // Equal replicas hardly talk: a BEAM's tick is answered, nothing more.
    std::thread::sleep(Duration::from_millis(500));
    let (before, since) = (pair.received(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let bytes = pair.received() - before;
    let ticks = u64::try_from(since.elapsed().as_millis() / 100).expect("a few");
    assert!(bytes < ticks * 1024, "{bytes} bytes in {ticks} ticks");
    println!("{release:?}: {} bytes a tick while equal, 1903 keys", bytes / ticks);
    pair.beam.assert_quiet();
}

fn a_default_replica_loses_nothing_that_rust_writes(release: Release) {
    if !release.has_horde(concat!(module_path!(), "::a_default_replica_loses_nothing_that_rust_writes")) {
        return;
    }
    // The default limit of 200 keys, under which replicas of Elixir lose what is more.
    let mut pair = Pair::new(release, "");
    let bulk = ", (for i <- 1..1000, into: %{}, do: {i, i}), :infinity";
    assert_eq!(pair.on_rust("merge", bulk), ":store");
    pair.equal(1000);
    std::thread::sleep(Duration::from_secs(1));
    pair.equal(1000);
    pair.beam.assert_quiet();
}

fn a_restarted_replica_gets_everything_again(release: Release) {
    if !release.has_horde(concat!(module_path!(), "::a_restarted_replica_gets_everything_again")) {
        return;
    }
    let mut pair = Pair::new(release, ", max_sync_size: :infinite");
    assert_eq!(pair.on_rust("merge", ", (for i <- 1..300, into: %{}, do: {i, :first}), :infinity"), ":store");
    pair.equal(300);
    let name = pair.rust.name().to_owned();
    drop(std::mem::replace(&mut pair.rust, Tiebeam::demo(&unique("other"), free_port())));
    assert_eq!(pair.beam.elixir("DeltaCrdt.put(:store, 1, :meanwhile)"), ":store");
    pair.rust = Pair::rust(&name, pair.port, &pair.beam);
    pair.equal(300);
    assert_eq!(pair.on_rust("put", ", 2, :second"), ":store");
    pair.equal(300);
    assert_eq!(pair.beam.elixir("DeltaCrdt.take(:store, [1, 2, 3])"), "%{1 => :meanwhile, 2 => :second, 3 => :first}");
}

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
        beam.assert_quiet();
    }
}

/// Killed while a BEAM writes through it: what was acknowledged is there again, before any neighbour could have sent it.
fn what_is_stored_survives_a_kill(release: Release) {
    if !release.has_horde(concat!(module_path!(), "::what_is_stored_survives_a_kill")) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().to_str().expect("a path of UTF-8").to_owned();
    let mut pair = Pair::new(release, ", max_sync_size: :infinite");
    let name = pair.rust.name().to_owned();
    let neighbour = format!("store@{}", pair.beam.name());
    let with_neighbour =
        ["--demo", "--crdt", "store", "--crdt-neighbour", &neighbour, "--sync-interval", "100", "--crdt-store", &store];
    pair.restart(&name, &with_neighbour);
    assert_eq!(pair.on_rust("merge", ", (for i <- 1..1000, into: %{}, do: {i, :first}), :infinity"), ":store");
    pair.equal(1000);
    // A BEAM process writes one key after the other, until the node is gone, and says how far it came.
    let writer = format!(
        "to = {{:store, :{name:?}}}; \
         spawn(fn -> Process.register(self(), :writer); \
           last = Enum.reduce_while(Stream.iterate(1, &(&1 + 1)), 0, fn i, last -> \
             try do :ok = GenServer.call(to, {{:operation, {{:add, [{{:w, i}}, i]}}}}); {{:cont, i}} catch _, _ -> {{:halt, last}} end end); \
           receive do {{:how_far, from}} -> send(from, {{:far, last}}) end end); :ok"
    );
    // Its own replica is no longer a neighbour: what is there again comes from the disk.
    assert_eq!(pair.beam.elixir("DeltaCrdt.set_neighbours(:store, [])"), ":ok");
    assert_eq!(pair.beam.elixir(&writer), ":ok");
    std::thread::sleep(Duration::from_secs(2));
    let alone = ["--demo", "--crdt", "store", "--crdt-store", &store];
    pair.restart(&name, &alone);
    let far = "send(:writer, {:how_far, self()}); receive do {:far, i} -> i after 60_000 -> :none end";
    let far: usize = pair.beam.elixir(far).parse().expect("the writer came somewhere");
    assert!(far > 0, "nothing was written in two seconds");
    let there = pair.on_rust("take", &format!(", (for i <- 1..{far}, do: {{:w, i}})"));
    assert_eq!(there.matches("=>").count(), far, "{release:?}: {far} were acknowledged");
    println!("{release:?}: {far} writes were acknowledged before the kill, and are there");
    pair.restart(&name, &with_neighbour);
    assert_eq!(pair.on_rust("put", ", :after, 1"), ":store");
    pair.beam.wait_for("maps:get('after', 'Elixir.DeltaCrdt':to_map(store), none).", "1");
    pair.beam.wait_for("'Elixir.DeltaCrdt':get(store, 500).", "first");
}

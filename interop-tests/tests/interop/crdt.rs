//! Replicas: Elixir's DeltaCrdt and ours become equal, whoever writes.

mod mesh;
mod pair;
mod sizes;

use std::time::Duration;

use interop_tests::{Release, Tiebeam, free_port, on_every_release, run, unique};

use self::pair::Pair;
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
    let bytes = pair::idle(&mut pair.beam, &pair.rust.atom());
    println!("{release:?}: {bytes} bytes a tick while equal, 1903 keys");
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

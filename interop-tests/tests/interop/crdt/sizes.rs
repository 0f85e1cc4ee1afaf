//! Thousands of keys each way: disjoint and the same ones, overwritten, removed, added at the same time; down to the root.

use interop_tests::{Release, is_long_run, on_every_release};

use super::pair::Pair;

on_every_release!(a_thousand_keys, ten_thousand_keys, a_hundred_thousand_keys, two_limits_of_200_lose_nothing);

fn a_thousand_keys(release: Release) {
    if release.has_horde(concat!(module_path!(), "::a_thousand_keys")) {
        each_way(release, 1_000, 100);
    }
}

fn ten_thousand_keys(release: Release) {
    let scenario = concat!(module_path!(), "::ten_thousand_keys");
    if release.has_horde(scenario) && is_long_run(scenario) {
        each_way(release, 10_000, 200);
    }
}

fn a_hundred_thousand_keys(release: Release) {
    let scenario = concat!(module_path!(), "::a_hundred_thousand_keys");
    if release.has_horde(scenario) && is_long_run(scenario) {
        // With less, the BEAM's own syncs pile up.
        each_way(release, 100_000, 2_000);
    }
}

/// `keys` of each alone, and a tenth as many that both have.
fn each_way(release: Release, keys: usize, interval: u32) {
    let interval_text = interval.to_string();
    let options = format!(", max_sync_size: :infinite, sync_interval: {interval}");
    let mut pair = Pair::apart(release, &options, &["--sync-interval", &interval_text]);
    pair.listen();
    let (both, part) = (keys / 10, keys / 40);
    let own = |who: &str| format!(", (for i <- 1..{keys}, into: %{{}}, do: {{{{:{who}, i}}, i}}), :infinity");
    let shared = |value: &str, from: usize, to: usize| {
        format!(", (for i <- {from}..{to}, into: %{{}}, do: {{{{:both, i}}, {{:{value}, i}}}}), :infinity")
    };
    let gone = |who: &str, from: usize, to: usize| format!(", (for i <- {from}..{to}, do: {{:{who}, i}}), :infinity");
    // Both write while neither sees the other, and the same keys with other values.
    assert_eq!(pair.on_beam("merge", &own("beam")), ":store");
    assert_eq!(pair.on_beam("merge", &shared("beam", 1, both)), ":store");
    assert_eq!(pair.on_rust("merge", &own("rust")), ":store");
    assert_eq!(pair.on_rust("merge", &shared("rust", 1, both)), ":store");
    pair.join();
    let first = pair.equal(2 * keys + both);
    let one_of = format!(
        "m = DeltaCrdt.to_map(:store, :infinity); \
         Enum.all?(1..{both}, &(m[{{:both, &1}}] in [{{:beam, &1}}, {{:rust, &1}}]))"
    );
    assert_eq!(pair.beam.elixir(&one_of), "true");
    // Each overwrites and removes what the other wrote, while they are neighbours.
    let over =
        |who: &str| format!(", (for i <- 1..{both}, into: %{{}}, do: {{{{:{who}, i}}, {{:changed, i}}}}), :infinity");
    assert_eq!(pair.on_beam("merge", &over("rust")), ":store");
    assert_eq!(pair.on_rust("merge", &over("beam")), ":store");
    assert_eq!(pair.on_beam("drop", &gone("rust", both + 1, 2 * both)), ":store");
    assert_eq!(pair.on_rust("drop", &gone("beam", both + 1, 2 * both)), ":store");
    let second = pair.equal(2 * keys - both);
    let changed = "Enum.count(DeltaCrdt.to_map(:store, :infinity), &match?({_, {:changed, _}}, &1))";
    assert_eq!(pair.beam.elixir(changed), (2 * both).to_string());
    // One removes what the other adds without having seen that: the add stays.
    pair.part();
    assert_eq!(pair.on_beam("drop", &gone("both", 1, part)), ":store");
    assert_eq!(pair.on_rust("merge", &shared("again", 1, part)), ":store");
    assert_eq!(pair.on_rust("drop", &gone("both", part + 1, 2 * part)), ":store");
    assert_eq!(pair.on_beam("merge", &shared("again", part + 1, 2 * part)), ":store");
    pair.join();
    let third = pair.equal(2 * keys - both);
    let added = "Enum.count(DeltaCrdt.to_map(:store, :infinity), &match?({_, {:again, _}}, &1))";
    assert_eq!(pair.beam.elixir(added), (2 * part).to_string());
    let kinds = pair.assert_all_in_the_catalogue();
    println!("{release:?}: {keys} keys each way: equal after {first:?}, {second:?}, {third:?}; received {kinds}");
    pair.beam.assert_quiet();
}

/// Elixir's limit loses keys of whoever has it; of a Rust writer nothing is lost, whether it or its neighbour has it.
fn two_limits_of_200_lose_nothing(release: Release) {
    if !release.has_horde(concat!(module_path!(), "::two_limits_of_200_lose_nothing")) {
        return;
    }
    for limits in [(", max_sync_size: 200", "200"), (", max_sync_size: :infinite", "200")] {
        let mut pair = Pair::apart(release, limits.0, &["--sync-interval", "100", "--max-sync-size", limits.1]);
        pair.listen();
        pair.join();
        let write = ", (for i <- 1..3_000, into: %{}, do: {i, i}), :infinity";
        assert_eq!(pair.on_rust("merge", write), ":store");
        let took = pair.equal(3_000);
        let change = ", (for i <- 1..1_000, into: %{}, do: {i, {:changed, i}}), :infinity";
        assert_eq!(pair.on_rust("merge", change), ":store");
        assert_eq!(pair.on_rust("drop", ", Enum.to_list(2_001..3_000), :infinity"), ":store");
        pair.equal(2_000);
        // Nor is anything lost later, when they go on comparing.
        std::thread::sleep(std::time::Duration::from_millis(500));
        pair.equal(2_000);
        let kinds = pair.assert_all_in_the_catalogue();
        println!("{release:?}, limits {limits:?}: 3000 keys of Rust's after {took:?}; received {kinds}");
        pair.beam.assert_quiet();
    }
}

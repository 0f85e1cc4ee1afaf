//! Replicas: Elixir's and ours, beside each other in one run.
//!
//! `cargo bench --bench crdt` prints times and, in brackets, ratios to what Elixir's DeltaCrdt took in the same run. It needs
//! `TIEBEAM_HORDE_EBIN` for the Elixir side, and says so where it is not given; Rust's own figures need nothing.

use std::time::{Duration, Instant};

use interop_tests::{Beam, COOKIE, Release, Tiebeam, free_port, unique};
use tiebeam::delta_crdt::DeltaCrdt;
use tiebeam::node::EpmdMode;
use tiebeam::{Cookie, Node, epmd};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let release =
        [Release::Otp27, Release::Otp29, Release::Otp25].into_iter().find(|release| release.has_horde("bench"));
    println!("{:<44}{:>16}{:>24}", "", "Elixir", "Rust");
    for keys in SIZES {
        let elixir = release.map(|release| elixir_puts(release, keys));
        let rust = runtime.block_on(rust_puts(keys));
        row(&format!("puts a second at {keys} keys, one caller"), elixir, rust, true);
    }
    for keys in SIZES {
        let elixir = release.map(|release| elixir_converges(release, keys));
        let rust = runtime.block_on(rust_converges(keys));
        row(&format!("{keys} keys to an empty neighbour, ms"), elixir, rust, false);
    }
    let before = resident();
    let held = runtime.block_on(filled(100_000));
    let bytes = (resident().saturating_sub(before)) as f64 / 100_000.0;
    row("bytes a key at 100000 keys", release.map(elixir_memory), bytes, false);
    drop(held);
}

fn row(name: &str, elixir: Option<f64>, rust: f64, more_is_better: bool) {
    let Some(elixir) = elixir else { return println!("{name:<44}{:>16}{rust:>16.1}", "-") };
    let ratio = if more_is_better { rust / elixir } else { elixir / rust };
    println!("{name:<44}{elixir:>16.1}{rust:>16.1} ({ratio:.1}x)");
}

async fn node(port: u16) -> Node {
    let epmd = epmd::Config::from_vars(|name| (name == "ERL_EPMD_PORT").then(|| port.to_string())).expect("a port");
    let builder = Node::builder(unique("bench")).cookie(Cookie::new(COOKIE).expect("a cookie"));
    builder.epmd(EpmdMode::Auto).epmd_config(epmd).start().await.expect("the node starts")
}

async fn put_all(crdt: &DeltaCrdt, keys: usize) {
    for key in 0..keys {
        crdt.put(format!("key-{key}"), key).await.expect("a live replica");
    }
}

async fn filled(keys: usize) -> (Node, DeltaCrdt) {
    let node = node(free_port()).await;
    let crdt = node.delta_crdt("store").start().expect("the name is free");
    put_all(&crdt, keys).await;
    (node, crdt)
}

/// Overwrites, at that size.
async fn rust_puts(keys: usize) -> f64 {
    let (node, crdt) = filled(keys).await;
    let (since, mut done) = (Instant::now(), 0_usize);
    while since.elapsed() < Duration::from_secs(1) {
        crdt.put(format!("key-{}", done % keys), done).await.expect("a live replica");
        done += 1;
    }
    let rate = done as f64 / since.elapsed().as_secs_f64();
    node.shutdown().await;
    rate
}

/// From the moment that the one with all keys has a neighbour until that has them too.
async fn rust_converges(keys: usize) -> f64 {
    let port = free_port();
    let (one, two) = (node(port).await, node(port).await);
    let from = one.delta_crdt("store").start().expect("the name is free");
    let to = two.delta_crdt("store").start().expect("the name is free");
    put_all(&from, keys).await;
    one.connect(two.name().as_str()).await.expect("the other is there");
    let since = Instant::now();
    from.set_neighbours([("store", two.name().as_str())]);
    while to.len() < keys {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let took = since.elapsed().as_secs_f64() * 1000.0;
    one.shutdown().await;
    two.shutdown().await;
    took
}

fn elixir_puts(release: Release, keys: usize) -> f64 {
    let (_epmd, mut beam, _) = beams(release);
    let code = format!(
        "{{:ok, c}} = DeltaCrdt.start_link(DeltaCrdt.AWLWWMap, sync_interval: 100_000, max_sync_size: :infinite); \
         DeltaCrdt.merge(c, (for i <- 1..{keys}, into: %{{}}, do: {{\"key-#{{i}}\", i}}), :infinity); \
         n = 2000; {{us, _}} = :timer.tc(fn -> for i <- 1..n, do: DeltaCrdt.put(c, \"key-#{{rem(i, {keys}) + 1}}\", i) end); \
         n * 1.0e6 / us"
    );
    beam.elixir(&code).parse().expect("a number")
}

fn elixir_converges(release: Release, keys: usize) -> f64 {
    let (_epmd, mut one, mut two) = beams(release);
    let start = "{:ok, _} = DeltaCrdt.start_link(DeltaCrdt.AWLWWMap, name: :store, sync_interval: 100_000, max_sync_size: :infinite); :ok";
    assert_eq!(two.elixir(start), ":ok");
    let code = format!(
        "{start}; DeltaCrdt.merge(:store, (for i <- 1..{keys}, into: %{{}}, do: {{\"key-#{{i}}\", i}}), :infinity); \
         there = {{:store, :{:?}}}; DeltaCrdt.to_map(there, :infinity); from = System.monotonic_time(:microsecond); \
         DeltaCrdt.set_neighbours(:store, [there]); \
         wait = fn wait -> if map_size(:sys.get_state(there, :infinity).crdt_state.value) < {keys}, do: wait.(wait) end; \
         if {keys} > 10_000, do: (Process.sleep(1500)); wait.(wait); \
         (System.monotonic_time(:microsecond) - from) / 1000",
        two.name()
    );
    one.elixir(&code).parse().expect("a number")
}

fn elixir_memory(release: Release) -> f64 {
    let (_epmd, mut beam, _) = beams(release);
    let code = "{:ok, c} = DeltaCrdt.start_link(DeltaCrdt.AWLWWMap, sync_interval: 100_000, max_sync_size: :infinite); \
         DeltaCrdt.merge(c, (for i <- 1..100_000, into: %{}, do: {\"key-#{i}\", i}), :infinity); \
         :erlang.garbage_collect(c); {:memory, m} = Process.info(c, :memory); m / 100_000";
    beam.elixir(code).parse().expect("a number")
}

fn beams(release: Release) -> (Tiebeam, Beam, Beam) {
    let port = free_port();
    let epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden", "--no-connect-all"]);
    let [mut one, two] = [(); 2].map(|()| Beam::with_horde(release, &unique("bench"), port));
    one.wait_for(&format!("net_kernel:connect_node({}).", two.atom()), "true");
    (epmd, one, two)
}

/// What the process takes, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<usize>().ok()).unwrap_or(0) * 1024
}

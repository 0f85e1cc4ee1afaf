//! Replicas: Elixir's and ours, beside each other in one run.
//!
//! `cargo bench --bench crdt` prints times and, in brackets, ratios to what Elixir's DeltaCrdt took in the same run. It needs
//! `TIEBEAM_HORDE_EBIN` for the Elixir side, and says so where it is not given; Rust's own figures need nothing. Elixir's
//! replicas say by `on_diffs` when they have everything: nobody asks them meanwhile.

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
        if let (Some(release), Some(elixir)) = (release, elixir) {
            let to_rust = runtime.block_on(from_elixir(release, keys));
            row("  from Elixir to Rust, ms", Some(elixir), to_rust, false);
            let to_elixir = runtime.block_on(to_elixir(release, keys));
            row("  from Rust to Elixir, ms", Some(elixir), to_elixir, false);
        }
    }
    for keys in SIZES {
        let rust = runtime.block_on(rust_puts_beside_a_neighbour(keys));
        row(&format!("puts a second at {keys} keys, with a neighbour"), None, rust, true);
    }
    let elixir = release.map(elixir_propagates);
    row("one put seen by the neighbour, median ms", elixir, runtime.block_on(rust_propagates()), false);
    row("1000000 keys to an empty neighbour, ms", None, runtime.block_on(rust_converges(1_000_000)), false);
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

/// A replica that notes by the system's clock, in microseconds, when so many diffs have come.
fn noting(keys: usize, interval: u32) -> String {
    format!(
        "count = :counters.new(1, []); at = :atomics.new(1, []); :persistent_term.put(:bench, {{count, at}}); \
         {{:ok, _}} = DeltaCrdt.start_link(DeltaCrdt.AWLWWMap, name: :store, sync_interval: {interval}, max_sync_size: :infinite, \
         on_diffs: fn diffs -> :counters.add(count, 1, length(diffs)); \
         if :counters.get(count, 1) >= {keys}, do: :atomics.put(at, 1, System.os_time(:microsecond)) end); :ok"
    )
}

/// When it had them all; asked again and again, which costs it nothing.
fn noted(beam: &mut Beam) -> i64 {
    loop {
        let at = beam.elixir("{_, at} = :persistent_term.get(:bench); :atomics.get(at, 1)").parse().expect("a time");
        if at != 0 {
            return at;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_micros()).expect("not for a while")
}

const FILL: &str = "DeltaCrdt.merge(:store, (for i <- 1..KEYS, into: %{}, do: {\"key-#{i}\", i}), :infinity)";

fn elixir_converges(release: Release, keys: usize) -> f64 {
    let (_epmd, mut one, mut two) = beams(release);
    assert_eq!(two.elixir(&noting(keys, 100_000)), ":ok");
    assert_eq!(one.elixir(&noting(usize::MAX >> 8, 100_000)), ":ok");
    let code = format!(
        "{}; from = System.os_time(:microsecond); DeltaCrdt.set_neighbours(:store, [{{:store, :{:?}}}]); from",
        FILL.replace("KEYS", &keys.to_string()),
        two.name()
    );
    let from: i64 = one.elixir(&code).parse().expect("a time");
    (noted(&mut two) - from) as f64 / 1000.0
}

async fn from_elixir(release: Release, keys: usize) -> f64 {
    let port = free_port();
    let rust = node(port).await;
    let to = rust.delta_crdt("store").start().expect("the name is free");
    let mut beam = Beam::with_horde(release, &unique("bench"), port);
    rust.connect(beam.name()).await.expect("the BEAM is there");
    assert_eq!(beam.elixir(&noting(usize::MAX >> 8, 100_000)), ":ok");
    let code = format!(
        "{}; from = System.os_time(:microsecond); DeltaCrdt.set_neighbours(:store, [{{:store, :{:?}}}]); from",
        FILL.replace("KEYS", &keys.to_string()),
        rust.name().as_str()
    );
    let asked = std::thread::spawn(move || beam.elixir(&code).parse::<i64>().map(|from| (from, beam)).expect("a time"));
    while to.len() < keys {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let there = now();
    let (from, _beam) = asked.join().expect("the BEAM answered");
    rust.shutdown().await;
    (there - from) as f64 / 1000.0
}

async fn to_elixir(release: Release, keys: usize) -> f64 {
    let port = free_port();
    let rust = node(port).await;
    let store = rust.delta_crdt("store").start().expect("the name is free");
    put_all(&store, keys).await;
    let mut beam = Beam::with_horde(release, &unique("bench"), port);
    assert_eq!(beam.elixir(&noting(keys, 100_000)), ":ok");
    rust.connect(beam.name()).await.expect("the BEAM is there");
    let from = now();
    store.set_neighbours([("store", beam.name())]);
    let there = tokio::task::spawn_blocking(move || noted(&mut beam)).await.expect("it was noted");
    rust.shutdown().await;
    (there - from) as f64 / 1000.0
}

/// The neighbour is full when the clock starts.
async fn rust_puts_beside_a_neighbour(keys: usize) -> f64 {
    let port = free_port();
    let (one, two) = (node(port).await, node(port).await);
    let from = one.delta_crdt("store").start().expect("the name is free");
    let to = two.delta_crdt("store").start().expect("the name is free");
    put_all(&from, keys).await;
    from.set_neighbours([("store", two.name().as_str())]);
    to.set_neighbours([("store", one.name().as_str())]);
    while to.len() < keys {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (since, mut done) = (Instant::now(), 0_usize);
    while since.elapsed() < Duration::from_secs(2) {
        from.put(format!("key-{}", done % keys), done).await.expect("a live replica");
        done += 1;
    }
    let rate = done as f64 / since.elapsed().as_secs_f64();
    // The last write arrives.
    let (key, value) = (format!("key-{}", (done - 1) % keys), done - 1);
    while to.get::<usize>(&key).expect("a number") != Some(value) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    one.shutdown().await;
    two.shutdown().await;
    rate
}

async fn rust_propagates() -> f64 {
    let port = free_port();
    let (one, two) = (node(port).await, node(port).await);
    let from = one.delta_crdt("store").start().expect("the name is free");
    let to = two.delta_crdt("store").start().expect("the name is free");
    put_all(&from, 100).await;
    from.set_neighbours([("store", two.name().as_str())]);
    to.set_neighbours([("store", one.name().as_str())]);
    while to.len() < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut diffs = to.diffs();
    let mut took = Vec::new();
    for value in 0..200 {
        let since = Instant::now();
        from.put("key-1", (value, "new")).await.expect("a live replica");
        diffs.next().await.expect("the write comes");
        took.push(since.elapsed().as_secs_f64() * 1000.0);
    }
    one.shutdown().await;
    two.shutdown().await;
    median(took)
}

/// At an interval of 100 ms; Horde's replicas have 300.
fn elixir_propagates(release: Release) -> f64 {
    let (_epmd, mut one, mut two) = beams(release);
    assert_eq!(two.elixir(&noting(100, 100)), ":ok");
    let fill = FILL.replace("KEYS", "100");
    let code = format!(
        "{}; {fill}; DeltaCrdt.set_neighbours(:store, [{{:store, :{:?}}}]); :ok",
        noting(usize::MAX >> 8, 100),
        two.name()
    );
    assert_eq!(one.elixir(&code), ":ok");
    noted(&mut two);
    let took = (0..25).map(|value| {
        let reset = "{_, at} = :persistent_term.get(:bench); :atomics.put(at, 1, 0); :ok";
        assert_eq!(two.elixir(reset), ":ok");
        let put =
            format!("from = System.os_time(:microsecond); DeltaCrdt.put(:store, \"key-1\", {{:new, {value}}}); from");
        let from: i64 = one.elixir(&put).parse().expect("a time");
        (noted(&mut two) - from) as f64 / 1000.0
    });
    median(took.collect())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
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

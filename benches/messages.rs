//! Messages between nodes: BEAM to BEAM, BEAM to Rust, Rust to BEAM, Rust to Rust, in one run and in turn.
//!
//! `cargo bench --bench messages` prints nanoseconds a message and, in brackets, the ratio to BEAM–BEAM of the same round:
//! machines are noisy, ratios within a round less so. A second table has the same over TLS (certificates unchecked: that is
//! the connection's set-up only), against BEAM–BEAM over TLS. `-- '64 KB'` measures only what has that in its name. It needs
//! a BEAM; see `interop-tests/beam/images`.

use std::time::{Duration, Instant};

use interop_tests::{Beam, COOKIE, Release, free_port, unique};
#[cfg(feature = "tls")]
use tiebeam::TlsConfig;
use tiebeam::node::EpmdMode;
use tiebeam::process::{Dest, Mail, Process};
use tiebeam::{Atom, Cookie, Node, Term, epmd};

const ROUNDS: usize = 5;

/// What is measured: a name, how a BEAM does it (against `TO`), how Rust does it.
struct Case {
    name: &'static str,
    beam: &'static str,
    rust: fn(&tokio::runtime::Runtime, &Node, Dest, Dest) -> u128,
}

const CASES: &[Case] = &[
    Case {
        name: "one way, small",
        beam: "tiebeam_peer:one_way(TO, 100000, 1).",
        rust: |runtime, node, echo, _| runtime.block_on(one_way(node, echo, 100_000, Term::from(1))),
    },
    Case {
        name: "one way, 1 KB",
        beam: "tiebeam_peer:one_way(TO, 30000, binary:copy(<<7>>, 1024)).",
        rust: |runtime, node, echo, _| runtime.block_on(one_way(node, echo, 30_000, Term::binary([7; 1024]))),
    },
    Case {
        name: "one way, 64 KB",
        beam: "tiebeam_peer:one_way(TO, 2000, binary:copy(<<7>>, 65536)).",
        rust: |runtime, node, echo, _| {
            runtime.block_on(one_way(node, echo, 2_000, Term::from(bytes::Bytes::from(vec![7_u8; 65_536]))))
        },
    },
    Case {
        name: "one way, 10 MB",
        beam: "tiebeam_peer:one_way(TO, 20, binary:copy(<<7>>, 10000000)).",
        rust: |runtime, node, echo, _| {
            runtime.block_on(one_way(node, echo, 20, Term::from(bytes::Bytes::from(vec![7_u8; 10_000_000]))))
        },
    },
    Case {
        name: "round trip, p50",
        beam: "tiebeam_peer:round_trips(TO, 5000).",
        rust: |runtime, node, echo, _| runtime.block_on(round_trips(node, echo, 5_000)),
    },
    Case {
        name: "gen_server call, 64 callers",
        beam: "tiebeam_peer:calls(COUNTER, 64, 32000).",
        rust: |runtime, node, _, counter| runtime.block_on(calls(node, counter, 64, 32_000)),
    },
];

fn main() {
    let release = [Release::Otp27, Release::Otp29, Release::Otp25].into_iter().find(|release| release.is_here("bench"));
    let Some(release) = release else { return println!("no BEAM on this machine: nothing to measure beside") };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    table(release, &runtime, None);
    #[cfg(feature = "tls")]
    table(release, &runtime, Some(&Secured::new()));
}

/// All cases in turn, each round of a case with BEAM to BEAM.
fn table(release: Release, runtime: &tokio::runtime::Runtime, tls: Option<&Secured>) {
    let port = free_port();
    let server = runtime.block_on(node(&unique("server"), port, tls));
    runtime.block_on(tiebeam::demo::start(&server)).expect("its names are free");
    let client = runtime.block_on(node(&unique("client"), port, tls));
    let beam = |name: &str| match tls {
        None => Beam::start(release, &unique(name), port),
        Some(tls) => Beam::start_with(release, &unique(name), port, &tls.erl()),
    };
    let (mut sender, mut twin) = (beam("sender"), beam("twin"));
    assert_eq!(twin.eval("'Elixir.Tiebeam.Demo':serve()."), "ok");

    println!(
        "OTP {} on the other end, {}; medians of {ROUNDS} rounds, ns a message (ratio to BEAM to BEAM)",
        release.number(),
        if tls.is_some() { "TLS" } else { "plain TCP" }
    );
    println!("{:<28}{:>14}{:>22}{:>22}{:>22}", "", "BEAM to BEAM", "BEAM to Rust", "Rust to BEAM", "Rust to Rust");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    for case in CASES.iter().filter(|case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part))) {
        let mut rounds: Vec<[u128; 4]> = Vec::new();
        for _ in 0..ROUNDS {
            let beam_beam = from_beam(&mut sender, case.beam, twin.name());
            let beam_rust = from_beam(&mut sender, case.beam, server.name().as_str());
            let to = |name: &str, node: &str| Dest::from((name, node));
            let rust_beam = (case.rust)(runtime, &client, to("echo", twin.name()), to("counter", twin.name()));
            let server = server.name();
            let rust_rust = (case.rust)(runtime, &client, to("echo", server.as_str()), to("counter", server.as_str()));
            rounds.push([beam_beam, beam_rust, rust_beam, rust_rust]);
        }
        print_row(case.name, &rounds);
    }
    runtime.block_on(async {
        client.shutdown().await;
        server.shutdown().await;
    });
}

fn print_row(name: &str, rounds: &[[u128; 4]]) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    print!("{name:<28}");
    for column in 0..4 {
        let nanoseconds = median(rounds.iter().map(|round| round[column] as f64).collect());
        if column == 0 {
            print!("{nanoseconds:>14.0}");
        } else {
            let ratio = median(rounds.iter().map(|round| round[column] as f64 / round[0] as f64).collect());
            print!("{:>22}", format!("{nanoseconds:.0} ({ratio:.2}x)"));
        }
    }
    println!();
}

/// One certificate for all, signed by itself, in files that BEAMs see too.
struct Secured {
    cert: String,
    key: String,
    optfile: String,
}

#[cfg(feature = "tls")]
impl Secured {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a certificate");
        let at = |name: &str| interop_tests::files().join(format!("bench-{}-{name}", std::process::id()));
        let write = |name: &str, text: &str| {
            std::fs::write(at(name), text).expect("a file");
            at(name).display().to_string()
        };
        let (cert, key) = (write("cert.pem", &made.cert.pem()), write("key.pem", &made.key_pair.serialize_pem()));
        let files = format!("{{certfile,\"{cert}\"}},{{keyfile,\"{key}\"}},{{verify,verify_none}}");
        let optfile = write("dist.conf", &format!("[{{server,[{files}]}},{{client,[{files}]}}]."));
        Self { cert, key, optfile }
    }

    fn config(&self) -> TlsConfig {
        TlsConfig::unverified(&self.cert, &self.key)
    }
}

impl Secured {
    fn erl(&self) -> [&str; 6] {
        ["-start_epmd", "false", "-proto_dist", "inet_tls", "-ssl_dist_optfile", &self.optfile]
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        for file in [&self.cert, &self.key, &self.optfile] {
            let _removed = std::fs::remove_file(file);
        }
    }
}

async fn node(name: &str, port: u16, tls: Option<&Secured>) -> Node {
    let epmd = epmd::Config { port, ..epmd::Config::default() };
    let cookie = Cookie::new(COOKIE).expect("a cookie");
    let builder = Node::builder(name).cookie(cookie).epmd(EpmdMode::Auto).epmd_config(epmd);
    #[cfg(feature = "tls")]
    let builder = match tls {
        Some(tls) => builder.tls(tls.config()),
        None => builder,
    };
    #[cfg(not(feature = "tls"))]
    assert!(tls.is_none(), "TLS is not compiled in");
    builder.start().await.expect("the node starts")
}

fn from_beam(sender: &mut Beam, code: &str, node: &str) -> u128 {
    let code = code.replace("TO", &format!("{{echo, '{node}'}}")).replace("COUNTER", &format!("{{counter, '{node}'}}"));
    sender.eval(&code).parse().expect("a number of nanoseconds")
}

async fn one_way(node: &Node, echo: Dest, count: u32, payload: Term) -> u128 {
    let mut process = node.process();
    let message = tiebeam::etf::Encoded::new(&Term::tuple([payload])).expect("a term");
    sync(&mut process, echo.clone(), 0).await;
    let start = Instant::now();
    for _ in 0..count {
        process.send_encoded(echo.clone(), message.clone()).await.expect("connected");
    }
    sync(&mut process, echo, 1).await;
    start.elapsed().as_nanos() / u128::from(count)
}

async fn sync(process: &mut Process, echo: Dest, n: i64) {
    let message = Term::tuple([process.pid().into(), Term::from(n), Term::atom("sync")]);
    process.send(echo, &message).await.expect("connected");
    let Ok(Mail::Message(_)) = process.receive().await else { panic!("an echo was due") };
}

async fn round_trips(node: &Node, echo: Dest, count: usize) -> u128 {
    let mut process = node.process();
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let start = Instant::now();
        sync(&mut process, echo.clone(), n as i64).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[count / 2].as_nanos()
}

async fn calls(node: &Node, counter: Dest, callers: u32, count: u32) -> u128 {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..callers {
        let (mut process, counter) = (node.process(), counter.clone());
        tasks.push(tokio::spawn(async move {
            let get = Term::Atom(Atom::new("get"));
            for _ in 0..count / callers {
                let limit = Some(Duration::from_secs(60));
                process.call(counter.clone(), &get, limit).await.expect("the counter answers");
            }
        }));
    }
    for task in tasks {
        task.await.expect("a caller ends");
    }
    start.elapsed().as_nanos() / u128::from(count)
}

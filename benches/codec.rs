//! The codec beside its peers, on the same bytes in the same run: `cargo bench --bench codec`.
//!
//! Every cell is the median of rounds that go round-robin over all contenders, in nanoseconds per term
//! (for the binary and the string: per run), so that a noisy machine disturbs all alike. BEAMs are
//! measured by themselves, with the `erl` on the PATH and the images `tiebeam-beam:25`, `:27` and `:29`,
//! where they are. Arguments narrow it to corpora by their first letters: `cargo bench --bench codec d e`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Cursor;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tiebeam::etf::{self, Encoded};
use tiebeam::phash2;
use tiebeam::term::Term;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(15);

struct Corpus {
    name: String,
    bytes: Bytes,
    /// What times are divided by: the number of terms, or 1.
    terms: f64,
}

/// A contender: what it is called and what it does once.
type Contender<'a> = (&'static str, Box<dyn Fn() + 'a>);

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let corpora: Vec<Corpus> = corpora().into_iter().filter(|corpus| is_chosen(corpus, &chosen)).collect();
    let beams = beams(&corpora);
    table("Decode", &corpora, &beams, 0, decoders);
    table("Encode", &corpora, &beams, 1, encoders);
    table("phash2", &corpora, &beams, 2, hashers);
}

fn is_chosen(corpus: &Corpus, chosen: &[String]) -> bool {
    chosen.is_empty() || chosen.iter().any(|start| corpus.name.starts_with(start.as_str()))
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/erlang-fixtures/vectors/corpora"))
}

fn corpora() -> Vec<Corpus> {
    let files = std::fs::read_dir(folder()).expect("the corpora are in the repository");
    let mut paths: Vec<PathBuf> = files.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let corpus = |path: PathBuf| {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let bytes = Bytes::from(std::fs::read(&path).expect("readable"));
        let term = etf::decode(&bytes).expect("a term");
        let whole = name.starts_with("c_") || name.starts_with("h_");
        Corpus { name, terms: if whole { 1.0 } else { count(&term) as f64 }, bytes }
    };
    paths.into_iter().map(corpus).collect()
}

fn count(term: &Term) -> usize {
    1 + match term {
        Term::Tuple(items) => items.iter().map(count).sum(),
        Term::List(list) => list.as_terms().unwrap_or_default().iter().chain(list.tail()).map(count).sum(),
        Term::Map(map) => map.iter().map(|(key, value)| count(key) + count(value)).sum(),
        _ => 0,
    }
}

fn decoders(bytes: &Bytes) -> Vec<Contender<'_>> {
    vec![
        ("eetf", Box::new(move || drop(black_box(eetf::Term::decode(Cursor::new(bytes)))))),
        ("erltf", Box::new(move || drop(black_box(erltf::decode(bytes))))),
        ("tiebeam Term", Box::new(move || drop(black_box(etf::decode(bytes))))),
        ("tiebeam Encoded", Box::new(move || drop(black_box(Encoded::from_binary(bytes))))),
    ]
}

fn encoders(bytes: &Bytes) -> Vec<Contender<'_>> {
    let theirs = eetf::Term::decode(Cursor::new(bytes)).ok();
    let other = erltf::decode(bytes).ok();
    let ours = etf::decode(bytes).expect("a term");
    let same = ours.clone();
    let mut contenders: Vec<Contender<'_>> = Vec::new();
    if let Some(term) = theirs {
        let run = move || {
            let mut out = Vec::new();
            let _ = term.encode(&mut out);
            drop(black_box(out));
        };
        contenders.push(("eetf", Box::new(run)));
    }
    if let Some(term) = other {
        contenders.push(("erltf", Box::new(move || drop(black_box(erltf::encode(&term))))));
    }
    contenders.push(("tiebeam encode", Box::new(move || drop(black_box(etf::encode(&ours))))));
    contenders.push(("tiebeam Encoded", Box::new(move || drop(black_box(Encoded::new(&same))))));
    contenders
}

fn hashers(bytes: &Bytes) -> Vec<Contender<'_>> {
    let term = etf::decode(bytes).expect("a term");
    let encoded = Encoded::from_binary(bytes).expect("a term");
    vec![
        (
            "tiebeam Term",
            Box::new(move || {
                black_box(phash2::hash32(&term));
            }),
        ),
        (
            "tiebeam Encoded",
            Box::new(move || {
                let _ = black_box(encoded.hash32());
            }),
        ),
    ]
}

/// Nanoseconds of decode, encode and phash2 by BEAM and corpus.
type Beams = Vec<(String, BTreeMap<String, [f64; 3]>)>;

fn table(title: &str, corpora: &[Corpus], beams: &Beams, column: usize, contenders: fn(&Bytes) -> Vec<Contender<'_>>) {
    println!("\n{title}: ns per term (c and h: per run), and tiebeam's best against each");
    for (number, corpus) in corpora.iter().enumerate() {
        let mut cells: Vec<(String, f64)> = measure(&contenders(&corpus.bytes));
        for (beam, times) in beams {
            if let Some(times) = times.get(&corpus.name) {
                cells.push((beam.clone(), times[column]));
            }
        }
        if number == 0 {
            let names = cells.iter().map(|(name, _)| format!("{name:>22}"));
            println!("{:<14}{}", "", names.collect::<String>());
        }
        let ours = cells.iter().filter(|(name, _)| name == "tiebeam Term" || name == "tiebeam encode");
        let ours = ours.map(|(_, time)| *time).next().unwrap_or(f64::NAN);
        let row = cells.iter().map(|(_, time)| format!("{:>14.1} {:>6.2}x", time / corpus.terms, time / ours));
        println!("{:<14}{}", corpus.name, row.collect::<String>());
    }
}

/// The median of each contender's rounds, in nanoseconds a run.
fn measure(contenders: &[Contender<'_>]) -> Vec<(String, f64)> {
    let timed = |run: &dyn Fn(), times: u32| {
        let start = Instant::now();
        (0..times).for_each(|_| run());
        start.elapsed().as_nanos() as f64 / f64::from(times)
    };
    let times: Vec<u32> = contenders
        .iter()
        .map(|(_, run)| (ROUND.as_nanos() as f64 / timed(run, 3).max(1.0)).clamp(1.0, 1e6) as u32)
        .collect();
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for (at, (_, run)) in contenders.iter().enumerate() {
            rounds[at].push(timed(run, times[at]));
        }
    }
    let median = |mut rounds: Vec<f64>| {
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    };
    contenders.iter().zip(rounds).map(|((name, _), rounds)| ((*name).to_owned(), median(rounds))).collect()
}

fn beams(corpora: &[Corpus]) -> Beams {
    let root = env!("CARGO_MANIFEST_DIR");
    let files = |prefix: &str| -> Vec<String> {
        let file = |corpus: &Corpus| format!("{prefix}/erlang-fixtures/vectors/corpora/{}.etf", corpus.name);
        std::iter::once(format!("{prefix}/benches/beam.escript")).chain(corpora.iter().map(file)).collect()
    };
    let mut runs = vec![("OTP on the PATH".to_owned(), Command::new("escript"), files(root))];
    for release in [25, 27, 29] {
        let mut docker = Command::new("docker");
        let volume = format!("{root}:/tiebeam:ro");
        docker.args(["run", "--rm", "--network", "none", "--volume", &volume]);
        docker.args([&format!("tiebeam-beam:{release}"), "escript"]);
        runs.push((format!("OTP {release}"), docker, files("/tiebeam")));
    }
    let mut beams = Beams::new();
    for (name, mut command, files) in runs {
        match command.args(files).output() {
            Ok(output) if output.status.success() => beams.push((name, parse(&output.stdout))),
            Ok(_) | Err(_) => println!("{name}: not here, not measured"),
        }
    }
    beams
}

fn parse(output: &[u8]) -> BTreeMap<String, [f64; 3]> {
    let text = String::from_utf8_lossy(output);
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let name = fields.next()?.to_owned();
        let mut number = || fields.next()?.parse().ok();
        Some((name, [number()?, number()?, number()?]))
    };
    text.lines().filter_map(line).collect()
}

//! The torture set: every kind of term, from this process to a BEAM and back.

use interop_tests::Release;
use tiebeam::phash2::phash2;
use tiebeam::term::{Fun, LocalFun};
use tiebeam::{Atom, Term};

use super::{Duo, in_runtime, message};

/// The terms of the recorded hashes, of this very release: from Rust to a BEAM and back, by message and by `erpc`.
///
/// Beside equality `phash2` is compared: `1` and `1.0`, `0.0` and `-0.0` are not the same to it.
pub(super) fn the_torture_set_comes_back_from_a_beam(release: Release) {
    in_runtime(async {
        let duo = Duo::new(release).await;
        let rpc = duo.node.rpc(duo.peer());
        let mut me = duo.node.process();
        let mut different = Vec::new();
        let terms = torture(release);
        assert!(terms.len() > 600, "the vectors are all there");
        for (index, sent) in terms.iter().enumerate() {
            let number = i64::try_from(index).expect("a short list");
            let message_out = Term::tuple([me.pid().into(), number.into(), sent.clone()]);
            me.send((Atom::new("echo"), duo.peer()), message_out).await.expect("it is sent");
            let answer = message(&mut me).await;
            let by_message = answer.as_tuple().expect("{Number, Term}")[1].clone();
            let echoed = rpc.call_term(Atom::new("Elixir.Tiebeam.Demo"), Atom::new("echo"), vec![sent.clone()]).await;
            let by_erpc = echoed.unwrap_or_else(|error| panic!("{sent}: {error}"));
            for got in [by_message, by_erpc] {
                if !is_same(release, sent, &got) {
                    different.push(format!("{sent}\n  came back as {got}"));
                }
            }
        }
        assert!(different.is_empty(), "{} came back as others:\n{}", different.len(), different.join("\n"));
        duo.beam.assert_quiet();
        duo.node.shutdown().await;
    });
}

fn is_same(release: Release, sent: &Term, got: &Term) -> bool {
    let is_equal = sent == got || (release != Release::Otp25 && differs_in_creators_only(sent, got));
    is_equal && phash2(sent) == phash2(got)
}

/// Whether two terms differ in nothing but who made their closures: from OTP 27 on a BEAM writes a pid of its own there,
/// whoever it was.
fn differs_in_creators_only(sent: &Term, got: &Term) -> bool {
    match (sent, got) {
        (Term::Fun(sent), Term::Fun(got)) => match (&**sent, &**got) {
            (Fun::Local(sent), Fun::Local(got)) => LocalFun { pid: got.pid, ..(**sent).clone() } == **got,
            _ => sent == got,
        },
        (Term::Tuple(sent), Term::Tuple(got)) => {
            sent.len() == got.len() && sent.iter().zip(got.iter()).all(|(s, g)| differs_in_creators_only(s, g))
        }
        _ => sent == got,
    }
}

fn torture(release: Release) -> Vec<Term> {
    let folder = format!("{}/../erlang-fixtures/vectors", env!("CARGO_MANIFEST_DIR"));
    let file = format!("{folder}/phash2-otp{}.jsonl", release.number());
    let lines = std::fs::read_to_string(file).expect("the vectors are part of the repository");
    let hex = lines.lines().filter_map(|line| line.split_once("\"etf_hex\":\"")?.1.split_once('"').map(|(hex, _)| hex));
    hex.map(|hex| {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        tiebeam::etf::decode(&bytes.into()).expect("a term")
    })
    .collect()
}

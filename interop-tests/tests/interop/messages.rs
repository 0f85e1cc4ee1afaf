//! Terms and messages: what goes over comes back the same, in order, however large.

use std::fs;

use interop_tests::{Release, on_every_release};

use crate::world::World;

on_every_release!(
    every_term_comes_back_identical,
    messages_keep_their_order,
    large_messages_do_not_hold_up_small_ones,
    many_senders_of_large_messages_at_once,
);

/// The terms of the recorded hashes: every type, every size, recorded from this very release.
fn every_term_comes_back_identical(release: Release) {
    let mut world = World::new(release);
    let file =
        format!("{}/../erlang-fixtures/vectors/phash2-otp{}.jsonl", env!("CARGO_MANIFEST_DIR"), release.number());
    let lines = fs::read_to_string(file).expect("the vectors are part of the repository");
    let encodings: Vec<&str> = lines
        .lines()
        .filter_map(|line| line.split_once("\"etf_hex\":\"")?.1.split_once('"').map(|(hex, _)| hex))
        .collect();
    assert!(encodings.len() > 600, "the vectors are all there");
    for chunk in encodings.chunks(200) {
        let list = chunk.iter().map(|hex| format!("\"{hex}\"")).collect::<Vec<_>>().join(",");
        let code = format!(
            "Terms = [binary_to_term(binary:decode_hex(list_to_binary(H))) || H <- [{list}]], \
             Echo = fun(T) -> R = make_ref(), {{echo, N}} ! {{self(), R, T}}, \
             receive {{R, U}} -> U after 60000 -> lost end end, \
             [erlang:phash2(T) || T <- Terms, not (Echo(T) =:= T)] ++ \
             [erlang:phash2(T) || T <- Terms, not (rpc:call(N, D, echo, [T]) =:= T)]."
        );
        assert_eq!(world.eval(&code), "[]", "terms that came back as others");
    }
    let special = "Deep = lists:foldl(fun(_, A) -> {A} end, x, lists:seq(1, 100000)), \
                   Latin = binary_to_term(<<131, 100, 0, 2, 16#E9, 16#E8>>), \
                   T = [Deep, Latin, #{1 => a, 1.0 => b}, [-1, 2], lists:seq(1, 70000), [a | b], <<1:3>>, -0.0, \
                   fun lists:map/2, fun(X) -> X end, make_ref(), hd(erlang:ports())], rpc:call(N, D, echo, [T]) =:= T.";
    assert_eq!(world.eval(special), "true");
    world.beam.assert_quiet();
}

fn messages_keep_their_order(release: Release) {
    let mut world = World::new(release);
    // Small and large ones mixed: fragments must not let later messages pass.
    let ordered = "Big = binary:copy(<<7>>, 200000), Count = 2000, \
                   [{echo, N} ! {self(), I, case I rem 50 of 0 -> Big; _ -> I end} || I <- lists:seq(1, Count)], \
                   Got = [element(1, M) || M <- tiebeam_peer:collect(Count, 60000)], Got =:= lists:seq(1, Count).";
    assert_eq!(world.eval(ordered), "true");
    world.beam.assert_quiet();
}

fn large_messages_do_not_hold_up_small_ones(release: Release) {
    let mut world = World::new(release);
    // 300 MB in 10 MB messages, while another process calls the counter again and again.
    let code = "Self = self(), Ten = binary:copy(<<1, 2, 3, 4, 5, 6, 7, 8, 9, 10>>, 1000000), \
                spawn(fun() -> [rpc:call(N, D, echo, [Ten]) || _ <- lists:seq(1, 15)], Self ! done end), \
                Ping = fun F(Times) -> receive done -> Times after 0 -> \
                {T, _} = timer:tc(fun() -> gen_server:call({counter, N}, get, 60000) end), F([T | Times]) end end, \
                Times = lists:sort(Ping([])), \
                {length(Times) > 10, lists:nth(max(1, length(Times) * 99 div 100), Times) div 1000}.";
    let result = world.eval(code);
    let p99: u64 = result.trim_matches(['{', '}']).rsplit(',').next().and_then(|ms| ms.parse().ok()).expect("a number");
    assert!(result.starts_with("{true,"), "{result}");
    println!("p99 of calls beside 10 MB messages: {p99} ms; resident {} MB", world.rust.resident() >> 20);
    assert!(world.rust.resident() < 150 << 20, "the node holds {} MB", world.rust.resident() >> 20);
    world.beam.assert_quiet();
}

fn many_senders_of_large_messages_at_once(release: Release) {
    let mut world = World::new(release);
    let code = "Self = self(), [spawn(fun() -> Data = binary:copy(<<I>>, 300000 + I), \
                Same = [rpc:call(N, D, echo, [{I, Data}]) =:= {I, Data} || _ <- lists:seq(1, 5)], \
                Self ! {I, lists:all(fun(S) -> S end, Same)} end) || I <- lists:seq(1, 20)], \
                lists:all(fun({_, Same}) -> Same end, tiebeam_peer:collect(20, 60000)).";
    assert_eq!(world.eval(code), "true");
    world.beam.assert_quiet();
}

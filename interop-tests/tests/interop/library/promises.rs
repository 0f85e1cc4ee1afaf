//! Calls whose results are fetched later: this program's, towards a BEAM, beside those of another BEAM.

use std::time::Duration;

use interop_tests::{Beam, Release, unique};
use tiebeam::process::Mail;
use tiebeam::rpc::{Class, RequestIds, Response, RpcError};
use tiebeam::{Atom, Process, Term, term};

use super::{Duo, PATIENCE, in_runtime};

type Outcome = Result<Term, RpcError>;

/// What `rpc:call` and its like return.
fn badrpc(outcome: Outcome) -> Term {
    let exit = |why: Term| term!({:badrpc, {:EXIT, why}});
    match outcome {
        Ok(value) => value,
        Err(RpcError::Remote { class: Class::Throw, reason, .. }) => reason,
        Err(RpcError::Remote { class: Class::Error, reason, stack: Some(_) }) => exit(term!({reason, :stack})),
        Err(RpcError::Remote { reason, .. } | RpcError::Signal(reason)) => exit(reason),
        Err(RpcError::Timeout) => term!({:badrpc, :timeout}),
        Err(RpcError::NoConnection(_)) => term!({:badrpc, :nodedown}),
        Err(other) => panic!("{other}"),
    }
}

/// What `erpc` returns or raises, as `tiebeam_peer:tried` tells it.
fn tried(outcome: Outcome) -> Term {
    match outcome {
        Ok(value) => term!({:returned, value}),
        Err(RpcError::Remote { class: Class::Throw, reason, .. }) => term!({:raised, :throw, reason}),
        Err(RpcError::Remote { class: Class::Exit, reason, .. }) => term!({:raised, :exit, {:exception, reason}}),
        Err(RpcError::Remote { class: Class::Error, reason, stack: Some(_) }) => {
            term!({:raised, :error, {:exception, reason}})
        }
        Err(RpcError::Remote { class: Class::Error, reason, .. }) => term!({:raised, :error, reason}),
        Err(RpcError::Signal(reason)) => term!({:raised, :exit, {:signal, reason}}),
        Err(RpcError::Timeout) => term!({:raised, :error, {:erpc, :timeout}}),
        Err(RpcError::NoConnection(_)) => term!({:raised, :error, {:erpc, :noconnection}}),
        Err(other) => panic!("{other}"),
    }
}

/// Functions of a BEAM's own, as this program calls them and as another BEAM does.
const CALLS: &[(&str, &str, &str)] = &[
    ("lists", "sum", "[[1, 2]]"),
    ("erlang", "throw", "[ball]"),
    ("erlang", "exit", "[bye]"),
    ("erlang", "error", "[bad]"),
    ("erlang", "list_to_atom", "[1]"),
    ("nomod", "nofun", "[]"),
    ("timer", "sleep", "[60000]"),
];

fn arguments(text: &str) -> Vec<Term> {
    match text {
        "[[1, 2]]" => vec![Term::from(vec![Term::from(1), Term::from(2)])],
        "[1]" => vec![1.into()],
        "[60000]" => vec![60_000.into()],
        "[]" => vec![],
        atom => vec![Term::atom(atom.trim_matches(['[', ']']))],
    }
}

/// How long is waited: for a sleep that is longer not for its end, and for anything else whatever a busy machine takes.
fn limit(function: &str, is_there: bool) -> u64 {
    if function == "sleep" && is_there { 200 } else { 30_000 }
}

pub(super) fn requests_and_promises_give_what_a_beam_gets(release: Release) {
    in_runtime(async {
        let duo = Duo::new(release).await;
        let mut other = tokio::task::block_in_place(|| Beam::start(release, &unique("other"), duo.port));
        let mut me = duo.node.process();
        let nobody = Atom::new("nobody@127.0.0.1");
        for (to, name) in [(duo.peer(), duo.beam.name()), (nobody, nobody.as_str())] {
            for (module, function, args) in CALLS {
                let limit = limit(function, to != nobody);
                let (milliseconds, limit) = (limit.to_string(), Duration::from_millis(limit));
                let call = format!("'{name}', {module}, {function}, {args}");
                let mut same = |ours: Term, theirs: &str| {
                    let theirs = theirs.replace("CALL", &call).replace("LIMIT", &milliseconds);
                    let theirs = tokio::task::block_in_place(|| other.eval(&theirs));
                    assert_eq!(ours.to_string(), theirs, "tiebeam (left) and a BEAM (right) differ in {call}");
                };
                let rpc = duo.node.rpc(to);
                let (m, f) = (Atom::new(module), Atom::new(function));

                let promise = rpc.async_call(m, f, arguments(args)).expect("terms");
                let ours = match promise.nb_yield(limit).await {
                    Ok(outcome) => term!({:value, badrpc(outcome)}),
                    Err(_promise) => term!(:timeout),
                };
                same(
                    ours,
                    "case rpc:nb_yield(rpc:async_call(CALL), LIMIT) of \
                     {value, {badrpc, {'EXIT', {W, S}}}} when is_list(S) -> {value, {badrpc, {'EXIT', {W, stack}}}}; \
                     V -> V end.",
                );

                let request = rpc.send_request(&me, m, f, arguments(args)).await.expect("it is sent");
                let ours = tried(request.receive_response(&mut me, Some(limit)).await);
                same(ours, "tiebeam_peer:tried(fun() -> erpc:receive_response(erpc:send_request(CALL), LIMIT) end).");

                let request = rpc.send_request(&me, m, f, arguments(args)).await.expect("it is sent");
                let ours = match request.wait_response::<Term>(&mut me, Some(limit)).await {
                    Ok(Some(value)) => term!({:returned, {:response, value}}),
                    Ok(None) => term!({:returned, :no_response}),
                    Err(error) => tried(Err(error)),
                };
                request.abandon(&mut me);
                same(ours, "tiebeam_peer:tried(fun() -> erpc:wait_response(erpc:send_request(CALL), LIMIT) end).");
            }
        }
        checked(&duo, &mut me).await;
        collected(&duo, &mut me, &mut other).await;
        assert_eq!(me.try_receive_match(|mail| Some(mail.clone())).map(|mail| mail.is_none()), Ok(true));
        duo.beam.assert_quiet();
        duo.node.shutdown().await;
    });
}

/// A process that takes all of its mail itself.
async fn checked(duo: &Duo, me: &mut Process) {
    let rpc = duo.node.rpc(duo.peer());
    let request = rpc.send_request(me, "erlang", "node", ()).await.expect("it is sent");
    me.send(me.pid(), term!(:odd)).await.expect("it lives");
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mail: Mail = tokio::time::timeout(PATIENCE, me.receive()).await.expect("mail comes").expect("it lives");
        answers.extend(request.check_response::<Atom>(&mail));
    }
    assert_eq!(answers, [Ok(duo.peer())]);
    let yielded: Atom = rpc.async_call("erlang", "node", ()).expect("terms").yield_result().await.expect("it answers");
    assert_eq!(yielded, duo.peer());
}

/// Several requests, told apart by their labels.
async fn collected(duo: &Duo, me: &mut Process, other: &mut Beam) {
    let theirs = format!(
        "B = '{}', C0 = erpc:reqids_new(), \
         C3 = lists:foldl(fun({{L, F, A}}, C) -> erpc:send_request(B, erlang, F, A, L, C) end, C0, \
         [{{one, abs, [-1]}}, {{two, exit, [bye]}}, {{three, throw, [ball]}}]), \
         Take = fun Take(C, Seen) -> case tiebeam_peer:tried(fun() -> erpc:receive_response(C, 60000, true) end) of \
           {{returned, no_request}} -> lists:sort(Seen); \
           {{returned, {{{{response, V}}, L, D}}}} -> Take(D, [{{L, V}} | Seen]); \
           {{returned, {{{{K, V}}, L, D}}}} -> Take(D, [{{L, {{K, V}}}} | Seen]); \
           {{returned, {{V, L, D}}}} -> Take(D, [{{L, V}} | Seen]) end end, \
         {{erpc:reqids_size(C0), erpc:reqids_size(C3), lists:sort([L || {{_, L}} <- erpc:reqids_to_list(C3)]), \
          erpc:receive_response(C0, 0, true), is_function(Take)}}.",
        duo.beam.name()
    );
    let theirs = tokio::task::block_in_place(|| other.eval(&theirs));
    let rpc = duo.node.rpc(duo.peer());
    let mut open = RequestIds::new();
    let size_before = open.len();
    let none: Response<Term, &str> = open.wait_response(me, Some(Duration::ZERO)).await.expect("it lives");
    assert_eq!(none, Response::NoRequest);
    for (label, function, args) in
        [("one", "abs", Term::from(-1)), ("two", "exit", term!(:bye)), ("three", "throw", term!(:ball))]
    {
        let request = rpc.send_request(me, "erlang", function, (args,)).await.expect("it is sent");
        open.add(request, label);
    }
    let mut labels: Vec<Term> = open.iter().map(|(_, label)| Term::atom(label)).collect();
    labels.sort_by_key(Term::to_string);
    let ours = term!({size_before, open.len(), Term::from(labels), :no_request, :true});
    assert_eq!(ours.to_string(), theirs);
    let mut results = Vec::new();
    while let Some((label, response)) = open.receive_response(me, Some(PATIENCE)).await.expect("in time") {
        results.push((label, tried(response).to_string()));
    }
    results.sort_unstable();
    let expected =
        [("one", "{returned,1}"), ("three", "{raised,throw,ball}"), ("two", "{raised,exit,{exception,bye}}")];
    assert_eq!(results.iter().map(|(label, result)| (*label, result.as_str())).collect::<Vec<_>>(), expected);
    // Too late: all that is open is given up.
    let request = rpc.send_request(me, "timer", "sleep", (600_000,)).await.expect("it is sent");
    open.add(request, "late");
    let late = open.receive_response::<Term>(me, Some(Duration::from_millis(50))).await;
    assert_eq!((late, open.len()), (Err(RpcError::Timeout), 0));
}

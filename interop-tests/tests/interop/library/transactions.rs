//! `global:trans` of BEAM processes and of tasks of this program, all for one resource.

use std::time::Instant;

use interop_tests::Release;
use tiebeam::{Atom, Term, term};

use super::{Duo, in_runtime};

/// Of each process and each task.
const ROUNDS: usize = 250;

/// Each round reads a number that the BEAM keeps and writes back one more: one round that did not exclude the others
/// would be missing in the sum.
pub(super) fn a_thousand_contended_transactions_exclude_each_other(release: Release) {
    in_runtime(async {
        let mut duo = Duo::new(release).await;
        let table = "net_adm:ping(N), global:sync(), ets:new(sum, [named_table, public]), ets:insert(sum, {n, 0}).";
        assert_eq!(duo.eval(table), "true");
        let start = Instant::now();
        let begin = format!(
            "Me = self(), Round = fun() -> N0 = ets:lookup_element(sum, n, 2), erlang:yield(), \
             ets:insert(sum, {{n, N0 + 1}}) end, \
             [spawn_link(fun() -> [true = global:trans({{r, self()}}, Round) || _ <- lists:seq(1, {ROUNDS})], \
             Me ! {{done, K}} end) || K <- [1, 2]], ok."
        );
        assert_eq!(duo.eval(&begin), "ok");
        let tasks = [(); 2].map(|()| {
            let (node, peer) = (duo.node.clone(), duo.peer());
            tokio::spawn(async move {
                let (ets, rpc) = (Atom::new("ets"), node.rpc(peer));
                for _ in 0..ROUNDS {
                    let round = async {
                        let read = vec![term!(:sum), term!(:n), Term::from(2)];
                        let n = rpc.call_term(ets, Atom::new("lookup_element"), read).await.unwrap();
                        let more = n.as_i64().expect("a number") + 1;
                        rpc.call_term(ets, Atom::new("insert"), vec![term!(:sum), term!({:n, more})]).await.unwrap();
                    };
                    node.global().trans("r", round).await.unwrap();
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(duo.eval("[receive {done, K} -> ok end || K <- [1, 2]], ets:lookup_element(sum, n, 2)."), "1000");
        println!("OTP {}: 1,000 transactions in {:?}", release.number(), start.elapsed());
        duo.beam.assert_quiet();
        duo.node.shutdown().await;
    });
}

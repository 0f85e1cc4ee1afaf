%% What this BEAM needs for each file: one line "NAME decode encode phash2", in nanoseconds a run.
-mode(compile).

main(Files) -> [measure(File) || File <- Files].

measure(File) ->
    {ok, Bytes} = file:read_file(File),
    Term = binary_to_term(Bytes),
    Decode = best(fun() -> binary_to_term(Bytes) end),
    Encode = best(fun() -> term_to_binary(Term, [{minor_version, 2}]) end),
    Hash = best(fun() -> erlang:phash2(Term, 1 bsl 32) end),
    io:format("~s ~w ~w ~w~n", [filename:basename(File, ".etf"), Decode, Encode, Hash]).

%% The median of nine rounds of about 20 ms, each in a process of its own as a message would be.
best(Fun) ->
    Times = max(1, 20000000 div max(1, round_of(Fun, 3))),
    lists:nth(5, lists:sort([round_of(Fun, min(Times, 100000)) || _ <- lists:seq(1, 9)])).

round_of(Fun, Times) ->
    Self = self(),
    spawn_link(fun() ->
        Start = erlang:monotonic_time(nanosecond),
        repeat(Fun, Times),
        Self ! {took, (erlang:monotonic_time(nanosecond) - Start) div Times}
    end),
    receive {took, Nanoseconds} -> Nanoseconds end.

repeat(_, 0) -> ok;
repeat(Fun, N) -> Fun(), repeat(Fun, N - 1).

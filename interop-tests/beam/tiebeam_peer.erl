%% Evaluates what a scenario asks for, over a socket of its own.
-module(tiebeam_peer).

-export([main/1, tried/1, collect/2, flush/0, answering/3, watch_nodes/0, seen_nodes/1]).
-export([crashes/3]).
-export([under_fire/2, ceased_fire/0]).
-export([one_way/3, round_trips/2, calls/3]).

%% Requests are 'e' (Erlang expressions) or 'x' (an Elixir expression) and the code; answers '+' and the printed
%% value, or '-' and what was raised. All evaluations run in one process, so what one registers or monitors the next
%% finds; variables do not live on.
main(Port) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {packet, 4}, {active, false}, {nodelay, true}]),
    loop(Socket).

loop(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, <<Kind, Code/binary>>} ->
            Answer =
                try evaluate(Kind, Code) of
                    Text -> [$+, Text]
                catch
                    Class:Reason:Stack -> [$-, io_lib:format("~0tp:~0tp ~0tp", [Class, Reason, Stack])]
                end,
            ok = gen_tcp:send(Socket, unicode:characters_to_binary(Answer)),
            loop(Socket);
        {error, _} ->
            erlang:halt()
    end.

evaluate($e, Code) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Code)),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Expressions, []),
    io_lib:format("~0tp", [Value]);
evaluate($x, Code) ->
    ok = code:add_paths(filelib:wildcard("/usr/lib/elixir/lib/*/ebin")),
    {ok, _} = application:ensure_all_started(elixir),
    {Value, _} = 'Elixir.Code':eval_string(Code),
    'Elixir.Kernel':inspect(Value, [{limit, infinity}]).

%% What a fun returns or raises, without stacks: those name files and lines that only a BEAM has.
tried(Fun) ->
    try Fun() of
        {badrpc, {'EXIT', {Reason, [{_, _, _, _} | _]}}} -> {badrpc, {'EXIT', {Reason, stack}}};
        {badrpc, {'EXIT', {Reason, []}}} -> {badrpc, {'EXIT', {Reason, stack}}};
        Value -> {returned, Value}
    catch
        error:{exception, Reason, _} -> {raised, error, {exception, Reason}};
        Class:Reason -> {raised, Class, Reason}
    end.

%% The next Count messages, or none where they take longer than Timeout.
collect(0, _) -> [];
collect(Count, Timeout) ->
    receive Message -> [Message | collect(Count - 1, Timeout)]
    after Timeout -> [none]
    end.

flush() ->
    receive _ -> flush() after 0 -> ok end.

%% What Fun gives while a process of this name waits for a request, to answer it as Answer says. The name is taken before
%% and free after it.
answering(Name, Answer, Fun) ->
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
        register(Name, self()),
        Self ! {registered, self()},
        receive {From, Request} -> From ! Answer(Request) end
    end),
    receive {registered, Pid} -> ok end,
    Value = Fun(),
    exit(Pid, kill),
    receive {'DOWN', Ref, process, Pid, _} -> Value end.

%% Collects node events in a process of its own.
watch_nodes() ->
    spawn(fun() ->
        ok = net_kernel:monitor_nodes(true, [nodedown_reason]),
        watching([])
    end).

watching(Seen) ->
    receive
        {events, From} -> From ! {events, lists:reverse(Seen)}, watching(Seen);
        Event -> watching([Event | Seen])
    end.

seen_nodes(Watcher) ->
    Watcher ! {events, self()},
    receive {events, Seen} -> Seen end.

%% For the benches. To is where echo runs; times in nanoseconds a message.

%% Messages that nobody answers, then one that is.
one_way(To, Count, Payload) ->
    sync(To),
    Start = erlang:monotonic_time(nanosecond),
    sending(To, Count, Payload),
    sync(To),
    (erlang:monotonic_time(nanosecond) - Start) div Count.

sending(_, 0, _) -> ok;
sending(To, Count, Payload) -> To ! {Payload}, sending(To, Count - 1, Payload).

sync(To) ->
    Ref = make_ref(),
    To ! {self(), Ref, sync},
    receive {Ref, sync} -> ok end.

%% The median of round trips.
round_trips(To, Count) ->
    Times = [begin S = erlang:monotonic_time(nanosecond), sync(To), erlang:monotonic_time(nanosecond) - S end
             || _ <- lists:seq(1, Count)],
    lists:nth(Count div 2, lists:sort(Times)).

%% Calls by so many callers at once.
calls(To, Callers, Count) ->
    Self = self(),
    Each = Count div Callers,
    Start = erlang:monotonic_time(nanosecond),
    [spawn(fun() -> [gen_server:call(To, get, infinity) || _ <- lists:seq(1, Each)], Self ! called end)
     || _ <- lists:seq(1, Callers)],
    [receive called -> ok end || _ <- lists:seq(1, Callers)],
    (erlang:monotonic_time(nanosecond) - Start) div Count.

%% Callers that call for as long as a server is made to crash so many times: how many replies they got, and the reasons
%% of the exits that they got instead.
crashes(To, Callers, Crashes) ->
    Self = self(),
    Pids = [spawn_link(fun() -> calling(To, Self, 0, []) end) || _ <- lists:seq(1, Callers)],
    [crash(To) || _ <- lists:seq(1, Crashes)],
    [Pid ! stop || Pid <- Pids],
    Results = [receive {Pid, Replies, Exits} -> {Replies, Exits} end || Pid <- Pids],
    {lists:sum([Replies || {Replies, _} <- Results]), lists:usort(lists:append([Exits || {_, Exits} <- Results]))}.

crash(To) ->
    try gen_server:call(To, {stop, crashed}, 30000) of
        ok -> ok
    catch
        %% Between its end and its restart.
        exit:{noproc, _} -> timer:sleep(1), crash(To);
        %% Another caller's crash, or the one before it.
        exit:{crashed, _} -> crash(To)
    end.

calling(To, Parent, Replies, Exits) ->
    receive stop -> Parent ! {self(), Replies, Exits}
    after 0 ->
        try gen_server:call(To, {add, 0}, 30000) of
            0 -> calling(To, Parent, Replies + 1, Exits)
        catch
            exit:{Why, {gen_server, call, [To, {add, 0}, 30000]}} -> calling(To, Parent, Replies, lists:usort([Why | Exits]))
        end
    end.

%% A process that watches node N, and so many that write to N's watcher all the time, now and then so much that it goes in
%% fragments.
under_fire(N, Senders) ->
    Self = self(),
    Watcher = spawn(fun() ->
        register(watcher, self()),
        ok = net_kernel:monitor_nodes(true),
        Self ! watching,
        framed(N, false, {0, 0, 0, 0})
    end),
    receive watching -> ok end,
    Large = binary:copy(<<7>>, 150000),
    Pids = [spawn(fun() -> fire(N, Large, 0) end) || _ <- lists:seq(1, Senders)],
    put(under_fire, {Watcher, Pids}),
    ok.

fire(N, Large, I) ->
    {watcher, N} ! {fire, case I rem 40 of 39 -> Large; _ -> I end},
    case I rem 4 of 3 -> timer:sleep(1); _ -> ok end,
    fire(N, Large, I + 1).

framed(N, IsUp, {Ups, Downs, Messages, Violations} = Seen) ->
    receive
        {nodeup, N} when not IsUp -> framed(N, true, {Ups + 1, Downs, Messages, Violations});
        {nodedown, N} when IsUp -> framed(N, false, {Ups, Downs + 1, Messages, Violations});
        {fire, _} when IsUp -> framed(N, IsUp, {Ups, Downs, Messages + 1, Violations});
        {seen, From} -> From ! {seen, Seen};
        _ -> framed(N, IsUp, {Ups, Downs, Messages, Violations + 1})
    end.

%% What was seen: nodeups, nodedowns, messages and violations.
ceased_fire() ->
    {Watcher, Pids} = erase(under_fire),
    [exit(Pid, kill) || Pid <- Pids],
    Watcher ! {seen, self()},
    receive {seen, Seen} -> Seen end.

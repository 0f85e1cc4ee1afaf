%% Hordes under load: names that processes here hold, a driver that has all members register and start children, and
%% what is there in the end.
-module(horde_load).

-export([own/2, start/3, stop/0, entries/1, agree/1, keys/1, report/1]).
-export([register_here/2, transfer/3, lookups/3, conflict/2]).

-define(REG, 'Elixir.LabReg').
-define(SUP, 'Elixir.LabSup').

%% A process of this node registers itself and answers calls with their request.
own(Key, Value) ->
    Me = self(), Tag = make_ref(),
    {Pid, Watch} = spawn_monitor(fun() ->
        Got = try 'Elixir.Horde.Registry':register(?REG, Key, Value) catch Class:Why -> {error, {Class, Why}} end,
        Me ! {Tag, Got},
        case Got of {ok, _} -> echo(); _ -> ok end
    end),
    receive
        {Tag, {ok, _}} -> erlang:demonitor(Watch, [flush]), {ok, Pid};
        {Tag, Other} -> erlang:demonitor(Watch, [flush]), Other;
        {'DOWN', Watch, _, _, Why} -> {error, Why}
    end.

echo() ->
    receive
        {'$gen_call', From, Request} -> gen:reply(From, Request), echo();
        _ -> echo()
    end.

%% Members are {Node, beam} or {Node, rust}; rates are for a second, of all together.
start(Members, Names, Children) ->
    ets:new(load, [public, named_table]),
    Driver = spawn(fun() ->
        Pause = 20,
        drive(list_to_tuple(Members), Names * Pause / 1000, Children * Pause / 1000, Pause, 0, 0, 0.0, 0.0,
              erlang:monotonic_time(millisecond))
    end),
    register(driver, Driver),
    ok.

drive(Members, Names, Children, Pause, N, C, NDue, CDue, Next) ->
    receive stop -> ok
    after max(0, Next - erlang:monotonic_time(millisecond)) ->
        N2 = N + trunc(NDue + Names), C2 = C + trunc(CDue + Children),
        [spawn(fun() -> name(member(Members, I), I) end) || I <- lists:seq(N + 1, N2)],
        [spawn(fun() -> child(member(Members, I), I) end) || I <- lists:seq(C + 1, C2)],
        drive(Members, Names, Children, Pause, N2, C2, NDue + Names - (N2 - N), CDue + Children - (C2 - C), Next + Pause)
    end.

member(Members, I) -> element(I rem tuple_size(Members) + 1, Members).

name(Member, I) ->
    ets:insert(load, {{asked, name, I}, Member}),
    Got = try register_here(Member, I) catch Class:Why -> {Class, Why} end,
    case Got of
        {ok, Pid} -> ets:insert(load, {{name, I}, Member, Pid});
        Other -> ets:insert(load, {{refused, name, I}, Member, Other})
    end.

register_here({Node, beam}, Key) -> erpc:call(Node, ?MODULE, own, [Key, Node], 30000);
register_here({Node, rust}, Key) ->
    erpc:call(Node, 'Elixir.Tiebeam.Demo', horde_register, [?REG, Key, Node], 30000).

child({Node, _} = Member, I) ->
    Spec = #{id => I, start => {'Elixir.Tiebeam.Demo', start_counter, [I]}},
    Got = try gen_server:call({?SUP, Node}, {start_child, Spec}, 30000) catch Class:Why -> {Class, Why} end,
    case Got of
        {ok, _} -> ets:insert(load, {{child, I}, Member});
        Other -> ets:insert(load, {{refused, child, I}, Member, Other})
    end.

%% Ends the load and waits for what is under way: how many names and children there were.
stop() ->
    driver ! stop,
    finish(erlang:monotonic_time(millisecond) + 40000).

finish(Last) ->
    Asked = length(ets:match(load, {{asked, name, '_'}, '_'})),
    Done = length(ets:match(load, {{name, '_'}, '_', '_'})) + length(ets:match(load, {{refused, name, '_'}, '_', '_'})),
    case Asked =:= Done orelse erlang:monotonic_time(millisecond) > Last of
        true -> {length(ets:match(load, {{name, '_'}, '_', '_'})), length(ets:match(load, {{child, '_'}, '_'}))};
        false -> timer:sleep(100), finish(Last)
    end.

%% The registry as a member has it.
entries({Node, _}) ->
    Spec = [{{'$1', '$2', '$3'}, [], [{{'$1', '$2', '$3'}}]}],
    lists:sort(erpc:call(Node, 'Elixir.Horde.Registry', select, [?REG, Spec], 60000)).

keys(Member) -> length(entries(Member)).

%% Whether all members have the same registry, the same members, and know the same children; what differs if not.
agree(Members) -> within(60000, fun() -> compare(Members) end).

%% Members that are busy with each other may not answer for minutes; the scenario waits less.
within(Limit, Ask) ->
    Me = self(), Tag = make_ref(),
    {Pid, Watch} = spawn_monitor(fun() -> Me ! {Tag, Ask()} end),
    receive
        {Tag, Answer} -> erlang:demonitor(Watch, [flush]), Answer;
        {'DOWN', Watch, _, _, Why} -> {failed, Why}
    after Limit ->
        erlang:demonitor(Watch, [flush]), exit(Pid, kill), no_answer
    end.

compare(Members) ->
    Seen = try
        {[begin E = entries(M), {length(E), erlang:phash2(E, 4294967296)} end || M <- Members],
         [lists:sort(gen_server:call({Name, N}, members, 60000)) || {N, _} <- Members, Name <- [?REG]],
         [maps:get(global_supervised_process_count, gen_server:call({?SUP, N}, get_telemetry, 60000))
          || {N, _} <- Members]}
    catch Class:Why -> {[Class, Why], [], []}
    end,
    {Names, Lists, Children} = Seen,
    case lists:all(fun all_same/1, [Names, Lists, Children]) of true -> true; false -> Seen end.

all_same([]) -> true;
all_same([First | Rest]) -> lists:all(fun(One) -> One =:= First end, Rest).

alive(Pid) ->
    try erpc:call(node(Pid), 'Elixir.Process', 'alive?', [Pid], 60000) catch _:_ -> false end.

%% What is there in the end:
%%   names      registered, as the first member has them
%%   dead       of these, owned by no living process
%%   twice      acknowledged names with another living owner than the process that was told that it has it
%%   lost       acknowledged names of living processes that are not in the registry, for beam and for rust members
%%   children   acknowledged starts; once, missing, twice: how often these run; stray: processes of no acknowledged start
report(Members) -> within(110000, fun() -> count(Members) end).

count([First | _] = Members) ->
    Entries = maps:from_list([{K, P} || {K, P, _} <- entries(First)]),
    Dead = length([K || {K, P} <- maps:to_list(Entries), not alive(P)]),
    Acknowledged = [{I, Kind, P} || [I, {_, Kind}, P] <- ets:match(load, {{name, '$1'}, '$2', '$3'})],
    Astray = [{Kind, maps:get(I, Entries, none)} || {I, Kind, P} <- Acknowledged,
              maps:get(I, Entries, none) =/= P, alive(P)],
    Lost = fun(Kind) -> length([1 || {K, _} <- Astray, K =:= Kind]) end,
    Twice = length([1 || {_, Other} <- Astray, Other =/= none]),
    Runs = lists:foldl(fun(I, Map) -> maps:update_with(I, fun(N) -> N + 1 end, 1, Map) end, #{},
                       lists:append([running(M) || M <- Members])),
    Started = [I || [I] <- ets:match(load, {{child, '$1'}, '_'})],
    Times = [maps:get(I, Runs, 0) || I <- Started],
    Count = fun(Is) -> length([1 || N <- Times, Is(N)]) end,
    #{names => maps:size(Entries), dead => Dead, twice => Twice, lost_beam => Lost(beam), lost_rust => Lost(rust),
      children => length(Started), once => Count(fun(N) -> N =:= 1 end), missing => Count(fun(N) -> N =:= 0 end),
      doubled => Count(fun(N) -> N > 1 end), stray => maps:size(maps:without(Started, Runs))}.

%% The numbers of the children that run on a member.
running({Node, _}) ->
    Listed = gen_server:call({'Elixir.LabSup.ProcessesSupervisor', Node}, which_children, infinity),
    lists:append([number(Pid) || {_, Pid, _, _} <- Listed, is_pid(Pid)]).

number(Pid) -> try [gen_server:call(Pid, get, 30000)] catch _:_ -> [] end.

%% So many names, registered at one member by ten callers at once, until another has them all: milliseconds until the
%% last is registered, and from then until it is seen there.
transfer(From, {To, _}, Count) ->
    Start = erlang:monotonic_time(millisecond),
    Me = self(),
    [spawn_link(fun() -> [{ok, _} = register_here(From, I * 10 + Part) || I <- lists:seq(1, Count div 10)], Me ! done end)
     || Part <- lists:seq(0, 9)],
    [receive done -> ok end || _ <- lists:seq(0, 9)],
    Registered = erlang:monotonic_time(millisecond),
    seen(To, Count),
    {Registered - Start, erlang:monotonic_time(millisecond) - Registered}.

seen(To, Count) ->
    case erpc:call(To, 'Elixir.Horde.Registry', count, [?REG], 60000) of
        Count -> ok;
        _ -> timer:sleep(5), seen(To, Count)
    end.

%% Median nanoseconds of a lookup of each of two keys here, turn by turn.
lookups(One, Other, Count) ->
    Time = fun(Key) ->
        Start = erlang:monotonic_time(nanosecond),
        [{_, _}] = 'Elixir.Horde.Registry':lookup(?REG, Key),
        erlang:monotonic_time(nanosecond) - Start
    end,
    Pairs = [{Time(One), Time(Other)} || _ <- lists:seq(1, Count)],
    Median = fun(Times) -> lists:nth(Count div 2, lists:sort(Times)) end,
    {Median([T || {T, _} <- Pairs]), Median([T || {_, T} <- Pairs])}.

%% Two counters that keep their numbers, on two nodes, get the same name: what the one that keeps it counts in the end.
conflict(One, Other) ->
    Me = self(),
    spawn(fun() ->
        Start = fun(Node, N) ->
            {ok, Pid} = erpc:call(Node, 'Elixir.Tiebeam.Demo', start_kept_counter, ['Elixir.LabKept', {conflict, N}, N]),
            {ok, _} = gen_server:call({?REG, Node}, {register, conflict, nil, Pid}),
            Pid
        end,
        process_flag(trap_exit, true),
        Pids = [Start(One, 30), Start(Other, 12)],
        Lost = receive {'EXIT', Pid, {name_conflict, _, _, _}} -> Pid after 60000 -> none end,
        [Kept] = Pids -- [Lost],
        Me ! {kept, until_value(Kept, 42, 500)}
    end),
    receive {kept, Value} -> Value after 90000 -> none end.

until_value(Pid, Value, Times) ->
    case gen_server:call(Pid, get) of
        Value -> Value;
        Other when Times =:= 0 -> Other;
        _ -> timer:sleep(20), until_value(Pid, Value, Times - 1)
    end.

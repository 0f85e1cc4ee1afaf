%% Looks at replicas from outside: the root hash of any, and whether all that one is sent is what replicas send each other.
-module(crdt_probe).

-export([root/1, trace/1, traced/0]).

-define(DIFF, 'Elixir.DeltaCrdt.CausalCrdt.Diff').
-define(TREE_DIFF, 'Elixir.MerkleMap.MerkleTree.Diff').
-define(TREE, 'Elixir.MerkleMap.MerkleTree').
-define(STATE, 'Elixir.DeltaCrdt.AWLWWMap').
-define(MAP_SET, 'Elixir.MapSet').

%% The hash of a replica's root, in the layout of sets that it has for this node: a comparison that is begun and not gone
%% on with, which changes nothing there.
root(To) ->
    Me = self(),
    {_, Monitor} = spawn_monitor(fun() -> exit({root, ask(To)}) end),
    receive
        {'DOWN', Monitor, process, _, {root, Hash}} -> Hash;
        {'DOWN', Monitor, process, _, Why} -> exit(Me, Why)
    end.

ask(To) ->
    Tree = #{'__struct__' => ?TREE, tree => {partial, <<>>}},
    Continuation = #{'__struct__' => ?TREE_DIFF, keys => [], trees => [{<<>>, Tree}]},
    To ! {diff, #{'__struct__' => ?DIFF, continuation => Continuation, dots => #{}, originator => self(),
                  from => self(), to => To}},
    receive
        {diff, #{continuation := #{trees := [{<<>>, #{tree := []}}]}}} -> empty;
        {diff, #{continuation := #{trees := [{<<>>, #{tree := Root}}]}}} -> element(1, Root)
    after 60000 -> none
    end.

%% From now on all that this process is sent is looked at, whoever sends it.
trace(Name) ->
    case whereis(crdt_tracer) of
        undefined -> register(crdt_tracer, spawn(fun() -> tracer(#{}, []) end));
        _ -> ok
    end,
    1 = erlang:trace(whereis(Name), true, ['receive', {tracer, whereis(crdt_tracer)}]),
    ok.

%% {How many of each kind, those that no replica sends}.
traced() ->
    crdt_tracer ! {traced, self()},
    receive {seen, Kinds, Bad} -> {Kinds, Bad} after 60000 -> none end.

tracer(Kinds, Bad) ->
    receive
        {traced, From} ->
            From ! {seen, Kinds, Bad},
            tracer(Kinds, Bad);
        {trace, _, 'receive', Message} ->
            try kind(Message) of
                Kind -> tracer(maps:update_with(Kind, fun(N) -> N + 1 end, 1, Kinds), Bad)
            catch
                error:Why -> tracer(Kinds, lists:sublist([{Why, Message} | Bad], 3))
            end;
        _ -> tracer(Kinds, Bad)
    end.

kind(sync) -> local;
kind({set_neighbours, _}) -> local;
kind({system, _, _}) -> local;
kind({code_server, _}) -> local;
kind({'DOWN', Ref, process, _, _}) when is_reference(Ref) -> down;
kind({'EXIT', Pid, _}) when is_pid(Pid) -> local;
kind({'$gen_cast', {operation, Operation}}) -> operation(Operation), cast;
kind({'$gen_call', {Pid, _}, Request}) when is_pid(Pid) -> request(Request), call;
kind({ack_diff, Address}) -> address(Address), ack;
kind({diff, Diff}) -> #{continuation := C} = diff(Diff), continuation(C), diff;
kind({get_diff, Diff, Keys}) ->
    case diff(Diff) of
        #{continuation := nil} -> ok;
        #{continuation := C} -> continuation(C)
    end,
    keys(Keys),
    get_diff;
kind({diff, #{'__struct__' := ?STATE, dots := Dots, value := Value}, Keys}) when is_map(Value) ->
    claim(Dots),
    keys(Keys),
    [elements(Elements) || Elements <- maps:values(Value)],
    %% What is not listed is invisible to comparisons.
    true = maps:size(maps:without(Keys, Value)) =:= 0,
    data.

request(read) -> ok;
request({read, Keys}) -> keys(Keys);
request({operation, Operation}) -> operation(Operation);
request({bulk_operation, Operations}) -> [operation(Operation) || Operation <- Operations].

operation({add, [_, _]}) -> ok;
operation({remove, [_]}) -> ok.

address(Pid) when is_pid(Pid) -> ok;
address(Name) when is_atom(Name) -> ok;
address({Name, Node}) when is_atom(Name), is_atom(Node) -> ok.

diff(#{'__struct__' := ?DIFF, dots := Dots, originator := Originator, from := From, to := To} = Diff)
  when is_pid(Originator) ->
    6 = maps:size(Diff),
    claim(Dots),
    address(From),
    address(To),
    %% Otherwise a replica of Elixir has no clause for the acknowledgement.
    true = From =:= Originator orelse To =:= Originator,
    Diff.

continuation(#{'__struct__' := ?TREE_DIFF, keys := Keys, trees := Trees} = C) ->
    3 = maps:size(C),
    keys(Keys),
    [begin 2 = maps:size(Wrapped), true = bit_size(Loc) =< 32, tree(Tree, bit_size(Loc)) end
     || {Loc, #{'__struct__' := ?TREE, tree := Tree} = Wrapped} <- proper(Trees)].

tree([], _) -> ok;
tree({partial, Loc}, Depth) when bit_size(Loc) =:= Depth -> ok;
tree({<<_:32>>, {<<_:32>>, Contents}}, _) ->
    true = maps:size(Contents) > 0,
    keys(maps:keys(Contents)),
    [elements(Elements) || Elements <- maps:values(Contents)];
tree({<<_:32>>, Left, Right}, Depth) when Depth < 32 ->
    tree(Left, Depth + 1),
    tree(Right, Depth + 1).

keys(Keys) -> [true = case Key of {partial, _} -> false; _ -> true end || Key <- proper(Keys)].

proper(List) -> true = length(List) >= 0, List.

%% Each has a stamp that is no big number, and at least one dot.
elements(Elements) ->
    true = maps:size(Elements) > 0,
    [begin true = is_integer(Stamp), true = abs(Stamp) =< 1 bsl 59, true = map_size(set(Set)) > 0 end
     || {{_, Stamp}, Set} <- maps:to_list(Elements)].

claim(#{'__struct__' := ?MAP_SET} = Set) -> set(Set);
claim(Map) -> [true = is_integer(N) andalso N >= 1 || N <- maps:values(Map)].

set(#{'__struct__' := ?MAP_SET, map := Map} = Set) ->
    true = maps:size(Set) =:= 2 orelse (maps:size(Set) =:= 3 andalso maps:get(version, Set) =:= 2),
    [true = is_integer(N) andalso N >= 1 || {_, N} <- maps:keys(Map)],
    Map.

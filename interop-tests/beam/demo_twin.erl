%% The demo services as a BEAM would have them: what a tiebeam node's answers are compared with.
-module('Elixir.Tiebeam.Demo').

-behaviour(gen_server).

-export([add/2, fib/1, echo/1, sum/1, word_count/1, sleep/1, raise/1, throw/1, exit/1, puts/1, ticker/3]).
-export([start_echo/0, start_counter/1, serve/0, init/1, handle_call/3, handle_cast/2]).
-export([start_supervisor/2, start_dynamic_supervisor/1, start_task_supervisor/0, start_counter_supervisor/0, named_counter/0]).

%% Registers echo and counter on this node.
serve() ->
    {ok, Echo} = start_echo(),
    true = register(echo, Echo),
    {ok, _} = gen_server:start({local, counter}, ?MODULE, 0, []),
    ok.

add(A, B) when is_integer(A), is_integer(B) -> A + B;
add(_, _) -> erlang:error(badarith).

fib(N) -> fib(N, 0, 1).

fib(0, A, _) -> A;
fib(N, A, B) -> fib(N - 1, B, A + B).

echo(Term) -> Term.

sum(List) -> lists:sum(List).

word_count(Text) ->
    Words = string:lexemes(Text, " \n\t\r"),
    lists:foldl(fun(Word, Counts) -> maps:update_with(Word, fun(N) -> N + 1 end, 1, Counts) end, #{}, Words).

sleep(Milliseconds) -> timer:sleep(Milliseconds), ok.

raise(Message) -> erlang:error(#{'__struct__' => 'Elixir.RuntimeError', '__exception__' => true, message => Message}).

throw(Term) -> erlang:throw(Term).

exit(Term) -> erlang:exit(Term).

puts(Text) -> io:put_chars([Text, $\n]).

ticker(Pid, Milliseconds, Count) ->
    lists:foreach(fun(I) -> timer:sleep(Milliseconds), Pid ! {tick, I} end, lists:seq(1, Count)).

start_echo() -> {ok, spawn(fun echoing/0)}.

echoing() ->
    receive
        {From, Ref, Term} when is_pid(From) -> From ! {Ref, Term}, echoing();
        {'$gen_call', From, Request} -> gen_server:reply(From, Request), echoing();
        _ -> echoing()
    end.

start_counter(Initial) -> gen_server:start_link(?MODULE, Initial, []).

start_supervisor(Flags, Specs) ->
    process_flag(trap_exit, true),
    %% What they report stays here.
    group_leader(whereis(user), self()),
    Started = supervisor:start_link(?MODULE, {supervisor, Flags, Specs}),
    unlinked(Started).

%% Elixir has to be in the code path.
start_dynamic_supervisor(Most) ->
    group_leader(whereis(user), self()),
    unlinked('Elixir.DynamicSupervisor':start_link([{strategy, one_for_one}, {max_children, Most}])).

start_task_supervisor() ->
    unlinked('Elixir.Task.Supervisor':start_link([{name, 'Elixir.Tiebeam.Demo.TaskSupervisor'}])).

%% In place of the counter that serve() has started.
start_counter_supervisor() ->
    gen_server:stop(counter),
    Flags = #{intensity => 1000000, period => 1},
    unlinked(supervisor:start_link({local, 'Elixir.Tiebeam.Demo.Supervisor'}, ?MODULE,
        {supervisor, Flags, [#{id => counter, start => {?MODULE, named_counter, []}}]})).

named_counter() -> gen_server:start_link({local, counter}, ?MODULE, 0, []).

unlinked({ok, Pid}) -> unlink(Pid), {ok, Pid};
unlinked(Error) -> Error.

init({supervisor, Flags, Specs}) -> {ok, {Flags, Specs}};
init(N) -> {ok, N}.

handle_call(get, _, N) -> {reply, N, N};
handle_call({add, M}, _, N) -> {reply, N + M, N + M};
handle_call(reset, _, _) -> {reply, 0, 0};
handle_call({stop, Reason}, _, N) -> {stop, Reason, ok, N};
handle_call(Request, _, N) -> {stop, {bad_call, Request}, N}.

handle_cast({add, M}, N) -> {noreply, N + M}.

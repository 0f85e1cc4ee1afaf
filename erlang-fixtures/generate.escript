#!/usr/bin/env escript
%% -*- erlang -*-
%% Writes into DIR what this release's external term format says about the cases below:
%%   NAME.etf     the bytes of each case
%%   index.txt    NAME, tab, verdict, tab, phash2(Term, 1 bsl 32), tab, the term as text
%%   order.txt    the names of all terms, sorted by their terms
%% Verdicts: `same`: term_to_binary writes these bytes; `other`: binary_to_term takes them, but
%% term_to_binary writes others; `refused`: binary_to_term does not take them.
%% Run by ./generate, which knows the releases.
-mode(compile).

main([Dir]) ->
    Written = [{Name, term_to_binary(Term, [{minor_version, 2}, deterministic])} || {Name, Term} <- terms()],
    Read = [{Name, iolist_to_binary([131, Bytes])} || {Name, Bytes} <- bytes()],
    Results = [judge(Case) || Case <- lists:keysort(1, Written ++ Read)],
    [ok = file:write_file(filename:join(Dir, [Name, ".etf"]), Bytes) || {Name, Bytes, _, _} <- Results],
    ok = file:write_file(filename:join(Dir, "index.txt"), [line(Result) || Result <- Results]),
    Terms = [{Name, Term} || {Name, _, Verdict, Term} <- Results, Verdict =/= refused],
    Sorted = lists:sort(fun({_, A}, {_, B}) -> A =< B end, Terms),
    ok = file:write_file(filename:join(Dir, "order.txt"), [[Name, $\n] || {Name, _} <- Sorted]).

judge({Name, Bytes}) ->
    try binary_to_term(Bytes) of
        Term ->
            case term_to_binary(Term, [{minor_version, 2}, deterministic]) of
                Bytes -> {Name, Bytes, same, Term};
                _ -> {Name, Bytes, other, Term}
            end
    catch
        error:badarg -> {Name, Bytes, refused, none}
    end.

line({Name, _, refused, _}) ->
    [Name, "\trefused\t\t\n"];
line({Name, _, Verdict, Term}) ->
    Printed = unicode:characters_to_list(io_lib:format("~0tp", [Term])),
    %% Identifiers of other nodes print with a number that differs from run to run.
    Text = re:replace(Printed, "<[1-9][0-9]*\\.", "<_.", [global, unicode, {return, list}]),
    Shown = case length(Text) > 120 of
        true -> lists:sublist(Text, 119) ++ [16#2026];
        false -> Text
    end,
    Hash = integer_to_list(erlang:phash2(Term, 1 bsl 32)),
    unicode:characters_to_binary([Name, $\t, atom_to_list(Verdict), $\t, Hash, $\t, Shown, $\n]).

terms() ->
    Big = 1 bsl 64,
    [{"int_" ++ integer_to_list(N), N}
     || N <- [0, 1, 255, 256, -1, 65535, 1 bsl 27, -(1 bsl 27), (1 bsl 27) - 1, -(1 bsl 27) - 1, (1 bsl 31) - 1,
              1 bsl 31, -(1 bsl 31), -(1 bsl 31) - 1, 1 bsl 59, (1 bsl 63) - 1, 1 bsl 63, -(1 bsl 63),
              -(1 bsl 63) - 1, Big - 1, Big, Big + 1, -Big, 1 bsl 128]]
    ++ [{"big_255_bytes", 1 bsl (255 * 8) - 1}, {"big_256_bytes", 1 bsl (255 * 8)}, {"big_negative", -(1 bsl 3000) - 7}]
    ++ [{"float_" ++ integer_to_list(I), F}
        || {I, F} <- lists:enumerate([0.0, -0.0, 1.0, -1.5, 1.0e300, 5.0e-324, 9007199254740992.0, 1.8446744073709552e19])]
    ++ [{"atom_empty", ''}, {"atom_ok", ok}, {"atom_latin1", list_to_atom([16#e9, 16#ff])},
        {"atom_unicode", list_to_atom([16#20ac, 16#1f600])}, {"atom_255", list_to_atom(lists:duplicate(255, $a))},
        {"atom_255_wide", list_to_atom(lists:duplicate(255, 16#e9))}, {"atom_nul", list_to_atom([0])},
        {"atom_fffe", list_to_atom([16#fffe, 16#ffff])}, {"atom_module", 'Elixir.Some.Module'}]
    ++ [{"nil", []}, {"string", "string"}, {"string_1", [0]}, {"string_max", lists:duplicate(65535, 7)},
        {"list_65536", lists:duplicate(65536, 7)}, {"list_256", [256]}, {"list_negative", [-1, 2]},
        {"list_mixed", [1, 2, a, 3, 4, 5, 6, 7 | "89"]}, {"list_improper", [1, 2 | 3]}, {"list_improper_nested", [[a | b] | {c}]},
        {"list_nested", [[], [[]], [[[]]], "a", ["b"]]}, {"charlist_unicode", [16#20ac, $a]}]
    ++ [{"tuple_0", {}}, {"tuple_1", {a}}, {"tuple_255", list_to_tuple(lists:seq(1, 255))},
        {"tuple_256", list_to_tuple(lists:seq(1, 256))}, {"tuple_nested", {{{}}, {[]}, <<>>}}]
    ++ [{"binary_empty", <<>>}, {"binary_text", <<"text">>}, {"binary_63", binary:copy(<<1>>, 63)},
        {"binary_64", binary:copy(<<1>>, 64)}, {"binary_5000", binary:copy(<<"abcde">>, 1000)},
        {"bits_1", <<1:1>>}, {"bits_7", <<127:7>>}, {"bits_15", <<1:15>>}, {"bits_zero", <<0:3>>}]
    ++ [{"map_0", #{}}, {"map_1", #{a => 1}}, {"map_keys", #{1 => a, 1.0 => b, a => c, {} => d, <<>> => e, [] => f, "a" => g}},
        {"map_32", maps:from_list([{I, I} || I <- lists:seq(1, 32)])},
        {"map_33", maps:from_list([{I, I} || I <- lists:seq(1, 33)])},
        {"map_500", maps:from_list([{integer_to_binary(I), {I, float(I)}} || I <- lists:seq(1, 500)])},
        {"map_nested", #{#{a => 1} => #{b => #{}}, [#{}] => {#{}}}},
        {"map_struct", #{'__struct__' => 'Elixir.MapSet', map => #{1 => []}}}]
    ++ [{"gen_call", {'$gen_call', {pid(1), [alias | ref([1, 2, 3, 4, 5])]}, {get, <<"key">>}}}]
    ++ [{"pid", pid(1)}, {"pid_large", pid(16#0fffffff)}, {"ref_1", ref([1])}, {"ref_3", ref([1, 2, 3])},
        {"ref_5", ref([1, 2, 3, 4, 5])}, {"port_large", port(1 bsl 40)}, {"pid_self_node", c_pid()},
        {"export", fun lists:map/2}, {"fun_eval", eval("fun(A) -> {A, 1} end.")},
        {"fun_two_free", eval("X = 1, Y = {a, <<2>>}, fun() -> {X, Y} end.")}].

%% Bytes after the 131 that a BEAM writes rarely or never.
bytes() ->
    Node = [119, 3, "a@b"],
    OldNode = [100, <<3:16>>, "a@b"],
    Small = fun(T) -> tl(binary_to_list(term_to_binary(T, [{minor_version, 2}]))) end,
    [{Name, Parts} || {Name, Parts} <- [
        {"read_atom_latin1", [100, <<2:16>>, 16#e9, 16#ff]},
        {"read_small_atom_latin1", [115, 1, 16#e9]},
        {"read_atom_utf8_short", [118, <<2:16>>, "ok"]},
        {"read_atom_256", [118, <<256:16>>, lists:duplicate(256, $a)]},
        {"read_atom_256_latin1", [100, <<256:16>>, lists:duplicate(256, $a)]},
        {"read_atom_overlong", [119, 2, 16#c0, 16#80]},
        {"read_atom_surrogate", [119, 3, 16#ed, 16#a0, 16#80]},
        {"read_atom_beyond", [119, 4, 16#f4, 16#90, 16#80, 16#80]},
        {"read_atom_cut", [119, 3, "ab"]},
        {"read_float_text", [99, "1.50000000000000000000e+00", 0, 0, 0, 0, 0]},
        {"read_float_text_negative", [99, "-2.25000000000000000000e-10", 0, 0, 0, 0]},
        {"read_float_text_no_point", [99, "15", lists:duplicate(29, 0)]},
        {"read_float_text_words", [99, "nan", lists:duplicate(28, 0)]},
        {"read_float_nan", [70, <<16#7ff8000000000000:64>>]},
        {"read_float_inf", [70, <<16#7ff0000000000000:64>>]},
        {"read_big_none", [110, 0, 0]},
        {"read_big_zero", [110, 1, 1, 0]},
        {"read_big_small", [110, 1, 1, 7]},
        {"read_big_leading_zeros", [110, 12, 0, 7, lists:duplicate(11, 0)]},
        {"read_big_odd_sign", [110, 1, 2, 7]},
        {"read_large_big_small", [111, <<1:32>>, 1, 7]},
        {"read_int_small", [98, <<7:32>>]},
        {"read_bits_8", [77, <<1:32>>, 8, 255]},
        {"read_bits_unclean", [77, <<1:32>>, 3, 255]},
        {"read_bits_0", [77, <<1:32>>, 0, 255]},
        {"read_bits_9", [77, <<1:32>>, 9, 255]},
        {"read_bits_none_8", [77, <<0:32>>, 8]},
        {"read_list_0", [108, <<0:32>>, 97, 1]},
        {"read_list_0_nil", [108, <<0:32>>, 106]},
        {"read_list_tail_list", [108, <<1:32>>, 97, 1, 108, <<1:32>>, 97, 2, 106]},
        {"read_list_tail_string", [108, <<1:32>>, 97, 1, 107, <<2:16>>, 2, 3]},
        {"read_list_tail_empty_list", [108, <<1:32>>, 97, 1, 108, <<0:32>>, 97, 2]},
        {"read_list_bytes", [108, <<2:32>>, 97, 1, 97, 2, 106]},
        {"read_list_huge", [108, <<16#ffffffff:32>>, 97, 1, 106]},
        {"read_string_empty", [107, <<0:16>>]},
        {"read_tuple_large_small", [105, <<1:32>>, 97, 1]},
        {"read_tuple_huge", [105, <<16#ffffffff:32>>, 97, 1]},
        {"read_map_twice", [116, <<2:32>>, 97, 1, 97, 1, 97, 1, 97, 2]},
        {"read_map_twice_large", [116, <<40:32>>, [[97, I, 97, I] || I <- lists:seq(1, 39)], 97, 20, 97, 1]},
        {"read_map_1_and_float", [116, <<2:32>>, 97, 1, 97, 1, 70, <<16#3ff0000000000000:64>>, 97, 2]},
        {"read_map_zeros", [116, <<2:32>>, 70, <<0:64>>, 97, 1, 70, <<16#8000000000000000:64>>, 97, 2]},
        {"read_map_huge", [116, <<16#7fffffff:32>>, 97, 1]},
        {"read_pid_old", [103, OldNode, <<1:32>>, <<2:32>>, 3]},
        {"read_pid_old_creation_4", [103, OldNode, <<1:32>>, <<2:32>>, 4]},
        {"read_pid_node_no_at", [88, 119, 1, "a", <<1:32>>, <<2:32>>, <<3:32>>]},
        {"read_pid_node_int", [88, 97, 1, <<1:32>>, <<2:32>>, <<3:32>>]},
        {"read_port_old", [102, OldNode, <<1:32>>, 3]},
        {"read_port_new", [89, Node, <<1:32>>, <<3:32>>]},
        {"read_ref_old", [101, OldNode, <<1:32>>, 3]},
        {"read_ref_old_19_bits", [101, OldNode, <<(1 bsl 18):32>>, 3]},
        {"read_ref_new", [114, <<2:16>>, Node, 3, <<1:32>>, <<2:32>>]},
        {"read_ref_new_creation_4", [114, <<2:16>>, Node, 4, <<1:32>>, <<2:32>>]},
        {"read_ref_newer_18_bits", [90, <<1:16>>, Node, <<3:32>>, <<(1 bsl 18):32>>]},
        {"read_ref_6", [90, <<6:16>>, Node, <<3:32>>, <<1:32>>, <<2:32>>, <<3:32>>, <<4:32>>, <<5:32>>, <<6:32>>]},
        {"read_export_negative", [113, 119, 1, "m", 119, 1, "f", 98, <<16#ffffffff:32>>]},
        {"read_fun_old", [117, <<0:32>>, Small(pid(1)), 119, 1, "m", 97, 0, 97, 0]},
        {"read_fun_new", [112, <<99:32>>, 2, lists:duplicate(16, 7), <<1:32>>, <<1:32>>, 119, 1, "m", 97, 1, 98, <<16#ffffff00:32>>, Small(pid(1)), 119, 1, "x"]},
        {"read_fun_nfree_256", [112, <<99:32>>, 2, lists:duplicate(16, 7), <<1:32>>, <<256:32>>, 119, 1, "m", 97, 1, 97, 2, Small(pid(1)), lists:duplicate(256, 106)]},
        {"read_fun_nfree_huge", [112, <<99:32>>, 2, lists:duplicate(16, 7), <<1:32>>, <<16#ffffffff:32>>, 119, 1, "m", 97, 1, 97, 2, Small(pid(1))]},
        {"read_compressed", [80, <<100:32>>, zlib:compress([109, <<95:32>>, lists:duplicate(95, 1)])]},
        {"read_compressed_size_less", [80, <<99:32>>, zlib:compress([109, <<95:32>>, lists:duplicate(95, 1)])]},
        {"read_compressed_size_more", [80, <<101:32>>, zlib:compress([109, <<95:32>>, lists:duplicate(95, 1)])]},
        {"read_compressed_nested", [104, 1, 80, <<1:32>>, zlib:compress([106])]},
        {"read_version_twice", [131, 106]},
        {"read_cache_ref", [82, 0]},
        {"read_empty", []},
        {"read_record", [67, <<1:32>>, 0, 119, 1, "m", 119, 1, "n", 119, 1, "k", 97, 1]},
        {"read_record_none", [67, <<0:32>>, 1, 119, 1, "m", 119, 1, "n"]},
        {"read_record_flag_2", [67, <<1:32>>, 2, 119, 1, "m", 119, 1, "n", 119, 1, "k", 97, 1]},
        {"read_record_twice", [67, <<2:32>>, 0, 119, 1, "m", 119, 1, "n", 119, 1, "k", 119, 1, "k", 97, 1, 97, 2]}
    ]].

pid(Id) -> read([88, 119, 3, "a@b", <<Id:32>>, <<2:32>>, <<3:32>>]).

c_pid() -> read([88, 119, 13, "nonode@nohost", <<1:32>>, <<0:32>>, <<0:32>>]).

port(Id) -> read([120, 119, 3, "a@b", <<Id:64>>, <<3:32>>]).

ref(Words) -> read([90, <<(length(Words)):16>>, 119, 3, "a@b", <<3:32>>, [<<Word:32>> || Word <- Words]]).

read(Parts) -> binary_to_term(iolist_to_binary([131 | Parts])).

eval(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Exprs, #{}),
    Value.

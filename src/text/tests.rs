//! Literals of both syntaxes, there and back.

use proptest::prelude::*;

use super::{Syntax, name, parse, parse_call, print};
use crate::term::{Atom, List, Map, Term};

fn erlang(text: &str) -> Term {
    parse(text, Syntax::Erlang).unwrap_or_else(|error| panic!("{error}")).0
}

fn elixir(text: &str) -> Term {
    parse(text, Syntax::Elixir).unwrap_or_else(|error| panic!("{error}")).0
}

#[test]
fn both_syntaxes_write_the_same_terms() {
    let pairs = [
        ("ok", ":ok"),
        ("'Hello World'", ":\"Hello World\""),
        ("'Elixir.Enum'", "Enum"),
        ("{ok,[1,2.5,-3]}", "{:ok, [1, 2.5, -3]}"),
        ("\"abc\"", "~c\"abc\""),
        ("<<\"abc\">>", "\"abc\""),
        ("<<1,2,3>>", "<<1, 2, 3>>"),
        ("<<5:3>>", "<<5::size(3)>>"),
        ("#{a => 1}", "%{a: 1}"),
        ("#{<<\"k\">> => nil}", "%{\"k\" => nil}"),
        ("[{a,1},{b,2}]", "[a: 1, b: 2]"),
        ("[1|2]", "[1 | 2]"),
        ("fun lists:map/2", "&:lists.map/2"),
        ("{}", "{}"),
        ("[]", "[]"),
        ("#{'__struct__' => 'Elixir.Foo',a => 1}", "%Foo{a: 1}"),
        ("1.0e10", "1.0e10"),
        ("0.001", "0.001"),
        ("#Pid<a@127.0.0.1/12.3/17>", "#Pid<a@127.0.0.1/12.3/17>"),
        ("#Ref<a@127.0.0.1/1.2.3/17>", "#Ref<a@127.0.0.1/1.2.3/17>"),
    ];
    for (in_erlang, in_elixir) in pairs {
        let term = erlang(in_erlang);
        assert_eq!(term, elixir(in_elixir), "{in_erlang} and {in_elixir}");
        assert_eq!(print(&term, Syntax::Erlang), in_erlang);
        assert_eq!(print(&term, Syntax::Elixir), in_elixir);
    }
}

#[test]
fn numbers_of_every_form_are_read() {
    for text in ["16#FF", "0xFF", "255", "2#11111111", "0b11111111", "0o377", "2_5_5"] {
        assert_eq!(erlang(text), Term::from(255), "{text}");
    }
    assert_eq!(erlang("-16#ff"), Term::from(-255));
    assert_eq!(erlang("$a"), Term::from(97));
    assert_eq!(erlang("$\\n"), Term::from(10));
    assert_eq!(elixir("?a"), Term::from(97));
    assert_eq!(
        elixir("340282366920938463463374607431768211456").to_string(),
        "340282366920938463463374607431768211456"
    );
}

#[test]
fn what_only_one_syntax_allows_decides() {
    for (text, syntax) in [
        ("ok", Syntax::Erlang),
        ("{ok, 1}", Syntax::Erlang),
        ("#{}", Syntax::Erlang),
        (":a", Syntax::Elixir),
        ("nil", Syntax::Elixir),
        ("%{}", Syntax::Elixir),
        ("\"k\"", Syntax::Elixir),
        ("[1, 2]", Syntax::Elixir),
    ] {
        assert_eq!(parse(text, Syntax::Auto).map(|(_, found)| found), Ok(syntax), "{text}");
    }
    assert_eq!(parse("\"k\"", Syntax::Auto).map(|(term, _)| term), Ok(Term::from("k")));
}

#[test]
fn elixir_s_own_forms_are_read() {
    assert_eq!(elixir("~w(a b)a"), Term::list(vec![Term::atom("a"), Term::atom("b")]));
    assert_eq!(elixir("{1, a: 2}"), erlang("{1,[{a,2}]}"));
    assert_eq!(elixir("1..3"), erlang("#{'__struct__' => 'Elixir.Range',first => 1,last => 3,step => 1}"));
    assert_eq!(elixir("'abc'"), Term::List(List::from_text("abc")));
    assert_eq!(elixir("<<1::size(4), 2::4>>"), Term::binary([0x12]));
    assert_eq!(elixir("<<\"é\"::utf8>>"), Term::from("é"));
    assert_eq!(erlang("<<\"é\"/utf8,1:16/little>>"), Term::binary([0xC3, 0xA9, 1, 0]));
    assert_eq!(erlang("<<\"é\">>"), Term::binary([0xE9]));
    assert_eq!(elixir("%{\"a\": 1}"), erlang("#{a => 1}"));
}

#[test]
fn errors_point_at_their_column() {
    let error = parse("{ok, [1, }", Syntax::Erlang).expect_err("no literal");
    assert_eq!(error.column, 10);
    assert_eq!(error.to_string().lines().last(), Some("           ^"), "{error}");
    assert_eq!(parse("{:ok, ]", Syntax::Auto).expect_err("no literal").column, 7);
    assert_eq!(parse("ok ok", Syntax::Auto).expect_err("two terms").expected, "the end");
    assert!(parse("X", Syntax::Erlang).expect_err("a variable").expected.contains("variable"));
    assert!(parse(&"[".repeat(300), Syntax::Auto).is_err());
    assert!(parse("", Syntax::Auto).is_err());
}

#[test]
fn calls_are_read_in_both_syntaxes() {
    for (text, module, function, args, syntax) in [
        ("lists:sum([1,2,3])", "lists", "sum", 1, Syntax::Erlang),
        ("erlang:node()", "erlang", "node", 0, Syntax::Erlang),
        ("'Elixir.Enum':sum([1])", "Elixir.Enum", "sum", 1, Syntax::Erlang),
        ("Enum.sum([1, 2, 3])", "Elixir.Enum", "sum", 1, Syntax::Elixir),
        ("My.Mod.fun!(1, a: 2)", "Elixir.My.Mod", "fun!", 2, Syntax::Elixir),
        (":lists.sum([-1, 2])", "lists", "sum", 1, Syntax::Elixir),
        ("Node.list", "Elixir.Node", "list", 0, Syntax::Elixir),
    ] {
        let call = parse_call(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((call.module.as_str(), call.function.as_str()), (module, function));
        assert_eq!((call.args.len(), call.syntax), (args, syntax), "{text}");
    }
    assert!(parse_call("lists:sum([1,2,3]").is_err());
    assert!(parse_call("nonsense").is_err());
}

#[test]
fn a_capital_makes_a_name_an_alias() {
    assert_eq!(name("MyApp.Registry"), Ok(Atom::new("Elixir.MyApp.Registry")));
    assert_eq!(name("counter"), Ok(Atom::new("counter")));
    assert_eq!(name(":Counter"), Ok(Atom::new("Counter")));
}

#[test]
fn terms_are_printed_as_the_recording_beam_printed_them() {
    let lines = include_str!("../../erlang-fixtures/vectors/phash2-otp27.jsonl");
    let mut compared = 0;
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
        let (hex, text) = (line["etf_hex"].as_str().expect("hex"), line["text"].as_str().expect("text"));
        // Identifiers and funs print differently from node to node, maps in their internal order; a text that the
        // recording cut short says so.
        if ["<", "#", "...", "fun "].iter().any(|mark| text.contains(mark)) && !text.starts_with("<<") {
            continue;
        }
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits"))
            .collect();
        let term = crate::etf::decode(&bytes.into()).expect("a BEAM's own term");
        if text.contains("...") {
            continue;
        }
        assert_eq!(term.to_string(), text);
        compared += 1;
    }
    assert!(compared > 300, "only {compared} lines were compared");
}

fn any_term() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Term::from),
        any::<i128>().prop_map(Term::from),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Term::from),
        "[a-zA-Z_@é ]{0,8}".prop_map(|text| Term::atom(&text)),
        "\\PC{0,8}".prop_map(Term::from),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(Term::binary),
        "[ -~]{0,8}".prop_map(|text| Term::List(List::from_text(&text))),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let items = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            items.clone().prop_map(Term::tuple),
            items.prop_map(Term::list),
            (proptest::collection::vec(inner.clone(), 1..3), inner.clone())
                .prop_map(|(items, tail)| List::improper(items, tail)),
            proptest::collection::vec((inner.clone(), inner), 0..4)
                .prop_map(|pairs| Term::Map(pairs.into_iter().collect::<Map>())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_the_same(term in any_term()) {
        for syntax in [Syntax::Erlang, Syntax::Elixir] {
            let text = print(&term, syntax);
            prop_assert_eq!(parse(&text, syntax).map(|(read, _)| read), Ok(term.clone()), "{}", text);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
        let _ = parse(&text, Syntax::Auto);
        let _ = parse_call(&text);
        let _ = name(&text);
    }
}

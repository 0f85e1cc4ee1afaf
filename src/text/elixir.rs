//! Elixir's literals: `{:ok, [1, "text" | tail], %{key: "value"}}`.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::anychar;

use super::erlang::elements;
use super::error::{Fault, ParseError};
use super::lex::{self, Parsed, fail, number, quoted, separated, space, symbol, word};
use super::literal::{Segment, binary, erlang_modifiers, external, segment_value};
use crate::term::{Atom, List, Map, Term, atom::known};

pub(super) fn whole_term(text: &str) -> Result<Term, ParseError> {
    lex::whole(text, term)
}

/// One literal, after spaces.
pub(super) fn term(input: &str) -> Parsed<'_, Term> {
    let (input, _) = space(input)?;
    match input.chars().next() {
        Some('{') => {
            let (rest, _) = symbol("{")(input)?;
            let (rest, items) = items(rest, "}")?;
            Ok((rest, Term::tuple(items)))
        }
        Some('[') => list(input),
        Some('%') => map(input),
        Some('<') => binary(input, segment),
        Some('"') => {
            let (rest, text) = quoted('"', input)?;
            Ok((rest, text.into()))
        }
        Some('\'') => {
            let (rest, text) = quoted('\'', input)?;
            Ok((rest, List::from_text(&text).into()))
        }
        Some('~') => sigil(&input[1..]),
        Some(':') => atom(input),
        Some('?') => lex::character(&input[1..]),
        Some('#') => lex::identifier(input),
        Some('&') => external(&input[1..], module, ".", function),
        Some('0'..='9' | '-' | '+') => range_or_number(input),
        Some(c) if c.is_uppercase() => module(input),
        Some(_) => word_atom(input),
        None => fail(input, "a term"),
    }
}

/// `:name`, `:"any text"`, and the operators that are names.
pub(super) fn atom(input: &str) -> Parsed<'_, Term> {
    let (rest, _) = tag::<_, _, Fault<'_>>(":").parse(input)?;
    let (rest, text) = match rest.chars().next() {
        Some('"') => quoted('"', rest)?,
        Some(c) if c.is_alphabetic() || c == '_' => {
            let (rest, text) = name(rest)?;
            (rest, text.to_owned())
        }
        Some(_) => {
            let (after, operator) = take_while(|c: char| "+-*/<>=!&|^~.@%{}".contains(c)).parse(rest)?;
            if operator.is_empty() {
                return fail(rest, "the name of an atom");
            }
            (after, operator.to_owned())
        }
        None => return fail(rest, "the name of an atom"),
    };
    let (rest, atom) = lex::atom(input, rest, &text)?;
    Ok((rest, atom.into()))
}

/// A word that may end in `!` or `?`.
pub(super) fn name(input: &str) -> Parsed<'_, &str> {
    let (rest, text) = word(input)?;
    let ends = usize::from(rest.starts_with(['!', '?']));
    Ok((&rest[ends..], &input[..text.len() + ends]))
}

/// `MyApp.Server`, which is the atom `'Elixir.MyApp.Server'`.
fn module(input: &str) -> Parsed<'_, Term> {
    if input.starts_with(':') {
        return atom(input);
    }
    let (mut rest, first) = word(input)?;
    if !first.starts_with(|c: char| c.is_uppercase()) {
        return fail(input, "a module");
    }
    // `.` and a capital go on with the alias, `.` and a small letter are a function of it.
    while let Some(after) = rest.strip_prefix('.').filter(|after| after.starts_with(|c: char| c.is_uppercase())) {
        rest = word(after)?.0;
    }
    let alias = &input[..input.len() - rest.len()];
    let (rest, atom) = lex::atom(input, rest, &format!("Elixir.{alias}"))?;
    Ok((rest, atom.into()))
}

pub(super) fn module_of_call(input: &str) -> Parsed<'_, Term> {
    module(space(input)?.0)
}

pub(super) fn function(input: &str) -> Parsed<'_, Term> {
    let (rest, text) = if input.starts_with('"') {
        quoted('"', input)?
    } else {
        let (rest, text) = name(input)?;
        (rest, text.to_owned())
    };
    let (rest, atom) = lex::atom(input, rest, &text)?;
    Ok((rest, atom.into()))
}

/// Of bare words only these are values.
fn word_atom(input: &str) -> Parsed<'_, Term> {
    match word(input) {
        Ok((rest, "nil")) => Ok((rest, known::nil().into())),
        Ok((rest, "true")) => Ok((rest, known::true_().into())),
        Ok((rest, "false")) => Ok((rest, known::false_().into())),
        _ => fail(input, "a term"),
    }
}

/// What stands between brackets: terms, and at the end keywords, which are one list in a tuple or call.
pub(super) fn items<'a>(input: &'a str, close: &'static str) -> Parsed<'a, Vec<Term>> {
    let (rest, items) = separated(input, close, item)?;
    let mut terms = Vec::with_capacity(items.len());
    let mut keywords = Vec::new();
    for item in items {
        match item {
            Item::Term(_) if !keywords.is_empty() => return fail(input, "keywords at the end only"),
            Item::Term(term) => terms.push(term),
            Item::Pair(key, value) => keywords.push(Term::tuple([key, value])),
        }
    }
    if !keywords.is_empty() {
        terms.push(Term::list(keywords));
    }
    Ok((rest, terms))
}

enum Item {
    Term(Term),
    Pair(Term, Term),
}

fn item(input: &str) -> Parsed<'_, Item> {
    if let Ok((rest, key)) = keyword(input) {
        let (rest, value) = term(rest)?;
        return Ok((rest, Item::Pair(key, value)));
    }
    let (rest, value) = term(input)?;
    Ok((rest, Item::Term(value)))
}

/// `key: ` or `"any text": `.
fn keyword(input: &str) -> Parsed<'_, Term> {
    let (input, _) = space(input)?;
    let (rest, text) = if input.starts_with('"') {
        quoted('"', input)?
    } else {
        let (rest, text) = name(input)?;
        (rest, text.to_owned())
    };
    match rest.strip_prefix(':').filter(|rest| rest.starts_with(char::is_whitespace)) {
        Some(rest) => {
            let (rest, atom) = lex::atom(input, rest, &text)?;
            Ok((rest, atom.into()))
        }
        None => fail(rest, "a colon and a space"),
    }
}

fn list(input: &str) -> Parsed<'_, Term> {
    let (rest, _) = symbol("[")(input)?;
    if let Ok((rest, _)) = symbol("]")(rest) {
        return Ok((rest, Term::nil()));
    }
    elements(rest, |input| {
        let (rest, item) = item(input)?;
        Ok((
            rest,
            match item {
                Item::Term(term) => term,
                Item::Pair(key, value) => Term::tuple([key, value]),
            },
        ))
    })
}

/// `%{…}` and `%Module{…}`.
fn map(input: &str) -> Parsed<'_, Term> {
    let rest = &input[1..];
    let (rest, structure) = match module(rest) {
        Ok((rest, module)) => (rest, Some(module)),
        Err(_) => (rest, None),
    };
    let (rest, _) = symbol("{")(rest)?;
    let (rest, pairs) = separated(rest, "}", |input| {
        if let Ok((rest, key)) = keyword(input) {
            let (rest, value) = term(rest)?;
            return Ok((rest, (key, value)));
        }
        let (rest, key) = term(input)?;
        let (rest, _) = symbol("=>")(rest)?;
        let (rest, value) = term(rest)?;
        Ok((rest, (key, value)))
    })?;
    let named = structure.map(|module| (known::struct_().into(), module));
    Ok((rest, Term::Map(named.into_iter().chain(pairs).collect::<Map>())))
}

/// `1..3` is a `%Range{}`.
fn range_or_number(input: &str) -> Parsed<'_, Term> {
    let (rest, first) = number(input)?;
    let Some(after) = rest.strip_prefix("..") else { return Ok((rest, first)) };
    let (mut rest, last) = number(after)?;
    let mut step = Term::from(if first.as_i64() > last.as_i64() { -1 } else { 1 });
    if let Some(after) = rest.strip_prefix("//") {
        (rest, step) = number(after)?;
    }
    let field = |name: &str, value: Term| (Term::atom(name), value);
    let range = [
        (known::struct_().into(), Term::atom("Elixir.Range")),
        field("first", first),
        field("last", last),
        field("step", step),
    ];
    Ok((rest, Term::Map(range.into_iter().collect())))
}

/// `~c"…"`, `~s(…)`, `~w[a b]a`; capitals without escapes.
fn sigil(input: &str) -> Parsed<'_, Term> {
    let (rest, kind) = anychar(input)?;
    let close = match rest.chars().next() {
        Some('(') => ')',
        Some('[') => ']',
        Some('{') => '}',
        Some('<') => '>',
        Some(same @ ('"' | '\'' | '/' | '|')) => same,
        _ => return fail(rest, "an opening bracket or quote"),
    };
    let (rest, text) = if kind.is_lowercase() && close == rest.chars().next().unwrap_or_default() {
        quoted(close, rest)?
    } else {
        match rest[1..].split_once(close) {
            Some((text, rest)) => (rest, text.to_owned()),
            None => return fail(rest, "a closing bracket or quote"),
        }
    };
    match kind {
        'c' | 'C' => Ok((rest, List::from_text(&text).into())),
        's' | 'S' => Ok((rest, text.into())),
        'w' | 'W' => words(rest, &text),
        _ => fail(input, "one of the sigils ~c, ~s and ~w"),
    }
}

fn words<'a>(input: &'a str, text: &str) -> Parsed<'a, Term> {
    let (rest, kind) = match input.chars().next() {
        Some(kind @ ('a' | 's' | 'c')) => (&input[1..], kind),
        _ => (input, 's'),
    };
    let word = |word: &str| match kind {
        'a' => Atom::try_new(word).ok().map(Term::from),
        'c' => Some(List::from_text(word).into()),
        _ => Some(Term::from(word)),
    };
    match text.split_whitespace().map(word).collect::<Option<Vec<Term>>>() {
        Some(words) => Ok((rest, Term::list(words))),
        None => fail(input, "atoms of at most 255 characters"),
    }
}

fn segment(input: &str) -> Parsed<'_, Segment<'_>> {
    let (at, _) = space(input)?;
    let (rest, value) = segment_value(at, term)?;
    let Ok((rest, _)) = alt((tag::<_, _, Fault<'_>>(" :: "), tag("::"))).parse(rest) else {
        let (rest, (size, types)) = erlang_modifiers(rest)?;
        return Ok((rest, Segment { value, size, types, at }));
    };
    // `size(4)`, `4`, `utf8`, `little-integer-size(16)`.
    let end = rest.find([',', '>']).unwrap_or(rest.len());
    let (mut size, mut types) = (None, Vec::new());
    for part in rest[..end].trim().split('-') {
        let number = part.strip_prefix("size(").and_then(|part| part.strip_suffix(')')).unwrap_or(part);
        match number.parse() {
            Ok(bits) => size = Some(bits),
            Err(_) => types.push(part),
        }
    }
    Ok((&rest[end..], Segment { value, size, types, at }))
}
